"""Channels of an image around the network, which knows 8-bit RGB alone: grey, 16 bits and alpha go round it.

16 bits: bicubic interpolation of all 16 bits, plus the detail that the network finds in the eight most significant
ones: what its result differs by from bicubic interpolation of the same eight. Detail below a grey level or so is
damped, for it answers the steps of rounding, which would band a clear sky. Alpha: bicubic interpolation (Keys,
a = -0.5, as MATLAB's). Under fully transparent pixels the file's own colours are repeated; the network gets those of
visible neighbours there, so that nothing bleeds into edges. Grey: the mean of the network's three channels.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageChops

from keras_rfdn.data.images import image_modes
from keras_rfdn.imaging import transparency

ROUNDING_LEVELS = 0.7  # 8-bit grey levels of detail that are halved; more costs photographs 0.001 dB


@dataclasses.dataclass(frozen=True)
class Pixels:
    """An image taken apart.

    mode: L, LA, RGB or RGBA. colour: uint8 [h, w, 3], what the network gets. neutral: whether R = G = B everywhere.
    eight, sixteen: per channel, for 16 bits, colour and the image itself as float images (mode F) of 0 to 65535; () for
    8 bits. alpha: mode L, or F with 0 to 65535, or None. hidden: the file's own colours, uint8 or uint16 [h, w, c],
    where some are fully transparent, or None.
    """

    mode: str
    colour: np.ndarray
    neutral: bool
    eight: tuple[Image.Image, ...] = ()
    sixteen: tuple[Image.Image, ...] = ()
    alpha: Image.Image | None = None
    hidden: np.ndarray | None = None

    @property
    def deep(self) -> bool:
        """Whether there are 16 bits a channel."""
        return bool(self.sixteen)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.colour.shape[1], self.colour.shape[0]

    @property
    def opaque(self) -> bool:
        """Whether nothing shows through."""
        return self.alpha is None or self.alpha.getextrema()[0] >= (65535 if self.deep else 255)

    @property
    def translucent(self) -> bool:
        """Whether pixels show through partly."""
        return self.alpha is not None and sum(self.alpha.histogram()[1:255]) > 0  # 256 bins of mode F too


def of_image(image: Image.Image) -> Pixels:
    """Pillow image of any mode of 8 bits -> Pixels."""
    image = image_modes.to_8_bits(image)
    alpha = image.getchannel("A") if image.mode.endswith("A") else None
    colour = image if alpha is None else transparency.fill(image)
    neutral = colour.mode == "L" or _is_neutral(colour)
    array = np.asarray(colour)
    if array.ndim == 2:
        array = np.broadcast_to(array[..., None], (*array.shape, 3))
    hidden = None if alpha is None or alpha.getextrema()[0] else np.asarray(image)[..., :-1]
    return Pixels(image.mode, array, neutral, alpha=alpha, hidden=hidden)


def of_deep(pixels: np.ndarray) -> Pixels:
    """uint16 [h, w, c] -> Pixels. c: grey, grey and alpha, RGB, RGBA."""
    mode = ("L", "LA", "RGB", "RGBA")[pixels.shape[2] - 1]
    count = len(mode.removesuffix("A"))
    levels = pixels[..., :count].astype(np.float32)
    high = ((pixels[..., :count].astype(np.uint32) + 128) // 257).astype(np.uint8)
    alpha = hidden = None
    if mode.endswith("A"):
        alpha = Image.fromarray(pixels[..., -1].astype(np.float32))
        visible = pixels[..., -1:] > 0
        if not visible.all():
            image = Image.fromarray(np.concatenate([high, visible * np.uint8(255)], axis=2))
            high = np.asarray(transparency.fill(image)).reshape(high.shape)
            hidden = pixels[..., :count]
            levels = np.where(visible, levels, high * np.float32(257))
    neutral = count == 1 or bool((high[..., :1] == high[..., 1:]).all() and (levels[..., :1] == levels[..., 1:]).all())
    colour = np.broadcast_to(high, (*high.shape[:2], 3)) if count == 1 else high
    eight = _planes(high[..., :1] if neutral else high)
    return Pixels(mode, colour, neutral, eight, _planes(levels[..., :1] if neutral else levels), alpha, hidden)


def _planes(levels):
    """Channels of uint8, or of floats of 16 bits -> Pillow images of mode F."""
    if levels.dtype == np.uint8:
        levels = levels * np.float32(257)
    return tuple(Image.fromarray(np.ascontiguousarray(levels[..., c])) for c in range(levels.shape[2]))


def _is_neutral(image):
    red, green, blue = image.split()
    return not ImageChops.difference(red, green).getbbox() and not ImageChops.difference(green, blue).getbbox()


def enlarge(pixels: Pixels, upscale, scale: int, mode: str, dtype) -> Iterator[tuple[int, int, np.ndarray]]:
    """Parts of the result: (top, left, array [h, w, c]) each, in its pixels, rows first, c channels of mode.

    upscale: uint8 RGB [h, w, 3] -> uint8 RGB [h * scale, w * scale, 3]. Where it has a method parts(lr), as Upscaler
    has, the parts are that one's tiles, and the memory for them is bounded; otherwise there is one part.
    mode: L, LA, RGB, RGBA, of which L and LA need neutral pixels; without A the result is laid on white. dtype: uint8
    or uint16.
    """
    for top, left, sr in _enlarged_colour(upscale, pixels.colour):
        height, width = sr.shape[:2]
        box = left / scale, top / scale, (left + width) / scale, (top + height) / scale
        colour, alpha = _colour(pixels, sr, box, dtype), None
        if pixels.alpha is not None:
            alpha = _enlarged_band(pixels.alpha, box, (width, height))
            if not mode.endswith("A"):
                colour = _on_white(colour, alpha, 65535 if pixels.deep else 255)
        count = len(mode.removesuffix("A"))
        colour = colour if count == colour.shape[2] else np.broadcast_to(colour, (height, width, count))
        if not mode.endswith("A"):
            yield top, left, colour
        else:
            top_level = np.iinfo(dtype).max
            alpha = np.full((height, width), top_level, dtype) if alpha is None else _fit(alpha, pixels.deep, dtype)
            if pixels.hidden is not None:
                own = pixels.hidden[top // scale : (top + height) // scale, left // scale : (left + width) // scale]
                own = _of_depth(own.repeat(scale, axis=0).repeat(scale, axis=1), dtype)
                colour = np.where(alpha[..., None] == 0, own, colour)
            yield top, left, np.concatenate([colour, alpha[..., None]], axis=2)


def _enlarged_colour(upscale, lr):
    if parts := getattr(upscale, "parts", None):
        return parts(lr)
    return [(0, 0, upscale(np.ascontiguousarray(lr)))]


def _colour(pixels, sr, box, dtype):
    """[h, w, 1] for neutral pixels, else [h, w, 3], of dtype."""
    if pixels.neutral:
        sr = sr.astype(np.uint16).sum(axis=2, keepdims=True)
        if not pixels.deep and dtype == np.uint8:
            return ((2 * sr + 3) // 6).astype(np.uint8)
        sr = sr.astype(np.float32) / 3
    elif not pixels.deep and dtype == np.uint8:
        return sr
    levels = sr.astype(np.float32) * 257
    if pixels.deep:
        half = (ROUNDING_LEVELS * 257) ** 2
        for c, (eight, sixteen) in enumerate(zip(pixels.eight, pixels.sixteen, strict=True)):
            detail = levels[..., c] - _enlarged_band(eight, box, sr.shape[1::-1])
            power = detail * detail
            levels[..., c] = _enlarged_band(sixteen, box, sr.shape[1::-1]) + detail * (power / (power + half))
    return _fit(levels, True, dtype)


def _fit(levels, deep, dtype):
    """Levels of 8 or 16 bits, rounded to dtype."""
    if not deep:
        return levels if dtype == np.uint8 else levels.astype(np.uint16) * np.uint16(257)
    levels = levels if dtype == np.uint16 else levels / 257
    return np.rint(levels).clip(0, np.iinfo(dtype).max).astype(dtype)


def _of_depth(levels, dtype):
    """Whole levels of 8 or 16 bits as those of dtype."""
    if levels.dtype == dtype:
        return levels
    return ((levels + np.uint32(128)) // 257).astype(np.uint8) if dtype == np.uint8 else levels * np.uint16(257)


def _enlarged_band(band, box, size):
    """A box of a Pillow image of one channel, enlarged by bicubic as in the enlarged whole: its surroundings count."""
    return np.asarray(band.resize(size, Image.Resampling.BICUBIC, box=box))


def _on_white(colour, alpha, opaque):
    white = np.iinfo(colour.dtype).max
    weight = (alpha.astype(np.float32) / opaque).clip(0, 1)[..., None]
    return np.rint(white + (colour - np.float32(white)) * weight).astype(colour.dtype)


def to_image(pixels: Pixels, upscale, scale: int, mode: str) -> Image.Image:
    """Pillow image of 8 bits, filled part by part."""
    result = Image.new(mode, (pixels.size[0] * scale, pixels.size[1] * scale))
    for top, left, part in enlarge(pixels, upscale, scale, mode, np.uint8):
        part = np.ascontiguousarray(part[..., 0] if part.shape[2] == 1 else part)
        result.paste(Image.fromarray(part), (left, top))
    return result


def to_bands(pixels: Pixels, upscale, scale: int, mode: str, dtype) -> Iterator[np.ndarray]:
    """Bands of whole rows from top to bottom: [rows, w, c] of dtype."""
    width = pixels.size[0] * scale
    band = None
    for _, left, part in enlarge(pixels, upscale, scale, mode, dtype):
        if left == 0:
            band = np.empty((part.shape[0], width, part.shape[2]), dtype)
        band[:, left : left + part.shape[1]] = part
        if left + part.shape[1] == width:
            yield band
