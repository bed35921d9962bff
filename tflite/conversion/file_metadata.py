"""TFLite metadata and signature: what a .tflite file says of itself to those who load it on a device.

Metadata: https://ai.google.dev/edge/litert/models/metadata; the schema is metadata_schema.fbs of tflite-support, whose
writer needs an old Python. Android Studio and tflite-support's tools read it.
"""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

SIGNATURE, INPUT, OUTPUT = "upscale", "lr", "sr"
METADATA = "TFLITE_METADATA"
AUTHOR, LICENSE = "keras-rfdn authors", "MIT"
# Numbers of the schema's enumerations and unions.
RGB, IMAGE_PROPERTIES, NORMALIZATION = 1, 2, 1


def name_signature(content: bytes) -> bytes:
    """TFLite model with one input and output -> the same with the signature SIGNATURE from INPUT to OUTPUT."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = _tensor(INPUT, graph.inputs[0]), _tensor(OUTPUT, graph.outputs[0])
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def add_metadata(content: bytes, *, name: str, description: str, license: str = LICENSE) -> bytes:
    """TFLite model from RGB images to RGB images -> the same with metadata, in place of what it has.

    name and description: for people. The input and output are described as RGB images of 0 to 255 that need no
    normalization: mean 0 and standard deviation 1.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_metadata(name, description, license), np.uint8)
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [old for old in model.metadata or [] if old.name != METADATA.encode()] + [entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _tensor(name, index):
    tensor = schema.TensorMapT()
    tensor.name, tensor.tensorIndex = name, index
    return [tensor]


def _metadata(name, description, license):
    """ModelMetadata, the root table of metadata_schema.fbs."""
    builder = flatbuffers.Builder(1024)
    images = [_image(builder, INPUT, "image to enlarge"), _image(builder, OUTPUT, "enlarged image")]
    inputs, outputs = (_vector(builder, [image]) for image in images)
    graph = _table(builder, 9, {2: inputs, 3: outputs})  # input_tensor_metadata, output_tensor_metadata
    # name, description, subgraph_metadata, author, license
    texts = {0: name, 1: description, 4: AUTHOR, 5: license}
    fields = {slot: builder.CreateString(text) for slot, text in texts.items()}
    builder.Finish(_table(builder, 8, {**fields, 3: _vector(builder, [graph])}), b"M001")
    return bytes(builder.Output())


def _image(builder, name, description):
    """TensorMetadata of an RGB image of 0 to 255."""
    properties = _table(builder, 2, {}, numbers={0: RGB})  # ImageProperties.color_space
    content = _table(builder, 3, {1: properties}, numbers={0: IMAGE_PROPERTIES})
    mean, deviation = _floats(builder, 0.0), _floats(builder, 1.0)
    normalization = _table(builder, 2, {0: mean, 1: deviation})
    unit = _table(builder, 2, {1: normalization}, numbers={0: NORMALIZATION})
    greatest, least = _floats(builder, 255.0), _floats(builder, 0.0)
    statistics = _table(builder, 2, {0: greatest, 1: least})
    fields = {0: builder.CreateString(name), 1: builder.CreateString(description), 3: content}
    return _table(builder, 7, {**fields, 4: _vector(builder, [unit]), 5: statistics})


def _table(builder, slots, offsets, numbers=None):
    """A flatbuffers table: fields that are offsets, and fields of one byte, by their slots."""
    builder.StartObject(slots)
    for slot, number in (numbers or {}).items():
        builder.PrependUint8Slot(slot, number, 0)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return builder.EndObject()


def _vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder, value):
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return builder.EndVector()
