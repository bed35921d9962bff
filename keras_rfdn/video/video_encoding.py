"""Video encoding: H.264 or VP9 by the target's suffix, with the source's chroma, bits, pixel shape and colour tags."""

import dataclasses
import fractions
import os
import struct

import av
import numpy as np

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.video.video_colours import MATRICES, Colours

# {encoder: its options}; the first that PyAV has is taken. The quality is one that is not told from the frames by eye.
H264 = {
    "libx264": {"crf": "17", "preset": "fast", "rc-lookahead": "20"},
    "libx265": {"crf": "18", "preset": "fast", "x265-params": "log-level=none"},
}
VP9 = {"libvpx-vp9": {"crf": "22", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}}
LARGEST = 16384  # pixels a side that these encoders take
COMMON = 4096 * 2304  # pixels of H.264 level 5.2, the largest that most devices play


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How upscaled frames are encoded. notes: what the result loses by it, in words for the log."""

    codec: str
    options: dict
    width: int
    height: int
    pix_fmt: str
    rate: fractions.Fraction  # frames a second, about; times are the frames' own
    time_base: fractions.Fraction
    aspect: fractions.Fraction | None  # of a pixel
    colours: Colours
    captions: bool  # whether closed captions of frames are passed on
    notes: tuple[str, ...]


def choose(suffix: str, stream: av.VideoStream, frame: av.VideoFrame, scale: int) -> Encoding:
    """Encoding of a video into a file of suffix; frame: the stream's first. Raises UserError where there is none."""
    codecs = VP9 if suffix == ".webm" else H264
    codec = next((name for name in codecs if name in av.codecs_available and _formats(name)), None)
    if codec is None:
        raise UserError(f"this PyAV encodes no {suffix}: {' and '.join(codecs)} are missing; pip install its own wheel")
    width, height = frame.width * scale, frame.height * scale
    if max(width, height) > LARGEST:
        raise UserError(f"the result would have {width}x{height} pixels, and {codec} takes {LARGEST} a side at most")
    notes = []
    if codec in H264 and width * height > COMMON:
        notes.append(f"{width}x{height} is larger than the H.264 that most devices play (4096x2304)")
    colours = Colours.of(frame)
    if colours.matrix not in MATRICES:
        notes.append(f"colours of matrix {colours.matrix} (ITU-T H.273) are upscaled as if they were BT.709")
    pix_fmt, bits = _pix_fmt(frame.format, colours.deep, _formats(codec))
    source_bits = max(component.bits for component in frame.format.components)
    if bits < source_bits:
        notes.append(f"{source_bits} bits a channel become {bits}")
    if any(component.is_alpha for component in frame.format.components) or stream.metadata.get("alpha_mode") == "1":
        notes.append("transparency is dropped")
    if "420" in pix_fmt and codec in H264 and (width % 2 or height % 2):
        notes.append(f"{width}x{height} gets its last row or column twice, as H.264 of 4:2:0 has even sizes")
        width, height = width + width % 2, height + height % 2
    if suffix in (".mkv", ".webm") and (stream.time_base * 1000).denominator != 1:
        notes.append(f"times are rounded to milliseconds, in which {suffix} counts")
    options = dict(codecs[codec])
    light = _light(frame)
    if light and codec == "libx264":
        options["x264-params"] = light
    elif light:
        notes.append("light levels of the display that it was made on (HDR metadata) are dropped")
    rate = stream.average_rate or stream.guessed_rate or 25
    aspect = stream.sample_aspect_ratio or None
    if suffix == ".webm" and aspect not in (None, 1):
        notes.append(f"pixels of {aspect.numerator}:{aspect.denominator} become square: PyAV writes no others to .webm")
    rate = min(max(rate, 1), 240)
    return Encoding(
        codec, options, width, height, pix_fmt, rate, stream.time_base, aspect, colours, codec in H264, tuple(notes)
    )  # fmt: skip


def _light(frame):
    """x264's parameters of a frame's HDR metadata: the display that it was made on (ST 2086), light levels."""
    told = []
    if data := frame.side_data.get("MASTERING_DISPLAY_METADATA"):
        # Pairs of numerator and denominator: x and y of red, green, blue and white, darkest and brightest.
        *numbers, has_primaries, has_luminance = struct.unpack_from("22i", bytes(data))
        values = [n / d if d else 0 for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        points = zip(values[:8:2], values[1:8:2], strict=True)
        red, green, blue, white = (f"({round(x * 50000)},{round(y * 50000)})" for x, y in points)
        if has_primaries and has_luminance:
            dark, bright = (round(value * 10000) for value in values[8:])
            told.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({bright},{dark})")
    if data := frame.side_data.get("CONTENT_LIGHT_LEVEL"):
        told.append("cll={},{}".format(*struct.unpack_from("2I", bytes(data))))
    return ":".join(told)


def _formats(codec):
    return [format.name for format in av.codec.Codec(codec, "w").video_formats or []]


def _pix_fmt(source, deep, formats):
    """(pixel format, its bits) of a codec's formats, with the chroma and bits that are nearest to a source's."""
    columns, rows = source.chroma_width(16), source.chroma_height(16)
    if source.name.startswith(("gray", "ya")) or rows < 8 or (columns, rows) == (8, 8):
        chroma = "420"
    else:
        chroma = "444" if columns == 16 else "422"
    for name, bits in ((f"yuv{chroma}p10le", 10), (f"yuv{chroma}p", 8), ("yuv420p10le", 10), ("yuv420p", 8)):
        if name in formats and (deep or bits == 8):
            return name, bits
    raise AssertionError(formats)


class PartEncoder:
    """Encoder of one part, a file of video alone whose times begin at 0; to be closed. PyAV's errors pass through.

    frames: how many were given to it. written: how many are in the file; the same once it is closed, unless it was
    interrupted in between.
    """

    def __init__(self, path: str | os.PathLike, encoding: Encoding):
        self.frames, self.written = 0, 0
        self._encoding, self._first = encoding, None
        self._file = av.open(os.path.abspath(path), "w", format="mp4")
        stream = self._file.add_stream(encoding.codec, rate=encoding.rate, options=dict(encoding.options))
        stream.width, stream.height, stream.pix_fmt = encoding.width, encoding.height, encoding.pix_fmt
        context, colours = stream.codec_context, encoding.colours
        context.time_base = encoding.time_base
        context.colorspace, context.color_primaries = colours.matrix, colours.primaries
        context.color_trc, context.color_range = colours.transfer, 2 if colours.full else 1
        if encoding.aspect:
            context.sample_aspect_ratio = encoding.aspect
        self._stream = stream

    def encode(self, frame: av.VideoFrame, time: int, sr: np.ndarray) -> None:
        """frame: of the source, in whose place sr comes at its time."""
        extra = self._encoding.height - sr.shape[0], self._encoding.width - sr.shape[1]
        if any(extra):
            sr = np.pad(sr, ((0, extra[0]), (0, extra[1]), (0, 0)), "edge")
        picture = self._encoding.colours.from_rgb(sr, frame, self._encoding.pix_fmt)
        self._first = time if self._first is None else self._first
        picture.pts, picture.time_base = time - self._first, self._encoding.time_base
        self.frames += 1
        self._write(picture)

    def close(self) -> None:
        self._write(None)
        self._file.close()

    def _write(self, picture):
        for packet in self._stream.encode(picture):
            self._file.mux(packet)
            self.written += 1
