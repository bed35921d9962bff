"""The kit against a stand-in for adb, which runs here what it should run on a phone, and one for benchmark_model.

Both speak as the real ones: adb as in Android's platform tools 35, benchmark_model as in tflite/tools/benchmark.
"""
# ruff: noqa: E501  (lines of other programs are as long as they are)

import dataclasses
import os
import re
import sys

import numpy as np
import pytest

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.tflite import adb
from keras_rfdn.tflite.inspection import android
from keras_rfdn.upscaling import reshaping

ADB = """#!{python}
import os, pathlib, shutil, subprocess, sys
words, phone = sys.argv[1:], pathlib.Path(os.environ["PHONE"])
serials = dict(line.split("\\t") for line in (phone / "devices").read_text().splitlines())
if words == ["devices"]:
    print("* daemon not running; starting now at tcp:5037", file=sys.stderr)
    print("* daemon started successfully", file=sys.stderr)
    print("List of devices attached", *(f"{{s}}\\t{{state}}" for s, state in serials.items()), "", sep="\\n")
    sys.exit()
if words[0] == "-s":
    if words[1] not in serials:
        sys.exit(f"adb: device '{{words[1]}}' not found")
    words = words[2:]
elif len(serials) != 1:
    sys.exit("adb: more than one device/emulator" if serials else "adb: no devices/emulators found")
there = lambda path: str(phone) + path
if words[0] == "push":
    if not os.path.isdir(os.path.dirname(there(words[2]))):
        sys.exit(f"adb: error: failed to copy '{{words[1]}}' to '{{words[2]}}': remote couldn't create file: No such file or directory")
    shutil.copyfile(words[1], there(words[2]))  # without its mode
    print(f"{{words[1]}}: 1 file pushed, 0 skipped. 31.0 MB/s (172800 bytes in 0.005s)")
elif words[0] == "pull":
    if not os.path.exists(there(words[1])):
        sys.exit(f"adb: error: failed to stat remote object '{{words[1]}}': No such file or directory")
    shutil.copyfile(there(words[1]), words[2])
    print(f"{{words[1]}}: 1 file pulled, 0 skipped. 31.0 MB/s (172800 bytes in 0.005s)")
elif words[0] == "shell":  # the words are joined by blanks and go to the phone's shell
    line = " ".join(words[1:]).replace("/data/local/tmp", there("/data/local/tmp"))
    (phone / "lines").open("a").write(" ".join(words[1:]) + "\\n")
    done = subprocess.run(["sh", "-c", line], env={{**os.environ, "PATH": f"{{phone}}/bin:/usr/bin:/bin"}})
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)
else:
    sys.exit(f"adb: unknown command {{words[0]}}")
"""

GETPROP = """#!{python}
import sys
print({{
    "ro.product.manufacturer": "Google", "ro.product.model": "Pixel 8", "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "15", "ro.build.version.sdk": "35",
    "ro.soc.manufacturer": "Google", "ro.soc.model": "Tensor G3", "ro.board.platform": "zuma",
}}.get(sys.argv[1], ""))
"""

