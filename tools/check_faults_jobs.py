"""Jobs that faults are tried on: seven commands with small networks and images, each seconds long, and their results.

A job runs in a process that is forked here, after TensorFlow is imported and before it has computed anything: a command
is at work within a moment, as often as faults want one.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from keras_rfdn.cli import command
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.data.system import files
from tools import forked

with lazy_imports():
    from keras_rfdn import prepare, train, upscale
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.data.images import bicubic
    from keras_rfdn.data.sources import div2k, sample
    from keras_rfdn.networks import config, models
    from keras_rfdn.tflite import convert, qat
    from keras_rfdn.tflite.finetuning import tuner
    from keras_rfdn.tflite.quantization import calibration
    from keras_rfdn.training import workdir
    from keras_rfdn.video import video_parts
    from tools import distill

LIMIT = 180  # seconds, after which a run hangs
OUT = "out"  # in a run's folder: what it writes, a folder or the beginning of a file's name
MACHINE = {"time", "hours", "images_per_second", "data_wait", "workdir"}  # in JSON: what machine and clock decide
IMAGES = {".png", ".jpg", ".tif", ".webp", ".gif", ".bmp"}
TINY = {"block": "residual", "channels": 4, "num_blocks": 1, "distillation_rate": 0, "activation": "relu"}
TINY |= {"network": "image_residual"}


@dataclasses.dataclass(frozen=True)
class Job:
    """A command. words: function (folder of inputs) -> its command line. final: no file of its results ever changes."""

    name: str
    main: Callable[[], tuple]  # -> arguments of command.run
    words: Callable[[pathlib.Path], list]
    final: bool = True
    syncs: bool = True  # flushes what it writes to the disk
    needs_keras: bool = True

    def run(self, inputs: pathlib.Path) -> None:
        """The command in this process, in the current folder; ends as commands do, by SystemExit."""
        _make_small()
        sys.argv = [self.name, *map(str, self.words(inputs))]
        *arguments, preset = self.main()
        command.run(*arguments, preset=preset)


def _train_words(inputs):
    return [
        "--variant", "tiny", "--scale", 2, "--data", inputs / "photos", "--workdir", OUT, "--cache", f"{OUT}/cache",
        "--steps", 6, "--batch", 2, "--patch", 16, "--validate_every", 2, "--save_minutes", 0, "--ema", 0.9,
    ]  # fmt: skip


def _qat_words(inputs):
    return [
        "--weights", inputs / "tiny.h5", "--data", inputs / "photos", "--workdir", OUT, "--cache", f"{OUT}/cache",
        "--steps", 4, "--batch", 2, "--patch", 16, "--validate_every", 2, "--save_minutes", 0, "--shape", "1,16,16,3",
    ]  # fmt: skip


def _convert_words(inputs):
    return [
        "--int8", "--weights", inputs / "tiny.h5", "--calibration", inputs / "photos", "--out", f"{OUT}/tiny.tflite",
        "--shape", "1,16,16,3",
    ]  # fmt: skip


JOBS = {
    job.name: job
    for job in (
        Job("train", lambda: (train.main, train.TrainConfig, train.preset), _train_words, final=False),
        Job("qat", lambda: (qat.main, qat.QatConfig, None), _qat_words, final=False),
        Job(
            "distill",
            lambda: (distill.main, distill.DistillConfig, None),
            lambda inputs: [inputs / "photos", OUT, "--weights", inputs / "tiny.h5"],
        ),
        Job(
            "upscale",
            lambda: (upscale.main, upscale.UpscaleConfig, None),
            lambda inputs: [inputs / "mixed", OUT, "--weights", "rfdn-mobile-x2"],
            needs_keras=False,
        ),
        Job(
            "video",
            lambda: (upscale.main, upscale.UpscaleConfig, None),
            lambda inputs: [inputs / "in.mp4", f"{OUT}.mp4", "--weights", "rfdn-mobile-x2"],
            needs_keras=False,
        ),
        Job("convert", lambda: (convert.main, convert.ConvertConfig, None), _convert_words),
        Job(
            "prepare",
            lambda: (prepare.main, prepare.PrepareConfig, None),
            lambda _: ["div2k", "--download", "--scale", 2],
            syncs=False,  # tensorflow-datasets doesn't
        ),
    )
}


def _make_small():
    """Settings of this process, with which a run takes seconds."""
    config.VARIANTS["tiny"] = config.ModelConfig(**TINY)
    if "tensorflow" in sys.modules:
        calibration.PATCHES = 4
        train.loop.LOG_EVERY = tuner.LOG_EVERY = 1  # a record's loss is the mean since the last report of its process
    if "av" in sys.modules:
        video_parts.SECONDS, video_parts.FRAMES = 0, 4
    if "tensorflow_datasets" in sys.modules:
        import tensorflow_datasets as tfds

        tfds.core.constants.DATA_DIR = os.path.abspath(OUT)
        div2k.socket.getaddrinfo = lambda *_: []
        tfds.builder_cls("div2k")._split_generators = lambda *_: {
            "train": _examples(range(3)),
            "validation": _examples(range(3, 5)),
        }


def _examples(seeds):
    """DIV2K's examples without its download, which this machine may not reach."""
    for seed in seeds:
        hr = sample.dead_leaves(64, seed=seed)
        yield f"{seed:04}", {"hr": hr, "lr": bicubic.downscale(hr, 2)}


