"""Folding: linear operations without weights become part of convolutions. The float output stays the same."""

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.layers import BicubicUpscale, Contrast, Luma, PixelShuffle, ResizeLike, Split
from keras_rfdn.networks.zoo.lapsrn import ThreeQuarters
from keras_rfdn.networks.zoo.srcnn import ReplicationPadding
from keras_rfdn.networks.zoo.srmdnf import DegradationMaps
from keras_rfdn.tflite.quantization import graph
from keras_rfdn.tflite.quantization.im2col_skip import BIAS_CHANNEL
from keras_rfdn.tflite.quantization.int8_ops import AFFINE, WITH_ONE, MirrorPad, PixelNorm
from keras_rfdn.tflite.quantization.merging import float64, is_diagonal, merge_affine, merge_separable
from keras_rfdn.tflite.quantization.untying import untie

COPIES = 4  # of the enlarged luma that a network begins with
# f(a * x) = a * f(x) for a > 0, and one result.
HOMOGENEOUS = (
    *(layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.MaxPooling2D, layers.AveragePooling2D),
    *(layers.GlobalAveragePooling2D, layers.UpSampling2D, layers.ZeroPadding2D, PixelShuffle, Contrast),
)


def fold_value_range(model, *, height=None, width=None, batch=1):
    """Fold what is linear and has no weights, such as Rescaling, into convolutions.

    model: functional, float32 RGB 0..255 in and out, layers of any kinds. height, width, batch: dimensions of the
    result's input, None for an open one. The result takes and gives the same, of fresh layers, each called once
    (untying.untie). A .tflite file made of it has no multiplications at its ends, and in int8 no requantization there.

    Rescaling, Luma, BatchNormalization and sums of such are kept as symbols, a matrix and an offset for each pixel's
    channels, until another operation needs numbers: then a convolution takes them in. An enlargement by fixed weights
    becomes a convolution of the small image, with the matrix in it; a transposed convolution a convolution and a pixel
    shuffle; layer normalization is centred by the convolution before it.
    """
    symbolic = untie(model, input_shape=(batch, height, width, model.input_shape[-1]))
    folder = _Folder()
    sr = graph.walk(symbolic, _plain(symbolic.input), folder.call)
    sr = folder.exact(sr, symbolic.layers[-1].name)
    folded = keras.Model(symbolic.input, sr, name=model.name)
    return merge_separable(merge_affine(graph.rebuild(folded, graph.copy, input_shape=symbolic.input_shape)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Enlarged:
    """A tensor enlarged by fixed weights: no layer until a matrix is known that its convolution can take in."""

    layer: keras.layers.Layer
    tensor: object  # reference of a Keras tensor


@dataclasses.dataclass(frozen=True, eq=False)
class _Linear:
    """A sum of tensor @ matrix and an offset, for the channels of each pixel.

    terms: ((Keras tensor or _Enlarged, float64 [its channels, channels]), ...). offset: float64 [channels].
    """

    terms: tuple
    offset: np.ndarray

    def then(self, matrix, offset=0.0):
        """This @ matrix + offset."""
        return _Linear(tuple((x, a @ matrix) for x, a in self.terms), self.offset @ matrix + offset)

    def plus(self, other):
        channels = max(len(self.offset), len(other.offset))
        wide = [v if len(v.offset) == channels else v.then(np.ones((1, channels))) for v in (self, other)]
        terms = dict(wide[0].terms)
        for x, a in wide[1].terms:
            terms[x] = terms[x] + a if x in terms else a
        return _Linear(tuple(terms.items()), wide[0].offset + wide[1].offset)

    def factor(self):
        """The number that a single tensor is multiplied by; None where this is more than that."""
        if len(self.terms) != 1 or self.offset.any():
            return None
        ((x, a),) = self.terms
        return None if isinstance(x, _Enlarged) else _times_identity(a)


def _plain(tensor, factor=1.0):
    channels = tensor.shape[-1]
    return _Linear(((tensor.ref(), factor * np.eye(channels)),), np.zeros(channels))


class _Folder:
    """Fresh layers for those of an untied model; values between them are _Linear."""

    def __init__(self):
        self._scaled, self._exact, self._emitted = {}, {}, {}
        self._name = graph.Names().fresh

    def call(self, layer, inputs):
        match layer:
            case layers.Rescaling():
                channels = len(inputs.offset)
                scale, offset = (np.broadcast_to(float64(v), channels) for v in (layer.scale, layer.offset))
                return inputs.then(np.diag(scale), offset)
            case layers.BatchNormalization():
                gamma, beta, mean, variance = _normalization_weights(layer, len(inputs.offset))
                scale = gamma / np.sqrt(variance + layer.epsilon)
                return inputs.then(np.diag(scale), beta - mean * scale)
            case Luma():
                return inputs.then(float64(layer.WEIGHTS)[:, None], layer.OFFSET)
            case layers.Add() | layers.Subtract() if not all(self._is_plain(v) for v in inputs):
                first, *rest = (self._known(v) for v in inputs)
                sign = -1.0 if isinstance(layer, layers.Subtract) else 1.0
                for other in rest:
                    first = first.plus(other.then(sign * np.eye(len(other.offset))))
                return first
            case layers.Add() | layers.Subtract():
                return self._sum(layer, inputs)
            case layers.Concatenate() if self._is_repeated(layer, inputs):
                ((x, _),) = inputs[0].terms
                matrix = np.hstack([v.terms[0][1] for v in inputs])
                return _Linear(((x, matrix),), np.concatenate([v.offset for v in inputs]))
            case layers.Concatenate():
                scaled = [self.scaled(v, layer.name) for v in inputs]
                if len({factor for _, factor in scaled}) > 1:
                    scaled = [(self.exact(v, layer.name), 1.0) for v in inputs]
                return _plain(graph.copy(layer, [x for x, _ in scaled]), scaled[0][1])
            case layers.Multiply():
                scaled = [self.scaled(v, layer.name) for v in inputs]
                return _plain(graph.copy(layer, [x for x, _ in scaled]), float(np.prod([a for _, a in scaled])))
            case ResizeLike():
                (x, factor), (like, _) = (self.scaled(v, layer.name) for v in inputs)
                return _plain(graph.copy(layer, [x, like]), factor)
            case Split():
                x, factor = self.scaled(inputs, layer.name)
                return [_plain(part, factor) for part in graph.copy(layer, x)]
            case layers.LayerNormalization():
                return self._normalize(layer, inputs)
            case DegradationMaps():
                channels, code = len(inputs.offset), float64(layer.code)
                return inputs.then(np.eye(channels, channels + len(code)), np.append(np.zeros(channels), code))
            case ReplicationPadding():
                x, factor = self.scaled(inputs, layer.name)
                for i, step in enumerate(layer.mirrors()):
                    x = MirrorPad(step, name=self._name(f"{layer.name}.{i}"))(x)
                return _plain(x, factor)
            case layers.Conv2DTranspose():
                return self._convolve(*_sub_pixel(layer), inputs, shuffle=layer.strides[0])
            case layers.Cropping2D() if _cropping(graph.parents(layer)[0]) is layer:
                return inputs  # _sub_pixel has left away what is cropped
            case layers.Conv2D() if len(inputs.terms) > 1 and _is_weighting(layer):
                kernel, bias = map(float64, layer.get_weights())
                return inputs.then(kernel[0, 0], bias)
            case layers.Conv2D() | layers.DepthwiseConv2D():
                return self._convolve(layer, layer.get_weights(), inputs)
        if _enlargement(layer) is not None:
            if any(isinstance(x, _Enlarged) for x, _ in inputs.terms):
                inputs = _plain(self.exact(inputs, layer.name))
            terms = ((_Enlarged(layer, x), a) for x, a in inputs.terms)
            return _Linear(
                tuple((self._emitted.setdefault((x.layer.name, x.tensor), x), a) for x, a in terms), inputs.offset
            )
        if isinstance(layer, HOMOGENEOUS):
            x, factor = self.scaled(inputs, layer.name)
            if factor <= 0:
                x, factor = self.exact(inputs, layer.name), 1.0
            return _plain(graph.copy(layer, x), factor)
        values = tf.nest.map_structure(lambda v: self.exact(v, layer.name), inputs)
        results = graph.copy(layer, values)
        return tf.nest.map_structure(_plain, results)

    def _is_repeated(self, layer, inputs):
        """Whether a concatenation is of one tensor several times, and convolutions read it, which can add copies up."""
        tensors = {tuple(x for x, _ in v.terms) for v in inputs}
        readers = graph.children(layer)
        return len(tensors) == 1 and len(*tensors) == 1 and all(isinstance(r, graph.CONVOLUTIONS) for r in readers)

    def _is_plain(self, value):
        return value.factor() is not None

    def _known(self, value):
        """value, in terms of the tensor that was made of it where one was."""
        if value in self._scaled:
            return _plain(*self._scaled[value])
        return _plain(self._exact[value]) if value in self._exact else value

    def _sum(self, layer, inputs):
        """A sum of tensors, each times a number: theirs if it is one for all, else that of one no convolution makes."""
        factors = [v.factor() for v in inputs]
        factor = next((f for v, f in zip(inputs, factors, strict=True) if not _made_by_convolution(v)), factors[0])
        tensors = [self._times(v, 1 / factor, layer.name) for v in inputs]
        return _plain(graph.copy(layer, tensors), factor)

    def _times(self, value, factor, name):
        return self.exact(value.then(factor * np.eye(len(value.offset))), name)

    def scaled(self, value, name):
        """(tensor, number) whose product is value."""
        factor = value.factor()
        if factor is not None:
            return value.terms[0][0].deref(), factor
        if value not in self._scaled:
            if value in self._exact:
                return self._exact[value], 1.0
            # In terms of a tensor that no convolution makes, so that it may be taken as it is.
            natural = [
                number
                for x, a in value.terms
                if not isinstance(x, _Enlarged)
                and (number := _times_identity(a) or 0.0) > 0
                and not _made_by_convolution(_Linear(((x, a),), value.offset))
            ]
            factor = natural[0] if natural else 1.0
            made = self.exact(value, name) if factor == 1 else self._times(value, 1 / factor, name)
            self._scaled[value] = made, factor
        return self._scaled[value]

    def exact(self, value, name):
        """Tensor of value."""
        if value not in self._exact:
            self._exact[value] = self._make(self._known(value), name)
        return self._exact[value]

    def _make(self, value, name):
        offset, summands = value.offset, []
        order = sorted(value.terms, key=lambda term: _is_identity(*term))  # those that need a layer first
        for x, a in order:
            if _is_identity(x, a) and not offset.any():
                summands.append(x.deref())
            else:
                summands.append(self._emit(x, a, offset, name))
                offset = np.zeros_like(offset)
        total, *rest = summands
        for summand in rest:
            total = layers.Add(name=self._name(f"{name}.sum"))([total, summand])
        return total

    def _emit(self, x, matrix, offset, name):
        """Tensor of x @ matrix + offset, by a layer that computes nothing else."""
        if isinstance(x, _Enlarged):
            return self._enlarge(x, matrix, offset)
        x = x.deref()
        if is_diagonal(matrix) and len(matrix) > 3:
            layer = layers.DepthwiseConv2D(1, name=self._name(f"{name}.{AFFINE}"))
            return graph.with_weights(layer, x, [np.diag(matrix)[None, None, :, None], offset])
        layer = layers.Conv2D(matrix.shape[1], 1, name=self._name(f"{name}.{AFFINE}"))
        return graph.with_weights(layer, x, [matrix[None, None], offset])

    def _enlarge(self, enlarged, matrix, offset):
        taps, padding, stride, scale = _enlargement(enlarged.layer)
        name = self._name(enlarged.layer.name)
        x = enlarged.tensor.deref()
        key = ("padded", enlarged.tensor, padding)
        if key not in self._emitted:
            self._emitted[key] = MirrorPad(padding, name=f"{name}.pad")(x)
        kernel = np.einsum("ijp,co->ijcpo", taps, matrix).reshape(*taps.shape[:2], len(matrix), -1)
        conv = layers.Conv2D(kernel.shape[-1], taps.shape[:2], stride, name=f"{name}.conv")
        subpixels = graph.with_weights(conv, self._emitted[key], [kernel, np.tile(offset, scale**2)])
        return PixelShuffle(scale, name=name)(subpixels)

    def _normalize(self, layer, value):
        """Layer normalization of channels: centred and scaled by linear maps; the rest is a layer of its own."""
        channels = len(value.offset)
        assert list(layer.axis) == [3] if isinstance(layer.axis, list | tuple | tf.Variable) else layer.axis in (-1, 3)
        centred = self.exact(value.then(np.eye(channels) - 1 / channels), layer.name)
        gamma, beta, *_ = _normalization_weights(layer, channels)
        return _plain(PixelNorm(layer.epsilon, name=layer.name)(centred)).then(np.diag(gamma), beta)

    def _convolve(self, layer, weights, value, shuffle=1):
        """A convolution with the linear map of what it takes in its kernel."""
        kernel, bias = weights
        grouped = isinstance(layer, layers.DepthwiseConv2D) or layer.groups > 1
        if len(value.terms) != 1:
            value = _plain(*self.scaled(value, layer.name))
        ((x, matrix),), offset = value.terms, value.offset
        factor = value.factor()
        if factor is None and grouped:
            x, factor = self.exact(value, layer.name).ref(), 1.0
        elif factor is None:
            kernel = float64(kernel)
            total = np.einsum("c,hwco->hwo", offset, kernel)
            pads = int(layer.padding == "same" and max(layer.kernel_size) > 1 and offset.any())
            if not pads:
                bias = bias + total.sum((0, 1))
            if isinstance(x, _Enlarged) and len(offset) == 1 and matrix.sum():
                kernel, x = self._finely(x, matrix, kernel, total, pads)
            elif isinstance(x, _Enlarged) or pads:
                kernel = [np.einsum("tc,hwco->hwto", matrix, kernel), total[:, :, None] / BIAS_CHANNEL]
                kernel, x = np.concatenate(kernel[: 1 + pads], axis=2), self._with_one(x, pads, layer.name)
            else:
                kernel, x = np.einsum("tc,hwco->hwto", matrix, kernel), x.deref()
        else:
            kernel, x = float64(kernel) * factor, x.deref()
        result = graph.copy(layer, x, [kernel, bias])
        if shuffle > 1:
            result = PixelShuffle(shuffle, name=self._name(f"{layer.name}.shuffle"))(result)
        return _plain(result)

    def _finely(self, enlarged, matrix, kernel, total, one):
        """(kernel, tensor) of an enlarged image of one channel, luma, in COPIES that lie parts of a grey level apart.

        A network that sharpens makes much of its rounding; that of the copies' mean is a COPIES-th as large.
        """
        levels = matrix.sum()  # what a change by one grey level changes
        copies = np.repeat(matrix / levels, COPIES, axis=1)
        shifts = (np.arange(COPIES) - (COPIES - 1) / 2) / COPIES
        kernel = np.repeat(kernel * levels / COPIES, COPIES, axis=2)
        if one:
            kernel = np.concatenate([kernel, total[:, :, None] / BIAS_CHANNEL], axis=2)
            copies, shifts = np.pad(copies, [(0, 0), (0, 1)]), np.append(shifts, BIAS_CHANNEL)
        key = ("finely", enlarged, matrix.tobytes(), one)
        if key not in self._emitted:
            self._emitted[key] = self._enlarge(enlarged, copies, shifts)
        return kernel, self._emitted[key]

    def _with_one(self, x, one, name):
        """x, and a constant channel behind its own: zero beyond the border as what is padded with zeros is."""
        key = ("with one", x, one)
        if key not in self._emitted:
            channels = (x.tensor if isinstance(x, _Enlarged) else x).deref().shape[-1]
            matrix, offset = np.eye(channels, channels + one), BIAS_CHANNEL * np.eye(channels + one)[-1] * one
            if not isinstance(x, _Enlarged):
                layer = layers.Conv2D(channels + one, 1, name=self._name(f"{name}.{WITH_ONE}"))
                self._emitted[key] = graph.with_weights(layer, x.deref(), [matrix[None, None], offset])
            else:
                self._emitted[key] = self._enlarge(x, matrix, offset)
        return self._emitted[key]


def _times_identity(matrix):
    """The number that times the identity is the matrix; None where it is another."""
    if matrix.shape[0] != matrix.shape[1] or not (matrix == matrix[0, 0] * np.eye(len(matrix))).all():
        return None
    return matrix[0, 0]


def _is_identity(x, matrix):
    return (
        not isinstance(x, _Enlarged)
        and matrix.shape[0] == matrix.shape[1]
        and np.allclose(matrix, np.eye(len(matrix)), rtol=0, atol=1e-12)
    )


def _made_by_convolution(value):
    """Whether a convolution makes the value's only tensor, at any distance but the shuffling of its pixels."""
    layer = value.terms[0][0].deref()._keras_history.layer
    while isinstance(layer, PixelShuffle):
        (layer,) = graph.parents(layer)
    return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)


def _enlargement(layer):
    """(taps [k, k, scale^2], padding, stride, scale) of a layer that enlarges by fixed weights, or None."""
    if isinstance(layer, BicubicUpscale):
        return layer.kernel(1)[:, :, 0], layer.PADDING, 1, layer.scale
    if isinstance(layer, ThreeQuarters):
        return layer.kernel()[:, :, 0], layer.PADDING, 4, 3
    return None


def _normalization_weights(layer, channels):
    """Factor and summand of each channel, then what else a normalization has: float64 arrays."""
    weights = iter(map(float64, layer.get_weights()))
    gamma = next(weights) if layer.scale else np.ones(channels)
    beta = next(weights) if layer.center else np.zeros(channels)
    return gamma, beta, *weights


def _sub_pixel(layer):
    """Conv2D and its [kernel, bias], whose pixels shuffled are what a transposed convolution gives (Shi et al. 2016,
    arXiv 1609.07009): LR pixel i adds its t-th tap to HR pixel i * stride + t - padding.
    """
    kernel, bias = layer.get_weights()
    size, stride, cropping = kernel.shape[0], layer.strides[0], _cropping(layer)
    same = layer.padding == "same" or cropping is not None
    if not same or layer.kernel_size != (size, size) or layer.strides != (stride, stride):
        raise UserError(
            f"{layer.name}: a transposed convolution must be square, and give stride times the size that it takes "
            f"(padding 'same', or 'valid' and Cropping2D); this has kernel {layer.kernel_size}, strides "
            f"{layer.strides}, padding {layer.padding!r}"
        )
    before = cropping.cropping[0][0] if cropping else max(size - stride, 0) // 2
    reach = max((stride - 1 + before) // stride, (size - 1 - before) // stride)
    taps = np.zeros([2 * reach + 1] * 2 + [layer.input_shape[-1], stride, stride, layer.filters])
    places = [(phase, shift) for phase in range(stride) for shift in range(-reach, reach + 1)]
    for row, down in places:
        for column, right in places:
            y, x = row + before - stride * down, column + before - stride * right
            if 0 <= y < size and 0 <= x < size:
                taps[down + reach, right + reach, :, row, column] = kernel[y, x].T
    conv = layers.Conv2D(stride**2 * layer.filters, 2 * reach + 1, padding="same", name=layer.name)
    return conv, [taps.reshape(*taps.shape[:3], -1), np.tile(bias, stride**2)]


def _cropping(layer):
    """The Cropping2D that leaves stride times the input's size of a transposed convolution without padding, or None."""
    cropping = graph.only_reader(layer)
    if not isinstance(layer, layers.Conv2DTranspose) or not isinstance(cropping, layers.Cropping2D):
        return None
    rows, columns = cropping.cropping
    fits = layer.padding == "valid" and rows == columns and sum(rows) == layer.kernel_size[0] - layer.strides[0]
    return cropping if fits else None


def _is_weighting(layer):
    """Whether a convolution gives an image, pixel by pixel, as a weighted sum."""
    return layer.kernel_size == layer.strides == (1, 1) and layer.filters <= 3 and layer.groups == 1
