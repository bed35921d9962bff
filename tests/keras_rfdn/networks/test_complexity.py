import pytest
import tf_keras as keras

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.networks.layers import BicubicUpscale, conv, lrelu

# Reports of AIM 2020 (and Table 5 of the RFDN paper), at 256x256 LR: parameters in M, G, M activations, convolutions.
PUBLISHED = {
    "e-rfdn": ("0.433", "27.10", "112.03", 64),
    "imdn-aim": ("0.893", "58.53", "154.14", 43),
    "msrresnet": ("1.517", "166.36", "292.55", 37),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    c = complexity.of_variant(name, 4, 256, 256)
    thousands = c.parameters // 1000  # the report cuts off, it does not round: 893,936 is its 0.893M
    assert PUBLISHED[name] == (
        f"{thousands / 1000:.3f}",
        f"{c.multiply_adds / 1e9:.2f}",
        f"{c.activations / 1e6:.2f}",
        c.convolutions,
    )


@pytest.mark.parametrize(
    ("scale", "size", "giga"), [(2, (360, 640), "158.8"), (3, (240, 427), "71.5"), (4, (180, 320), "40.9")]
)
def test_imdn_mult_adds_for_1280x720(scale, size, giga):
    """As papers print them beside IMDN: convolutions alone."""
    assert f"{complexity.of_variant('imdn', scale, *size).convolution_multiply_adds / 1e9:.1f}" == giga


def test_counts_by_hand():
    x = keras.Input((7, 9, 5))
    y = lrelu(conv(x, 4, 3, name="a"))  # 63 pixels
    y = conv(y, 2, 3, strides=2, padding="valid", name="b")  # 3 x 4 pixels
    assert complexity.count(keras.Model(x, y)) == complexity.Complexity(
        parameters=(45 * 4 + 4) + (36 * 2 + 2),
        convolutions=2,
        convolution_multiply_adds=63 * 45 * 4 + 12 * 36 * 2,
        multiply_adds=63 * 45 * 4 + 12 * 36 * 2 + 63 * 4,
        activations=63 * 4 + 12 * 2,
    )


def test_other_convolutions_by_hand():
    x = keras.Input((7, 9, 6))  # 63 pixels
    y = keras.layers.DepthwiseConv2D(5, padding="same", depth_multiplier=2, name="d")(x)  # 12 channels of 25 each
    y = keras.layers.Conv2D(4, 3, padding="same", groups=2, dilation_rate=2, name="g")(y)  # 6 inputs a group
    y = keras.layers.PReLU(shared_axes=[1, 2])(y)
    y = keras.layers.LayerNormalization()(y)
    y = keras.layers.Conv2DTranspose(3, 9, strides=4, padding="same", name="t")(y)  # 63 * 16 pixels
    multiply_adds = 63 * 12 * 25 + 63 * 4 * 54 + 63 * 16 * 3 * 81 * 4
    assert complexity.count(keras.Model(x, y)) == complexity.Complexity(
        parameters=(25 * 12 + 12) + (54 * 4 + 4) + 4 + 8 + (81 * 12 + 3),
        convolutions=3,
        convolution_multiply_adds=multiply_adds,
        multiply_adds=multiply_adds + 63 * 4,
        activations=63 * 12 + 63 * 4 + 63 * 16 * 3,
    )


def test_a_layer_called_again_has_its_parameters_once():
    x = keras.Input((5, 5, 4))
    again = keras.layers.Conv2D(4, 3, padding="same", name="again")
    y = again(again(again(x)))
    again(y)  # a call that the model does not make
    y = BicubicUpscale(2)(y)
    c = complexity.count(keras.Model(x, y))
    assert (c.parameters, c.convolutions) == (148, 3)
    assert c.convolution_multiply_adds == c.multiply_adds == 3 * 25 * 36 * 4
    assert c.activations == 3 * 100


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="fixed height and width"):
        complexity.count(models.build(ModelConfig("fdc", channels=4, num_blocks=1)))
    x = keras.Input((4, 4, 3))
    with pytest.raises(ValueError, match="a Dense, has 16 of 16 parameters"):
        complexity.count(keras.Model(x, keras.layers.Dense(4)(x)))
