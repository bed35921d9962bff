"""TFLite models for images of any size: a file of fixed size is reshaped in memory to the tiles that an image needs."""

import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.upscaling import reshaping, tiling
from keras_rfdn.upscaling.litert import Model, read_bytes


class ResizableModel:
    """TFLite model, opened, for images of any size: it is called with uint8 RGB [h, w, 3], as an upscaler is.

    path, threads, xnnpack and errors: as for litert.Model. scale, name: the model's.
    """

    def __init__(self, path, *, threads=None, xnnpack=True):
        self._content, self._options = read_bytes(path), {"threads": threads, "xnnpack": xnnpack}
        self._model = Model(path, **self._options)
        self._own_tile = self._model.tile
        self._is_fixed = False  # whether it can't be reshaped
        self.scale, self.name = self._model.scale, self._model.name

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        """uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], of any h, w >= 1; large images in tiles."""
        return tiling.tiled(self.upscale, self.scale, self.tile_for(*lr.shape[:2]))(lr)

    def tile_for(self, height: int, width: int) -> tuple[int, int]:
        """Size of the tiles for an image: the best (tiling.free_size), or the file's own if it can't be reshaped."""
        if not self._is_fixed:
            size = tiling.free_size(height, width)
            try:
                self._resize(size)
                return size
            except UserError:
                self._is_fixed = True
                self._model = Model(self._content, **self._options)
        return self._own_tile

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        """uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3], of a size that tile_for gave."""
        self._resize(lr.shape[:2])
        return self._model.upscale(lr)

    def _resize(self, size):
        # LiteRT itself resizes an open model.
        if self._own_tile is not None and (self._model is None or size != self._model.tile):
            self._model = None  # its memory goes before that of the next is taken
            self._model = Model(reshaping.reshape(self._content, *size), **self._options)
