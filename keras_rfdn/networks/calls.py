"""Calls of a functional Keras model's layers: more than its layers, for a layer may be called several times."""

import tf_keras as keras


def calls(model: keras.Model) -> list:
    """Keras' nodes, of which each is one call of node.layer, in the order of computation.

    Keras keeps this list private, but it has no other: a layer itself knows its calls in other models, too.
    """
    return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
