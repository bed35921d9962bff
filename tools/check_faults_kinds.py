"""Kinds of faults, each a function that provokes one while a job is at work, and says what did not survive it."""

import contextlib
import ctypes
import dataclasses
import itertools
import os
import pathlib
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from keras_rfdn.data.system import files
from tools import check_faults_jobs as jobs
from tools.check_faults_jobs import OUT, Job

CHAIN = 5  # runs killed one after the other, before one may finish
DISK = 64  # MB of a disk with room enough
CLONE_NEWPID, MS_RDONLY, MS_REMOUNT = 0x20000000, 1, 32  # of Linux
WRITES = os.O_WRONLY | os.O_RDWR
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass
class Bench:
    """A job, the undisturbed run's results, and what went wrong since."""

    job: Job
    scratch: pathlib.Path
    inputs: pathlib.Path
    rng: np.random.Generator
    wanted: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    changes: int = 0  # of names of files, by Python
    size: int = 0  # bytes of the results
    tries: int = 0
    troubles: list[str] = dataclasses.field(default_factory=list)
    read: dict = dataclasses.field(default_factory=dict)  # how far a folder's log has been looked at
    numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def measure(self) -> None:
        """The undisturbed run, from which its results, its time and its changes of files are known."""
        folder, count = self.folder(), self.scratch / "count"
        started = time.monotonic()
        pid = self.start(folder, [lambda: _on_change(folder, lambda number: count.write_text(str(number)))])
        status, self.seconds = jobs.wait(pid), time.monotonic() - started
        if status != 0:
            raise AssertionError(f"{self.job.name} fails without a fault, see {self.log(folder)}")
        self.wanted, self.changes = self.survey(folder), int(count.read_text())
        self.size = sum(path.stat().st_size for path in folder.rglob("*"))

    def folder(self) -> pathlib.Path:
        folder = self.scratch / f"{self.job.name}-{next(self.numbers)}"
        folder.mkdir()
        return folder

    def log(self, folder):
        return folder.with_suffix(".log")

    def start(self, folder, first=()) -> int:
        return jobs.start(lambda: self.job.run(self.inputs), folder, self.log(folder), first)

    def survey(self, folder) -> dict:
        return jobs.survey(folder, self.log(folder))

    def trouble(self, folder, words) -> None:
        self.troubles.append(f"{self.job.name}: {words} ({self.log(folder)})")

    def check_whole(self, folder) -> None:
        """Every file that has its final name is whole, and where no file ever changes it is the undisturbed run's."""
        for name, found in self.survey(folder).items():
            if found.startswith("broken") or found == "no state":
                self.trouble(folder, f"{name} is {found}")
            elif self.job.final and found != self.wanted.get(name):
                self.trouble(folder, f"{name} is another one than without a fault")

    def check_finishes(self, folder, first=()) -> None:
        """The same command ends well, and its results are the undisturbed run's."""
        status = jobs.wait(self.start(folder, first))
        if status != 0:
            self.trouble(folder, f"the same command ended with {status} afterwards")
            return
        found = self.survey(folder)
        names = [name for name in {**self.wanted, **found} if found.get(name) != self.wanted.get(name)]
        if names:
            self.trouble(folder, f"other results afterwards: {', '.join(names)}")

    def check_said(self, folder, *ends, may_succeed=True, leftovers=False) -> None:
        """Runs ended well or with status 2 and a line, not with a traceback, and left nothing half-written behind."""
        text = self.log(folder).read_text(errors="replace")
        text, self.read[folder] = text[self.read.get(folder, 0) :], len(text)
        if "Traceback" in text or not set(ends) <= ({0, 2} if may_succeed else {2}):
            self.trouble(folder, f"ended with {ends}" + (" and a traceback" if "Traceback" in text else ""))
        elif ends.count(2) > text.count("error: "):
            self.trouble(folder, "status 2 without a line that says why")
        if not leftovers and (rest := [path for path in folder.rglob("*") if files.is_temporary(path)]):
            self.trouble(folder, f"left {rest[0].name}")


def kill(bench: Bench, count: int) -> None:
    """SIGKILL: half of them at any time, half just before a change of a file's name."""
    folder = None
    for number in range(count):
        folder = folder or bench.folder()
        if number % 2:
            pid = bench.start(folder, [_kill_at(folder, bench.rng.integers(1, bench.changes + 1))])
        else:
            pid = bench.start(folder)
            time.sleep(bench.rng.uniform(0, bench.seconds))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = jobs.wait(pid)
        bench.tries += 1
        if status not in (-signal.SIGKILL, 0) and not (status == 2 and "is there already" in _text(bench, folder)):
            bench.trouble(folder, f"ended with {status}")
        bench.check_whole(folder)
        if number % CHAIN == CHAIN - 1 or number == count - 1 or _finished(bench, folder):
            if not (_finished(bench, folder) and bench.job.name == "video"):  # which refuses what is there
                bench.check_finishes(folder)
            shutil.rmtree(folder)
            folder = None


