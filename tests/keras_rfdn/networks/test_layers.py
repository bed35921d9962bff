import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.data.images import bicubic
from keras_rfdn.evaluation import metrics
from keras_rfdn.networks import layers

# Prints, for each way to run a small network, the largest difference from eager mode in standard deviations of its
# output, and that of the loss of a training step; first with the guard in LeakyReLU, then without it. (A training step
# is right without it too: grappler's fusion fails there because the gradient reads the tensor in between.)
WAYS = """
import json, sys
import numpy as np
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter
from keras_rfdn.networks import layers, models
from keras_rfdn.networks.config import ModelConfig

def network(**size):
    keras.utils.set_random_seed(1)
    model = models.build(ModelConfig("rfdb", channels=16, num_blocks=1, attention="esa", reduction=4, scale=2), **size)
    model.set_weights([w * 2 if w.ndim > 1 else np.random.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model

open_size, fixed_size = network(), network(height=24, width=20, batch=1)

def saved(x):
    tf.saved_model.save(open_size, sys.argv[1])
    return tf.saved_model.load(sys.argv[1])(x)

def tflite(x):
    content = tf.lite.TFLiteConverter.from_keras_model(fixed_size).convert()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

WAYS = {
    "graph": lambda x: tf.function(lambda x: open_size(x))(x),
    "graph of a fixed size": lambda x: tf.function(lambda x: fixed_size(x))(x),
    "jit": lambda x: tf.function(lambda x: open_size(x), jit_compile=True)(x),
    "predict": lambda x: open_size.predict(x, verbose=0),
    "saved": saved,
    "tflite": tflite,
}
lr = np.random.default_rng(0).uniform(0, 255, (1, 24, 20, 3)).astype(np.float32)
hr = np.random.default_rng(1).uniform(0, 255, (1, 48, 40, 3)).astype(np.float32)

def loss(run_eagerly):
    model = network()
    model.compile("sgd", "mae", run_eagerly=run_eagerly)
    return model.fit(lr, hr, verbose=0).history["loss"][0]

def differences(ways):
    eager = open_size(lr).numpy()
    return {way: float(abs(np.asarray(WAYS[way](lr)) - eager).max() / eager.std()) for way in ways}

guarded = differences(WAYS) | {"fit": abs(loss(False) - loss(True)) / loss(True)}
layers.LeakyReLU.call = keras.layers.LeakyReLU.call
print(json.dumps({"guarded": guarded, "unguarded": differences(["graph", "graph of a fixed size"])}))
"""


@pytest.fixture(scope="module")
def ways(root, tmp_path_factory):
    # oneDNN is on by default on most machines; on the others the variable must be set before TensorFlow is imported.
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [sys.executable, "-c", WAYS, str(tmp_path_factory.mktemp("saved"))]
    return json.loads(subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def test_eager_graph_jit_saved_and_tflite_agree(ways):
    assert ways["guarded"].keys() == {"graph", "graph of a fixed size", "jit", "predict", "saved", "tflite", "fit"}
    assert max(ways["guarded"].values()) < 1e-3, ways


def test_it_is_the_guard_that_makes_them_agree(ways):
    if ways["unguarded"]["graph"] < 1e-3:
        pytest.skip("this TensorFlow computes LeakyReLU rightly without the guard")
    assert min(ways["unguarded"].values()) > 0.03, ways


def test_lrelu_has_the_released_slope():
    np.testing.assert_allclose(layers.lrelu(tf.constant([[-1.0, 0, 2]])), [[-0.05, 0, 2]])


def test_conv_starts_as_pytorch_does():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 32))
    kernel = keras.Model(inputs, layers.conv(inputs, 64, 3, name="c")).get_layer("c").kernel.numpy()
    bound = (9 * 32) ** -0.5  # kaiming_uniform_(a=sqrt(5)): uniform within 1 / sqrt(fan in)
    assert 0.999 * bound < abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_pixel_shuffle_is_pytorchs_but_for_the_order_of_channels():
    s, c = 3, 2
    torch_channels = np.arange(c * s * s * 2 * 4, dtype=np.float32).reshape(c * s * s, 2, 4)
    # PyTorch's documentation: (c, s, s, h, w) -> (c, h, s, w, s).
    shuffled = torch_channels.reshape(c, s, s, 2, 4).transpose(0, 3, 1, 4, 2).reshape(c, 2 * s, 4 * s)
    # TensorFlow's channel k * c + j is PyTorch's j * s^2 + k.
    order = [j * s * s + k for k in range(s * s) for j in range(c)]
    ours = layers.PixelShuffle(s)(torch_channels[order].transpose(1, 2, 0)[None])
    np.testing.assert_array_equal(ours[0], shuffled.transpose(1, 2, 0))


def bilinear(x, size):
    """[h, w, c] -> [*size, c], half-pixel centres, the border repeated: PyTorch's interpolate(align_corners=False)."""
    for axis in (0, 1):
        n = x.shape[axis]
        centres = (np.arange(size[axis]) + 0.5) * n / size[axis] - 0.5
        x = np.apply_along_axis(lambda line, at=centres, n=n: np.interp(at, np.arange(n), line), axis, x)
    return x


