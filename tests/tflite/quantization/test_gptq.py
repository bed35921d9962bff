import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.tflite.quantization import gptq, graph


def test_rounding_with_feedback_beats_rounding_to_nearest(lowered, images, lr):
    fed_back, nearest = lowered("esa")[0], lowered("esa")[0]
    exact = fed_back(lr)
    absmax = gptq.gptq(fed_back, images)
    for layer in graph.convolutions(nearest):
        kernel, bias = layer.get_weights()
        size = absmax[layer.name] / 127
        layer.set_weights([np.rint(kernel / size) * size, bias])
    errors = [np.mean(np.square(model(lr) - exact)) for model in (fed_back, nearest)]
    assert errors[0] < 0.5 * errors[1]
    for layer in graph.convolutions(fed_back):
        codes = layer.get_weights()[0] / (absmax[layer.name] / 127)
        np.testing.assert_allclose(codes, codes.round(), atol=1e-3)
        assert np.abs(codes).max() < 127.5


def test_moments_keep_a_small_variance_beside_a_large_mean(rng):
    """In float32, 200 squared has steps of a 256th, which sums over positions make larger than the variance."""
    image = keras.Input([None, None, 3])
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="c")(image))
    images = [rng.integers(level, level + 2, (32, 32, 3), np.uint8) for level in (200, 201)]
    (mean,), (covariance,) = gptq._input_moments(model, images)["c"]
    pixels = np.concatenate(images).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), atol=1e-5)


def test_rounding_cancels_in_the_mean():
    """A channel of one input that never changes: all of the error can go into the bias."""
    covariance = np.diag([1.0, 0.0])
    kernel = np.array([[0.301], [0.444]])
    rounded = gptq._round(kernel, np.array([0.1], np.float32), covariance)
    np.testing.assert_allclose(rounded, [[0.3], [0.4]], atol=1e-6)
    # Inputs that move together: the second's rounding makes good for the first's.
    together = np.ones((2, 2))
    rounded = gptq._round(np.array([[0.34], [0.34]]), np.array([0.1], np.float32), together)
    assert rounded.sum() == pytest.approx(0.7)
