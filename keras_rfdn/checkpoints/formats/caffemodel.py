"""Caffe's weight files (.caffemodel) in NumPy: the layers' names and blobs of a NetParameter, a message of protobuf."""

import functools

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keras_rfdn.data.system.errors import UserError

# The fields of Caffe's messages that are needed: (name, number, type), a message's name being its type there. All are
# repeated or optional. Those of caffe.proto, but in a package of our own: Caffe's may be loaded beside it.
MESSAGES = {
    "BlobShape": [("dim", 1, "int64*")],
    "BlobProto": [
        ("num", 1, "int32"),
        ("channels", 2, "int32"),
        ("height", 3, "int32"),
        ("width", 4, "int32"),
        ("data", 5, "float*"),
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "double*"),
    ],
    "ConvolutionParameter": [("stride", 6, "uint32*")],
    "LayerParameter": [
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("blobs", 7, "BlobProto*"),
        ("convolution_param", 106, "ConvolutionParameter"),
    ],
    "NetParameter": [("name", 1, "string"), ("layer", 100, "LayerParameter*")],
}
LAYER_TAG = b"\xa2\x06"  # field 100, of a length that follows


def recognises(path, head):
    """Whether a file begins as a NetParameter: with layers, after the network's name if it has one."""
    if head.startswith(b"\n"):
        head = head[2 + head[1] :] if len(head) > 1 else b""
    return head.startswith(LAYER_TAG)


def read(path):
    """Path -> {"LAYER.0": array, ...} of all layers' blobs: a convolution's kernel [out, in, h, w], then its bias.

    BatchNorm's first two, mean and variance, come divided by its third, the weight of its running sums, which is left
    out. The stride of a transposed convolution, which no shape tells, is the name of an empty array, "LAYER.stride=2".
    Raises UserError for a damaged file.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        network = _messages()["NetParameter"].FromString(content)
        return {f"{layer.name}.{key}": array for layer in network.layer for key, array in _arrays(layer)}
    except Exception as error:  # whatever the parser met
        raise UserError(f"{path} is not a network as Caffe writes it ({error})") from error


def _arrays(layer):
    """(key, array) of what is read of a layer."""
    blobs = [_array(blob) for blob in layer.blobs]
    if layer.type == "BatchNorm":
        *blobs, weight = blobs
        blobs = [blob / weight if weight else blob for blob in blobs]
    yield from enumerate(blobs)
    if layer.type == "Deconvolution":
        yield f"stride={layer.convolution_param.stride[0]}", np.zeros(0, np.float32)


def _array(blob):
    numbers = np.array(blob.data or blob.double_data, np.float32)
    return numbers.reshape(blob.shape.dim if blob.HasField("shape") else _legacy_shape(blob))


def _legacy_shape(blob):
    """Shape of four axes, as before Caffe had others."""
    return blob.num, blob.channels, blob.height, blob.width


@functools.cache
def _messages():
    """{name: message class} of MESSAGES, made at run time."""
    package = "keras_rfdn.caffe"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for message, fields in MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = descriptor.field.add(name=name, number=number)
            repeated, kind = kind.endswith("*"), kind.removesuffix("*")
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in MESSAGES:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = field.Type.Value(f"TYPE_{kind.upper()}")
                field.options.packed = kind != "uint32" and repeated
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in MESSAGES}
