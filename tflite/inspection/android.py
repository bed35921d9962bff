"""Android over adb: a .tflite file run on a phone by TensorFlow Lite's benchmark_model, compared with LiteRT here.

benchmark_model is the one ready tool that takes input from a file and writes its output to one; LiteRT's run_model and
benchmark_litert_model do not (read in google-ai-edge/LiteRT at f677904, 2026-08-21). It has XNNPACK, the GPU delegate
of TensorFlow Lite and NNAPI. The format of what it prints is that of tflite/tools/benchmark and tflite/core/subgraph.cc
there.
"""

import dataclasses
import hashlib
import pathlib
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.upscaling import litert

PLATFORM_TOOLS = "https://developer.android.com/tools/releases/platform-tools"
NIGHTLY = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
BINARIES = {"arm64-v8a": "android_aarch64_benchmark_model", "armeabi-v7a": "android_arm_benchmark_model"}  # by ABI
# Flag of benchmark_model and what its log calls the delegate.
ACCELERATORS = {
    "cpu": ("use_xnnpack", "TfLiteXNNPackDelegate"),
    "gpu": ("use_gpu", "TfLiteGpuDelegateV2"),
    "npu": ("use_nnapi", "TfLiteNnapiDelegate"),
}
THREADS = 4  # as many as a phone has large cores
STATES = {
    "unauthorized": "unlock it and accept this computer's key on its screen",
    "offline": "unplug it and plug it in again, or restart adb: adb kill-server",
    "no permissions": "on Linux the user must be in the group plugdev, with udev rules for Android installed",
}
COPY_SECONDS, RUN_SECONDS = 120, 600


