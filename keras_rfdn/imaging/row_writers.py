"""PNG, TIFF and PPM written band by band: 16 bits a channel, of which Pillow writes grey, and images above memory.

What is not pixels (chunks, tags) is what Pillow writes around a tiny image with the same options.
"""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

PNG_COLOURS = {"L": 0, "LA": 4, "RGB": 2, "RGBA": 6}
TIFF_OWN = {254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339}
STRIP = 2**20  # bytes of a TIFF strip before compression, about


def write_png(file: BinaryIO, bands: Iterable[np.ndarray], size, mode: str, options: dict) -> None:
    """PNG of bands, uint8 or uint16 [rows, w, c] from top to bottom. size: (width, height). options: Pillow's."""
    before, after = _png_chunks(mode, options)
    compressor, previous = zlib.compressobj(1), None
    file.write(b"\x89PNG\r\n\x1a\n")
    for band in bands:
        if previous is None:
            header = struct.pack(">IIBBBBB", *size, 8 * band.itemsize, PNG_COLOURS[mode], 0, 0, 0)
            for kind, content in [(b"IHDR", header), *before]:
                _write_chunk(file, kind, content)
            previous = np.zeros((1, band[0].nbytes), np.uint8)
        step = band.shape[2] * band.itemsize
        rows = np.ascontiguousarray(band.astype(band.dtype.newbyteorder(">"))).view(np.uint8).reshape(len(band), -1)
        for start in range(0, len(rows), 64):  # few rows at a time: filtering takes some ten times their memory
            part = rows[start : start + 64]
            if data := compressor.compress(_png_filtered(np.concatenate([previous, part]), step)):
                _write_chunk(file, b"IDAT", data)
            previous = part[-1:]
    for kind, content in [(b"IDAT", compressor.flush()), *after, (b"IEND", b"")]:
        _write_chunk(file, kind, content)


def _png_filtered(rows, step):
    """Bytes of rows [n + 1, bytes], the first of which is the one above, each filtered as makes it smallest."""
    row, up = rows[1:], rows[:-1]
    left, corner = (np.pad(r, [(0, 0), (step, 0)])[:, : r.shape[1]] for r in (row, up))
    a, b, c = (side.astype(np.int16) for side in (left, up, corner))
    pa, pb, pc = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
    filtered = np.stack([row, row - left, row - up, row - ((a + b) >> 1).astype(np.uint8), row - paeth])
    best = np.abs(filtered.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    chosen = filtered[best, np.arange(len(row))]
    return np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes()


def _png_chunks(mode, options):
    """(chunks before the pixels, chunks after them) that Pillow writes of options."""
    file = io.BytesIO()
    Image.new(mode, (1, 1)).save(file, "PNG", **options)
    data, at, sides, side = file.getvalue(), 8, ([], []), 0
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"IDAT":
            side = 1
        elif kind not in (b"IHDR", b"IEND"):
            sides[side].append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return sides


def _write_chunk(file, kind, content):
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))


def write_ppm(file: BinaryIO, bands: Iterable[np.ndarray], size, mode: str) -> None:
    """PPM or PGM of bands: uint8 or uint16 [rows, w, c] from top to bottom. mode: L or RGB."""
    for number, band in enumerate(bands):
        if number == 0:
            file.write(b"P%d\n%d %d\n%d\n" % (5 if mode == "L" else 6, *size, np.iinfo(band.dtype).max))
        file.write(band.astype(band.dtype.newbyteorder(">")).tobytes())


