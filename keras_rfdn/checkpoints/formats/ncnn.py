"""ncnn's networks in NumPy: a text of layers (.param), and beside it their weights (.bin). Either file is taken."""

import pathlib

import numpy as np

from keras_rfdn.data.system.errors import UserError

MAGIC = b"7767517"
FLOAT32, FLOAT16 = 0, 0x01306B47  # marks before a kernel's numbers
# Layers with weights. What else has some is found by what is left of the file.
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise")


def recognises(path, head):
    """Whether a file is a .param, or a .bin beside one."""
    if head.startswith(MAGIC):
        return True
    text, _ = _pair(path)
    if path == text or not text.is_file():
        return False
    with text.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path):
    """Path of either file -> {"LAYER.weight": [out, in, h, w], "LAYER.bias": [out]} of all convolutions, float32.

    Raises UserError for a damaged file, for one alone, and for layers or numbers of other kinds.
    """
    text, binary = _pair(path)
    for file in (text, binary):
        if not file.is_file():
            raise UserError(f"ncnn keeps a network in two files: need {file} beside {path}")
    try:
        layers = [line.split() for line in text.read_text().splitlines()[2:] if line.strip()]
        return _weights(layers, binary.read_bytes())
    except Exception as error:  # whatever a damaged file leads to
        raise UserError(f"{text} and {binary.name} are not a network as ncnn writes it ({error})") from error


def _pair(path):
    """Paths of .param and .bin."""
    return tuple(pathlib.Path(path).with_suffix(suffix) for suffix in (".param", ".bin"))


def _weights(layers, content):
    arrays, offset = {}, 0

    def take(dtype, elements):
        nonlocal offset
        array = np.frombuffer(content, dtype, elements, offset)
        offset += -(-array.nbytes // 4) * 4  # padded to whole words
        return array.astype(np.float32)

    for kind, name, inputs, outputs, *words in layers:
        if kind not in CONVOLUTIONS:
            continue
        # After the names of what goes in and out, options by number: 0 filters, 1 and 11 width and height of the
        # kernel, 5 whether there is a bias, 6 the kernel's elements.
        options = dict(word.split("=") for word in words[int(inputs) + int(outputs) :])
        filters, width, elements = (int(options[key]) for key in ("0", "1", "6"))
        height = int(options.get("11", width))
        mark = int(np.frombuffer(content, "<u4", 1, offset)[0])
        if mark not in (FLOAT32, FLOAT16):
            raise ValueError(f"need numbers of 32 or 16 bits, got mark {mark:#x} at {name}")
        offset += 4
        kernel = take("<f4" if mark == FLOAT32 else "<f2", elements)
        arrays[f"{name}.weight"] = kernel.reshape(filters, -1, height, width)
        if int(options.get("5", 0)):
            arrays[f"{name}.bias"] = take("<f4", filters)
    if offset != len(content):
        raise ValueError(f"its convolutions' weights take {offset} bytes of {len(content)}")
    return arrays
