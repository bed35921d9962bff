"""GPTQ: kernels rounded to int8 so that their rounding errors cancel on images, not each number to the nearest.

Frantar et al. 2022 (GPTQ, arXiv 2210.17323): round a kernel's numbers one after the other, and after each correct those
still to come for what its error does to the output, by the inputs' second moments. What remains in the mean goes into
the bias.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.tflite.quantization import graph, xnnpack

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
        kernel, bias = graph.kernel_of(layer)
        absmax[layer.name] = np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), np.float32(xnnpack.LEAST_RANGE / 2))
        groups = np.split(np.arange(len(bias)), graph.groups_of(layer))
        for outputs, mean, covariance in zip(groups, *moments[layer.name], strict=True):
            flat = kernel[..., outputs].reshape(len(mean), -1)
            rounded = _round(flat.astype(np.float64), absmax[layer.name][outputs] / 127, covariance)
            kernel[..., outputs] = rounded.reshape(kernel[..., outputs].shape)
            bias[outputs] += mean @ (flat - rounded)
        layer.set_weights(graph.weights_of(layer, kernel, bias))
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
    """{convolution: (means [groups, k], covariances [groups, k, k])} of its inputs, k numbers of a group's kernel."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)], autograph=False)
    def sums(image):
        found = {}

        def call(layer, inputs):
            if isinstance(layer, graph.CONVOLUTIONS):
                patches = _patches(layer, inputs)
                # Squares of what is left of a large mean: float32 would lose a small variance in the mean's own square.
                centre = tf.reduce_mean(patches, axis=-2)
                rest = patches - centre[..., None, :]
                count = tf.cast(tf.shape(patches)[-2], tf.float32)
                products = tf.matmul(rest, rest, transpose_a=True)
                found[layer.name] = (count, centre, tf.reduce_sum(rest, axis=-2), products)
            return layer(inputs)

        graph.walk(model, tf.cast(image, tf.float32)[None], call)
        return found

    parts = [sums(image) for image in images]
    return {name: _moments_of_groups([part[name] for part in parts]) for name in parts[0]}


def _moments_of_groups(parts):
    """As _input_moments gives them for a convolution, of what sums gives: with groups in front where there are any."""
    parts = [[np.asarray(value, np.float64) for value in part] for part in parts]
    if parts[0][1].ndim == 1:
        groups = [parts]
    else:
        groups = [[(count, *(value[i] for value in rest)) for count, *rest in parts] for i in range(len(parts[0][1]))]
    means, covariances = zip(*map(_mean_and_covariance, groups), strict=True)
    return np.stack(means), np.stack(covariances)


def _patches(layer, x):
    """What a convolution multiplies its kernel with, at some POSITIONS: [positions, height * width * channels], or with
    groups [groups, positions, ...].
    """
    height, width = layer.kernel_size
    strides, rates = [1, *layer.strides, 1], [1, *layer.dilation_rate, 1]
    patches = tf.image.extract_patches(x, [1, height, width, 1], strides, rates, layer.padding.upper())
    patches = tf.reshape(patches, [-1, height * width * x.shape[-1]])
    patches = patches[:: tf.maximum(1, tf.shape(patches)[0] // POSITIONS)]
    groups = graph.groups_of(layer)
    if groups == 1:
        return patches
    apart = tf.reshape(patches, [-1, height * width, groups, x.shape[-1] // groups])
    return tf.reshape(tf.transpose(apart, [2, 0, 1, 3]), [groups, -1, height * width * x.shape[-1] // groups])


def _mean_and_covariance(parts):
    """parts: for each image (positions, a centre, sum of the patches' differences from it, sum of their products)."""
    counts, centres, rests = (np.stack([np.asarray(part[i], np.float64) for part in parts]) for i in range(3))
    mean = (counts @ centres + rests.sum(axis=0)) / counts.sum()
    away = centres - mean
    crossed = away.T @ rests
    products = sum(np.asarray(products, np.float64) for *_, products in parts)
    return mean, (products + crossed + crossed.T + (away.T * counts) @ away) / counts.sum()