class TiffWriter:
    """TIFF of one or more pages, each of bands; deflate with horizontal differencing, without loss.

    file: opened for reading and writing. most_bytes: of all pages, uncompressed; above 4 GB it becomes a BigTIFF.
    """

    def __init__(self, file: BinaryIO, most_bytes: int):
        self._file = file
        self._header = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if most_bytes > 0.9 * 2**32 else b"II*\0\x08\0\0\0"
        self._big = len(self._header) == 16
        self._link = 8 if self._big else 4  # where the offset of the next page's tags is to be written
        file.write(self._header)

    def write(self, bands: Iterable[np.ndarray], size, mode: str, dtype, options: dict) -> None:
        """Adds a page. bands: of dtype, uint8 or uint16 [rows, w, c]. size: (width, height). options: Pillow's."""
        width, height = size
        channels = len(mode)
        rows = max(1, min(height, STRIP // (width * channels * np.dtype(dtype).itemsize)))
        strips = -(-height // rows)
        tags = self._tags(size, mode, dtype, rows, options)
        number = 16 if self._big else TiffImagePlugin.TiffTags.LONG
        for tag in (273, 279):
            tags[tag] = (0,) * strips
            tags.tagtype[tag] = number
        self._file.seek(0, io.SEEK_END)
        if self._file.tell() % 2:
            self._file.write(b"\0")
        start = self._file.tell()
        self._file.write(tags.tobytes(start))  # to be written again with the strips' places
        offsets, counts = [], []
        for strip in _strips(bands, rows):
            offsets.append(self._file.tell())
            compressed = zlib.compress(_differences(strip), 1)
            counts.append(len(compressed))
            self._file.write(compressed)
        # Pillow adds to the offsets where the tags end, as if the strips began there.
        tags[273] = tuple(offset - offsets[0] for offset in offsets)
        tags[279] = tuple(counts)
        self._file.seek(start)
        written = tags.tobytes(start)
        self._file.write(written)
        self._file.seek(self._link)
        self._file.write(struct.pack("<Q" if self._big else "<I", start))
        self._link = start + (8 + 20 * len(tags) if self._big else 2 + 12 * len(tags))
        self._file.seek(0, io.SEEK_END)

    def _tags(self, size, mode, dtype, rows, options):
        tiny = io.BytesIO()
        Image.new(mode, (1, 1)).save(tiny, "TIFF", **options)
        tags = TiffImagePlugin.ImageFileDirectory_v2(self._header)
        with Image.open(tiny) as image:
            for tag, value in image.tag_v2.items():
                if tag not in TIFF_OWN:
                    tags.tagtype[tag] = image.tag_v2.tagtype[tag]
                    tags[tag] = value
        channels = len(mode)
        tags[256], tags[257] = size
        tags[258] = (8 * np.dtype(dtype).itemsize,) * channels
        tags[259], tags[262], tags[277], tags[278], tags[284], tags[317] = (
            8,
            1 if channels < 3 else 2,
            channels,
            rows,
            1,
            2,
        )
        tags[339] = (1,) * channels
        if mode.endswith("A"):
            tags[338] = 2  # not premultiplied
        return tags


def _strips(bands, rows):
    """Bands of any height -> strips of rows rows each, but for the last."""
    waiting = None
    for band in bands:
        waiting = band if waiting is None else np.concatenate([waiting, band])
        while len(waiting) >= rows:
            yield waiting[:rows]
            waiting = waiting[rows:]
    if waiting is not None and len(waiting):
        yield waiting


def _differences(strip):
    """TIFF's predictor 2, little-endian bytes."""
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]
    return differences.astype(differences.dtype.newbyteorder("<")).tobytes()


def write_bmp(file: BinaryIO, image: Image.Image, dpi: tuple[float, float] | None = None) -> None:
    """BMP of mode RGBA with its alpha, by the header's version 4: Pillow's own files say nothing of their alpha."""
    width, height = image.size
    dots = [round(d / 0.0254) for d in dpi or (96, 96)]
    size = 4 * width * height
    file.write(struct.pack("<2sIHHI", b"BM", 122 + size, 0, 0, 122))
    file.write(struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, *dots, 0, 0))
    file.write(struct.pack("<IIII4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs"))  # sRGB
    for bottom in range(height, 0, -64):
        top = max(0, bottom - 64)
        file.write(image.crop((0, top, width, bottom)).tobytes("raw", "BGRA", 0, -1))
