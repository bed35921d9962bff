"""Apache Beam pipeline that upscales many images on many machines, from and to any file system that Beam knows.

find files -> name their results -> spread -> upscale, one upscaler per worker process -> failed.tsv, notes.tsv

A result that is there is skipped, so that a stopped run goes on; it has its name only when all of it is written. No
image stops the others.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import pathlib
import secrets
import shutil
import tempfile
import unicodedata

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.utils.shared import Shared

from keras_rfdn.data.images import image_files
from keras_rfdn.data.system import files, progress
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.imaging import image_folders, image_upscaling
from keras_rfdn.upscaling.upscaler import Upscaler

FAILED, NOTES = "failed", "notes"  # names of the lists, which are .tsv
NAMESPACE = "keras_rfdn"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to upscale, as for Upscaler and upscale_file; weights may be a .tflite file on any of Beam's file systems."""

    weights: str | None = None
    scale: int | None = None
    threads: int = 1
    strip: bool = False


@dataclasses.dataclass(frozen=True)
class Counts:
    """Images of a run. skipped: whose results were there. passed_over: files that are no images."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    passed_over: int = 0


def run(pattern: str, target: str, settings: Settings, options: PipelineOptions) -> Counts:
    """Upscale all images that match a pattern into a folder, and wait for the end.

    pattern: Beam's: * within a folder's name, ** across folders; or a local folder, with its subfolders. Results have
    the paths that images have below the pattern's fixed part. Raises UserError when nothing matches, or the folder is
    where the pattern looks; and StoppedError when the runner gives up.
    """
    pattern, target = _absolute(pattern), _absolute(target).rstrip("/")
    if FileSystems.get_scheme(pattern) is None and os.path.isdir(pattern):
        pattern = f"{pattern.rstrip('/')}/**"
    root = fixed_part(pattern)
    if f"{target}/".startswith(root):
        raise UserError(f"{target} lies in {root}, whose images are read; name a folder outside it")
    # The pipeline tells the file systems their options.
    pipeline = beam.Pipeline(options.view_as(StandardOptions).runner or _local_runner(options), options)
    try:
        FileSystems.get_filesystem(target)
        matched = FileSystems.match([pattern], limits=[1])[0].metadata_list
    except (ValueError, BeamIOError) as error:  # a file system that is not installed, or does not let us in
        raise UserError(f"{pattern} or {target} can't be looked into ({error})") from error
    if not matched:
        raise UserError(f"no file matches {pattern}; quote a pattern, for the shell not to expand it")
    if settings.weights is None or FileSystems.get_scheme(settings.weights) is None:
        Upscaler(settings.weights, scale=settings.scale)  # its errors are better told now
        if settings.weights and os.path.exists(settings.weights):
            settings = dataclasses.replace(settings, weights=_absolute(settings.weights))
    outcomes = (
        pipeline
        | fileio.MatchFiles(pattern)
        | "paths" >> beam.Map(lambda metadata: metadata.path)
        | "images" >> beam.ParDo(_Images(root))
        | "by name" >> beam.GroupByKey()
        | "results" >> beam.FlatMap(_with_results, root, target)
        | "spread" >> beam.Reshuffle()
        | "upscale" >> beam.ParDo(_Upscale(settings)).with_outputs(FAILED, NOTES)
    )
    for name in (FAILED, NOTES):
        # One file, written anew by each run, if only with its header.
        outcomes[name] | name >> beam.io.WriteToText(
            f"{target}/{name}", ".tsv", num_shards=1, shard_name_template="", header=f"image\t{name}"
        )
    with progress.heartbeat("upscaling", functools.partial(_state, target)):
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != "DONE":
        raise StoppedError(f"the runner ended with {state}; results are kept, and the same command goes on")
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return Counts(**{counter.key.metric.name: counter.result for counter in counters})


def local_words(workers: int) -> list[str]:
    """Beam's options for so many worker processes on this machine; run takes its local runner where none is named."""
    return [
        "--direct_running_mode=multi_processing",
        f"--direct_num_workers={workers}",
        "--default_sdk_harness_log_level=ERROR",
    ]


def _local_runner(options):
    """Beam's local runner as DirectRunner sets it up, which would first try to download another one."""
    words = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    return fn_runner.FnApiRunner(
        provision_info=fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=words))
    )


