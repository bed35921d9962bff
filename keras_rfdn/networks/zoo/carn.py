"""CARN and CARN-M (Ahn et al. 2018, arXiv 1803.08664): cascades of cascades, for accuracy and for mobile devices."""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import PixelShuffle, conv, conv_layer, relu

CHANNELS = 64
GROUPS = 4  # of CARN-M's convolutions
MEAN_RGB = (0.4488, 0.4371, 0.4040)  # of DIV2K


def carn(x, config):
    """Cascading residual network (section 3.2 and Figure 2 b): three cascading blocks of three residual blocks."""
    blocks = [_cascade([_residual(f"b{i}.b{j}") for j in (1, 2, 3)], name=f"b{i}.") for i in (1, 2, 3)]
    return _network(x, blocks, config.scale, groups=1)


def carn_m(x, config):
    """CARN-Mobile (section 3.3 and Figure 3): three cascading blocks, each of one efficient residual block that is
    applied three times.
    """
    blocks = [_cascade([_efficient_residual(f"b{i}.b1")] * 3, name=f"b{i}.") for i in (1, 2, 3)]
    return _network(x, blocks, config.scale, groups=GROUPS)


def _network(x, blocks, scale, *, groups):
    """What is around the blocks. Layers carry the names of the authors' code (github.com/nmhkahn/CARN-pytorch)."""
    x = keras.layers.Rescaling(1, [-mean for mean in MEAN_RGB], name="sub_mean")(x)
    x = _cascade(blocks, name="")(conv(x, CHANNELS, 3, name="entry"))
    for i, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[scale]):
        name = f"upsample.up{scale}.body.{3 * i}"
        x = relu(conv(x, CHANNELS * factor**2, 3, name=name, groups=groups))
        x = GroupedPixelShuffle(factor, groups, name=f"pixel_shuffle{i}")(x)
    x = conv(x, 3, 3, name="exit", dtype="float32")
    return keras.layers.Rescaling(1, MEAN_RGB, name="add_mean", dtype="float32")(x)


def _cascade(units, *, name):
    """Cascading connections: a 1x1 convolution before each unit but the first, and after the last, of all that was
    before. units: functions on features. Returns such a function.
    """

    def apply(x):
        features = [x]
        for i, unit in enumerate(units, start=1):
            features.append(unit(x))
            x = relu(conv(keras.layers.Concatenate()(features), CHANNELS, 1, name=f"{name}c{i}.body.0"))
        return x

    return apply


def _residual(name):
    """Residual block: a function on features."""
    return _residual_of([conv_layer(CHANNELS, 3, name=f"{name}.body.{i}") for i in (0, 2)])


def _efficient_residual(name):
    """Efficient residual block, of group convolutions and a 1x1 convolution: a function on features, whose calls share
    the weights.
    """
    grouped = [conv_layer(CHANNELS, 3, name=f"{name}.body.{i}", groups=GROUPS) for i in (0, 2)]
    return _residual_of([*grouped, conv_layer(CHANNELS, 1, name=f"{name}.body.4")])


def _residual_of(convolutions):
    def apply(x):
        y = convolutions[0](x)
        for convolution in convolutions[1:]:
            y = convolution(relu(y))
        return relu(keras.layers.Add()([x, y]))

    return apply


@keras.saving.register_keras_serializable("keras_rfdn")
class GroupedPixelShuffle(PixelShuffle):
    """Pixel shuffle of each of several groups of channels by itself: of what a group convolution gives, whose groups
    are PyTorch's channels in their order.
    """

    def __init__(self, scale, groups, **kwargs):
        super().__init__(scale, **kwargs)
        self.groups = groups

    def call(self, inputs):
        if self.groups == 1:
            return super().call(inputs)
        return tf.concat([super(GroupedPixelShuffle, self).call(x) for x in tf.split(inputs, self.groups, -1)], -1)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
