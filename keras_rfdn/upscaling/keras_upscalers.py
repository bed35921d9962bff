"""Upscalers: functions `upscale(lr) -> sr` on uint8 RGB images, made from Keras weights or .tflite files."""

import itertools

import numpy as np
import tensorflow as tf

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT, name_of
from keras_rfdn.upscaling.resizable import ResizableModel
from keras_rfdn.upscaling.tiling import padded


def from_model(model):
    """Keras model -> upscale(lr): uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], of any h, w >= 1."""
    return to_pixels(float_from_model(model))


def to_pixels(upscale):
    """Upscaler to float grey levels -> upscaler to uint8, which rounds and clips them."""
    return lambda lr: upscale(lr).round().clip(0, 255).astype(np.uint8)


def float_from_model(model):
    """Keras model -> upscale(lr) as from_model's, but to float32 grey levels, neither rounded nor clipped."""
    # One trace for every size; the eager model would dispatch some hundred operations one by one.
    forward = tf.function(model, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])

    def upscale(lr):
        return forward(lr[None].astype(np.float32))[0].numpy()

    return padded(upscale, SMALLEST_INPUT, SMALLEST_INPUT)


def self_ensemble(upscale):
    """Self-ensemble ("RFDN+" in papers): upscaler -> upscaler to float grey levels, the mean over eight results.

    They are those of the eight flips and quarter turns of an image, turned back. upscale may give float grey levels
    (float_from_model), which are averaged before anything is rounded or clipped, or uint8, as an int8 TFLite file does:
    each of the eight results then carries its own rounding.
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
    """Opens an upscaler -> (upscale, scale, what it is in words).

    weights: a .tflite, or what checkpoint.resolve takes. ensemble: whether to upscale by self_ensemble.
    Raises UserError when there is no such file, or it is not of the variant or scale asked for.
    """
    if weights is not None and str(weights).endswith(".tflite"):
        model = ResizableModel(weights)
        if variant is not None or scale not in (None, model.scale):
            raise UserError(f"{weights} upscales x{model.scale} and tells no variant; leave variant and scale out")
        return to_pixels(self_ensemble(model)) if ensemble else model, model.scale, str(weights)
    path = checkpoint.resolve(weights, variant=variant, scale=scale)
    model, config = checkpoint.load(path)
    upscale = float_from_model(model)
    upscale = to_pixels(self_ensemble(upscale) if ensemble else upscale)
    return upscale, config.scale, f"{name_of(config)} of {path}"
