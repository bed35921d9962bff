"""Upscalers: functions `upscale(lr) -> sr` on uint8 RGB images, made from Keras weights or .tflite files."""

import itertools

import numpy as np
import tensorflow as tf

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT, name_of
from keras_rfdn.upscaling.tiling import fitted, padded


def from_model(model):
    """Keras model -> upscale(lr): uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], of any h, w >= 1."""
    return to_pixels(float_from_model(model))


def to_pixels(upscale):
    """An upscaler whose result is float grey levels -> one that rounds and clips them to uint8."""
    return lambda lr: upscale(lr).round().clip(0, 255).astype(np.uint8)


def float_from_model(model):
    """As from_model, but the result is float32, neither rounded nor clipped: what a mean is made of."""
    # One trace for every size; the eager model would dispatch some hundred operations one by one.
    forward = tf.function(model, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])

    def upscale(lr):
        return forward(lr[None].astype(np.float32))[0].numpy()

    return padded(upscale, SMALLEST_INPUT, SMALLEST_INPUT)


def self_ensemble(upscale):
    """Mean of an upscaler's results on the eight flips and quarter turns of an image, turned back ("RFDN+" in papers).

    upscale may give float grey levels (float_from_model), which are then averaged before anything is rounded or
    clipped, or uint8, as an int8 TFLite file must: each of the eight then carries its own rounding. The mean is float.
    """

    def wrapped(lr):
        total = 0.0
        for turns, flip in itertools.product(range(4), (False, True)):
            view = np.rot90(lr, turns)
            sr = upscale(np.ascontiguousarray(view[:, ::-1] if flip else view))
            total = total + np.rot90(sr[:, ::-1] if flip else sr, -turns).astype(np.float64)
        return total / 8

    return wrapped


def open_upscaler(weights=None, *, variant=None, scale=None, ensemble=False):
    """(upscale, scale, what it is in words) from weights as --weights takes them (checkpoint.resolve).

    ensemble: whether to upscale by self_ensemble.
    Raises UserError when there is no such file, or it is not of the variant or scale asked for.
    """
    if weights is not None and str(weights).endswith(".tflite"):
        # Only here and in evaluate does this package look at the later one, so that its commands take either file.
        from keras_rfdn.upscaling import litert

        model = litert.Model(weights)
        if variant is not None or scale not in (None, model.scale):
            raise UserError(f"{weights} upscales x{model.scale} and tells no variant; leave --variant and --scale out")
        upscaler = fitted(model.upscale, model.smallest, model.largest)
        return to_pixels(self_ensemble(upscaler)) if ensemble else upscaler, model.scale, str(weights)
    path = checkpoint.resolve(weights, variant=variant, scale=scale)
    model, config = checkpoint.load(path)
    upscaler = float_from_model(model)
    upscaler = to_pixels(self_ensemble(upscaler) if ensemble else upscaler)
    return upscaler, config.scale, f"{name_of(config)} of {path}"
