"""Forked processes: a function in a process of its own, its output in a file, its exit status that of a command."""

import os
import pathlib
import sys
import threading
import traceback
from collections.abc import Callable

import tqdm

# Of progress bars: no thread whose locks a fork could take over, and no lock that processes share, as tqdm's own is: a
# process that is killed while it holds that one would stop all others for good.
tqdm.tqdm.monitor_interval = 0
tqdm.tqdm.set_lock(threading.RLock())


def start(action: Callable[[], object], log: pathlib.Path) -> int:
    """Fork a process that calls action, nothing on its input and its output appended to log -> its number.

    It ends with the status of SystemExit, 0 where action returns, and 1 where it raises, with the traceback in log.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if process := os.fork():
        return process
    status = 1
    try:
        _redirect(log)
        action()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _redirect(log):
    null, file = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, descriptor in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, descriptor)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, os.fdopen(descriptor, "w", errors="backslashreplace", closefd=False))
