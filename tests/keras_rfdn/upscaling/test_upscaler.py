import importlib.util
import threading

import numpy as np
import pytest
from PIL import Image

import keras_rfdn
from keras_rfdn.checkpoints import checkpoint, pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import keras_upscalers, resizable

LR = sample.dead_leaves(48, seed=4)[:30, :40]


def test_a_name_is_its_int8_file():
    up = keras_rfdn.Upscaler("rfdn-mobile-x2", threads=1)
    assert up.scale == 2
    wanted = resizable.ResizableModel(pretrained.FOLDER / "rfdn-mobile-x2_int8.tflite")(LR)
    np.testing.assert_array_equal(up(LR), wanted)


def test_by_default_e_rfdn_of_the_scale():
    np.testing.assert_array_equal(keras_rfdn.upscale_image(LR), keras_rfdn.Upscaler("e-rfdn-x4")(LR))
    assert keras_rfdn.Upscaler(scale=3).name.endswith("e-rfdn-x3_int8.tflite")
    np.testing.assert_array_equal(keras_rfdn.upscale_image(LR, scale=2), keras_rfdn.Upscaler("e-rfdn-x2")(LR))


def test_float_and_weight_files_are_run_by_keras(tiny_weights):
    up = keras_rfdn.Upscaler("rfdn-mobile-x2", float=True)
    wanted = keras_upscalers.from_model(checkpoint.load("rfdn-mobile-x2")[0])(LR)
    assert np.abs(up(LR).astype(int) - wanted).max() <= 1
    assert (up(LR) != keras_rfdn.Upscaler("rfdn-mobile-x2")(LR)).any()
    assert keras_rfdn.Upscaler(tiny_weights).scale == 2


def test_a_pillow_image_comes_back_as_one():
    sr = keras_rfdn.upscale_image(Image.fromarray(LR), scale=2)
    np.testing.assert_array_equal(np.asarray(sr), keras_rfdn.upscale_image(LR, scale=2))
    assert keras_rfdn.upscale_image(Image.fromarray(LR[..., 0]), scale=2).mode == "L"


def test_parts_are_the_whole(open_tflite):
    lr = sample.dead_leaves(300, seed=2)
    up = keras_rfdn.Upscaler(open_tflite)
    sr = np.zeros((600, 600, 3), np.uint8)
    parts = list(up.parts(lr))
    assert len(parts) == 2
    for top, left, part in parts:
        sr[top : top + part.shape[0], left : left + part.shape[1]] = part
    np.testing.assert_array_equal(sr, up(lr))


def test_threads_that_share_one_take_turns(open_tflite):
    up = keras_rfdn.Upscaler(open_tflite, threads=1)
    images = [sample.dead_leaves(40, seed=seed)[: 20 + seed] for seed in range(8)]
    wanted, found = [up(lr) for lr in images], [None] * 8

    def run(i):
        for _ in range(5):
            found[i] = up(images[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((a == b).all() for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "nonsense.tflite"}, "no file at nonsense"),
        ({"weights": "rfdn-mobile-x2", "scale": 4}, "upscales x2, not x4"),
        ({"scale": 5}, "no weights of e-rfdn-x5 are shipped, only e-rfdn-x2"),
        ({"weights": "some.tflite", "float": True}, "for the names of pretrained weights"),
        ({"weights": "rfdn-mobile-x2", "float": True, "threads": 2}, "threads are for .tflite files"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_rfdn.Upscaler(**arguments)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (LR.astype(np.float32), r"float32 \[30, 40, 3\]"),
        (LR[..., 0], r"uint8 \[30, 40\]"),
        (LR[:0], r"uint8 \[0, 40, 3\]"),
        ([[1, 2]], "list"),
    ],
)
def test_refuses_what_is_no_image(image, got):
    with pytest.raises(ValueError, match=rf"uint8 RGB array \[h, w, 3\] or a Pillow image, got {got}"):
        keras_rfdn.Upscaler("rfdn-mobile-x2")(image)


def test_says_what_needs_tensorflow(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "keras-rfdn\[train\]"'):
        keras_rfdn.Upscaler("e-rfdn-x4", float=True)
