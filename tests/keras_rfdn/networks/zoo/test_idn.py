import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import variant


@pytest.mark.parametrize(("scale", "giga"), [(2, "140.3"), (3, "72.2"), (4, "48.2")])
def test_counts(scale, giga):
    """Parameters are the authors'. Mult-Adds count each pixel that the transposed convolution gives, as CARN counts
    FSRCNN's; its 17x17 elements for each pixel that it takes would be 127.0, 56.5 and 31.7 G in all.
    """
    c = complexity.of_variant("idn", scale, *complexity.hd_input(scale))
    assert c.parameters == 552_769
    assert f"{c.convolution_multiply_adds / 1e9:.1f}" == giga


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_upsampling_kernels_middle_falls_on_the_last_pixel_of_each(scale, rng):
    model = models.build(variant("idn", scale))
    lr = rng.uniform(60, 180, (1, 15, 16, 3)).astype(np.float32)
    upsample = model.get_layer("upsample")
    kernel = np.zeros((17, 17, 1, 64), np.float32)
    kernel[8, 8, 0, 5] = 1
    upsample.set_weights([kernel, np.zeros(1)])
    features = keras.Model(model.input, upsample.input)(lr)[0, ..., 5]
    bicubic = keras.Model(model.input, model.get_layer("bicubic").output)(lr)
    residual = (model(lr) / 255 - bicubic)[0, ..., 1] * 219 / 255
    expected = np.zeros((15 * scale, 16 * scale), np.float32)
    expected[scale - 1 :: scale, scale - 1 :: scale] = features
    np.testing.assert_allclose(residual, expected, atol=1e-5)
