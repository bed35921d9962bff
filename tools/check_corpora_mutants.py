"""Mutation fuzzing: small images of all formats, cut at every byte, and with bytes flipped, by a fixed seed."""

import glob
import io
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import UserError

SEED = 22
FLIPPED = 2000  # mutants with bytes flipped
ENDS = 2000  # bytes at each end of a large file
SIZE = 20, 18  # pixels of a seed; PSNR and SSIM are measured on 15 a side and more
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def seeds() -> dict[str, bytes]:
    """{file name: content} of small images: all formats that are written, and others that are read."""
    rgb, grey, alpha, palette = _images()
    about = {"exif": _exif(), "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "dead leaves")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    frames = {"save_all": True, "append_images": [rgb.rotate(180)]}
    deep = np.asarray(rgb).astype(np.uint16) * 257
    found = {
        "rgb.png": _saved(rgb, "PNG", exif=about["exif"], pnginfo=text, dpi=(300, 300)),
        "palette.png": _saved(palette, "PNG", transparency=3),
        "deep.png": _saved(Image.fromarray(deep[..., 0]), "PNG", icc_profile=b""),
        "animated.png": _saved(alpha, "PNG", save_all=True, append_images=[alpha.rotate(180)], duration=40),
        "rgb.jpg": _saved(rgb, "JPEG", quality=60, xmp=XMP, comment=b"dead leaves", **about),
        "cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG", quality=60),
        "progressive.jpg": _saved(grey, "JPEG", progressive=True, exif=about["exif"]),
        "two.mpo": _saved(rgb, "MPO", **frames),
        "alpha.webp": _saved(alpha, "WEBP", lossless=True, exif=about["exif"], xmp=XMP),
        "animated.webp": _saved(rgb, "WEBP", quality=50, **frames),
        "rgb.avif": _saved(rgb, "AVIF", quality=50, exif=about["exif"], xmp=XMP),
        "rgb.jp2": _saved(rgb, "JPEG2000", quality_mode="rates", quality_layers=[20]),
        "lzw.tif": _saved(rgb, "TIFF", compression="tiff_lzw", dpi=(72, 72)),
        "pages.tif": _saved(grey, "TIFF", compression="tiff_adobe_deflate", save_all=True, append_images=[grey]),
        "deep.tif": _tiff(deep, compression="zlib", predictor=True),
        "deep_alpha.tif": _tiff(deep[..., :2], photometric="minisblack", extrasamples=["unassalpha"]),
        "alpha.bmp": _saved(alpha, "BMP"),
        "animated.gif": _saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)], comment=b"leaves"),
        "packed.tga": _saved(alpha, "TGA", compression="tga_rle"),
        "deep.ppm": b"P6 20 18 65535\n" + deep.astype(">u2").tobytes(),
        "plain.pgm": b"P2\n# leaves\n4 4\n255\n" + b" ".join(b"%d" % value for value in range(16)),
        "rgb.pcx": _saved(rgb, "PCX"),
        "alpha.sgi": _saved(alpha, "SGI"),
        "dxt.dds": _saved(alpha, "DDS"),
        "alpha.qoi": _qoi(alpha),
        "two.ico": _saved(alpha, "ICO", sizes=[(16, 16), (20, 18)]),
        "rgb.icns": _icns(alpha),
        "layers.psd": _psd(rgb),
        "black.xbm": _saved(rgb.convert("1"), "XBM"),
    }
    return {name: content for name, content in found.items() if content}


def _images():
    rgb = Image.fromarray(sample.dead_leaves(max(SIZE), seed=SEED)).crop((0, 0, *SIZE))
    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.getchannel("G"))
    return rgb, rgb.convert("L"), alpha, rgb.quantize(16)


def _saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _exif():
    exif = Image.Exif()
    exif[274], exif[305], exif[282] = 6, "leaves", 300.0  # orientation, software, resolution
    exif.get_ifd(0x8769)[37500] = b"maker"
    return exif.tobytes()


def _tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"photometric": "rgb", **options})
    return file.getvalue()


def _qoi(image):
    """QOI of pixels that are all told in full."""
    pixels = b"".join(b"\xff" + bytes(pixel) for pixel in np.asarray(image).reshape(-1, 4))
    return b"qoif" + struct.pack(">IIBB", *image.size, 4, 0) + pixels + bytes(7) + b"\x01"


def _icns(image):
    png = _saved(image.resize((16, 16)), "PNG")
    return b"icns" + struct.pack(">I", 16 + len(png)) + b"icp4" + struct.pack(">I", 8 + len(png)) + png


def _psd(image):
    planes = b"".join(image.getchannel(channel).tobytes() for channel in "RGB")
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3)
    return header + struct.pack(">III", 0, 0, 0) + b"\0\0" + planes


def every(seeds: dict[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """(change, file, content) of mutants: every file cut at every byte, then FLIPPED with 1 to 4 bytes changed."""
    for name, content in seeds.items():
        for size in range(len(content)):
            yield f"cut{size}", name, content[:size]
    names = list(seeds)
    for number in range(FLIPPED):
        rng = np.random.default_rng((SEED, number))
        name = names[int(rng.integers(len(names)))]
        yield f"flip{number}", name, _flipped(seeds[name], rng)


def drawn(seeds: dict[str, bytes], count: int) -> Iterator[tuple[str, str, bytes]]:
    """So many mutants, half of them cut. In large files half of all places are in ENDS, where formats say the most.

    The same seeds give the same mutants, as every's do.
    """
    names = list(seeds)
    for number in range(count):
        rng = np.random.default_rng((SEED, number))
        name = names[int(rng.integers(len(names)))]
        if number % 2:
            yield f"flip{number}", name, _flipped(seeds[name], rng)
        else:
            size = _place(len(seeds[name]), rng)
            yield f"cut{size}", name, seeds[name][:size]


def _flipped(content, rng):
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        changed[_place(len(content), rng)] ^= int(rng.integers(1, 256))
    return bytes(changed)


def _place(size, rng):
    if size > 4 * ENDS and rng.integers(2):
        return int(rng.integers(-ENDS, ENDS)) % size
    return int(rng.integers(size))


def write(folder: pathlib.Path, count: int | None = None) -> list[pathlib.Path]:
    """Write small images and their mutants into a folder, every one or so many drawn, and return their paths.

    A cut that is drawn twice is one file.
    """
    found = seeds()
    mutants = drawn(found, count) if count else every(found)
    named = {**found, **{f"{change}_{name}": content for change, name, content in mutants}}
    for name, content in named.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in named]


def write_of(sources: list[pathlib.Path], folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Write so many mutants of files, each in a folder of its own with what else has its stem, and return their paths.

    Raises UserError where all files are empty.
    """
    found = {str(path): content for path in sources if (content := path.read_bytes())}
    if not found:
        raise UserError("there is no file to make mutants of; name a folder of images or weights")
    paths = []
    for number, (change, name, content) in enumerate(drawn(found, count)):
        source = pathlib.Path(name)
        paths.append(folder / f"{number}_{change}" / source.name)
        paths[-1].parent.mkdir()
        for other in source.parent.glob(f"{glob.escape(source.stem)}.*"):
            if other != source:
                (paths[-1].parent / other.name).symlink_to(other.resolve())
        paths[-1].write_bytes(content)
    return paths
