"""The C program gives the bytes that Python gives, and refuses what does not fit."""

import shutil
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.upscaling import reshaping

HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def program(root, tmp_path_factory):
    """The program, built by its Makefile, with warnings as errors."""
    return build(root, tmp_path_factory.mktemp("c"), "-O2 -Wall -Wextra -Wpedantic -Werror")


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A shipped int8 network with ESA, for images of one size."""
    path = tmp_path_factory.mktemp("fixed") / "e-rfdn-x4.tflite"
    path.write_bytes(reshaping.reshape(pretrained.int8("e-rfdn-x4").read_bytes(), HEIGHT, WIDTH))
    return path


@pytest.fixture
def lr(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def build(root, folder, flags):
    for tool in ("make", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    shutil.copytree(root / "examples" / "c", folder, dirs_exist_ok=True)
    subprocess.run(["make", "-B", "-C", folder, f"PYTHON={sys.executable}", f"CFLAGS={flags}"], check=True)
    return folder / "upscale"


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120)


def by_interpreter(model, lr):
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], lr[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def by_compiled_model(model, lr, scale):
    compiled = CompiledModel.from_file(str(model))
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    inputs[0].write(lr)
    compiled.run_by_index(0, inputs, outputs)
    shape = lr.shape[0] * scale, lr.shape[1] * scale, 3
    return outputs[0].read(int(np.prod(shape)), np.uint8).reshape(shape)


def test_bytes_equal_those_of_python(program, fixed, lr, tmp_path):
    Image.fromarray(lr).save(tmp_path / "in.ppm")
    result = run(program, fixed, tmp_path / "in.ppm", tmp_path / "out.ppm")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("40x24 to 160x96 in ")
    assert result.stdout.endswith(" ms\n")
    sr = np.asarray(Image.open(tmp_path / "out.ppm"))
    np.testing.assert_array_equal(sr, by_interpreter(fixed, lr))
    np.testing.assert_array_equal(sr, by_compiled_model(fixed, lr, 4))
    assert len(np.unique(sr)) > 200


def test_header_with_comments(program, fixed, lr, tmp_path):
    (tmp_path / "in.ppm").write_bytes(b"P6 # a comment\n#another\n40\t24 # size\n255\n" + lr.tobytes())
    assert run(program, fixed, tmp_path / "in.ppm", tmp_path / "out.ppm").returncode == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.ppm")), by_interpreter(fixed, lr))


def test_refuses_in_one_line_and_writes_nothing(program, fixed, lr, fixed_tflite, tmp_path):
    source, target = tmp_path / "in.ppm", tmp_path / "out.ppm"
    header = b"P6\n40 24\n255\n"
    for content, message in [
        (b"P5\n40 24\n255\n" + lr.tobytes(), "no binary PPM"),
        (b"P6\n40 24\n65535\n" + lr.tobytes(), "the largest value 255"),
        (b"P6\n-40 24\n255\n" + lr.tobytes(), "needs a size"),
        (b"P6\n99999999999 24\n255\n" + lr.tobytes(), "needs a size"),
        (header + lr.tobytes()[:-1], "is cut short: 40x24 pixels take 2880 bytes"),
        (b"P6\n24 40\n255\n" + lr.tobytes(), f"{fixed} takes images of 40x24 (width x height), {source} has 24x40"),
    ]:
        source.write_bytes(content)
        refused(run(program, fixed, source, target), message)
    refused(run(program, fixed, tmp_path / "none.ppm", target), "can't open")
    source.write_bytes(header + lr.tobytes())
    refused(run(program, fixed_tflite, source, target), "must take and give uint8 [1, height, width, 3]")
    refused(run(program, tmp_path / "none.tflite", source, target), "LiteRtCreateModelFromFile failed with")
    refused(run(program, source, source, target), "LiteRtCreateModelFromFile failed with")  # no model
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ppm"]
    refused(run(program, fixed, source, tmp_path / "no" / "out.ppm"), "can't write")
    assert run(program).returncode == 2


def test_names_what_fixes_an_open_size(program, fixed, lr, tmp_path):
    model = schema.ModelT.InitFromPackedBuf(fixed.read_bytes(), 0)
    graph = model.subgraphs[0]
    for index in (*graph.inputs, *graph.outputs):
        graph.tensors[index].shapeSignature = [1, -1, -1, 3]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "open.tflite").write_bytes(bytes(builder.Output()))
    Image.fromarray(lr).save(tmp_path / "in.ppm")
    result = run(program, tmp_path / "open.tflite", tmp_path / "in.ppm", tmp_path / "out.ppm")
    refused(result, "has an open size; fix it: python tflite/reshape.py MODEL.tflite 1,24,40,3 OUT.tflite")


def refused(result, message):
    assert result.returncode == 1
    own = [line for line in result.stderr.splitlines() if line.startswith("upscale: ")]  # LiteRT has lines of its own
    assert len(own) == 1
    assert message in own[0]


def test_frees_what_it_takes(root, fixed, lr, tmp_path):
    """Address sanitizer: no leak and no wrong access, after success and after an error."""
    program = build(root, tmp_path / "c", "-O1 -g -fsanitize=address,undefined")
    source = tmp_path / "in.ppm"
    Image.fromarray(lr).save(source)
    good = run(program, fixed, source, tmp_path / "out.ppm")
    assert good.returncode == 0, good.stderr
    Image.fromarray(lr[1:]).save(source)
    refused(run(program, fixed, source, tmp_path / "out.ppm"), "takes images of 40x24")


def test_is_also_cpp(root):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    source = root / "examples" / "c" / "upscale.c"
    result = run("g++", "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source)
    assert result.returncode == 0, result.stderr
