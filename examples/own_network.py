"""A network of one's own, from Keras to an int8 .tflite file:

    python examples/own_network.py own.keras
    python tflite/convert.py --int8 --weights own.keras

It is in no table of this project: depthwise separable convolutions with SiLU, a sub-network that is called three times,
and the image, enlarged bilinearly, as the skip. A network for convert.py is functional, takes and gives float32 RGB of
0 to 255, and enlarges 2, 3 or 4 times; docs/int8.md says which layers int8 knows.
"""

import sys

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import sample

SCALE, CHANNELS = 2, 16


def build():
    """The network: float32 RGB [n, h, w, 3] -> [n, 2h, 2w, 3], both 0..255."""
    lr = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(lr)
    features = keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu")(x)
    block = _block()
    for _ in range(3):
        features = block(features)
    residual = tf.nn.depth_to_space(keras.layers.Conv2D(3 * SCALE**2, 3, padding="same")(features), SCALE)
    sr = residual + keras.layers.UpSampling2D(SCALE, interpolation="bilinear")(x)
    return keras.Model(lr, keras.layers.Rescaling(255.0)(sr))


def _block():
    """Residual block of a separable convolution."""
    x = keras.Input((None, None, CHANNELS))
    y = keras.layers.SeparableConv2D(CHANNELS, 3, padding="same", activation="swish")(x)
    return keras.Model(x, keras.layers.Add()([keras.layers.Conv2D(CHANNELS, 1)(y), x]))


def train(model, *, steps, seed=0):
    """Train on patches of synthetic images -> the loss of each step, mean absolute error in grey levels."""
    hr = np.stack([sample.dead_leaves(64, seed=seed + i) for i in range(8)])
    lr = np.stack([bicubic.downscale(image, SCALE) for image in hr])
    model.compile(keras.optimizers.Adam(1e-3), loss="mae")
    history = model.fit(lr.astype(np.float32), hr.astype(np.float32), epochs=steps, batch_size=8, verbose=0)
    return history.history["loss"]


def main(path):
    keras.utils.set_random_seed(0)
    model = build()
    losses = train(model, steps=30)
    print(f"mean absolute error {losses[0]:.2f} -> {losses[-1]:.2f} grey levels")
    model.save(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
