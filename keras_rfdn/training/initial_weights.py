"""Weights that a fresh network starts from: those of a file, of the same network or of a related one."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf
import tf_keras as keras
from absl import logging

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import sample
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import reparameterized
from keras_rfdn.networks.config import Config, ModelConfig

GATES = {"cca": "conv_du.2", "esa": "conv4"}  # attention: its layer in front of the sigmoid
SIZE = ("channels", "num_blocks", "attention", "reduction")  # what networks of RFDBs may differ in


def load(model: keras.Model, config: Config, init: pathlib.Path) -> None:
    """Sets a network's weights from a file.

    A network of another scale gives all layers that do not depend on it, and to the last convolution, which makes
    pixels of one scale, the means of those that make the pixels in their place. A network of RFDBs of another size or
    attention gives the first channels of each tensor. Channels and blocks that it lacks are fresh, and what it has does
    not read them, as when networks are grown (Chen et al. 2016, "Net2Net", arXiv 1511.05641). Attention of another kind
    starts as a constant gate, the mean of the other's on sample photographs. Raises UserError for a file of any other
    network.
    """
    source, source_config = checkpoint.load(init)
    fits = isinstance(config, ModelConfig) and config.block == "rfdb"
    free = ("scale", *SIZE) if fits and isinstance(source_config, ModelConfig) else ("scale",)
    if dataclasses.replace(source_config, **{field: getattr(config, field) for field in free}) != config:
        raise UserError(f"{init} is of another network: {source_config}, and this one is {config}")
    known = {layer.name: layer for layer in source.layers}
    layers = [layer for layer in model.layers if layer.weights]
    left = []
    for layer in layers:
        values = known[layer.name].get_weights() if layer.name in known else []
        own = reparameterized.merged_weights(layer)
        if layer is layers[-1] and source_config != config:
            values = [_of_scale(value, source_config.scale, config.scale) for value in values]
        if values and fits:
            values = _resized(values, own, _parts(known[layer.name]), _parts(layer))
        if [weight.shape for weight in own] == [value.shape for value in values]:
            reparameterized.set_merged_weights(layer, values)
        else:
            left.append(layer)
    if fits and source_config.attention != config.attention:
        _set_constant_gates(model, config, source, source_config)
    names = f", all but {len(left)} of {len(layers)} layers: {', '.join(layer.name for layer in left)}" if left else ""
    logging.info("started from %s%s", init, names)


def _of_scale(weight, source, scale):
    """A weight before the pixel shuffle, its pixels resampled by area: [..., source^2 * c] -> [..., scale^2 * c]."""
    if weight.shape[-1] % source**2:
        return np.zeros(0)  # it makes no pixels of its scale
    ends, source_ends = (np.arange(n + 1) / n for n in (scale, source))
    shared = np.minimum.outer(ends[1:], source_ends[1:]) - np.maximum.outer(ends[:-1], source_ends[:-1])
    mean = scale * np.maximum(shared, 0)  # [scale, source]
    subpixels = weight.reshape(*weight.shape[:-1], source, source, -1)
    return np.einsum("ai,bj,...ijc->...abc", mean, mean, subpixels).reshape(*weight.shape[:-1], -1)


def _parts(layer):
    """Channels of each tensor that a convolution reads side by side."""
    before = layer.inbound_nodes[0].inbound_layers
    read = before.input if isinstance(before, keras.layers.Concatenate) else layer.input
    return [tensor.shape[-1] for tensor in tf.nest.flatten(read)]


def _resized(values, own, parts, own_parts):
    """[kernel, bias] of a convolution, cut or filled up with own ones: known outputs read nothing of new inputs."""
    (kernel, bias), (own_kernel, own_bias) = values, (weight.copy() for weight in own)
    outputs = min(len(bias), len(own_bias))
    own_bias[:outputs] = bias[:outputs]
    own_kernel[..., :outputs] = 0
    start = own_start = 0
    for width, own_width in zip(parts, own_parts, strict=False):  # as many as both have
        both = min(width, own_width)
        own_kernel[..., own_start : own_start + both, :outputs] = kernel[..., start : start + both, :outputs]
        start, own_start = start + width, own_start + own_width
    return [own_kernel, own_bias]


def _set_constant_gates(model, config, source, source_config):
    """The attention of blocks that both networks have: each channel's mean gate in the source, whatever the image."""
    if not {config.attention, source_config.attention} <= GATES.keys():
        return
    blocks = [f"B{i + 1}" for i in range(min(config.num_blocks, source_config.num_blocks))]
    logits_of = keras.Model(source.input, {b: source.get_layer(_gate(b, source_config)).output for b in blocks})
    images = [lr for _, lr, _ in sample.SamplePairs(sample.PHOTOGRAPHS, 0, source_config.scale)]
    logits = [logits_of(lr[None].astype(np.float32)) for lr in images]
    for block in blocks:
        mean = np.mean([tf.reduce_mean(tf.sigmoid(of_image[block]), (0, 1, 2)) for of_image in logits], axis=0)
        mean = np.clip(mean, 0.01, 0.99)
        layer = model.get_layer(_gate(block, config))
        kernel, bias = layer.get_weights()
        known = min(len(mean), len(bias))
        bias[:known] = np.log(mean / (1 - mean))[:known]
        layer.set_weights([np.zeros_like(kernel), bias])


def _gate(block, config):
    """Name of the convolution in front of a block's gate."""
    return f"{block}.{config.attention}.{GATES[config.attention]}"
