"""Int8 quantization scheme: which tensors share a scale, whose range is fixed, and what is fused, once per network."""

import dataclasses
import math

import tf_keras as keras
from tf_keras import layers

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import PixelShuffle, ResizeLike, Split
from keras_rfdn.tflite.quantization import graph, im2col_skip
from keras_rfdn.tflite.quantization.int8_ops import (
    PIXELS,
    WITH_ONE,
    MirrorPad,
    Requantize,
    Rsqrt,
    Sqrt,
    SquaredDifference,
)

Range = tuple[float, float]

# TFLite's kernels of these give their (first) input's scale.
SAME_SCALE_OPS = (
    *(layers.Concatenate, layers.MaxPooling2D, layers.UpSampling2D, layers.ZeroPadding2D),
    *(PixelShuffle, ResizeLike, Split, MirrorPad),
)
INTERPOLATING = (ResizeLike, layers.UpSampling2D)  # of these, the ones that make new values
# Those whose output has a range of its own.
OWN_SCALE_OPS = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.Add, layers.Subtract, layers.Multiply, layers.ReLU),
    *(layers.LeakyReLU, layers.GlobalAveragePooling2D, SquaredDifference, Sqrt, Rsqrt, Requantize),
)
PIXEL_RANGE = (0.0, 255.0)
SIGMOID_RANGE = (0.0, 255 / 256)  # what TFLite's kernel gives, whatever the values
TANH_RANGE = (-1.0, 127 / 128)
FIXED_RANGES = {keras.activations.sigmoid: SIGMOID_RANGE, keras.activations.tanh: TANH_RANGE}
# Values below and above which an activation's result hardly changes: exp(-6.24) is half of a sigmoid's 256 levels,
# 1 - tanh(3.12) half of a hyperbolic tangent's; a GELU of -3.5 is -0.0008.
SATURATION = {
    keras.activations.sigmoid: (-6.24, 6.24),
    keras.activations.tanh: (-3.12, 3.12),
    keras.activations.gelu: (-3.5, math.inf),
}


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How int8 stores the tensors of a lowered network (int8_ops.lower_to_int8_ops). A tensor is called as its layer.

    leaders: {tensor: the tensor whose range it has}, of every tensor that the file stores, in the order of computation.
    fixed: {leader: range} of ranges that are no matter of choice. value_preserving: tensors whose values are all among
    their inputs', so that rounding them again changes nothing. saturation: {leader: values below and above which
    it makes no difference}. negative_slope: {leader: factor that its negative values get at once}, a LeakyReLU's
    slope, or 1.
    """

    leaders: dict[str, str]
    fixed: dict[str, Range]
    value_preserving: frozenset[str]
    saturation: dict[str, Range]
    negative_slope: dict[str, float]

    @classmethod
    def of(cls, model: keras.Model) -> "Scheme":
        """Scheme of a lowered network. Raises UserError that names a layer that there is no rule for."""
        for layer in model.layers[1:]:
            if not _has_rule(layer):
                known = ", ".join(sorted(kind.__name__ for kind in OWN_SCALE_OPS + SAME_SCALE_OPS))
                raise UserError(
                    f"no rule for {layer.name} ({_describe(layer)}) in int8; there is one for {known}, for the "
                    f"activations {', '.join(function.__name__ for function in SATURATION)}, and for what folding and "
                    f"lowering make of PReLU, swish, LayerNormalization, BatchNormalization, Rescaling, "
                    f"Conv2DTranspose, SeparableConv2D, BicubicUpscale, Luma and Contrast"
                )
        shared = _scale_groups(model)
        stored = [layer.name for layer in model.layers[1:] if not _is_fused(layer)]
        pixels = [name for name in (PIXELS, im2col_skip.IM2COL, model.layers[-1].name) if name in shared]
        pixels += [layer.name for layer in model.layers if _copies_pixels(layer)]
        fixed = {
            shared[layer.name]: FIXED_RANGES[layer.activation]
            for layer in model.layers
            if isinstance(layer, layers.Activation) and layer.activation in FIXED_RANGES
        }
        fixed |= {shared[name]: PIXEL_RANGE for name in pixels}
        readers = {name: graph.only_reader(model.get_layer(name)) for name in {shared[name] for name in stored}}
        return cls(
            leaders={name: shared[name] for name in stored},
            fixed=fixed,
            value_preserving=frozenset(
                layer.name
                for layer in model.layers
                if isinstance(layer, SAME_SCALE_OPS) and not isinstance(layer, INTERPOLATING)
            ),
            saturation={
                name: SATURATION.get(getattr(reader, "activation", None), (-math.inf, math.inf))
                for name, reader in readers.items()
            },
            negative_slope={
                name: float(reader.alpha) if isinstance(reader, layers.LeakyReLU) else 1.0
                for name, reader in readers.items()
            },
        )

    def groups(self) -> dict[str, list[str]]:
        """{leader: the tensors that share its range}."""
        members = {}
        for name, leader in self.leaders.items():
            members.setdefault(leader, []).append(name)
        return members

    def free(self) -> list[str]:
        """The leaders whose ranges are a matter of choice, in the order of computation."""
        return [leader for leader in dict.fromkeys(self.leaders.values()) if leader not in self.fixed]

    def is_rounded(self, name: str) -> bool:
        """Whether storing a tensor changes its values."""
        return name in self.leaders and name not in self.value_preserving


def output_tensor(layer) -> str:
    """Name of the tensor that a layer's result is stored as: its own, or that of the ReLU that is fused with it."""
    return graph.children(layer)[0].name if _is_fused(layer) else layer.name


def _is_fused(layer):
    """Whether TFLite makes one operation of the layer and the ReLU behind it, with no tensor between them."""
    return isinstance(layer, (*graph.CONVOLUTIONS, layers.Add)) and isinstance(graph.only_reader(layer), layers.ReLU)


def _has_rule(layer):
    if isinstance(layer, layers.Activation):
        return layer.activation in SATURATION
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    if isinstance(layer, layers.DepthwiseConv2D):
        return layer.depth_multiplier == 1
    if isinstance(layer, layers.GlobalAveragePooling2D):
        return layer.keepdims
    return isinstance(layer, OWN_SCALE_OPS + SAME_SCALE_OPS)


def _describe(layer):
    kind = type(layer).__name__
    if isinstance(layer, layers.Activation):
        return f"{kind} {getattr(layer.activation, '__name__', layer.activation)}"
    return f"{kind} {layer.symbol}" if hasattr(layer, "symbol") else kind


def _copies_pixels(layer):
    """Whether a layer gives pixels as they are, beside a constant channel."""
    return WITH_ONE in layer.name and graph.parents(layer)[0].name == PIXELS


def _scale_groups(model):
    """{layer: the layer whose range it has}: kernels of SAME_SCALE_OPS want input and output to have one scale."""
    leader = {layer.name: layer.name for layer in model.layers[1:]}

    def find(name):
        while leader[name] != name:
            name = leader[name]
        return name

    for layer in model.layers[1:]:
        if isinstance(layer, SAME_SCALE_OPS):
            parents = graph.parents(layer)
            # Of a resize's second input only the size counts.
            for parent in parents[:1] if isinstance(layer, ResizeLike) else parents:
                leader[find(parent.name)] = find(layer.name)
    return {name: find(name) for name in leader}
