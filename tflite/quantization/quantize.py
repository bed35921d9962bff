"""Post-training quantization of a float network to int8, better than the converter's own.

Four steps, each of which leaves the float function what it was or nearly so: rewrite (fewer roundings, and no tie
between channels), equalize (channels at scales that one step per tensor stores well), take ranges, round kernels so
that errors cancel. The converter then finds every range in the graph and adds nothing of its own.
"""

import dataclasses

import tf_keras as keras

from keras_rfdn.tflite.quantization import equalization, fakequant, gptq, graph, ranges, rewrite


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A network with all that int8 needs to know of it. ranges, steps: see fakequant.quantized."""

    model: keras.Model
    ranges: dict
    steps: dict

    def network(self):
        """Function of float32 grey levels [n, h, w, 3] that gives what the int8 file gives."""
        return fakequant.quantized(self.model, self.ranges, self.steps)


def quantize(model, frames, *, exact_skip=False, twice=()):
    """Keras model without Rescaling layers (rewrite.fold_value_range), frames to learn from -> Quantized.

    frames: uint8 RGB [h, w, 3], some dozen patches of images of the kind that the network will see.
    exact_skip: see rewrite.unroll_skip; twice: names of convolutions for rewrite.store_twice, or rewrite.part_leaky
    where a LeakyReLU follows. Both are nearer to float, and slower by what they make convolutions larger.
    """
    frames = list(frames)
    model, twice = _before_steps(model, exact_skip, twice)
    model = equalization.equalized(model, ranges.observe(model, frames))
    seen = ranges.observe(model, frames)
    chosen = ranges.chosen(model, seen)
    if exact_skip:
        model = rewrite.fill_pixels(model, seen)
    if twice:
        steps = {name: (high - low) / 255 for name, (low, high) in chosen.items()}
        model = rewrite.store_twice(model, twice, steps)
    model, steps = gptq.rounded(model, frames)
    return Quantized(model, chosen, steps)


def rewritten(model, *, exact_skip=False, twice=()):
    """model as it is after the rewriting in quantize, which only weights tell from what quantize gives."""
    model, twice = _before_steps(model, exact_skip, twice)
    return rewrite.store_twice(model, twice) if twice else model


def _before_steps(model, exact_skip, twice):
    """model rewritten as far as no steps are needed, and the names left for rewrite.store_twice."""
    model = rewrite.fold_residuals(model)
    if exact_skip:
        model = rewrite.unroll_skip(model)
    parted = rewrite.leaky_behind(model, twice)
    if parted:
        model = rewrite.part_leaky(model, parted)
    return model, tuple(name for name in twice if name not in parted)


def plain(model, frames):
    """As quantize, but what the converter does by default: least and largest values, kernels rounded to nearest.

    Only the output has the range of pixels, as output_range.pixels_out makes it.
    """
    chosen = ranges.chosen(model, ranges.observe(model, frames), saturate=False)
    steps = {layer.name: fakequant.kernel_steps(layer.get_weights()[0]) for layer in graph.convolutions(model)}
    return Quantized(model, chosen, steps)
