"""The writer against an independent reading of the format: flatbuffers' generic tables by metadata_schema.fbs."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types, table

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.tflite.conversion import file_metadata
from keras_rfdn.upscaling import litert, reshaping


class Table:
    """A flatbuffers table, read by slot."""

    def __init__(self, buffer, place):
        self.table = table.Table(buffer, place)

    @classmethod
    def root(cls, buffer):
        return cls(buffer, encode.Get(number_types.UOffsetTFlags.packer_type, buffer, 0))

    def _place(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"no field {slot}"
        return offset + self.table.Pos

    def text(self, slot):
        return self.table.String(self._place(slot)).decode()

    def byte(self, slot):
        return self.table.Get(number_types.Uint8Flags, self._place(slot))

    def child(self, slot):
        return Table(self.table.Bytes, self.table.Indirect(self._place(slot)))

    def children(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        start = self.table.Vector(offset)
        return [
            Table(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(self.table.VectorLen(offset))
        ]

    def floats(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        start = self.table.Vector(offset)
        return [self.table.Get(number_types.Float32Flags, start + 4 * i) for i in range(self.table.VectorLen(offset))]


def metadata_of(content):
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    return bytes(model.buffers[entry.buffer].data)


@pytest.mark.parametrize("name", pretrained.names())
def test_a_shipped_file_says_what_it_is(name):
    block = metadata_of(pretrained.int8(name).read_bytes())
    assert flatbuffers.util.BufferHasIdentifier(block, 0, b"M001")
    model = Table.root(block)
    scale = name[-1]
    assert (model.text(0), model.text(4), model.text(5)) == (
        f"{name[:-3]} x{scale}, int8", "keras-rfdn authors", "MIT",
    )  # fmt: skip
    assert model.text(1).startswith(f"Super-resolution: enlarges an RGB image {scale} times")
    (graph,) = model.children(3)
    for slot, tensor_name in ((2, "lr"), (3, "sr")):
        (image,) = graph.children(slot)
        assert image.text(0) == tensor_name
        content = image.child(3)
        assert content.byte(0) == 2  # ImageProperties
        assert content.child(1).byte(0) == 1  # RGB
        (unit,) = image.children(4)
        assert unit.byte(0) == 1  # NormalizationOptions
        assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0.0], [1.0])
        assert (image.child(5).floats(0), image.child(5).floats(1)) == ([255.0], [0.0])


def test_nothing_else_of_the_file_changes(open_tflite):
    with open(open_tflite, "rb") as file:
        content = reshaping.reshape(file.read(), 32, 40)
    once = file_metadata.add_metadata(content, name="n", description="d")
    twice = file_metadata.add_metadata(once, name="m", description="d")
    assert Table.root(metadata_of(twice)).text(0) == "m"
    lr = sample.dead_leaves(48, seed=1)[:32, :40]
    np.testing.assert_array_equal(litert.Model(twice).upscale(lr), litert.Model(content).upscale(lr))
    named = litert.Model(file_metadata.name_signature(twice))
    assert list(named._interpreter.get_signature_list()) == ["upscale"]
    assert Table.root(metadata_of(reshaping.reshape(twice, 20, 30))).text(0) == "m"
