"""Post-training quantization of a float network to int8, better than the converter's own.

Each step leaves the float output what it was or nearly so: residuals and the long skip are rewritten so that fewer
tensors share a scale; channels are equalized; kernels are rounded by GPTQ; ranges are calibrated. TensorFlow's
converter then finds every range in the graph and adds nothing of its own.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images.patches import center_crop
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT
from keras_rfdn.tflite.quantization import graph, im2col_skip, splitting
from keras_rfdn.tflite.quantization.equalization import (
    equalize,
    noise_by_tensor,
    normalize_variances,
)
from keras_rfdn.tflite.quantization.gptq import gptq
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.merging import fold_residuals
from keras_rfdn.tflite.quantization.scale_ties import free_channels, part_activations
from keras_rfdn.tflite.quantization.scheme import Scheme, output_tensor
from keras_rfdn.tflite.quantization.simulator import Quantized
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate, collect_statistics

# What `accurate` splits in RFDN: the first block's fused features and the fusion of all blocks, whose rounding costs
# most. In other networks it is found out.
ACCURATE_SPLITS = ("B1.c5", "c.0")
ACCURATE_COST = 0.14  # share of a network's multiply-adds that splitting may add
ELEMENTS = 20_000  # of all layers for one LR pixel; above, patches are cut smaller, to bound memory and time


def quantize(model: keras.Model, images: Iterable[np.ndarray], *, accurate: bool = False) -> Quantized:
    """Quantize a network to int8.

    model: functional, float32 grey levels in and out, without Rescaling layers (folding.fold_value_range), of open
    height and width. images: uint8 RGB [h, w, 3], some dozen patches of images of the kind that the network will see;
    only their middles count for a network that works at the enlarged image's size. accurate: also split the channels
    whose rounding costs most: less is lost, and the file takes about 1.14 times as long.
    Raises UserError for a layer without a rule, and for accurate where no channels can be split.
    """
    images = _within_bounds(model, images)
    model, splits = _rewrite(model, names_to_split(model, images) if accurate else ())
    normalize_variances(model, images)
    scheme, statistics = _equalized(model, images)
    if (parted := part_activations(model, scheme, statistics)) is not None:
        model, (scheme, statistics) = parted, _equalized(parted, images)
    if im2col_skip.CONCAT in scheme.leaders:
        im2col_skip.rescale_to_uint8_range(model, statistics)
    if splits:
        splitting.shift_copies(model, splits, calibrate(model, scheme, images))
    absmax = gptq(model, images)
    return Quantized(model, scheme, calibrate(model, scheme, images), absmax)


def _equalized(model, images):
    """(Scheme, statistics) of a lowered network, once its channels have been equalized, in place."""
    scheme = Scheme.of(model)
    return scheme, equalize(model, scheme, collect_statistics(model, scheme, images))


def _within_bounds(model, images):
    """The middles of images that leave ELEMENTS for each pixel of a 64x64 patch."""
    side = 32
    sized = graph.rebuild(model, graph.copy, input_shape=(1, side, side, 3))
    elements = sum(np.prod(x.shape) for layer in sized.layers for x in tf.nest.flatten(layer.output)) / side**2
    shrink = min(1.0, (ELEMENTS / elements) ** 0.5)

    def smaller(size):
        return max(SMALLEST_INPUT, int(shrink * size))

    return [center_crop(image, *map(smaller, image.shape[:2])) for image in images]


def names_to_split(model: keras.Model, images: Iterable[np.ndarray]) -> list[str]:
    """The convolutions that accurate splits: ACCURATE_SPLITS, or by the noise that rounding their results adds."""
    known = [conv.name for conv in graph.convolutions(model) if conv.name in ACCURATE_SPLITS]
    if known:
        return known
    rewritten, _ = _rewrite_float(model, ())
    lowered = _lower(rewritten)
    normalize_variances(lowered, images)
    scheme, statistics = _equalized(lowered, images)
    noise = noise_by_tensor(scheme, statistics)
    costs = {conv.name: splitting.cost(conv) for conv in graph.convolutions(rewritten)}
    budget = ACCURATE_COST * sum(splitting.multiply_adds(conv) for conv in graph.convolutions(rewritten))
    chosen = []
    ranking = sorted(
        (-noise.get(output_tensor(lowered.get_layer(name)), 0.0), name)
        for name, cost in costs.items()
        if cost is not None and scheme.leaders.get(output_tensor(lowered.get_layer(name))) not in scheme.fixed
    )
    for lost, name in ranking:
        if costs[name] <= budget and -lost > 0.01 * sum(noise.values()):
            chosen.append(name)
            budget -= costs[name]
    if not chosen:
        raise UserError("accurate splits channels, and in this network there are none worth it; leave it out")
    return chosen


def _rewrite(model, names):
    """(lowered network, convolutions whose channels are split). names: the convolutions to split."""
    model, splits = _rewrite_float(model, names)
    return _lower(model), splits


def _lower(model):
    lowered = lower_to_int8_ops(model)
    Scheme.of(lowered)  # refuses a layer without a rule, by its name
    return free_channels(lowered)


def _rewrite_float(model, names):
    """As _rewrite, before it is lowered."""
    model, splits = fold_residuals(model), ()
    model = splitting.leaky_relu_to_crelu(model, splitting.followed_by_prelu(model))
    if im2col_skip.has_long_skip(model):
        model = im2col_skip.im2col_skip(model)
    if names:
        leaky = splitting.followed_by_leaky_relu(model, names)
        splits = tuple(name for name in names if name not in leaky)
        model = splitting.leaky_relu_to_crelu(model, leaky)
        model = splitting.split_channels(model, splits)
    return model, splits
