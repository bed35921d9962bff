"""Fork server under resource limits: calls of Python in processes of their own, and what each one came to.

The caller has imported what the calls need, so that a process takes milliseconds to start.
"""

import collections
import contextlib
import dataclasses
import math
import os
import pathlib
import resource
import signal
import time
from collections.abc import Callable, Iterator

from keras_rfdn.data.system import files
from tools import forked

RESULT, ERROR = "result", "error line"
TRACEBACK, SIGNAL, PARTIAL = "traceback", "signal", "partial file"
MEMORY, TIME = "over memory", "over time"
KINDS = (RESULT, ERROR, TRACEBACK, SIGNAL, PARTIAL, MEMORY, TIME)
GOOD = (RESULT, ERROR)
POLL = 0.002  # seconds
HANG = 10


@dataclasses.dataclass(frozen=True)
class Limits:
    """memory_bytes: at its most, what is shared with the caller counted in.

    seconds: of the processor, so that other work on the machine doesn't count; a call that waits for something is ended
    after HANG times as many on the clock.
    """

    memory_bytes: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Call:
    """A function without arguments, under a name.

    scratch: folder of its own, which is made, for what it writes. target: file that is there after success alone.
    """

    name: object
    function: Callable[[], object]
    scratch: pathlib.Path
    limits: Limits
    target: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Ended:
    """A call that ended. kind: one of KINDS. words: the last lines of what it printed, on one line."""

    call: Call
    kind: str
    words: str
    memory_bytes: int
    seconds: float


def run(calls: collections.deque[Call], jobs: int) -> Iterator[Ended]:
    """Run calls, `jobs` at a time, and yield what each came to, in the order of their ends.

    calls: taken from its left; the caller may add more while it gets what has ended.
    """
    running = {}
    try:
        while calls or running:
            while calls and len(running) < jobs:
                call = calls.popleft()
                running[_start(call)] = call, time.monotonic(), []
            for process, (call, started, late) in list(running.items()):
                ended, status, usage = os.wait4(process, os.WNOHANG)
                seconds = time.monotonic() - started
                if ended:
                    _kill_group(process)  # what it has started
                    del running[process]
                    yield _outcome(call, status, usage, bool(late))
                elif seconds > HANG * call.limits.seconds and not late:
                    late.append(True)
                    _kill_group(process)
            time.sleep(POLL)
    finally:
        for process in running:
            _kill_group(process)
            os.waitpid(process, 0)


def _kill_group(process):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _log(call):
    return call.scratch.with_name(f"{call.scratch.name}.log")


def _start(call):
    """Process number of a child that runs a call."""
    call.scratch.mkdir(parents=True, exist_ok=True)

    def work():
        os.setpgid(0, 0)
        _limit(call.limits)
        call.function()

    process = forked.start(work, _log(call))
    with contextlib.suppress(OSError):
        os.setpgid(process, process)  # here too, for who comes first
    return process


def _limit(limits):
    """The system's own limits: twice what is allowed beside what is mapped already, so that the machine lives on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = math.ceil(limits.seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
    mapped = pathlib.Path("/proc/self/statm")
    if mapped.exists():
        most = int(mapped.read_text().split()[0]) * resource.getpagesize() + 2 * limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _outcome(call, status, usage, late):
    memory_bytes, seconds = usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime
    lines = _log(call).read_text(errors="replace").splitlines() if _log(call).exists() else []
    return Ended(call, _kind(call, status, lines, memory_bytes, late), " | ".join(lines[-3:]), memory_bytes, seconds)


def _kind(call, status, lines, memory_bytes, late):
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return TIME
    if memory_bytes > call.limits.memory_bytes:
        return MEMORY
    if os.WIFSIGNALED(status):
        return SIGNAL
    code = os.WEXITSTATUS(status)
    errors = sum(line.startswith("error: ") for line in lines)
    # upscale's own word for what it did not expect, of one file among others.
    unexpected = any(line.startswith("Traceback ") or line.endswith("please report this") for line in lines)
    if unexpected or (code, errors) not in ((0, 0), (2, 1)):
        return TRACEBACK
    left = any(files.is_temporary(path) for path in call.scratch.rglob("*"))
    if left or (call.target is not None and call.target.exists() != (code == 0)):
        return PARTIAL
    return ERROR if code else RESULT
