"""Formats of others' weight files: each a module with recognises(path, head) and read(path) -> {name: array}.

Arrays come as the file names and orders them. Nothing in a file is run, and no foreign framework is needed.
"""

import pathlib

import numpy as np

from keras_rfdn.checkpoints.formats import caffemodel, matlab, mxnet, ncnn, tf_graph, torch_state_dict
from keras_rfdn.data.system.errors import UserError

# Tried in this order.
FORMATS = {
    "PyTorch": torch_state_dict,
    "MATLAB": matlab,
    "TensorFlow": tf_graph,
    "MXNet": mxnet,
    "Caffe": caffemodel,
    "ncnn": ncnn,
}
HEAD = 512  # bytes of a file's beginning by which its format is told


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Weight file of another framework -> {name: array}, in the file's order.

    The format is told by the file's content. Raises UserError for a file that is of none, or damaged.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"no file at {path}")
    with path.open("rb") as file:
        head = file.read(HEAD)
    for module in FORMATS.values():
        if module.recognises(path, head):
            return module.read(path)
    raise UserError(f"{path} is no weight file of a known format; those known are of {', '.join(FORMATS)}")
