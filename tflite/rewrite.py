"""Exact graph rewrites before conversion, each a function from model to model with the same float output."""

import tf_keras as keras

from keras_rfdn import models


def fold_value_range(model, config, *, height=None, width=None, batch=1):
    """model without its two Rescaling layers: 1/255 goes into the first convolution, 255 into the last.

    model: from models.build(config). height, width, batch: dimensions of the result's input. The result takes and
    gives the same float32 RGB 0..255; a TFLite file made of it has no multiplications at its ends, and in int8 no
    requantization there.
    """
    lr = keras.Input((height, width, 3), batch, name="lr", dtype="float32")
    folded = keras.Model(lr, models.network(lr, config), name=model.name)
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    first, *_, last = (layer for layer in folded.layers if layer.weights)
    kernel, bias = first.get_weights()
    first.set_weights([kernel / 255, bias])
    last.set_weights([weight * 255 for weight in last.get_weights()])
    return folded
