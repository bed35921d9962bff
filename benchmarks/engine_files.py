"""Model files: a Keras network in the formats that LiteRT and other engines read.

Each tool that writes one is an optional extra (benchmarks/requirements.txt), and is imported where it is used.
"""

import dataclasses
import functools
import pathlib

import numpy as np
import tf_keras as keras

from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.sources import folders
from keras_rfdn.evaluation import scoring
from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import VARIANTS, ModelConfig
from keras_rfdn.tflite.conversion import converter
from keras_rfdn.tflite.inspection import machine
from keras_rfdn.tflite.quantization import calibration
from keras_rfdn.tflite.quantization.folding import fold_value_range
from keras_rfdn.upscaling.keras_upscalers import to_pixels
from keras_rfdn.upscaling.tiling import tiled


@dataclasses.dataclass(frozen=True)
class Exporter:
    """A Keras network at one image size, and the files that are made of it, each when it is first asked for."""

    folder: pathlib.Path  # where files go
    model: keras.Model  # from models.build
    config: ModelConfig
    height: int  # LR pixels
    width: int
    images: tuple[np.ndarray, ...]  # uint8 RGB [height, width, 3], to calibrate int8 on

    @functools.cached_property
    def folded(self):
        """Keras model of fixed size, without Rescaling layers."""
        return fold_value_range(self.model, height=self.height, width=self.width)

    @functools.cached_property
    def torch(self):
        """(PyTorch module, example input)."""
        import torch

        from benchmarks import to_torch

        return to_torch.TorchNetwork(self.folded).eval(), torch.zeros(1, 3, self.height, self.width)

    @functools.cached_property
    def traced(self):
        """Path of a TorchScript file."""
        import torch

        path = self.folder / "network.pt"
        torch.jit.trace(*self.torch).save(path)
        return path

    @functools.cached_property
    def onnx(self):
        """Path of an ONNX file in float32."""
        import torch

        path = self.folder / "network.onnx"
        # Not by dynamo, which needs another package and gives the same graph.
        torch.onnx.export(*self.torch, path, dynamo=False, input_names=["lr"], output_names=["sr"])
        return path

    @property
    def multiply_adds(self):
        """Of all convolutions."""
        return complexity.count(self.folded).convolution_multiply_adds

    @property
    def sr_size(self):
        """(height, width) of the output."""
        return self.height * self.config.scale, self.width * self.config.scale

    def upscale(self, lr):
        """Keras' own result: uint8 RGB [height, width, 3] -> float32 grey levels, neither rounded nor clipped."""
        return self.folded(lr[None].astype(np.float32))[0].numpy()

    def score(self, upscale, data):
        """scoring.Score of an upscaler of this size to float grey levels, on a folder of HR images, cut or padded."""
        size, scale = (self.height, self.width), self.config.scale
        pairs = folders.find_pairs(data, scale)
        return scoring.mean(scoring.evaluate(tiled(to_pixels(upscale), scale, size), pairs, scale).values())


def open_exporter(weights, folder, *, height, width, calibration_folder=None, calibration_images=8):
    """(weight file, its Exporter for LR images of height x width), from weights as checkpoint.resolve takes them.

    folder: for the files. calibration_folder: HR images to calibrate int8 on, or None for data.sample's.
    calibration_images: how many mosaics of their patches, of the network's size; every engine gets the same.
    """
    path = checkpoint.resolve(weights)
    model, config = checkpoint.load(path)
    pairs = calibration.source(calibration_folder, config.scale)
    images = tuple(calibration.mosaics(pairs, height, width, count=calibration_images))
    return path, Exporter(_make_folder(folder, "network"), model, config, height, width, images)


def reference_conv_network(exporter, folder):
    """Exporter of a network at the same image size that is all 3x3 convolutions of 64 channels.

    64 is a multiple of the tiles of every engine's kernels, which therefore run as fast as they can.
    """
    config = dataclasses.replace(VARIANTS["msrresnet"], num_blocks=2, network="chained")
    return dataclasses.replace(
        exporter, folder=_make_folder(folder, "reference"), model=models.build(config), config=config
    )


def _make_folder(parent, name):
    path = pathlib.Path(parent, name)
    path.mkdir()
    return path


def write_tflite(precision, exporter):
    """TFLite file of a precision: its path."""
    path = exporter.folder / f"{precision}.tflite"
    size = {"height": exporter.height, "width": exporter.width}
    images = exporter.images if precision in converter.CALIBRATED else ()
    path.write_bytes(converter.convert(exporter.model, precision, **size, images=images))
    return path


def _narrow_weights():
    """Whether int8 weights must do with 7 bits.

    On x86 without VNNI the kernels of ONNX Runtime and OpenVINO add two products in 16 bits, which 8 bits would
    overflow (both projects' documentation says so).
    """
    instructions = set(machine.machine()["instructions"])
    return "avx2" in instructions and not {"avx_vnni", "avx512_vnni"} & instructions


def write_onnx_int8(exporter):
    """ONNX file in int8, by ONNX Runtime's static quantization, per channel, calibrated on the same images."""
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        images = iter(exporter.images)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"lr": image.transpose(2, 0, 1)[None].astype(np.float32)}

    path = exporter.folder / "network_int8.onnx"
    quantization.quantize_static(
        exporter.onnx,
        path,
        Images(),
        per_channel=True,
        reduce_range=_narrow_weights(),
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return path


def write_openvino_int8(exporter):
    """OpenVINO file in int8, by its own tool, NNCF, calibrated on the same images."""
    import nncf
    import openvino

    images = [image.transpose(2, 0, 1)[None].astype(np.float32) for image in exporter.images]
    overflow = nncf.OverflowFix.ENABLE if _narrow_weights() else nncf.OverflowFix.DISABLE
    quantized = nncf.quantize(
        openvino.Core().read_model(exporter.onnx),
        nncf.Dataset(images),
        subset_size=len(images),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
    )
    path = exporter.folder / "network_int8.xml"
    openvino.save_model(quantized, path)
    return path


def write_ncnn(exporter):
    """ncnn files in float32: the path of the .param; the .bin lies beside it."""
    import pnnx

    pnnx.convert(str(exporter.traced), inputs=[exporter.torch[1]], fp16=False)  # writes beside the traced file
    return exporter.traced.with_suffix(".ncnn.param")


# Functions from an Exporter to the path of its file.
FORMATS = {
    "tflite float32": functools.partial(write_tflite, "float32"),
    "tflite int8": functools.partial(write_tflite, "int8"),
    "traced": lambda exporter: exporter.traced,
    "onnx": lambda exporter: exporter.onnx,
    "onnx int8": write_onnx_int8,
    "openvino int8": write_openvino_int8,
    "ncnn": write_ncnn,
}
