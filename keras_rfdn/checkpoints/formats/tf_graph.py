"""TensorFlow's frozen graphs (.pb) in NumPy: the constants of a GraphDef. No operation of the graph is run."""

import math
import re

import tensorflow as tf

from keras_rfdn.data.system.errors import UserError

# The first node: its length in bytes, its name, and its operation, which begins with a capital.
FIRST_NODE = re.compile(rb"\n[\x80-\xff]*[\x00-\x7f]\n[\x01-\x7f][ -~]+\x12[\x01-\x7f][A-Z]", re.DOTALL)
MOST_NUMBERS = 2**27  # in all constants


def recognises(path, head):
    """Whether a file begins with a node, as a GraphDef in protobuf's binary form does."""
    return FIRST_NODE.match(head) is not None


def read(path):
    """Path -> {node: array} of the graph's constants, in the file's order. Raises UserError for a damaged file."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        graph = tf.compat.v1.GraphDef.FromString(content)
        tensors = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
        # One number may stand for all: without a limit a file of few bytes could fill the memory.
        if sum(abs(math.prod(dim.size for dim in t.tensor_shape.dim)) for t in tensors.values()) > MOST_NUMBERS:
            raise UserError(f"constants of more than {MOST_NUMBERS:,} numbers")
        return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
    except Exception as error:  # whatever the parser met, or a tensor without its numbers
        raise UserError(f"{path} is not a graph as TensorFlow writes it ({error})") from error
