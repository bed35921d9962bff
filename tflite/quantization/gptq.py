"""GPTQ: kernels rounded to int8 so that their rounding errors cancel on images, not each number to the nearest.

Frantar et al. 2022 (GPTQ, arXiv 2210.17323): round a kernel's numbers one after the other, and after each correct those
still to come for what its error does to the output, by the inputs' second moments. What remains in the mean goes into
the bias.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.tflite.quantization import graph

POSITIONS = 1024  # of each image and convolution, at equal distances, that second moments are taken of
DAMPING = 0.01  # of the mean variance, added to each: keeps the inverse sound where inputs depend on each other


def gptq(model: keras.Model, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Round the kernels of a lowered network in place -> {convolution: absmax, float32 [output channels]}.

    images: uint8 RGB [h, w, 3] each. absmax: 127 quantization steps of each output channel, its largest magnitude
    before rounding; the rounded kernel is whole multiples of a 127th of it.
    """
    moments = _input_moments(model, images)
    absmax = {}
    for layer in graph.convolutions(model):
        kernel, bias = layer.get_weights()
        mean, covariance = moments[layer.name]
        flat = kernel.reshape(len(mean), -1)
        absmax[layer.name] = np.maximum(np.abs(flat).max(axis=0), np.float32(1e-20))
        rounded = _round(flat.astype(np.float64), absmax[layer.name] / 127, covariance)
        layer.set_weights([rounded.reshape(kernel.shape), bias + mean @ (flat - rounded)])
    return absmax


def _round(kernel, step_sizes, covariance):
    """kernel [inputs, outputs] -> the same in whole multiples of step_sizes, -127 to 127 of them.

    Row by row, by the Cholesky factor of the covariance's inverse (GPTQ, algorithm 1).
    """
    damped = covariance + np.eye(len(kernel)) * max(DAMPING * np.trace(covariance) / len(kernel), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    kernel, result = kernel.copy(), np.empty_like(kernel)
    for i in range(len(kernel)):
        result[i] = np.clip(np.rint(kernel[i] / step_sizes), -127, 127) * step_sizes
        kernel[i + 1 :] -= np.outer(upper[i, i + 1 :], (kernel[i] - result[i]) / upper[i, i])
    return result


def _input_moments(model, images):
    """{convolution: (mean [k], covariance [k, k])} of its inputs, k = height * width * channels of its kernel."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)], autograph=False)
    def sums(image):
        found = {}

        def call(layer, inputs):
            if isinstance(layer, keras.layers.Conv2D):
                patches = _patches(layer, inputs)
                # Squares of what is left of a large mean: float32 would lose a small variance in the mean's own square.
                centre = tf.reduce_mean(patches, axis=0)
                rest = patches - centre
                count = tf.cast(tf.shape(patches)[0], tf.float32)
                products = tf.matmul(rest, rest, transpose_a=True)
                found[layer.name] = (count, centre, tf.reduce_sum(rest, axis=0), products)
            return layer(inputs)

        graph.walk(model, tf.cast(image, tf.float32)[None], call)
        return found

    parts = [sums(image) for image in images]
    return {name: _mean_and_covariance([part[name] for part in parts]) for name in parts[0]}


def _patches(layer, x):
    """What a convolution multiplies its kernel with, at some POSITIONS: [positions, height * width * channels]."""
    height, width = layer.kernel_size
    strides = [1, *layer.strides, 1]
    patches = tf.image.extract_patches(x, [1, height, width, 1], strides, [1, 1, 1, 1], layer.padding.upper())
    patches = tf.reshape(patches, [-1, height * width * x.shape[-1]])
    return patches[:: tf.maximum(1, tf.shape(patches)[0] // POSITIONS)]


def _mean_and_covariance(parts):
    """parts: for each image (positions, a centre, sum of the patches' differences from it, sum of their products)."""
    counts, centres, rests = (np.stack([np.asarray(part[i], np.float64) for part in parts]) for i in range(3))
    mean = (counts @ centres + rests.sum(axis=0)) / counts.sum()
    away = centres - mean
    crossed = away.T @ rests
    products = sum(np.asarray(products, np.float64) for *_, products in parts)
    return mean, (products + crossed + crossed.T + (away.T * counts) @ away) / counts.sum()
