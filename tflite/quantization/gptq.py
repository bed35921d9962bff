"""Kernels in int8 whose rounding errors cancel on images, instead of each number rounded to the nearest.

Frantar et al. 2022 (GPTQ, arXiv 2210.17323): round a kernel's numbers one after the other, and after each correct those
still to come for what its error does to the output, by the inputs' second moments. What remains in the mean goes into
the bias.
"""

import numpy as np
import tensorflow as tf

from keras_rfdn.tflite.quantization import fakequant, graph

DAMPING = 0.01  # of the mean variance, added to each: keeps the inverse sound where inputs depend on each other


def rounded(model, frames):
    """(model whose kernels are whole multiples of steps, {convolution: its steps, float32 [output channels]}).

    frames: uint8 RGB [h, w, 3] each. Steps are a 127th of a channel's largest number. The result has fresh layers.
    """
    moments = _moments(model, frames)
    steps = {layer.name: fakequant.kernel_steps(layer.get_weights()[0]) for layer in graph.convolutions(model)}

    def call(layer, inputs):
        if layer.name not in steps:
            return graph.copied(layer, inputs)
        kernel, bias = layer.get_weights()
        mean, covariance = moments[layer.name]
        flat = kernel.reshape(len(mean), -1)
        nearest = _round(flat.astype(np.float64), steps[layer.name], covariance)
        return graph.copied(layer, inputs, [nearest.reshape(kernel.shape), bias + mean @ (flat - nearest)])

    return graph.rebuilt(model, call), steps


def _round(kernel, steps, covariance):
    """kernel [inputs, outputs] -> the same in whole multiples of steps, -127 to 127 of them.

    Row by row, by the Cholesky factor of the covariance's inverse (GPTQ, algorithm 1).
    """
    damped = covariance + np.eye(len(kernel)) * max(DAMPING * np.trace(covariance) / len(kernel), 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    kernel, result = kernel.copy(), np.empty_like(kernel)
    for i in range(len(kernel)):
        result[i] = np.clip(np.rint(kernel[i] / steps), -127, 127) * steps
        kernel[i + 1 :] -= np.outer(upper[i, i + 1 :], (kernel[i] - result[i]) / upper[i, i])
    return result


def _moments(model, frames):
    """{convolution: (mean [k], covariance [k, k])} of its inputs, k = height * width * channels of its kernel."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)], autograph=False)
    def sums(frame):
        found = {}

        def convolve(layer, x):
            patches = _patches(layer, x)
            # Squares of what is left of a large mean: float32 would lose a small variance in the mean's own square.
            centre = tf.reduce_mean(patches, axis=0)
            rest = patches - centre
            count = tf.cast(tf.shape(patches)[0], tf.float32)
            found[layer.name] = (count, centre, tf.reduce_sum(rest, axis=0), tf.matmul(rest, rest, transpose_a=True))
            return layer(x)

        fakequant.forward(model, tf.cast(frame, tf.float32)[None], lambda name, x: x, convolve)
        return found

    parts = [sums(frame) for frame in frames]
    return {name: _mean_and_covariance([part[name] for part in parts]) for name in parts[0]}


def _patches(layer, x):
    """What a convolution multiplies its kernel with: [positions, height * width * channels]."""
    height, width = layer.kernel_size
    strides = [1, *layer.strides, 1]
    patches = tf.image.extract_patches(x, [1, height, width, 1], strides, [1, 1, 1, 1], layer.padding.upper())
    return tf.reshape(patches, [-1, height * width * x.shape[-1]])


def _mean_and_covariance(parts):
    """parts: for each frame (positions, a centre, sum of the patches' differences from it, sum of their products)."""
    parts = [[np.asarray(value, np.float64) for value in part] for part in parts]
    total = sum(count for count, *_ in parts)
    mean = sum(count * centre + rest for count, centre, rest, _ in parts) / total
    covariance = np.zeros((len(mean), len(mean)))
    for count, centre, rest, products in parts:
        away = centre - mean
        crossed = np.outer(away, rest)
        covariance += (products + crossed + crossed.T + count * np.outer(away, away)) / total
    return mean, covariance
