"""YUV to RGB and back: video colours by the matrix and range that the video names, which swscale takes for BT.601."""

import dataclasses

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

# Tags of ITU-T H.273 as FFmpeg has them (AVColorSpace) -> the number that PyAV's reformat takes for them.
BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
MATRICES = {BT709: 1, 4: 4, 5: 5, SMPTE170M: 5, 7: 7, 9: 9}
HD_HEIGHT, HD_WIDTH = 577, 1280  # from here on players take BT.709 for a video that names no matrix
FLAGS = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


@dataclasses.dataclass(frozen=True)
class Colours:
    """Colour conversion of a video's frames.

    matrix, primaries, transfer: tags of H.273; the matrix is never unspecified, for players would guess another one of
    the larger video. full: YUV of 0..255 and not 16..235. deep: more than 8 bits, which are passed through RGB of 16.
    """

    matrix: int
    primaries: int
    transfer: int
    full: bool
    deep: bool

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Colours":
        """Of a frame's tags, and where it has none as players take it: by its size, limited range."""
        if _is_rgb(frame):
            matrix, full = BT709, False
        else:
            is_hd = frame.height >= HD_HEIGHT or frame.width >= HD_WIDTH
            guess = BT709 if is_hd else SMPTE170M
            matrix = frame.colorspace if frame.colorspace not in (0, UNSPECIFIED) else guess
            full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        deep = max(component.bits for component in frame.format.components) > 8
        return cls(matrix, frame.color_primaries, frame.color_trc, full, deep)

    def to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """Frame -> RGB [h, w, 3], uint8 or, where deep, uint16 of 0..65535."""
        if not _is_rgb(frame):
            frame.colorspace = self._conversion()
            frame.color_range = self._range()
        name = "rgb48le" if self.deep else "rgb24"
        rgb = VideoReformatter().reformat(
            frame, format=name, dst_color_range=ColorRange.JPEG, interpolation=FLAGS, threads=1
        )
        return rgb.to_ndarray()

    def from_rgb(self, sr: np.ndarray, frame: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
        """RGB of to_rgb's type, enlarged -> frame of pix_fmt. What frame holds besides pixels goes along (captions).

        A frame without colour stays so, whatever tint sr has.
        """
        height, width, _ = sr.shape
        name = "rgb48le" if self.deep else "rgb24"
        is_grey, interlaced = _is_grey(frame), frame.interlaced_frame
        if interlaced:  # swscale would take the chroma of each field apart, but there are no fields in sr
            rgb = av.VideoFrame.from_ndarray(sr, name)
        else:
            rgb = frame.reformat(width, height, name, interpolation=Interpolation.POINT, threads=1)
            plane = np.frombuffer(rgb.planes[0], sr.dtype).reshape(height, -1)
            plane[:, : 3 * width] = sr.reshape(height, -1)
        rgb.color_range = ColorRange.JPEG
        result = rgb.reformat(
            format=pix_fmt, dst_colorspace=MATRICES[self._conversion()], src_color_range=ColorRange.JPEG,
            dst_color_range=self._range(), interpolation=FLAGS, threads=1,
        )  # fmt: skip
        if interlaced:
            samples = result.planes
            result = frame.reformat(width, height, pix_fmt, interpolation=Interpolation.POINT, threads=1)
            for plane, new in zip(result.planes, samples, strict=True):
                plane.update(new)
            result.color_range = self._range()
        if is_grey:
            for plane in result.planes[1:]:
                _samples(plane, result.format)[:] = _neutral(result.format)
        result.colorspace, result.pict_type = self.matrix, 0  # the encoder chooses which frames are key frames
        return result

    def _conversion(self):
        """Matrix to convert by. What swscale has not goes to and fro by BT.709: wrong in between, right in the end."""
        return self.matrix if self.matrix in MATRICES else BT709

    def _range(self):
        return ColorRange.JPEG if self.full else ColorRange.MPEG


def _is_rgb(frame):
    return frame.format.is_rgb or frame.format.name == "pal8"


def _is_grey(frame):
    """Whether a frame has no colour: no planes for it, or nothing in them."""
    if frame.format.name.startswith("gray"):
        return True
    if _is_rgb(frame) or len(frame.planes) < 3:
        return False
    return all((_samples(plane, frame.format) == _neutral(frame.format)).all() for plane in frame.planes[1:3])


def _samples(plane, format):
    """Samples of a plane, uint8 or uint16 [h, w], as a view."""
    dtype = np.uint16 if format.components[0].bits > 8 else np.uint8
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]


def _neutral(format):
    return 1 << (format.components[0].bits - 1)
