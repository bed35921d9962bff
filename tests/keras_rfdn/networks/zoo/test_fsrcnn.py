import pytest

from keras_rfdn.networks import complexity


@pytest.mark.parametrize(("scale", "giga"), [(2, "6.0"), (3, "5.0"), (4, "4.6")])
def test_published_counts(scale, giga):
    c = complexity.of_variant("fsrcnn", scale, *complexity.hd_input(scale))
    biases, slopes = 56 + 12 + 4 * 12 + 56 + 1, 56 + 12 + 4 * 12 + 56
    assert c.parameters == 12_809 == 12_464 + biases + slopes  # the paper's Table 1 counts weights alone
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == giga  # CARN's table
