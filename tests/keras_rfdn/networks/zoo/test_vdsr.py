import pytest

from keras_rfdn.networks import complexity


@pytest.mark.parametrize(("scale", "giga"), [(2, "612.6"), (3, "613.1"), (4, "612.6")])
def test_published_counts(scale, giga):
    """612.6 in CARN's table at every scale; at x3 the smallest output that covers 1280x720 is 1281 wide."""
    c = complexity.of_variant("vdsr", scale, *complexity.hd_input(scale))
    assert c.parameters == 665_921
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == giga
