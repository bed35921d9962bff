"""Interleaved timing of models, each in a process of its own."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import pathlib
import random
import statistics

import numpy as np

from keras_rfdn.data.system.errors import StoppedError
from keras_rfdn.data.system.progress import track


def interleave(functions, rounds, *, seed=0):
    """Call each function once a round, in a new order every time -> their results, a list per function."""
    results = [[] for _ in functions]
    order, generator = list(range(len(functions))), random.Random(seed)
    for _ in track(range(rounds), "timing", unit="rounds"):
        generator.shuffle(order)
        for i in order:
            results[i].append(functions[i]())
    return results


@dataclasses.dataclass(frozen=True)
class Latency:
    """Statistics of a model's runs, one a round. ratio: median of its times to the first model's in the same rounds."""

    latencies_ms: tuple[float, ...]
    median_ms: float
    p90_ms: float
    min_ms: float
    frames_per_second: float
    megapixels_per_second: float  # of the output
    ratio: float

    @classmethod
    def of(cls, latencies_ms, first_ms, sr_size) -> "Latency":
        """Latencies of a model and of the first model, round by round, and (height, width) of its output -> Latency."""
        median_ms = statistics.median(latencies_ms)
        return cls(
            latencies_ms=tuple(latencies_ms),
            median_ms=median_ms,
            p90_ms=float(np.percentile(latencies_ms, 90)),
            min_ms=min(latencies_ms),
            frames_per_second=1000 / median_ms,
            megapixels_per_second=sr_size[0] * sr_size[1] / 1e3 / median_ms,
            ratio=statistics.median(own / first for own, first in zip(latencies_ms, first_ms, strict=True)),
        )


class Worker:
    """Something to time, in a process of its own. facts: what is known of it.

    name: for errors. opener: function of the arguments, called there; it returns an object with a method invoke_ms and
    a dictionary of facts. Raises what the opener raises.
    """

    def __init__(self, name, opener, *arguments):
        self.name = name
        self._pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            self.facts = self._submit(_start, opener, *arguments)
        except BaseException:
            self.close()
            raise

    def invoke_ms(self):
        return self.call("invoke_ms")

    def call(self, method, *arguments):
        """A method of what was opened."""
        return self._submit(_call, method, *arguments)

    def memory(self):
        """(resident bytes of the process at most, how many of them came after the opening); None where not known."""
        return self._submit(_memory)

    def close(self):
        self._pool.shutdown()

    def _submit(self, function, *arguments):
        try:
            return self._pool.submit(function, *arguments).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise StoppedError(f"the process of {self.name} died; was memory short? Try a smaller size") from error


_started = {}  # what was opened, and the resident bytes before it


def _start(opener, *arguments):
    _reset_peak()
    _started["before"] = _status_bytes("VmRSS")
    _started["it"], facts = opener(*arguments)
    return facts


def _call(method, *arguments):
    return getattr(_started["it"], method)(*arguments)


def _memory():
    peak = _status_bytes("VmHWM")
    return peak, peak and peak - _started["before"]


def _reset_peak():
    """Set the process's recorded peak to what it holds now; imports may have taken more for a moment."""
    with contextlib.suppress(OSError):  # no /proc, or a sandbox forbids it: the peak is some megabytes too high then
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def _status_bytes(key):
    """A line of Linux's /proc/self/status in bytes, or None elsewhere.

    Not getrusage: its maximum is inherited from the parent process.
    """
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(f"{key}:"))
