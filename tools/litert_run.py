"""LiteRT in a process of its own, for what may crash or is for another processor: NumPy and LiteRT are all it needs.

    python tools/litert_run.py RUNTIME IMAGES.npy MODEL.tflite OUT.npy [MODEL2.tflite OUT2.npy ...]

RUNTIME: interpreter, compiled-cpu or compiled-gpu. IMAGES: uint8 [n, h, w, 3], of the size that the models take. Each
OUT gets what the network gave for them: [n, h * scale, w * scale, 3] of the output's own type, neither rounded nor
clipped. A line of JSON for each model says whether the accelerator took all of it ("accelerated").
"""

import json
import sys

import numpy as np


def with_interpreter(path, images):
    """Outputs of the classic API, one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"])[0])
    return outputs, True


def with_compiled_model(path, images, *, gpu):
    """Outputs of CompiledModel. gpu: what the GPU refuses runs on the CPU, and `accelerated` is False then."""
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator
    from ai_edge_litert.options import CpuOptions, Options

    hardware = HardwareAccelerator.GPU | HardwareAccelerator.CPU if gpu else HardwareAccelerator.CPU
    options = Options(hardware_accelerators=hardware, cpu_options=CpuOptions(num_threads=1))
    model = CompiledModel.from_file(path, options=options)
    signature = next(iter(model.get_signature_list()))
    (source,) = model.get_input_tensor_details(signature).values()
    (result,) = model.get_output_tensor_details(signature).values()
    source_dtype, dtype = (np.dtype(details["dtype"]) for details in (source, result))
    inputs, results = model.create_input_buffers(0), model.create_output_buffers(0)
    outputs = []
    for image in images:
        inputs[0].write(image[None].astype(source_dtype))
        model.run_by_index(0, inputs, results)
        flat = results[0].read(int(np.prod(result["shape"])), dtype)
        outputs.append(np.array(flat, dtype).reshape(result["shape"][1:]))
    return outputs, model.is_fully_accelerated()


def main(runtime, images, *files):
    images = np.load(images)
    for path, out in zip(files[::2], files[1::2], strict=True):
        if runtime == "interpreter":
            outputs, accelerated = with_interpreter(path, images)
        else:
            outputs, accelerated = with_compiled_model(path, images, gpu=runtime == "compiled-gpu")
        np.save(out, np.stack(outputs))
        print(json.dumps({"model": path, "accelerated": accelerated}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
