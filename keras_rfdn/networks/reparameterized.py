"""Structural re-parameterization: convolutions that train as several branches and run as one (Ding et al. 2021, RepVGG,
arXiv 2101.03697).
"""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.layers import pytorch_initializer

EDGES = {
    "sobel_x": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "sobel_y": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
}
EDGE_STDDEV = 1e-3  # of the edge filters' first factors, as ECBSR's and EFDN's released code


@keras.saving.register_keras_serializable("keras_rfdn")
class EdgeOrientedConv2D(keras.layers.Layer):
    """Edge-oriented convolution block of ECBSR (Zhang et al. 2021) with EFDN's 1x1 branch (arXiv 2204.08759, Figure 4):
    [n, h, w, c] -> [n, h, w, filters], padded with zeros.

    The sum of a 3x3 convolution, a 1x1, a 1x1 then 3x3, three times a 1x1 then an edge filter of one learned factor per
    channel (Sobel in x, in y, Laplacian), and the input itself where filters is c. It is computed as the one 3x3
    convolution that all are together, so that it trains at the price of one.

    There is one bias for all. The authors give each convolution its own and pad what a 1x1 gives with its bias, as if
    the image went on in black; what such a bias then adds is the same for every pixel, the border's too.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self._kernel("kernel", 3, channels)
        self.bias = self._weight("bias", [self.filters], "zeros")
        self.pointwise = self._kernel("pointwise", 1, channels)
        self.expansion = self._kernel("expansion", 1, channels)
        self.expanded = self._kernel("expanded", 3, self.filters)
        self.edges = {name: self._kernel(f"{name}_pointwise", 1, channels) for name in EDGES}
        normal = keras.initializers.RandomNormal
        self.factors = {name: self._weight(f"{name}_factor", [self.filters], normal(0, EDGE_STDDEV)) for name in EDGES}
        super().build(input_shape)

    def _kernel(self, name, size, channels):
        shape = [size, size, channels, self.filters]
        # Beside the input itself the others start at a tenth: a chain of such layers would make features grow.
        return self._weight(name, shape, pytorch_initializer(0.1 if channels == self.filters else 1))

    def _weight(self, name, shape, initializer):
        # In float32 whatever the policy: branches are merged before anything is rounded.
        return self.add_weight(name, shape, initializer=initializer, experimental_autocast=False)

    def call(self, inputs):
        kernel = self.kernel + self._beside_kernel()
        return tf.nn.conv2d(inputs, tf.cast(kernel, inputs.dtype), 1, "SAME") + tf.cast(self.bias, inputs.dtype)

    def _beside_kernel(self):
        """Kernel [3, 3, c, filters] of all branches but the plain 3x3, in float32."""
        beside = tf.einsum("cm,ijmf->ijcf", self.expansion[0, 0], self.expanded)
        beside += self._centred(self.pointwise[0, 0])
        for name, edge in EDGES.items():
            beside += tf.constant(edge, tf.float32)[..., None, None] * self.edges[name] * self.factors[name]
        channels = self.kernel.shape[2]
        return beside + self._centred(tf.eye(channels)) if channels == self.filters else beside

    def _centred(self, pointwise):
        return tf.pad(pointwise[None, None], [[1, 1], [1, 1], [0, 0], [0, 0]])

    def get_merged(self) -> list[np.ndarray]:
        """[kernel, bias] of the one 3x3 convolution, float32, as Conv2D.set_weights takes them."""
        return [(self.kernel + self._beside_kernel()).numpy(), self.bias.numpy()]

    def set_merged(self, weights: list[np.ndarray]) -> None:
        """Makes the branches together the 3x3 convolution of weights [kernel, bias]: all but the plain one stay."""
        kernel, bias = weights
        self.kernel.assign(kernel - self._beside_kernel())
        self.bias.assign(bias)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def merged(model: keras.Model) -> keras.Model:
    """The same network with plain Conv2D layers, of the same names, for its EdgeOrientedConv2D, if it has any."""
    if not any(isinstance(layer, EdgeOrientedConv2D) for layer in model.layers):
        return model

    def plain(layer):
        if not isinstance(layer, EdgeOrientedConv2D):
            return layer.__class__.from_config(layer.get_config())
        return keras.layers.Conv2D(layer.filters, 3, padding="same", name=layer.name, dtype=layer.dtype_policy)

    network = keras.models.clone_model(model, clone_function=plain)
    transfer(model, network)
    return network


def transfer(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of a network to one whose layers have the same names, in branches or merged on either side."""
    for layer in target.layers:
        if layer.weights:
            set_merged_weights(layer, merged_weights(source.get_layer(layer.name)))


def merged_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Weights of a layer; for an EdgeOrientedConv2D those of the Conv2D that it is."""
    return layer.get_merged() if isinstance(layer, EdgeOrientedConv2D) else layer.get_weights()


def set_merged_weights(layer: keras.layers.Layer, weights: list[np.ndarray]) -> None:
    """Sets weights as merged_weights gives them."""
    if isinstance(layer, EdgeOrientedConv2D):
        layer.set_merged(weights)
    else:
        layer.set_weights(weights)
