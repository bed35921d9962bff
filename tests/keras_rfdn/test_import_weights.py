import hashlib
import pathlib

import numpy as np
import pytest

from keras_rfdn import import_weights
from keras_rfdn.checkpoints import author_weights, checkpoint
from keras_rfdn.networks.config import variant

SHARED = pathlib.Path(__file__).resolve().parents[2] / "../shared"


@pytest.mark.parametrize(("file", "name", "scale"), [("RFDN_AIM", "e-rfdn", 4), ("IMDN_x3", "imdn", 3)])
def test_command(tmp_path, file, name, scale):
    path = SHARED / "weights" / f"{file}.pth"
    if not path.exists():
        pytest.skip(f"needs {path}")
    out = tmp_path / "w.h5"
    assert import_weights.main(import_weights.ImportConfig(str(path), str(out))) == (name, variant(name, scale))
    config, facts = checkpoint.about(out)
    assert config == variant(name, scale)
    assert facts["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    model, _ = checkpoint.load(out)
    imported = author_weights.build(author_weights.read(path))
    for saved, array in zip(model.get_weights(), imported.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, array)
