"""Measurements behind docs/upscaling.md, with shipped weights on Kodak24; -s shows the numbers."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.images import bicubic
from keras_rfdn.imaging import pixels, transparency
from keras_rfdn.upscaling.keras_upscalers import float_from_model
from keras_rfdn.upscaling.upscaler import Upscaler

pytestmark = pytest.mark.slow

MEMORY = """
import pathlib, re, sys
from keras_rfdn.imaging.image_upscaling import upscale_file
class Repeat:
    def parts(self, lr):
        for y in range(0, lr.shape[0], 256):
            for x in range(0, lr.shape[1], 320):
                yield 4 * y, 4 * x, lr[y : y + 256, x : x + 320].repeat(4, 0).repeat(4, 1)
upscale_file(sys.argv[1], sys.argv[2], Repeat(), 4)
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])  # kilobytes
"""


@pytest.fixture(scope="module")
def kodak(shared):
    return sorted((shared / "data/valid/Kodak24").rglob("*.png"))


def psnr(a, b, peak=255):
    return 10 * np.log10(peak**2 / np.mean((a.astype(float) - b) ** 2))


def shrunk(image, scale):
    """Float image [h, w, 3] by Pillow's bicubic."""
    size = image.shape[1] // scale, image.shape[0] // scale
    channels = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(3)]
    return np.dstack([np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels])


@pytest.mark.parametrize("name", ["rfdn-mobile-x2", "rfdn-mobile-x4", "e-rfdn-x4"])
def test_mean_of_the_channels_is_the_nearest_grey(kodak, name):
    upscale, found = Upscaler(name), {"mean": [], "luma": [], "tint": []}
    for path in kodak[::3]:
        hr = bicubic.modcrop(np.asarray(Image.open(path).convert("L"))[..., None], upscale.scale)
        sr = upscale(np.repeat(bicubic.downscale(hr, upscale.scale), 3, axis=2))
        found["mean"].append(psnr(np.rint(sr.mean(axis=2)), hr[..., 0]))
        found["luma"].append(psnr(np.rint(sr @ np.array([0.299, 0.587, 0.114])), hr[..., 0]))
        found["tint"].append(np.ptp(sr.astype(int), axis=2).max())
    found = {key: np.mean(values) for key, values in found.items()}
    print(f"\n{name}: dB by mean {found['mean']:.3f}, luma {found['luma']:.3f}; tint {found['tint']:.1f} levels")
    assert found["mean"] > found["luma"] - 0.002
    assert found["tint"] > 2


@pytest.mark.parametrize("name", ["rfdn-mobile-x2", "e-rfdn-x2"])
def test_16_bits_by_the_int8_network(kodak, name):
    upscale = Upscaler(name)
    network = float_from_model(checkpoint.load(pretrained.named(name))[0])
    y, x = np.mgrid[:256, :384].astype(np.float32)
    sky = np.dstack([100 + y / 40 + x / 90, 130 + y / 35, 180 + 10 * np.sin(x / 150) * np.cos(y / 200)])
    for words, images in (("photographs", kodak[::4]), ("clear sky", [sky])):
        found = {"16 bits": [], "8 bits alone": [], "float network": []}
        for image in images:
            if not isinstance(image, np.ndarray):  # means of 2x2 pixels of 8 bits, which have more
                image = np.asarray(Image.open(image)).astype(np.float32)
                h, w = (side // 4 * 4 for side in image.shape[:2])
                image = image[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3))
            hr = np.rint(image * 257)
            apart = pixels.of_deep(np.rint(shrunk(hr, 2)).clip(0, 65535).astype(np.uint16))
            sr = np.concatenate(list(pixels.to_bands(apart, upscale, 2, "RGB", np.uint16)))
            found["16 bits"].append(psnr(sr, hr, 65535))
            found["8 bits alone"].append(psnr(upscale(apart.colour) * 257.0, hr, 65535))
            levels = np.dstack([np.asarray(channel) for channel in apart.sixteen])
            found["float network"].append(psnr(network(levels / 257) * 257, hr, 65535))
        found = {key: np.mean(values) for key, values in found.items()}
        print(f"\n{name}, {words}: dB", ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
        assert found["16 bits"] > found["8 bits alone"]
    assert found["16 bits"] > found["8 bits alone"] + 10


@pytest.mark.parametrize("name", ["rfdn-mobile-x2", "e-rfdn-x4"])
def test_black_under_transparent_pixels_does_not_bleed(kodak, name):
    """Visible edge pixels of a photograph seen through an ellipse, against the whole photograph upscaled."""
    upscale, left, filled = Upscaler(name), [], []
    for path in kodak[::6]:
        lr = shrunk(np.asarray(Image.open(path)), upscale.scale).round().clip(0, 255).astype(np.uint8)
        h, w = lr.shape[:2]
        y, x = np.mgrid[:h, :w]
        alpha = np.where((2.5 * (x / w - 0.5)) ** 2 + (2.5 * (y / h - 0.5)) ** 2 < 1, 255, 0).astype(np.uint8)
        sprite = np.dstack([lr * (alpha > 0)[..., None], alpha])
        whole = upscale(lr).astype(int)
        large = np.asarray(Image.fromarray(alpha).resize(whole.shape[1::-1], Image.Resampling.BICUBIC))
        edge = (large > 0) & (large < 255)
        left.append(np.abs(upscale(np.ascontiguousarray(sprite[..., :3])) - whole)[edge].mean())
        filled.append(np.abs(upscale(np.asarray(transparency.fill(Image.fromarray(sprite)))) - whole)[edge].mean())
    print(f"\n{name}: edge off by {np.mean(left):.1f} levels with black, {np.mean(filled):.1f} with the fill")
    assert np.mean(filled) < np.mean(left) / 5


@pytest.mark.parametrize(
    ("mode", "size", "suffix", "most"),
    [
        ("RGBA", (2000, 1500), ".png", 0.35), ("RGB", (4000, 3000), ".png", 1.0), ("RGB", (4000, 3000), ".jpg", 1.0),
        ("RGB", (4000, 3000), ".tif", 0.4),
    ],
)  # fmt: skip
def test_memory_beside_the_network(tmp_path, mode, size, suffix, most):
    Image.linear_gradient("L").resize(size).convert(mode).save(tmp_path / "in.png", compress_level=1)
    words = [sys.executable, "-c", MEMORY, tmp_path / "in.png", tmp_path / f"out{suffix}"]
    peak = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) / 1e6
    print(f"\n{mode} {size[0]}x{size[1]} x4 to {suffix}: {peak:.2f} GB")
    assert peak < most
