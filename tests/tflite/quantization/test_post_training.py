import numpy as np
import pytest
import tf_keras as keras

from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.quantization import graph, im2col_skip
from keras_rfdn.tflite.quantization.post_training import names_to_split, quantize
from keras_rfdn.tflite.quantization.simulator import simulate
from keras_rfdn.upscaling import litert


# esa: tests/tflite/test_convert.py
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("cca", "imdn")), "mobile", "msrresnet"]
)
def test_every_family_becomes_fully_integer_and_is_what_was_simulated(name, network, images, lr):
    model = network(name)
    quantized = quantize(model, images)
    content = converter.convert_quantized(quantized, height=40, width=40)
    assert description.describe(content).float_operators == {}
    simulated = simulate(quantized)(lr)[0].numpy()
    assert np.mean(litert.Model(content).upscale(lr[0].astype(np.uint8)) == simulated) > 0.999
    assert np.std(simulated) > 5
    assert np.abs(simulated - np.clip(model(lr)[0], 0, 255)).mean() < 0.1 * np.std(simulated)


@pytest.mark.slow
def test_accurate_loses_less_and_splits_what_it_names(network, images, lr):
    model = network("esa")
    exact = np.clip(model(lr), 0, 255)
    whole, split = (quantize(model, images, accurate=accurate) for accurate in (False, True))
    errors = [np.mean(np.square(simulate(quantized)(lr) - exact)) for quantized in (whole, split)]
    assert errors[1] < errors[0]
    names, whole, split = names_to_split(model, images), whole.model, split.model
    assert names == ["B1.c5", "c.0"]
    for name in names:
        assert split.get_layer(name).filters == 2 * whole.get_layer(name).filters
    assert type(graph.children(split.get_layer("c.0"))[0]) is keras.layers.ReLU
    assert im2col_skip.IM2COL in [layer.name for layer in whole.layers]


def test_accurate_is_refused_where_there_is_nothing_to_split(network, images):
    with pytest.raises(ValueError, match="accurate splits channels, and in this network there are none worth it"):
        quantize(network("msrresnet"), images, accurate=True)