def _state(target):
    """How many results a local folder has, in words."""
    if FileSystems.get_scheme(target):
        return "see the runner's own console"
    found = sum(not files.is_temporary(path) and path.is_file() for path in pathlib.Path(target).rglob("*.*"))
    return f"{found:,} files are in {target}"


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Words of a command line -> (Beam's options, all others)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    others = parser.parse_known_args(words)[1]
    of_beam, rest = [], list(others)
    for word in words:
        if rest and word == rest[0]:
            rest.pop(0)
        else:
            of_beam.append(word)
    return of_beam, others


def fixed_part(pattern: str) -> str:
    """The folder, with its last slash, above the first part of a path that has a wildcard, or above the file."""
    wildcards = [i for i in map(pattern.find, "*?[") if i >= 0]
    return pattern[: pattern.rindex("/", 0, min(wildcards, default=len(pattern))) + 1]


def _absolute(path):
    """Path as workers find it, who may run in other folders."""
    return path if FileSystems.get_scheme(path) else os.path.abspath(path)


class _Images(beam.DoFn):
    """Path of a file -> (key, path within the root) if it is an image; those of one key may want one result."""

    def __init__(self, root):
        self._root, self._passed_over = root, Metrics.counter(NAMESPACE, "passed_over")

    def process(self, path):
        relative = pathlib.PurePosixPath(path.removeprefix(self._root))
        junk = any(image_files.is_junk(part) or part.lower() in image_files.JUNK_FOLDERS for part in relative.parts)
        if junk or files.is_temporary(relative):
            return
        if relative.suffix.lower() not in image_files.extensions():
            self._passed_over.inc()
            return
        first, _, _ = relative.name.partition(".")
        yield unicodedata.normalize("NFC", str(relative.with_name(first or "."))).casefold(), str(relative)


def _with_results(group, root, target):
    """(key, paths) -> [(path of the image, path of the result)]."""
    folder = pathlib.Path(target)
    one_case = FileSystems.get_scheme(target) is None and image_folders.is_case_insensitive(folder)
    named = image_folders.result_names(sorted(map(pathlib.PurePosixPath, group[1])), lambda: one_case)
    return [(f"{root}{image}", f"{target}/{result}") for image, result in named.items()]


class _Upscale(beam.DoFn):
    """(path of an image, path of the result) -> "image\\treason" to FAILED, "image\\tnotes" to NOTES."""

    def __init__(self, settings):
        self._settings, self._shared = settings, Shared()
        self._done, self._failed, self._skipped = (
            Metrics.counter(NAMESPACE, name) for name in ("done", "failed", "skipped")
        )

    def setup(self):
        self._upscaler = self._shared.acquire(self._open, tag=self._settings)

    def _open(self):
        settings = self._settings
        with tempfile.TemporaryDirectory() as folder:
            weights = settings.weights
            if weights and FileSystems.get_scheme(weights):
                weights = _fetch(weights, folder)
            return Upscaler(weights, scale=settings.scale, threads=settings.threads)

    def process(self, pair):
        source, target = pair
        try:
            if FileSystems.exists(target):
                self._skipped.inc()
                return
            with tempfile.TemporaryDirectory() as folder:
                try:
                    notes = self._upscale(source, target, folder)
                except Exception as error:
                    raise _Failed(_reason(error).replace(f"{folder}/", "")) from error
        except Exception as error:  # of file systems, too: one image never costs others
            self._failed.inc()
            reason = str(error) if isinstance(error, _Failed) else _reason(error)
            yield beam.pvalue.TaggedOutput(FAILED, f"{files.printable(source)}\t{files.printable(reason)}")
            return
        self._done.inc()
        if notes:
            yield beam.pvalue.TaggedOutput(NOTES, f"{files.printable(source)}\t{files.printable('; '.join(notes))}")

    def _upscale(self, source, target, folder):
        """Notes of an image upscaled. folder: for copies of what is on other file systems."""
        here = source if FileSystems.get_scheme(source) is None else _fetch(source, folder)
        up, strip = self._upscaler, self._settings.strip
        if FileSystems.get_scheme(target) is None:
            return image_upscaling.upscale_file(here, target, up, up.scale, strip=strip)
        result = os.path.join(folder, f"result{os.path.splitext(target)[1]}")
        notes = image_upscaling.upscale_file(here, result, up, up.scale, strip=strip)
        _put(result, target)
        return notes


class _Failed(Exception):
    """What a user is told of an image."""


def _reason(error):
    if isinstance(error, UserError | StoppedError):
        return " ".join(str(error).split())
    return " ".join(f"{type(error).__name__}: {error}".split())


def _fetch(path, folder):
    """Copy of a file of another file system, in a local folder under its own name."""
    copy = os.path.join(folder, path.rsplit("/", 1)[1])
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file, open(copy, "wb") as out:
        shutil.copyfileobj(file, out)
    return copy


def _put(path, target):
    """Copy a local file to another file system, where it takes its name when it is there as a whole."""
    stem, suffix = os.path.splitext(target)
    partial = f"{stem}.{secrets.token_hex(8)}.tmp{suffix}"
    try:
        create = FileSystems.create(partial, compression_type=CompressionTypes.UNCOMPRESSED)
        with open(path, "rb") as file, create as out:
            shutil.copyfileobj(file, out)
        FileSystems.rename([partial], [target])
    except BaseException:
        with contextlib.suppress(Exception):  # the first error counts
            FileSystems.delete([partial])
        raise