def test_resize_like(rng):
    resize = layers.ResizeLike()
    line = resize([tf.constant([[[[0.0], [1]]]]), tf.zeros([1, 1, 4, 5])])
    np.testing.assert_allclose(line[0, 0, :, 0], [0, 0.25, 0.75, 1])
    x = rng.normal(size=(2, 3, 2, 4)).astype(np.float32)
    like = tf.zeros([2, 17, 11, 1])
    wanted = [bilinear(image, (17, 11)) for image in x]
    np.testing.assert_allclose(resize([x, like]), wanted, atol=1e-6)
    dynamic = tf.function(lambda *pair: resize(pair), input_signature=[tf.TensorSpec([None] * 3 + [c]) for c in (4, 1)])
    np.testing.assert_allclose(dynamic(x, like), wanted, atol=1e-6)


def test_contrast_is_deviation_plus_mean(rng):
    x = rng.normal(3, 2, (2, 5, 7, 4)).astype(np.float32)
    contrast = layers.Contrast()(x)
    np.testing.assert_allclose(contrast[:, 0, 0], x.std(axis=(1, 2)) + x.mean(axis=(1, 2)), rtol=1e-5)


def test_contrast_of_large_float16_is_finite():
    x = tf.constant([[[[0.0], [1000.0]]]], tf.float16)  # the square of 500 is beyond float16
    assert layers.Contrast(dtype="mixed_float16")(x).numpy().item() == 1000


def test_contrast_of_a_flat_map_has_a_gradient():
    x = tf.ones([1, 4, 4, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        contrast = layers.Contrast()(x)
    np.testing.assert_allclose(tape.gradient(contrast, x), np.full((1, 4, 4, 2), 1 / 16))


def attention_model(attention, channels, rng):
    """A model of one attention with random weights, and {layer: (kernel, bias)} under their released names."""
    inputs = keras.Input((None, None, channels))
    model = keras.Model(inputs, attention(inputs, reduction=2, name="a"))
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    weights = {layer.name.removeprefix("a."): layer.get_weights() for layer in model.layers if layer.weights}
    return model, weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_cca_equals_numpy(rng):
    model, weights = attention_model(layers.cca, 6, rng)
    assert weights.keys() == {"conv_du.0", "conv_du.2"}
    x = rng.normal(size=(2, 5, 9, 6)).astype(np.float32)
    gate = x.std(axis=(1, 2)) + x.mean(axis=(1, 2))
    (w0, b0), (w2, b2) = weights["conv_du.0"], weights["conv_du.2"]
    gate = sigmoid(np.maximum(gate @ w0[0, 0] + b0, 0) @ w2[0, 0] + b2)
    np.testing.assert_allclose(model(x), x * gate[:, None, None], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(15, 15), (23, 30)])
def test_esa_equals_scipy(rng, scipy_conv, height, width):
    model, weights = attention_model(layers.esa, 8, rng)
    assert weights.keys() == {"conv1", "conv_f", "conv_max", "conv2", "conv3", "conv3_", "conv4"}
    x = rng.normal(size=(height, width, 8)).astype(np.float32)
    # As forward() of class ESA in the released code.
    c1_ = scipy_conv(x, *weights["conv1"])
    c1 = scipy_conv(c1_, *weights["conv2"], "valid")[::2, ::2]
    windows = np.lib.stride_tricks.sliding_window_view(c1, (7, 7), axis=(0, 1))[::3, ::3]
    v_range = np.maximum(scipy_conv(windows.max(axis=(-2, -1)), *weights["conv_max"]), 0)
    c3 = scipy_conv(np.maximum(scipy_conv(v_range, *weights["conv3"]), 0), *weights["conv3_"])
    cf = scipy_conv(c1_, *weights["conv_f"])
    c4 = scipy_conv(bilinear(c3, (height, width)) + cf, *weights["conv4"])
    np.testing.assert_allclose(model(x[None])[0], x * sigmoid(c4), atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_bicubic_enlargement_is_imresizes(rng, scale, channels):
    """Up to what imresize rounds: to whole levels after each of its passes, the first of which the second spreads."""
    lr = rng.integers(60, 200, (15, 17, channels), dtype=np.uint8)
    sr = layers.BicubicUpscale(scale)(lr[None].astype(np.float32))[0]
    assert np.abs(sr - bicubic.upscale(lr, scale)).max() < 0.5 + 0.5 * 1.25


def test_luma_is_that_which_scores_are_measured_on(rng):
    image = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    luma = layers.Luma()(image[None] / np.float32(255))[0, ..., 0]
    np.testing.assert_allclose(255 * luma, metrics.luma(image), atol=1e-3)


def test_depthwise_and_blueprint_separable(rng, scipy_conv):
    x = keras.Input((9, 8, 4))
    model = keras.Model(x, layers.blueprint_separable(x, 6, name="c"))
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    assert [w.shape for w in model.get_weights()] == [(1, 1, 4, 6), (3, 3, 6, 1), (6,)]
    pointwise, depthwise, bias = model.get_weights()
    image = rng.normal(size=(9, 8, 4)).astype(np.float32)
    wide = scipy_conv(image, pointwise, np.zeros(6))
    each = [scipy_conv(wide[..., [c]], depthwise[:, :, [c]], bias[[c]]) for c in range(6)]
    np.testing.assert_allclose(model(image[None])[0], np.concatenate(each, -1), atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [layers.LeakyReLU(0.05), layers.PixelShuffle(3), layers.BicubicUpscale(3), layers.ResizeLike(), layers.Contrast()],
)
def test_layers_come_back_from_their_config(layer):
    config = keras.layers.serialize(layer)
    assert keras.layers.serialize(keras.layers.deserialize(config)) == config
