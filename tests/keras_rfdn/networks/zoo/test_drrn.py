import pytest

from keras_rfdn.networks import complexity


@pytest.mark.parametrize("scale", [2, 4])
def test_published_counts(scale):
    c = complexity.of_variant("drrn", scale, *complexity.hd_input(scale))
    assert c.parameters == 297_216  # the paper's 297K; CARN's table and RFDN's have 298K, with 385 biases
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == "6796.9"  # CARN's table
    assert c.convolutions == 52
