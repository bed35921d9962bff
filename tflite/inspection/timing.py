"""Interleaved timing of models, each in a process of its own."""

import concurrent.futures
import contextlib
import multiprocessing
import pathlib
import random
import statistics

import numpy as np
import tqdm

from keras_rfdn.data.system.errors import StoppedError, UserError


def interleave(functions, rounds, *, seed=0):
    """Call each function once a round, in a new order every time -> their results, a list per function."""
    results = [[] for _ in functions]
    order, generator = list(range(len(functions))), random.Random(seed)
    for _ in tqdm.trange(rounds, desc="rounds", disable=None):
        generator.shuffle(order)
        for i in order:
            results[i].append(functions[i]())
    return results


def summary(latencies_ms, first_ms, sr_size):
    """Latencies of a model and of the first model, round by round, and (height, width) of its output -> statistics."""
    median_ms = statistics.median(latencies_ms)
    return {
        "latencies_ms": latencies_ms,
        "median_ms": median_ms,
        "p90_ms": float(np.percentile(latencies_ms, 90)),
        "min_ms": min(latencies_ms),
        "frames_per_second": 1000 / median_ms,
        "megapixels_per_second": sr_size[0] * sr_size[1] / 1e3 / median_ms,
        "ratio": statistics.median(own / first for own, first in zip(latencies_ms, first_ms, strict=True)),
    }


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
        return self._submit(_memory)

    def close(self):
        self._pool.shutdown()

    def _submit(self, function, *arguments):
        try:
            return self._pool.submit(function, *arguments).result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise StoppedError(f"the process of {self.name} died; was memory short? Try a smaller size") from error
        except ValueError as error:
            raise UserError(str(error)) from error  # from here, as the message is meant for the user


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
    return {"peak_bytes": peak, "memory_bytes": peak and peak - _started["before"]}


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
