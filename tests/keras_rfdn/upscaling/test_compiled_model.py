"""CompiledModel, the API that LiteRT recommends, beside the Interpreter that this package uses: the same bytes."""

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import litert, reshaping

LR = sample.dead_leaves(320, seed=8)


def compiled(content, lr):
    """uint8 RGB [h, w, 3] -> what CompiledModel makes of it on the CPU, by the signature's names."""
    model = CompiledModel.from_buffer(content)
    (signature,) = model.get_signature_list()
    lr_buffer = model.create_input_buffer_by_name(signature, "lr")
    sr_buffer = model.create_output_buffer_by_name(signature, "sr")
    lr_buffer.write(lr[None])
    model.run_by_name(signature, {"lr": lr_buffer}, {"sr": sr_buffer})
    shape = model.get_output_tensor_details(signature)["sr"]["shape"]
    return np.asarray(sr_buffer.read(int(np.prod(shape)), np.uint8)).reshape(shape)[0]


@pytest.mark.parametrize("name", pretrained.names())
def test_shipped_and_reshaped_files_give_the_same_bytes(name):
    content = pretrained.int8(name).read_bytes()
    assert litert.Model(content).input_shape == (1, 180, 320, 3)
    files = {(180, 320): content}
    files |= {size: reshaping.reshape(content, *size) for size in [(15, 15), (33, 70), (320, 40)]}
    for (height, width), file in files.items():
        lr = LR[:height, :width]
        np.testing.assert_array_equal(compiled(file, lr), litert.Model(file).upscale(lr))


def test_the_signature_is_named(tmp_path):
    runner = Interpreter(str(pretrained.int8("rfdn-mobile-x2"))).get_signature_runner("upscale")
    sr = runner(lr=LR[None, :180])["sr"]
    np.testing.assert_array_equal(sr[0], litert.Model(pretrained.int8("rfdn-mobile-x2")).upscale(LR[:180]))