@dataclasses.dataclass(frozen=True)
class Device:
    """A device that adb reaches and that lets itself be used. Get one by find."""

    serial: str

    def property(self, *names: str) -> str:
        """First of some Android properties that is set; "unknown" where none is. Raises StoppedError without access."""
        for name in names:
            done = self.shell("getprop", name, seconds=COPY_SECONDS)
            if done.returncode:
                raise StoppedError(f"adb shell getprop {name} failed: {_last_line(done)}")
            if value := done.stdout.strip():
                return value
        return "unknown"

    def shell(self, *words: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess:
        """Run a command there. Its exit status may be any; Android before 7 always gives 0."""
        return _adb("-s", self.serial, "shell", shlex.join(words), seconds=seconds)

    def push(self, source: pathlib.Path, target: str) -> None:
        """Copy a file to the device. Raises StoppedError where that fails."""
        self._copy("push", str(source), target)

    def pull(self, source: str, target: pathlib.Path) -> None:
        """Copy a file from the device. Raises StoppedError where that fails."""
        self._copy("pull", source, str(target))

    def _copy(self, *words):
        done = _adb("-s", self.serial, *words, seconds=COPY_SECONDS)
        if done.returncode:
            raise StoppedError(f"adb {shlex.join(words)} failed: {_last_line(done)}")


def find(serial: str | None = None) -> Device:
    """The device of a serial number, or the only one. Raises UserError where there is none, several or no access."""
    done = _adb("devices", seconds=COPY_SECONDS)
    if done.returncode:
        raise StoppedError(f"adb devices failed: {_last_line(done)}")
    lines = done.stdout.partition("List of devices attached")[2].splitlines()
    states = dict(re.split(r"\s+", line, maxsplit=1) for line in lines if re.search(r"\S\s+\S", line))
    if not states:
        raise UserError("adb finds no device; connect one by USB and switch on USB debugging in its developer options")
    if serial is None and len(states) > 1:
        raise UserError(f"adb finds several devices, {', '.join(states)}; say which by --serial")
    serial = serial or next(iter(states))
    if serial not in states:
        raise UserError(f"adb finds no device {serial}, only {', '.join(states)}")
    if states[serial] != "device":
        cure = next((cure for state, cure in STATES.items() if states[serial].startswith(state)), "is it starting?")
        raise UserError(f"device {serial}: {states[serial].partition(' (')[0]}; {cure}")
    return Device(serial)


def tool(abi: str, path: str | None = None) -> pathlib.Path:
    """benchmark_model for a processor: a file that the user downloads, by default in the current folder.

    abi: property ro.product.cpu.abi. Raises UserError that says where from.
    """
    if path is None and abi not in BINARIES:
        raise UserError(f"there is no ready benchmark_model for {abi}; build one from LiteRT's sources, say --binary")
    found = pathlib.Path(path or BINARIES[abi])
    if not found.is_file():
        source = f"{NIGHTLY}/{BINARIES[abi]}" if abi in BINARIES else "LiteRT's sources"
        raise UserError(f"no file at {found}; benchmark_model for {abi} is {source}")
    return found


@dataclasses.dataclass(frozen=True)
class Golden:
    """Input of a model and the output that LiteRT gives for it here."""

    operators: int
    shape: tuple[int, ...]  # of the input
    content: bytes  # of the input
    grey_levels: np.ndarray  # float32 [h, w, 3]
    dtype: np.dtype  # of the output
    scale: float  # grey levels of a step of the output, and the value of level 0
    zero_point: int

    def decode(self, content: bytes) -> np.ndarray:
        """Output as a device wrote it -> float32 grey levels [h, w, 3]."""
        raw = np.frombuffer(content, self.dtype).reshape(self.grey_levels.shape)
        return (raw.astype(np.float32) - self.zero_point) * np.float32(self.scale)


def golden(path: str) -> Golden:
    """Golden input and output of a .tflite file of fixed size. Raises UserError for one of open size."""
    model = litert.Model(path)
    if None in (model.height, model.width):
        raise UserError(f"{path} has an open size; fix it: python tflite/reshape.py {path} 1,180,320,3 OUT.tflite")
    lr = soft_image(model.height, model.width)
    model.upscale(lr)
    graph = schema.ModelT.InitFromPackedBuf(litert.read_bytes(path), 0).subgraphs[0]
    quantization = graph.tensors[graph.outputs[0]].quantization
    is_quantized = quantization is not None and quantization.scale is not None and len(quantization.scale)
    return Golden(
        operators=len(graph.operators),
        shape=(1, *lr.shape),
        content=model.encode(lr).tobytes(),
        grey_levels=model.grey_levels(),
        dtype=model.output_dtype,
        scale=float(quantization.scale[0]) if is_quantized else 1.0,
        zero_point=int(quantization.zeroPoint[0]) if is_quantized else 0,
    )


def soft_image(height: int, width: int) -> np.ndarray:
    """uint8 RGB image of soft blobs with a little noise, always the same: smooth areas and strong contrasts."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return (smooth + rng.integers(-8, 9, smooth.shape, np.int16)).clip(0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Log:
    """What benchmark_model says."""

    delegated: dict[str, tuple[int, int]]  # by name of a delegate: operators that it took, and of how many
    first_ms: float  # of the first run; warm-up runs are not among what follows
    median_ms: float | None  # older versions give the mean alone
    mean_ms: float
    runs: int


def parse(text: str) -> Log:
    """Log of benchmark_model. Raises ValueError where it has no timings."""
    delegated: dict[str, tuple[int, int]] = {}
    for taken, total, name in re.findall(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\)", text):
        before = delegated.get(name, (0, 0))  # one line for each subgraph
        delegated[name] = before[0] + int(taken), before[1] + int(total)
    blocks = re.findall(r"count=(\d+) (.*)", text)
    timings = re.search(r"First inference: ([\d.e+]+), .*Inference \(avg\): ([\d.e+]+)", text)
    if not blocks or not timings:
        raise ValueError("the log has no timings")
    runs, statistics = blocks[-1]  # after those of the warm-up
    median = re.search(r"median=([\d.e+]+)", statistics)
    first, mean = (float(number) / 1e3 for number in timings.groups())
    return Log(delegated, first, float(median[1]) / 1e3 if median else None, mean, int(runs))


@dataclasses.dataclass(frozen=True)
class Run:
    """A model as a device ran it."""

    log: Log
    largest: float  # difference to the golden output, grey levels, before rounding
    equal: float  # share of values that are equal as uint8


def run(device: Device, path: str, expected: Golden, binary: pathlib.Path, accelerator: str) -> Run:
    """Push, run, pull, compare; what was pushed is removed again.

    accelerator: a row of ACCELERATORS. Raises StoppedError where a step fails.
    """
    folder = f"/data/local/tmp/keras-rfdn-{secrets.token_hex(4)}"
    there = {name: f"{folder}/{name}" for name in ("benchmark_model", "model.tflite", "lr.raw", "sr.raw")}
    with tempfile.TemporaryDirectory() as here:
        lr, sr = pathlib.Path(here) / "lr.raw", pathlib.Path(here) / "sr.raw"
        lr.write_bytes(expected.content)
        try:
            made = device.shell("mkdir", "-p", folder, seconds=COPY_SECONDS)
            if made.returncode:
                raise StoppedError(f"can't make {folder} on {device.serial}: {_last_line(made)}")
            device.push(binary, there["benchmark_model"])
            device.push(pathlib.Path(path), there["model.tflite"])
            device.push(lr, there["lr.raw"])
            device.shell("chmod", "755", there["benchmark_model"], seconds=COPY_SECONDS)
            done = device.shell(
                there["benchmark_model"],
                f"--graph={there['model.tflite']}",
                f"--{ACCELERATORS[accelerator][0]}=true",
                f"--num_threads={THREADS}",
                "--input_layer=lr",  # the name is free
                f"--input_layer_shape={','.join(map(str, expected.shape))}",
                f"--input_layer_value_files=lr:{there['lr.raw']}",
                f"--output_filepath={there['sr.raw']}",
            )
            text = done.stdout + done.stderr
            try:
                log = parse(text)
            except ValueError:
                log = None
            if done.returncode or log is None:
                how = f"exit status {done.returncode}" if done.returncode else "no timings"
                raise StoppedError(f"benchmark_model failed on {device.serial} ({how}): {_last_line(done)}")
            device.pull(there["sr.raw"], sr)
        finally:
            _adb("-s", device.serial, "shell", shlex.join(["rm", "-rf", folder]), seconds=COPY_SECONDS)
        content = sr.read_bytes()
    wanted = expected.grey_levels.size * expected.dtype.itemsize
    if len(content) != wanted:
        raise StoppedError(f"benchmark_model wrote {len(content):,} bytes of output in place of {wanted:,}")
    levels = expected.decode(content)
    pictures = [np.rint(x).clip(0, 255).astype(np.uint8) for x in (levels, expected.grey_levels)]
    largest = float(np.abs(levels - expected.grey_levels).max())
    return Run(log, largest, float((pictures[0] == pictures[1]).mean()))


def checksum(binary: pathlib.Path) -> str:
    """First 12 digits of a file's SHA-256: the nightly benchmark_model has no version."""
    return hashlib.sha256(binary.read_bytes()).hexdigest()[:12]


def _adb(*words, seconds):
    if shutil.which("adb") is None:
        raise UserError(f"adb isn't on the PATH; install Android's platform tools: {PLATFORM_TOOLS}")
    try:
        return subprocess.run(["adb", *words], capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise StoppedError(f"adb {words[-1].split()[0]} gave no answer in {seconds:g} s; is it connected?") from error


def _last_line(done):
    """What a failed command says of it: its last error, or its last line."""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines()]
    lines = [line for line in lines if line and "Benchmarking failed" not in line]
    for pattern in ("^(ERROR|FATAL): ", "(?i)error|fail|abort|fault|denied|not found"):  # benchmark_model's, then any
        if errors := [line for line in lines if re.search(pattern, line)]:
            return errors[-1]
    return lines[-1] if lines else "it says nothing"