def import_all(jobs: Iterable[Job]) -> None:
    """Import what jobs need; forked processes then have it."""
    import av

    modules = [av, upscale.video, upscale.upscaler, upscale.image_upscaling, upscale.image_folders, video_parts, sample]
    if any(job.needs_keras for job in jobs):
        modules += [train.loop, train.trainers, train.summaries, tuner, convert.converter, convert.targets, models]
        modules += [distill.tiling, qat.scoring, prepare.checks, prepare.downloads, workdir, div2k, calibration]
    for module in modules:
        dir(module)  # loads a lazy one


def make_inputs(folder: pathlib.Path) -> None:
    """Images, a video and weights for all jobs. TensorFlow computes here: call it in a process of its own."""
    import av

    for place in ("photos", "mixed/sub"):
        (folder / place).mkdir(parents=True)
    leaves = [sample.dead_leaves(64, seed=seed) for seed in range(6)]
    for number, image in enumerate(leaves):
        Image.fromarray(image).save(folder / f"photos/{number}.png")
        for suffix in sorted(IMAGES - {".gif"}):
            Image.fromarray(image[:40]).save(folder / f"mixed/sub/{number}{suffix}")
    frames = [Image.fromarray(image[:32, :32]) for image in leaves]
    frames[0].save(folder / "mixed/animated.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(leaves[0][..., 0].astype(np.uint16) * 257).save(folder / "mixed/deep.png")
    with av.open(str(folder / "in.mp4"), "w") as out:
        stream = out.add_stream("libx264", 25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for image in leaves * 4:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    if "tensorflow" in sys.modules:
        import tf_keras as keras

        keras.utils.set_random_seed(0)
        tiny = config.ModelConfig(**TINY, scale=2)
        checkpoint.save(models.build(tiny), tiny, folder / "tiny.h5")


def start(action: Callable[[], None], folder: pathlib.Path, log: pathlib.Path, first: Iterable = ()) -> int:
    """Fork a process that does an action in a folder, its output appended to a log -> its number.

    first: functions that it calls before.
    """

    def work():
        os.chdir(folder)
        for function in first:
            function()
        action()

    return forked.start(work, log)


def wait(pid: int, limit: float = LIMIT) -> int | None:
    """Exit status of a process, -N where signal N ended it; None where it hangs, which is then killed."""
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def survey(folder: pathlib.Path, log: pathlib.Path) -> dict[str, str]:
    """{name: checksum of what is in it, or "broken: ..."} of all files in a folder that have their final names."""
    answer = log.with_suffix(".survey")

    def look():
        found = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if any(files.is_temporary(part) or part.startswith("incomplete.") for part in name.split("/")):
                continue
            if {"state", "tensorboard", "lock", f"{OUT}.mp4.parts"} & {*name.split("/")}:
                continue
            try:
                found[name] = hashlib.sha256(_content(path)).hexdigest()
            except Exception as error:
                found[name] = f"broken: {type(error).__name__}: {error}"
        if any((folder / OUT / workdir.STATE).glob("ckpt-*.index")):
            found["state"] = _state(folder / OUT / workdir.STATE)
        answer.write_text(json.dumps(found))

    if wait(start(look, pathlib.Path("/"), log)) != 0:
        raise AssertionError(f"the survey failed, see {log}")
    return json.loads(answer.read_text())


def _content(path):
    """Bytes that stand for what is in a file; raises where it can't be read to its end."""
    if path.suffix in IMAGES:
        with Image.open(path) as image:
            pixels = [_frame(image, number) for number in range(getattr(image, "n_frames", 1))]
        return b"" if path.name == "curve.png" else b"".join(pixels)  # its axis of hours is the machine's
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as video:
            return b"".join(frame.to_ndarray().tobytes() for frame in video.decode(video=0))
    if path.suffix == ".h5":
        import h5py

        parts = []
        with h5py.File(path) as file:
            file.visititems(lambda name, item: parts.extend((name.encode(), _values(item))))
            parts.append(str(sorted(file.attrs.items())).encode())
        return b"".join(parts)
    if path.suffix in (".json", ".jsonl"):
        text = path.read_text()
        values = [json.loads(line) for line in (text.splitlines() if path.suffix == ".jsonl" else [text])]
        values = [{k: v for k, v in value.items() if k not in MACHINE} if isinstance(value, dict) else value
                  for value in values]  # fmt: skip
        return json.dumps(values).encode()
    return path.read_bytes()


def _values(item):
    return f"{item.shape}".encode() + item[()].tobytes() if hasattr(item, "shape") else b""


def _frame(image, number):
    image.seek(number)
    return image.tobytes()


def _state(folder):
    """Checksum of the newest state that a training can resume from."""
    import tensorflow as tf

    wrong = "no state"
    for path in sorted(folder.glob("ckpt-*.index"), key=lambda path: -int(path.stem.removeprefix("ckpt-"))):
        try:
            reader = tf.train.load_checkpoint(str(path.with_suffix("")))
            names = sorted(reader.get_variable_to_dtype_map())
            values = {name: reader.get_tensor(name) for name in names}
        except Exception as error:
            wrong = f"broken: {error}"
            continue
        kept = [v.tobytes() for k, v in values.items() if not k.startswith(("_CHECK", "seconds", "save_"))]
        return hashlib.sha256(b"".join(kept)).hexdigest()
    return wrong


def traced(job: Job, inputs: pathlib.Path, folder: pathlib.Path, trace: pathlib.Path, log: pathlib.Path) -> int:
    """Run a job in a new process under strace, whose lines on files go to trace -> exit status."""
    code = f"""
import os, pathlib
from tools import check_faults_jobs
job = check_faults_jobs.JOBS[{job.name!r}]
check_faults_jobs.import_all([job])
os.chdir({str(folder)!r})
job.run(pathlib.Path({str(inputs)!r}))
"""
    calls = "write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,mkdir,unlink,unlinkat"
    words = ["strace", "-f", "-y", "-qq", "-s", "0", "--seccomp-bpf", "-e", f"trace={calls}", "-e", "signal=none"]
    words += ["-o", str(trace), sys.executable, "-c", code]
    with open(log, "a") as out:
        root = pathlib.Path(__file__).resolve().parent.parent
        return subprocess.run(words, cwd=root, stdout=out, stderr=out, check=False).returncode
