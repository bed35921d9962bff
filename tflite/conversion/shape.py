"""Input shape of a .tflite file, as a flag says it and as a file's name shows it."""

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks.config import SMALLEST_INPUT


def parse_shape(shape: str) -> tuple[int | None, int | None]:
    """Height and width in LR pixels: "1,180,320,3" -> (180, 320); "dynamic" -> (None, None). Raises UserError."""
    if shape == "dynamic":
        return None, None
    try:
        batch, height, width, channels = (int(size) for size in shape.split(","))
    except ValueError:
        batch = None
    if batch != 1 or channels != 3 or min(height, width) < SMALLEST_INPUT:
        raise UserError(
            f"the shape must be dynamic or 1,HEIGHT,WIDTH,3 in LR pixels, {SMALLEST_INPUT} or more each, got {shape}"
        )
    return height, width


def check_open_size(height: int | None, model) -> None:
    """Raise UserError for a file of open size (height None) of a Keras model that resizes inside, as ESA does.

    The resize's size would be worked out in the graph, for which LiteRT 2.3's CompiledModel gives too small a buffer
    and crashes.
    """
    resizing = [layer.name for layer in model.submodules if type(layer).__name__ == "ResizeLike"]
    if height is None and resizing:
        raise UserError(
            f"{model.name} resizes inside ({resizing[0]}; ESA does), and with an open size LiteRT's CompiledModel "
            f"crashes; fix a shape, and make others of that file by tflite/reshape.py"
        )


def shape_suffix(height: int | None, width: int | None) -> str:
    """End of a file's name: "_180x320", or "_dynamic"."""
    return "_dynamic" if height is None else f"_{height}x{width}"
