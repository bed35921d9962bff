import numpy as np
import pytest

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import keras_upscalers, resizable


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (14, 15), (15, 15), (31, 17)])
def test_from_model_takes_any_size(untrained, size):
    model, _ = checkpoint.load(untrained("tiny.h5", 0))
    lr = sample.dead_leaves(48, seed=1)[: size[0], : size[1]]
    sr = keras_upscalers.from_model(model)(lr)
    assert sr.dtype == np.uint8
    assert sr.shape == (2 * size[0], 2 * size[1], 3)
    padded = np.pad(lr, [(0, max(0, 15 - s)) for s in size] + [(0, 0)], "reflect")
    exact = model(padded[None].astype(np.float32))[0].numpy()[: 2 * size[0], : 2 * size[1]]
    assert np.abs(exact.clip(0, 255) - sr).max() <= 0.51


def test_either_kind_of_file_is_opened(tiny_weights, open_tflite):
    lr = sample.dead_leaves(48, seed=1)[:30, :40]
    upscale, scale, description = keras_upscalers.open_upscaler(tiny_weights)
    np.testing.assert_array_equal(upscale(lr), keras_upscalers.from_model(checkpoint.load(tiny_weights)[0])(lr))
    assert (scale, description) == (2, f"rfdb of {tiny_weights}")
    upscale, scale, description = keras_upscalers.open_upscaler(open_tflite)
    np.testing.assert_array_equal(upscale(lr), resizable.ResizableModel(open_tflite)(lr))
    assert (scale, description) == (2, open_tflite)


def test_what_a_tflite_can_not_be_asked_for_is_refused(open_tflite):
    with pytest.raises(ValueError, match=r"open\.tflite upscales x2 and tells no variant; leave variant and scale out"):
        keras_upscalers.open_upscaler(open_tflite, scale=3)
    with pytest.raises(ValueError, match="leave variant and scale out"):
        keras_upscalers.open_upscaler(open_tflite, variant="e-rfdn")
