"""A Keras network in the formats that other engines read, for tflite.peers.

Each tool that writes one is an optional extra (requirements-peers.txt), and is imported where it is used.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import scoring
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import ModelConfig
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import machine
from keras_rfdn.tflite.quantization import calibration, rewrite
from keras_rfdn.upscaling.tiling import fitted
from keras_rfdn.upscaling.upscalers import to_pixels


@dataclasses.dataclass(frozen=True)
class Network:
    """What engines' files are made of."""

    folder: pathlib.Path  # where they go
    model: object  # from models.build
    config: ModelConfig
    height: int
    width: int
    frames: tuple  # uint8 RGB [height, width, 3], to learn ranges from

    @functools.cached_property
    def folded(self):
        return rewrite.fold_value_range(self.model, self.config, height=self.height, width=self.width)

    @functools.cached_property
    def torch(self):
        """(PyTorch module, example input)."""
        import torch

        from benchmarks import to_torch

        return to_torch.Network(self.folded).eval(), torch.zeros(1, 3, self.height, self.width)

    @functools.cached_property
    def traced(self):
        import torch

        path = self.folder / "network.pt"
        torch.jit.trace(*self.torch).save(path)
        return path

    @functools.cached_property
    def onnx(self):
        import torch

        path = self.folder / "network.onnx"
        # Not by dynamo, which needs another package and gives the same graph.
        torch.onnx.export(*self.torch, path, dynamo=False, input_names=["lr"], output_names=["sr"])
        return path

    @property
    def multiply_adds(self):
        return complexity.count(self.folded).convolution_multiply_adds

    @property
    def sr_size(self):
        """(height, width) of the output."""
        return self.height * self.config.scale, self.width * self.config.scale

    def upscale(self, lr):
        """Keras' own: uint8 RGB [height, width, 3] -> float32, neither rounded nor clipped."""
        return self.folded(lr[None].astype(np.float32))[0].numpy()

    def score(self, upscale, data):
        """evaluate.Score of another such upscaler on a folder of HR images, which are cut or padded to its size."""
        size, scale = (self.height, self.width), self.config.scale
        pairs = folders.find_pairs(data, scale)
        return scoring.mean(scoring.evaluate(fitted(to_pixels(upscale), size, size), pairs, scale).values())


def open_network(weights, folder, *, height, width, calibration_folder=None, calibration_frames=8):
    """(weight file, its Network for LR images of height x width), from weights as --weights takes them.

    folder: for the files. calibration_folder: HR images to learn int8's ranges from, or None for data.sample's.
    """
    path = checkpoint.resolve(weights)
    model, config = checkpoint.load(path)
    pairs = calibration.source(calibration_folder, config.scale)
    frames = tuple(calibration.frames(pairs, height, width, count=calibration_frames))
    return path, Network(_made(folder, "network"), model, config, height, width, frames)


def dense(network, folder):
    """A Network of the same size that is all 3x3 convolutions of 64 channels, a multiple of every engine's tiles."""
    config = ModelConfig("residual", channels=64, num_blocks=2, distillation=0, activation="relu", network="chained")
    return dataclasses.replace(network, folder=_made(folder, "dense"), model=models.build(config), config=config)


def _made(folder, name):
    path = pathlib.Path(folder, name)
    path.mkdir()
    return path


def tflite(precision, network):
    path = network.folder / f"{precision}.tflite"
    size = {"height": network.height, "width": network.width}
    path.write_bytes(converter.convert(network.model, network.config, precision, **size, frames=network.frames))
    return path


def _narrow_weights():
    """Whether int8 weights must do with 7 bits.

    On x86 without VNNI the kernels of ONNX Runtime and OpenVINO add two products in 16 bits, which 8 bits would
    overflow (both projects' documentation says so).
    """
    instructions = set(machine.machine()["instructions"])
    return "avx2" in instructions and not {"avx_vnni", "avx512_vnni"} & instructions


def onnx_int8(network):
    """Static quantization by ONNX Runtime's own tool, per channel, with the ranges of the same frames."""
    from onnxruntime import quantization

    class Frames(quantization.CalibrationDataReader):
        frames = iter(network.frames)

        def get_next(self):
            frame = next(self.frames, None)
            return None if frame is None else {"lr": frame.transpose(2, 0, 1)[None].astype(np.float32)}

    path = network.folder / "network_int8.onnx"
    quantization.quantize_static(
        network.onnx,
        path,
        Frames(),
        per_channel=True,
        reduce_range=_narrow_weights(),
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return path


def openvino_int8(network):
    """Quantization by OpenVINO's own tool, NNCF, with the ranges of the same frames."""
    import nncf
    import openvino

    frames = [frame.transpose(2, 0, 1)[None].astype(np.float32) for frame in network.frames]
    overflow = nncf.OverflowFix.ENABLE if _narrow_weights() else nncf.OverflowFix.DISABLE
    quantized = nncf.quantize(
        openvino.Core().read_model(network.onnx),
        nncf.Dataset(frames),
        subset_size=len(frames),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
    )
    path = network.folder / "network_int8.xml"
    openvino.save_model(quantized, path)
    return path


def ncnn(network):
    import pnnx

    pnnx.convert(str(network.traced), inputs=[network.torch[1]], fp16=False)  # writes beside the traced file
    return network.traced.with_suffix(".ncnn.param")


# Functions from a Network to the path of its file.
FORMATS = {
    "tflite float32": functools.partial(tflite, "float32"),
    "tflite int8": functools.partial(tflite, "int8"),
    "traced": lambda network: network.traced,
    "onnx": lambda network: network.onnx,
    "onnx int8": onnx_int8,
    "openvino int8": openvino_int8,
    "ncnn": ncnn,
}
