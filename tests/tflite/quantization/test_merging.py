import tf_keras as keras

from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.merging import fold_residuals


def test_folding_residuals_is_exact_and_leaves_no_srb(network, family, assert_same_function):
    model = network(family)
    result = fold_residuals(model)
    assert_same_function(result, model)
    names = [layer.name for layer in result.layers if isinstance(layer, keras.layers.Add)]
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    srbs = sum(any(p.name.endswith("_r") for p in graph.parents(layer)) for layer in sums)
    assert len(names) == len(sums) - srbs
