import subprocess
import sys

import numpy as np
import pytest

from keras_rfdn import average
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.system import files


def weights(path):
    return checkpoint.load(path)[0].get_weights()


def test_the_mean_is_written_with_what_it_is_of(root, untrained, tmp_path):
    first, second = (untrained(f"{seed}.h5", seed) for seed in (1, 2))
    out = tmp_path / "mean.h5"
    command = [sys.executable, "-m", "keras_rfdn.average", first, second, first, "--out", str(out)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    for mean, a, b in zip(weights(out), weights(first), weights(second), strict=True):
        np.testing.assert_allclose(mean, (2 * a + b) / 3, rtol=1e-5, atol=1e-7)
    config, facts = checkpoint.about(out)
    assert config == checkpoint.about(first)[0]
    assert [source["sha256"] for source in facts["mean_of"]] == [files.sha256(f) for f in (first, second, first)]


def test_different_networks_are_refused(untrained, tmp_path):
    other = untrained("other.h5", 1, channels=16)
    with pytest.raises(ValueError, match=r"weights of one network are needed: .*x2, .*other\.h5 of"):
        average.main(average.AverageConfig((untrained("a.h5", 1), other), str(tmp_path / "mean.h5")))
    assert not (tmp_path / "mean.h5").exists()