BENCHMARK_MODEL = """#!{python}
import os, statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
say = lambda text, file=sys.stdout: print(text, file=file, flush=True)
say("INFO: STARTING!")
flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
known = "graph num_threads input_layer input_layer_shape input_layer_value_files output_filepath".split()
if extra := flags.keys() - {{*known, "use_xnnpack", "use_gpu", "use_nnapi"}}:
    say(f"WARN: Unconsumed cmdline flags: {{sorted(extra)}}")
say("INFO: Log parameter values verbosely: [0]")
say(f"INFO: Num threads: [{{flags['num_threads']}}]")
say(f"INFO: Graph: [{{flags['graph']}}]")
if os.environ.get("MODE") == "crash":
    say("INFO: Loaded model " + flags["graph"])
    say("FATAL: The size of lr.raw is 1 bytes. It should be 2 bytes.", sys.stderr)
    os.abort()
interpreter = Interpreter(flags["graph"])
interpreter.allocate_tensors()
lr, sr = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
name, path = flags["input_layer_value_files"].split(":", 1)
assert name == flags["input_layer"]
assert flags["input_layer_shape"] == ",".join(map(str, lr["shape"]))
say(f"INFO: Loaded model {{flags['graph']}}")
say("INFO: Initialized TensorFlow Lite runtime.", sys.stderr)
say(f"WARN: Tensor # 0 is named {{lr['name']}} but flags call it {{name}}")
if os.environ.get("MODE") == "no gpu":
    say("ERROR: Failed to apply GPU delegate.", sys.stderr)
    say("ERROR: Benchmarking failed.", sys.stderr)
    sys.exit(1)
replacing = "VERBOSE: Replacing {{}} out of {{}} node(s) with delegate ({{}}) node, yielding {{}} partitions for subgraph 0 (main)."
if "use_gpu" in flags:
    say(replacing.format(50, 52, "TfLiteGpuDelegateV2", 3), sys.stderr)
    say(replacing.format(2, 3, "TfLiteXNNPackDelegate", 2), sys.stderr)
    say("INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 1 delegate kernels.")
elif "use_xnnpack" in flags:
    say(replacing.format(52, 52, "TfLiteXNNPackDelegate", 1), sys.stderr)
    say("INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.")
else:
    say("WARN: NNAPI acceleration is unsupported on this platform.")
say("INFO: The input model file size (MB): 0.5")
say("INFO: Initialized session in 37.1ms.")
interpreter.set_tensor(lr["index"], np.fromfile(path, lr["dtype"]).reshape(lr["shape"]))
interpreter.invoke()
say("INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.")
say("INFO: count=1 curr=99000 p5=99000 median=99000 p95=99000\\n")
say("INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.")
percentiles = "" if os.environ.get("MODE") == "old" else " p5=61000 median=62345 p95=70000"
say("INFO: count=50 first=61000 curr=62000 min=60500 max=80000 avg=63210.5 std=1500" + percentiles + "\\n")
say("INFO: Inference timings in us: Init: 37100, First inference: 99000, Warmup (avg): 99000, Inference (avg): 63210.5")
say("INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your discretion.")
say("INFO: Memory footprint delta from the start of the tool (MB): init=6.5 overall=9.25")
out = interpreter.get_tensor(sr["index"])
if "use_gpu" in flags:
    out[0, 0, 0] = np.where(out[0, 0, 0] < 128, out[0, 0, 0] + 3, out[0, 0, 0] - 3)  # three values
out.tofile(flags["output_filepath"])
"""

