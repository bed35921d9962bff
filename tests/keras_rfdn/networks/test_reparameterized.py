import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks.reparameterized import EdgeOrientedConv2D, merged, transfer

SOBEL_X = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
LAPLACIAN = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


@pytest.fixture
def model(rng):
    """An input of 3 channels through two blocks, of which the second has an identity."""
    x = lr = keras.Input((None, None, 3))
    for name in "ab":
        x = keras.layers.PReLU(shared_axes=[1, 2], name=f"act_{name}")(EdgeOrientedConv2D(4, name=name)(x))
    model = keras.Model(lr, x)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def by_branches(layer, x):
    """The block as the figure draws it, one convolution after the other."""

    def conv(x, kernel):
        return tf.nn.conv2d(x, kernel, 1, "SAME")

    y = conv(x, layer.kernel) + conv(x, layer.pointwise) + conv(conv(x, layer.expansion), layer.expanded)
    for name, edge in {"sobel_x": SOBEL_X, "sobel_y": np.transpose(SOBEL_X), "laplacian": LAPLACIAN}.items():
        filters = tf.cast(edge, tf.float32)[..., None, None] * layer.factors[name][:, None]
        y += tf.nn.depthwise_conv2d(conv(x, layer.edges[name]), filters, [1, 1, 1, 1], "SAME")
    return y + layer.bias + (x if x.shape[-1] == layer.filters else 0)


@pytest.mark.parametrize(("name", "channels"), [("a", 3), ("b", 4)])
def test_one_convolution_is_all_branches_together_at_the_border_too(model, name, channels, rng):
    x = tf.constant(rng.normal(0, 1, (2, 6, 5, channels)), tf.float32)
    layer = model.get_layer(name)
    np.testing.assert_allclose(layer(x), by_branches(layer, x), rtol=1e-5, atol=1e-5)


def test_biases_of_1x1_convolutions_padded_with_themselves_are_part_of_one_bias(rng):
    """As the authors' code pads: outside the image a 1x1 gives its bias, of which an edge filter leaves nothing."""
    x, pointwise = rng.normal(0, 1, (1, 5, 6, 3)), rng.normal(0, 1, (1, 1, 3, 4))
    inner, kernel = rng.normal(0, 1, 4), rng.normal(0, 1, (3, 3, 4, 2))
    padded = np.pad(tf.nn.conv2d(x, pointwise, 1, "SAME"), [(0, 0), (1, 1), (1, 1), (0, 0)]) + inner
    without = tf.nn.conv2d(tf.nn.conv2d(x, pointwise, 1, "SAME"), kernel, 1, "SAME")
    np.testing.assert_allclose(
        tf.nn.conv2d(padded, kernel, 1, "VALID"), without + inner @ kernel.sum((0, 1)), atol=1e-12
    )
    assert np.sum(SOBEL_X) == np.sum(LAPLACIAN) == 0


def test_a_merged_network_is_of_plain_layers_and_computes_the_same(model, rng):
    x = rng.normal(0, 1, (1, 7, 9, 3)).astype(np.float32)
    plain = merged(model)
    assert [type(plain.get_layer(name)) for name in "ab"] == [keras.layers.Conv2D] * 2
    assert plain.count_params() == (9 * 3 + 1) * 4 + (9 * 4 + 1) * 4 + 8
    np.testing.assert_allclose(plain(x), model(x), rtol=1e-5, atol=1e-5)


def test_branches_start_from_a_merged_network(model, rng):
    x = rng.normal(0, 1, (1, 7, 9, 3)).astype(np.float32)
    plain = merged(model)
    plain.set_weights([rng.normal(0, 0.5, w.shape) for w in plain.get_weights()])
    transfer(plain, model)
    np.testing.assert_allclose(model(x), plain(x), rtol=1e-5, atol=1e-5)


def test_all_branches_learn(model, rng):
    x = tf.constant(rng.normal(0, 1, (1, 6, 6, 3)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) == 2 * 11 + 2
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients)


def test_a_saved_network_is_read_without_this_class_named(model, tmp_path, rng):
    x = rng.normal(0, 1, (1, 7, 9, 3)).astype(np.float32)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.keras")(x), model(x), rtol=1e-6)


def test_half_precision_keeps_its_weights_in_float(rng):
    layer = EdgeOrientedConv2D(4, dtype="mixed_bfloat16")
    y = layer(rng.normal(0, 1, (1, 6, 5, 4)).astype(np.float32))
    assert (y.dtype, layer.kernel.dtype) == (tf.bfloat16, tf.float32)
