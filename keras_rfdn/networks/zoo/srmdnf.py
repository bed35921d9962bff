"""SRMDNF (Zhang et al. 2018, arXiv 1712.06116): a network that is told how images were blurred; without noise."""

import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import conv, relu, upsample

CHANNELS, CONVOLUTIONS = 128, 12  # the last of which gives sub-pixels

# Degradation code of bicubic reduction without further blur: the middle column of the authors' matrix of principal
# components of 15x15 kernels, for an impulse (kernels/srmd_pca_matlab.mat of github.com/cszn/KAIR).
NO_BLUR = (
    *(-1.12360956e-08, -1.36899159e-08, 1.85637958e-02, 2.86066886e-08, 3.35292965e-02),
    *(8.37272935e-08, -2.54424009e-07, -3.16234976e-02, -1.35169253e-02, -1.10466090e-08),
    *(3.84753793e-02, 3.79465739e-08, -2.44916752e-01, -8.02213490e-01, -5.40549755e-01),
)


def srmdnf(x, config):
    """Super-resolution network for multiple degradations, noise-free (section 3.3 and Figure 3), for bicubic reduction:
    image and degradation maps go through 12 convolutions to sub-pixels.

    Layers but the last carry the names of github.com/cszn/KAIR.
    """
    x = DegradationMaps(NO_BLUR, name="degradation_maps")(x)
    for i in range(CONVOLUTIONS - 1):
        x = relu(conv(x, CHANNELS, 3, name=f"model.{2 * i}", kernel_initializer="he_normal"))
    return upsample(x, config.scale)


@keras.saving.register_keras_serializable("keras_rfdn")
class DegradationMaps(keras.layers.Layer):
    """[n, h, w, c] -> [n, h, w, c + k] with k constant planes, one for each number of code (dimensionality stretching).

    Planes, because a convolution's padding is of zeros: what is constant inside is not so at the border.
    """

    def __init__(self, code, **kwargs):
        super().__init__(**kwargs)
        self.code = tuple(code)

    def call(self, inputs):
        shape = tf.concat([tf.shape(inputs)[:-1], [1]], 0)
        planes = tf.tile(tf.constant(self.code, inputs.dtype, [1, 1, 1, len(self.code)]), shape)
        return tf.concat([inputs, planes], -1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + len(self.code))

    def get_config(self):
        return {**super().get_config(), "code": self.code}
