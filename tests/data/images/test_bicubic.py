import numpy as np
import pytest
from PIL import Image

from keras_rfdn.data.images import bicubic, image_files
from keras_rfdn.data.sources import sample
from keras_rfdn.evaluation import metrics


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bit_equal_to_matlab_on_set5(shared, scale):
    set5 = shared / "data/benchmark/Set5"
    for path in image_files.find(set5 / "HR"):
        matlab = image_files.read(set5 / f"LR_bicubic/X{scale}/{path.stem}x{scale}.png")
        np.testing.assert_array_equal(bicubic.downscale(bicubic.modcrop(image_files.read(path), scale), scale), matlab)


@pytest.mark.parametrize(
    ("name", "psnr_y"),
    [("Set5", 28.42), pytest.param("BSD100", 25.96, marks=pytest.mark.slow)],  # every paper's first row, x4
)
def test_published_bicubic_baseline(shared, name, psnr_y):
    scores = []
    for path in image_files.find(shared / "data/benchmark" / name / "HR"):
        hr = bicubic.modcrop(image_files.read(path), 4)
        scores.append(metrics.psnr_y(bicubic.upscale(bicubic.downscale(hr, 4), 4), hr, shave=4))
    assert np.mean(scores) == pytest.approx(psnr_y, abs=0.01)


def step_edge(level):
    """[16, 16, 1]: 0, and `level` in the lower right quarter."""
    image = np.zeros((16, 16, 1), np.uint8)
    image[8:, 8:] = level
    return image


def test_halving_of_a_step_edge():
    # Keys' kernel at 0.25, 0.75, 1.25, 1.75 and halved: (111, 29, -9, -3) / 256 to either side. Three pixels beyond
    # the edge weigh 29 - 9 - 3 = 17, one weighs -3, so a step of 200 becomes 200 * (-3, 17, 239, 259, 256) / 256.
    half = bicubic.downscale(step_edge(200), 2)[..., 0]
    np.testing.assert_array_equal(half[-1], [0, 0, 0, 13, 187, 202, 200, 200])
    np.testing.assert_array_equal(half[:, -1], half[-1])
    # Rounded after each pass: 187 * 239 / 256 = 174.6 where 200 * (239 / 256)^2 = 174.3; 204.4 where 204.7.
    assert (half[4, 4], half[5, 5]) == (175, 204)


def test_half_a_level_is_rounded_up():
    assert bicubic.downscale(step_edge(128), 2)[-1, 3, 0] == 9  # 128 * 17 / 256 = 8.5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_ramp_stays_a_ramp(scale):
    size = 24 * scale
    ramp = np.broadcast_to(2 * np.arange(size, dtype=np.uint8)[None, :, None], (size, size, 3))[
        :, : 126 // scale * scale
    ]
    lr = bicubic.downscale(ramp, scale)
    k = np.arange(lr.shape[1])
    centre = 2 * (scale * k + (scale - 1) / 2)  # where a small pixel's centre lies on the ramp
    np.testing.assert_array_equal(lr[5, 2:-2, 0], centre[2:-2])  # the border mirrors the ramp


def test_upscaling_continues_a_ramp():
    ramp = np.broadcast_to(4 * np.arange(20, dtype=np.uint8)[:, None, None], (20, 20, 3))
    np.testing.assert_array_equal(bicubic.upscale(ramp, 2)[4:-4, 0, 0], 2 * np.arange(40)[4:-4] - 1)


@pytest.mark.parametrize(("height", "width"), [(40, 36), (30, 27), (240, 192)])
def test_agrees_with_pillow_inside(height, width):
    # Pillow has the same kernel, but fixed-point weights, another border, and the columns first. The contrast is halved
    # because of the latter: clipping overshoot between the passes would make their order visible.
    image = sample.dead_leaves(120, seed=1)[:, :108] // 2 + 64
    ours = bicubic.resize(image, (height, width))
    pillows = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(ours[5:-5, 5:-5].astype(int), pillows[5:-5, 5:-5], atol=1)


@pytest.mark.parametrize(("size", "between"), [((6, 16), (6, 32)), ((12, 8), (24, 8)), ((12, 16), (12, 32))])
def test_the_smaller_factor_goes_first_and_rows_on_a_tie(rng, size, between):
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(bicubic.resize(image, size), bicubic.resize(bicubic.resize(image, between), size))


def test_modcrop_cuts_at_the_bottom_and_right():
    image = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    np.testing.assert_array_equal(bicubic.modcrop(image, 4), image[:4, :8])


def test_errors_say_what_was_needed():
    with pytest.raises(ValueError, match="multiples of 4, got 8x10"):
        bicubic.downscale(np.zeros((8, 10, 3), np.uint8), 4)
    with pytest.raises(ValueError, match=r"uint8 image .* got float32"):
        bicubic.resize(np.zeros((8, 8, 3), np.float32), (4, 4))
    with pytest.raises(ValueError, match=r"size of 1 pixel or more, got \(8, 8, 3\) and \(0, 4\)"):
        bicubic.resize(np.zeros((8, 8, 3), np.uint8), (0, 4))


@pytest.mark.parametrize("function", [bicubic.downscale, bicubic.upscale, bicubic.modcrop])
@pytest.mark.parametrize("scale", [0, -2])
def test_no_scale_below_1(function, scale):
    with pytest.raises(ValueError, match=f"scale must be 1 or above, got {scale}"):
        function(np.zeros((8, 8, 3), np.uint8), scale)


def test_upscaling_kernel_of_2():
    """Keys' kernel a quarter of a pixel either side: (-9, 111, 29, -3) / 128, worked out by hand."""
    forth = np.array([-3, 29, 111, -9, 0]) / 128
    np.testing.assert_allclose(bicubic.upscaling_kernel(2), np.stack([forth, forth[::-1]], 1), atol=1e-12)
