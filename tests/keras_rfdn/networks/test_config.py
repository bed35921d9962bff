import subprocess
import sys

import pytest

from keras_rfdn.networks import config


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_variant_is_its_row_at_a_scale(scale):
    rfdn = config.variant("rfdn", scale)
    assert rfdn == config.ModelConfig("rfdb", channels=48, num_blocks=6, attention="cca", reduction=4, scale=scale)


def test_unknown_variant_and_scale_are_refused():
    with pytest.raises(ValueError, match=r"unknown variant 'rdfn'; choose from rfdn, rfdn-l, e-rfdn"):
        config.variant("rdfn", 4)
    with pytest.raises(ValueError, match=r"one of \(2, 3, 4\), got 8"):
        config.variant("rfdn", 8)


def test_needs_no_tensorflow(root):
    code = "import sys, keras_rfdn.networks.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
