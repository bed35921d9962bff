"""Upscaler: a network, opened once, that enlarges images of any size. Only Keras weights need TensorFlow."""

import functools
import importlib.util
import os
import threading
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from PIL import Image

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.imaging import image_upscaling
from keras_rfdn.upscaling import tiling
from keras_rfdn.upscaling.resizable import ResizableModel

ImageOrArray = TypeVar("ImageOrArray", np.ndarray, Image.Image)


def upscale_image(image: ImageOrArray, *, scale: int = pretrained.SCALE) -> ImageOrArray:
    """Super-resolution of an image by the pretrained E-RFDN of a scale (2, 3 or 4), which is opened once.

    image, result and errors: as for Upscaler's call.
    """
    return _pretrained(scale)(image)


@functools.cache
def _pretrained(scale):
    return Upscaler(scale=scale)


class Upscaler:
    """Super-resolution of images by one network.

        up = Upscaler("rfdn-mobile-x2", threads=4)
        sr = up(lr)

    weights: name of pretrained weights ("e-rfdn-x4", "rfdn-mobile-x2", ...: keras_rfdn/weights), of which the int8 file
    is taken; a .tflite file; or a weight file or workdir of keras_rfdn.train or a released .pth, which need TensorFlow.
    By default E-RFDN's. scale: 2, 3 or 4, which the weights must have; by default theirs, and without weights 4.
    threads: of the processor, for .tflite files; None for all.
    float: the float32 weights in place of the int8 file, for names of pretrained weights; they need TensorFlow.

    scale: output pixels per input pixel along a side. name: path of what was opened.
    Large images are upscaled in tiles, so that memory is bounded. Threads that share an upscaler take turns.

    Raises UserError when there are no such weights, or they are not of the scale; and where TensorFlow is needed and
    not installed.
    """

    def __init__(
        self, weights: str | os.PathLike | None = None, *, scale: int | None = None, threads: int | None = None,
        float: bool = False,
    ):  # fmt: skip
        if weights is None or str(weights) in pretrained.names():
            name = str(weights or f"{pretrained.VARIANT}-x{scale or pretrained.SCALE}")
            weights = pretrained.named(name) if float else pretrained.int8(name)
        elif float:
            raise UserError(f"float is for the names of pretrained weights ({', '.join(pretrained.names())})")
        if str(weights).endswith(".tflite"):
            model = ResizableModel(weights, threads=threads)
            self._network, self._tile_for, self.scale = model.upscale, model.tile_for, model.scale
        elif threads is not None:
            raise UserError(f"threads are for .tflite files; {weights} is run by TensorFlow, which takes them all")
        else:
            self._network, self.scale = _of_keras(weights)
            self._tile_for = tiling.free_size
        self._lock = threading.Lock()
        self.name = os.fspath(weights)
        if scale not in (None, self.scale):
            raise UserError(f"{self.name} upscales x{self.scale}, not x{scale}; name other weights or leave scale out")

    def __call__(self, image: ImageOrArray) -> ImageOrArray:
        """Array uint8 RGB [h, w, 3] -> the same, [h * scale, w * scale, 3]; or Pillow image -> Pillow image.

        Raises UserError for an array of another shape or type.
        """
        if isinstance(image, Image.Image):
            return image_upscaling.upscale_image(image, self, self.scale)
        if getattr(image, "dtype", None) != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
            raise UserError(f"an image is a uint8 RGB array [h, w, 3] or a Pillow image, got {got}")
        return tiling.tiled(self._upscale, self.scale, self._tile(image))(image)

    def _tile(self, lr):
        with self._lock:
            return self._tile_for(*lr.shape[:2])

    def _upscale(self, lr):
        with self._lock:  # an interpreter holds one image
            return self._network(lr)

    def parts(self, lr: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Parts of the result, tile by tile, for images whose result is large: as tiling.parts gives them."""
        return tiling.parts(self._upscale, lr, self.scale, self._tile(lr))


def _of_keras(weights):
    """(upscale, scale) of weights that TensorFlow runs."""
    if importlib.util.find_spec("tf_keras") is None:
        raise UserError(
            f'{weights} needs TensorFlow (pip install "keras-rfdn[train]"); .tflite files and the names '
            f"{', '.join(pretrained.names())} do without"
        )
    from keras_rfdn.checkpoints import checkpoint  # TensorFlow
    from keras_rfdn.upscaling import keras_upscalers

    model, config = checkpoint.load(weights)
    return keras_upscalers.from_model(model), config.scale
