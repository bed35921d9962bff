import pytest
import tf_keras as keras

from keras_rfdn.tflite.quantization.int8_ops import lower_to_int8_ops
from keras_rfdn.tflite.quantization.scheme import PIXEL_RANGE, SIGMOID_RANGE, Scheme


def test_scales_are_shared_where_kernels_want_one(lowered):
    model, scheme = lowered("esa")
    leaders = scheme.leaders
    for layer in model.layers:
        if isinstance(layer, keras.layers.Concatenate):
            parents = [leaders[parent.name] for parent in layer.inbound_nodes[0].inbound_layers]
            assert parents == [leaders[layer.name]] * len(parents)
    assert leaders["B1.esa.conv3_"] == leaders["B1.esa.resize"] != leaders["B1.esa.conv_f"]
    assert leaders["upsampler.0"] == leaders["upsampler.1"]
    # What a concatenation and another layer read has a scale of its own: it is requantized for the concatenation.
    assert leaders["B1.c5.multiply"] != leaders["B1.c5.multiply.concatenate"]
    assert leaders["B1.c5.multiply.concatenate.in0"] == leaders["B1.c5.multiply.concatenate"]


def test_ranges_of_pixels_and_gates_are_fixed(lowered):
    model, scheme = lowered("esa")
    assert scheme.fixed[scheme.leaders["pixels"]] == scheme.fixed[scheme.leaders["upsampler.1"]] == PIXEL_RANGE
    gates = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    assert {scheme.fixed[scheme.leaders[name]] for name in gates} == {SIGMOID_RANGE}
    assert len(gates) == 2
    assert scheme.fixed.keys().isdisjoint(scheme.free())
    assert {*scheme.fixed} | {*scheme.free()} == {*scheme.leaders.values()}


def test_a_fused_relu_leaves_no_tensor_between(lowered):
    scheme = lowered("esa")[1]
    assert "B1.esa.conv3" not in scheme.leaders
    assert "B1.esa.conv3.re_lu" in scheme.leaders


def test_names_do_not_depend_on_what_was_built_before(network):
    model = network("esa")
    names = [[layer.name for layer in lower_to_int8_ops(model).layers] for _ in range(2)]
    assert names[0] == names[1]
    assert len({*names[0]}) == len(names[0])


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Softmax(name="odd"),
        keras.layers.Activation("softplus", name="odd"),
        keras.layers.ReLU(6.0, name="odd"),
    ],
    ids=["a layer", "an activation by name without a rule", "a ReLU that is cut off"],
)
def test_a_layer_without_a_rule_is_refused(layer):
    x = keras.Input((None, None, 3))
    model = lower_to_int8_ops(keras.Model(x, layer(x)))
    with pytest.raises(ValueError, match=rf"no rule for odd \({type(layer).__name__}.*\) in int8.*Conv2D"):
        Scheme.of(model)
