"""Post-training quantization of a float network to int8, better than the converter's own.

Each step leaves the float output what it was or nearly so: residuals and the long skip are rewritten so that fewer
tensors share a scale; channels are equalized; kernels are rounded by GPTQ; ranges are calibrated. TensorFlow's
converter then finds every range in the graph and adds nothing of its own.
"""

from collections.abc import Iterable

import numpy as np
import tf_keras as keras

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite.quantization import graph, im2col_skip, splitting
from keras_rfdn.tflite.quantization.equalization import equalize
from keras_rfdn.tflite.quantization.folding import fold_residuals
from keras_rfdn.tflite.quantization.gptq import gptq
from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import Scheme
from keras_rfdn.tflite.quantization.simulator import Quantized
from keras_rfdn.tflite.quantization.tensor_statistics import calibrate, collect_statistics

# What `accurate` splits: the first block's fused features and the fusion of all blocks, whose rounding costs most.
ACCURATE_SPLITS = ("B1.c5", "c.0")


def quantize(model: keras.Model, images: Iterable[np.ndarray], *, accurate: bool = False) -> Quantized:
    """Quantize a network to int8.

    model: functional, float32 grey levels in and out, without Rescaling layers (folding.fold_value_range), of open
    height and width. images: uint8 RGB [h, w, 3], some dozen patches of images of the kind that the network will see.
    accurate: also split the channels of ACCURATE_SPLITS: less is lost, and the file takes about 1.14 times as long.
    Raises UserError for a layer without a rule, and for accurate where the network has none of those convolutions.
    """
    images = list(images)
    model, splits = _rewrite(model, accurate)
    scheme = Scheme.of(model)
    statistics = equalize(model, scheme, collect_statistics(model, scheme, images))
    if im2col_skip.CONCAT in scheme.leaders:
        im2col_skip.rescale_to_uint8_range(model, statistics)
    if splits:
        splitting.shift_copies(model, splits, calibrate(model, scheme, images))
    absmax = gptq(model, images)
    return Quantized(model, scheme, calibrate(model, scheme, images), absmax)


def lower(model: keras.Model, *, accurate: bool = False) -> keras.Model:
    """The lowered network that quantize makes of model, with the float network's weights."""
    return _rewrite(model, accurate)[0]


def _rewrite(model, accurate):
    """(lowered network, convolutions whose channels are split)."""
    model, splits = fold_residuals(model), ()
    if im2col_skip.has_long_skip(model):
        model = im2col_skip.im2col_skip(model)
    if accurate:
        names = [conv.name for conv in graph.convolutions(model) if conv.name in ACCURATE_SPLITS]
        if not names:
            raise UserError(
                f"accurate splits {' and '.join(ACCURATE_SPLITS)}, and this network has neither; leave it out"
            )
        leaky = splitting.followed_by_leaky_relu(model, names)
        splits = tuple(name for name in names if name not in leaky)
        model = splitting.leaky_relu_to_crelu(model, leaky)
        model = splitting.split_channels(model, splits)
    return lower_to_int8_ops(model), splits