HEIGHT, WIDTH = 20, 30
VALUES = HEIGHT * 4 * WIDTH * 4 * 3


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A folder that stands for a phone, reached by an adb on the PATH; where the command runs has benchmark_model."""
    phone, here, path = (tmp_path / name for name in ("phone", "here", "path"))
    (phone / "data/local/tmp").mkdir(parents=True)
    script(phone / "bin/getprop", GETPROP)
    script(path / "adb", ADB)
    script(here / "android_aarch64_benchmark_model", BENCHMARK_MODEL)
    (phone / "devices").write_text("28091FDH200000\tdevice\n")
    monkeypatch.setenv("PHONE", str(phone))
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(here)
    return phone


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "rfdn-mobile-x4.tflite"
    path.write_bytes(reshaping.reshape(pretrained.int8("rfdn-mobile-x4").read_bytes(), HEIGHT, WIDTH))
    return str(path)


def run(model, **options):
    return adb.main(adb.AdbConfig(model, **options))


def test_main(model, phone, capsys):
    report = run(model)
    assert (report.run.largest, report.run.equal) == (0, 1)
    assert (report.delegated, report.operators, report.others) == (52, 52, {})
    assert report.run.log == android.Log({"TfLiteXNNPackDelegate": (52, 52)}, 99.0, 62.345, 63.2105, 50)
    runtime = rf"android_aarch64_benchmark_model, SHA-256 [0-9a-f]{{12}}, {android.THREADS} threads"
    assert re.fullmatch(runtime, report.runtime)
    assert capsys.readouterr().out.splitlines() == [
        model,
        "device      Google Pixel 8, Android 15 (API 35), Google Tensor G3, arm64-v8a",
        f"runtime     {report.runtime}",
        "operators   cpu took 52 of 52",
        "difference  at most 0 grey levels; 100.0000% of values equal",
        "latency     median 62.34 ms of 50 runs; the first, 99.00 ms, is left out",
    ]
    assert list((phone / "data/local/tmp").iterdir()) == []
    lines = (phone / "lines").read_text()
    assert f" --use_xnnpack=true --num_threads=4 --input_layer=lr --input_layer_shape=1,{HEIGHT},{WIDTH},3 " in lines


def test_gpu_that_differs_and_leaves_operators(model, phone, capsys):
    report = run(model, accelerator="gpu", serial="28091FDH200000")
    assert report.run.largest == 3
    assert report.run.equal == pytest.approx(1 - 3 / VALUES)
    printed = capsys.readouterr().out
    assert "gpu took 50 of 52; TfLiteXNNPackDelegate took 2 of 3\n" in printed
    assert f"at most 3 grey levels; {1 - 3 / VALUES:.4%} of values equal" in printed


def test_float_and_an_accelerator_that_takes_nothing(fixed_tflite, phone, monkeypatch, capsys):
    monkeypatch.setenv("MODE", "old")
    report = run(fixed_tflite, accelerator="npu")
    assert report.run.largest < 1e-3
    assert report.run.equal > 0.999
    assert (report.delegated, report.others) == (0, {})
    assert report.operators == android.golden(fixed_tflite).operators > 10
    assert "latency     mean 63.21 ms of 50 runs" in capsys.readouterr().out


def test_no_adb_or_benchmark_model(model, phone, monkeypatch, tmp_path):
    (tmp_path / "here/android_aarch64_benchmark_model").unlink()
    url = "tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/android_aarch64_benchmark_model"
    with pytest.raises(UserError, match=f"no file at android_aarch64_benchmark_model; .* https://.*/{url}$"):
        run(model)
    with pytest.raises(UserError, match="no file at other;"):
        run(model, binary="other")
    script(phone / "bin/getprop", "#!{python}\nprint('x86_64')\n")
    with pytest.raises(UserError, match="no ready benchmark_model for x86_64"):
        run(model)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match="adb isn't on the PATH; install"):
        run(model)


@pytest.mark.parametrize(
    ("devices", "serial", "message"),
    [
        ("", None, "adb finds no device; connect one"),
        ("a\tdevice\nemulator-5554\tdevice\n", None, "several devices, a, emulator-5554; say which by --serial"),
        ("a\tdevice\n", "b", "no device b, only a"),
        ("a\tunauthorized\n", None, "device a: unauthorized; unlock it"),
        ("a\tdevice\nb\toffline\n", "b", "device b: offline; unplug"),
        ("a\tno permissions (missing udev rules? user is in the plugdev group); see [http]\n", None, "device a: no permissions; on Linux"),
    ],
)  # fmt: skip
def test_device_that_cannot_be_used(model, phone, devices, serial, message):
    (phone / "devices").write_text(devices)
    with pytest.raises(UserError, match=message):
        run(model, serial=serial)


def test_run_that_fails(model, phone, monkeypatch):
    for mode, accelerator, message in [
        ("crash", "cpu", r"failed on 28091FDH200000 \(exit status 134\): FATAL: The size of lr.raw is 1 bytes"),
        ("no gpu", "gpu", r"\(exit status 1\): ERROR: Failed to apply GPU delegate"),
    ]:
        monkeypatch.setenv("MODE", mode)
        with pytest.raises(StoppedError, match=message):
            run(model, accelerator=accelerator)
        assert list((phone / "data/local/tmp").iterdir()) == []  # removed even so
    script(phone / "bin/mkdir", "#!/bin/sh\necho 'mkdir: Permission denied' >&2; exit 1\n")
    with pytest.raises(StoppedError, match=r"can't make /data/local/tmp/.*: mkdir: Permission denied"):
        run(model)


def test_open_size_is_refused_before_a_device_is_asked(open_tflite, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"has an open size; fix it: python tflite/reshape\.py"):
        run(open_tflite)


def test_decoding_of_int16():
    golden = android.Golden(1, (1, 1, 1, 3), b"", np.zeros((1, 1, 3), np.float32), np.dtype(np.int16), 1 / 128, 0)
    content = np.array([0, 128, 255 * 128], np.int16).tobytes()
    assert golden.decode(content).tolist() == [[[0, 1, 255]]]
    assert dataclasses.replace(golden, zero_point=128).decode(content).tolist() == [[[-1, 0, 254]]]


def test_log_without_timings():
    with pytest.raises(ValueError, match="no timings"):
        android.parse("INFO: STARTING!\n")