def _text(bench, folder):
    return bench.log(folder).read_text(errors="replace")


def _finished(bench, folder):
    return bench.survey(folder) == bench.wanted


def full_disk(bench: Bench, count: int) -> None:
    """A disk of every size up to what the results take; then room is made."""
    for size in np.linspace(4096, bench.size + 8192, count).astype(int):
        with _disk(bench, size) as (folder, limits, make_room):
            status = jobs.wait(bench.start(folder, limits))
            bench.tries += 1
            bench.check_said(folder, status)
            bench.check_whole(folder)
            make_room()
            if not (status == 0 and bench.job.name == "video"):
                bench.check_finishes(folder)


@contextlib.contextmanager
def _disk(bench, size):
    """(folder with so much room, what makes it so in a process, function that makes room)."""
    folder = bench.folder()
    if _mount(folder, 0, f"size={size}"):
        try:
            yield folder, [], lambda: _mount(folder, MS_REMOUNT, f"size={DISK}m")
        finally:
            LIBC.umount2(os.fsencode(folder), 2)
        return
    import resource

    def limit():  # no file may grow beyond; to the system another error, to libraries a write that fails as well
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size) // 4, resource.RLIM_INFINITY))

    yield folder, [limit], lambda: None


def _mount(folder, flags, options):
    """Mount a disk in memory; whether that went well, for which one must be root."""
    return LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode()) == 0


