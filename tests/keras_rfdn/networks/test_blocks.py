import numpy as np
import tf_keras as keras

from keras_rfdn.networks import blocks
from keras_rfdn.networks.config import ModelConfig


def test_rfdb_equals_scipy(rng, scipy_conv, monkeypatch):
    monkeypatch.setitem(blocks.ATTENTIONS, "none", lambda x, **_: x)
    inputs = keras.Input((None, None, 6))
    config = ModelConfig("rfdb", channels=6, num_blocks=1, attention="none", reduction=1)
    model = keras.Model(inputs, blocks.rfdb(inputs, config, name="B1"))
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    layers = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    x = image = rng.normal(size=(9, 7, 6)).astype(np.float32)

    # As forward() of class RFDB in the released code, LeakyReLU 0.05.
    def lrelu(x):
        return np.where(x > 0, x, 0.05 * x)

    def conv(x, name):
        return scipy_conv(x, *layers[f"B1.{name}"])

    distilled_c1, r_c1 = lrelu(conv(x, "c1_d")), lrelu(conv(x, "c1_r") + x)
    distilled_c2, r_c2 = lrelu(conv(r_c1, "c2_d")), lrelu(conv(r_c1, "c2_r") + r_c1)
    distilled_c3, r_c3 = lrelu(conv(r_c2, "c3_d")), lrelu(conv(r_c2, "c3_r") + r_c2)
    r_c4 = lrelu(conv(r_c3, "c4"))
    out = conv(np.concatenate([distilled_c1, distilled_c2, distilled_c3, r_c4], axis=-1), "c5")
    np.testing.assert_allclose(model(image[None])[0], out, atol=1e-4)


def test_widths_of_the_paper():
    inputs = keras.Input((None, None, 48))
    config = ModelConfig("rfdb", channels=48, num_blocks=1, attention="cca", reduction=4)
    model = keras.Model(inputs, blocks.rfdb(inputs, config, name="B1"))
    kernels = {layer.name: layer.kernel.shape.as_list() for layer in model.layers if layer.weights}
    half, srb = [1, 1, 48, 24], [3, 3, 48, 48]
    assert kernels == {
        "B1.c1_d": half, "B1.c2_d": half, "B1.c3_d": half, "B1.c1_r": srb, "B1.c2_r": srb, "B1.c3_r": srb,
        "B1.c4": [3, 3, 48, 24], "B1.c5": [1, 1, 96, 48],
        "B1.cca.conv_du.0": [1, 1, 48, 12], "B1.cca.conv_du.2": [1, 1, 12, 48],
    }  # fmt: skip