def read_only(bench: Bench, count: int) -> None:
    """A folder that may not be written: from the beginning, and when a run was killed halfway."""
    for number in range(count):
        with _disk(bench, DISK * 2**20) as (folder, _, _):
            if number:
                jobs.wait(bench.start(folder, [_kill_at(folder, 1 + number * bench.changes // count)]))
            mounted = os.path.ismount(folder)
            for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
                place.chmod(0o555)
            if mounted:
                _mount(folder, MS_REMOUNT | MS_RDONLY, f"size={DISK}m")
            status = jobs.wait(bench.start(folder))
            if mounted:
                _mount(folder, MS_REMOUNT, f"size={DISK}m")
            for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
                place.chmod(0o755)
            bench.tries += 1
            bench.check_said(folder, status, may_succeed=False, leftovers=bool(number))
            bench.check_whole(folder)
            bench.check_finishes(folder)


def vanishing(bench: Bench, count: int) -> None:
    """The folder of results goes away while the job is at work, or that of its inputs."""
    for number in range(count):
        folder = bench.folder()
        gone = bench.inputs if number % 2 else folder / OUT
        at = int(bench.rng.integers(1, bench.changes + 1))
        elsewhere = bench.scratch / "elsewhere"

        def vanish(gone=gone, elsewhere=elsewhere):
            if gone.exists():
                os.rename(gone, elsewhere)

        pid = bench.start(folder, [lambda folder=folder, at=at: _on_change(folder, _once(at, vanish))])
        status = jobs.wait(pid)
        bench.tries += 1
        if elsewhere.exists() and number % 2:
            elsewhere.rename(gone)
        elif elsewhere.exists():
            shutil.rmtree(elsewhere)
        bench.check_said(folder, status)
        if status != 0:
            bench.check_finishes(folder)
        shutil.rmtree(folder)


def clock(bench: Bench, count: int) -> None:
    """A clock that is set back by a day between a run that is killed and the next: files of tomorrow."""
    for number in range(count):
        folder = bench.folder()
        jobs.wait(bench.start(folder, [_kill_at(folder, 1 + (number + 1) * bench.changes // (count + 1))]))
        tomorrow = time.time() + 86400
        for path in folder.rglob("*"):
            os.utime(path, (tomorrow, tomorrow))
        bench.tries += 1
        if not (_finished(bench, folder) and bench.job.name == "video"):
            bench.check_finishes(folder, [_set_clock_back])
        shutil.rmtree(folder)


def _set_clock_back():
    now = time.time
    time.time = lambda: now() - 86400


def two_runs(bench: Bench, count: int) -> None:
    """Two runs on one folder at once: each ends well or is refused, and the results are one run's."""
    _two(bench, count, [])


def same_number(bench: Bench, count: int) -> None:
    """Two hosts that share a disk, whose processes have one number, and the lock file of a third one's killed run."""
    _two(bench, count, [lambda: setattr(os, "getpid", lambda: 7)], lock=f"7\nelsewhere\n{time.time() - 60}\n")


def _two(bench, count, first, lock=None):
    for _ in range(count):
        folder = bench.folder()
        if lock and not bench.job.final:
            (folder / OUT).mkdir()
            (folder / OUT / "lock").write_text(lock)
        pids = [bench.start(folder, first)]
        time.sleep(bench.rng.uniform(0, bench.seconds / 2))
        pids.append(bench.start(folder, first))
        ends = [jobs.wait(pid) for pid in pids]
        bench.tries += 1
        if 0 not in ends:
            bench.trouble(folder, f"two runs ended with {ends[0]} and {ends[1]}")
        bench.check_said(folder, *ends)
        found = bench.survey(folder)
        if found != bench.wanted:
            names = [name for name in {**bench.wanted, **found} if found.get(name) != bench.wanted.get(name)]
            bench.trouble(folder, f"two runs gave other results: {', '.join(names)}")
        shutil.rmtree(folder)


def power_loss(bench: Bench, count: int) -> None:
    """By strace: what a file holds is on the disk before it gets its final name, and the name before the end."""
    if not (shutil.which("strace") and bench.job.syncs):
        return
    for _ in range(count):
        folder, trace = bench.folder(), bench.scratch / "trace"
        status = jobs.traced(bench.job, bench.inputs, folder, trace, bench.log(folder))
        if status != 0:
            bench.trouble(folder, f"ended with {status} under strace")
            continue
        bench.tries += 1
        with open(trace, errors="replace") as lines:
            for words in unsynced(lines, folder):
                bench.trouble(folder, words)


CALL = re.compile(r"\d+ +(\w+)\((.*)\) += (\d+)")
HANDLE, NAME = re.compile(r"^\d+<([^>]*)>"), re.compile(r'"([^"]*)"')
LOGS = ("/lock", "/tensorboard/")  # that no run reads again


def unsynced(lines, folder: pathlib.Path) -> list[str]:
    """What power loss could take, in words: lines are strace's, those on files below a folder are looked at."""
    lines, root = joined(lines), f"{folder}/"
    dirty, names, states, found, state = set(), set(), set(), [], f"{folder / OUT}/state/"
    for call, arguments in lines:
        handle = HANDLE.match(arguments)
        path = handle[1] if handle else ""
        if call in ("write", "pwrite64", "writev", "ftruncate") and path.startswith(root):
            dirty.add(path)
        elif call in ("fsync", "fdatasync"):
            dirty.discard(path)
            names.discard(path)
            if path.startswith(state) and path.endswith(".index"):  # its data comes before
                states.add(path.partition(".")[0])
        elif call in ("rename", "renameat", "renameat2"):
            source, target = (os.path.join(folder, name) for name in NAME.findall(arguments)[:2])
            if not target.startswith(root):
                continue
            if source in dirty:
                dirty.add(target)
                if not target.startswith(state):  # a state is flushed before the one before it goes
                    found.append(f"{target.removeprefix(root)} got its name before its content was on the disk")
            dirty.discard(source)
            names.add(os.path.dirname(target))
        elif call in ("unlink", "unlinkat") and NAME.search(arguments):
            path = os.path.join(folder, NAME.search(arguments)[1])
            dirty.discard(path)
            if path.startswith(state) and "_temp" not in path:
                states.discard(path.partition(".")[0])
                if not states:
                    found.append(f"{path.removeprefix(root)} went before another state was on the disk")
        elif call == "mkdir":
            path = os.path.join(folder, NAME.search(arguments)[1])
            if path.startswith(root):
                names.add(os.path.dirname(path))
    names = {name for name in names if os.path.isdir(name) and not f"{name}/".endswith("/tensorboard/")}
    dirty = {path for path in dirty if os.path.exists(path) and not any(log in path for log in LOGS)}
    return [*found, *(f"{path} was not on the disk at the end" for path in sorted(dirty)),
            *(f"names in {path} were not on the disk at the end" for path in sorted(names))]  # fmt: skip


def joined(lines):
    """(call, arguments) of strace's lines, of those that succeeded; calls that others interrupt are put together."""
    begun = {}
    for line in lines:
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>\n"):
            begun[pid] = rest.removesuffix("<unfinished ...>\n").strip()
            continue
        resumed = re.match(r" *<\.\.\. \w+ resumed>(.*)", rest)
        whole = f"{pid} {begun.pop(pid, '')}{resumed[1]}" if resumed else f"{pid} {rest.strip()}"
        if match := CALL.match(whole):
            yield match[1], match[2]


def _on_change(folder, action: Callable[[int], None]) -> None:
    """Call action(number) before each change of a file's name in a folder, and each file opened to be written."""
    root, count, busy = str(folder), itertools.count(1), []

    def hook(event, arguments):
        if busy or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
            return
        if not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        busy.append(event)
        try:
            if os.path.join(root, os.fsdecode(arguments[0])).startswith(f"{root}/"):
                action(next(count))
        finally:
            busy.clear()

    sys.addaudithook(hook)


def _once(at, action):
    return lambda number: action() if number == at else None


def _kill_at(folder, at):
    return lambda: _on_change(folder, _once(at, lambda: os.kill(os.getpid(), signal.SIGKILL)))


KINDS = {
    "kill": kill,
    "full disk": full_disk,
    "read-only": read_only,
    "vanishing": vanishing,
    "clock": clock,
    "two runs": two_runs,
    "one PID": same_number,
    "power loss": power_loss,
}
