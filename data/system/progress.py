"""Progress of long work: a bar (tqdm) on a terminal, elsewhere a line in the log now and then."""

import contextlib
import datetime
import io
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import tqdm
from absl import logging

EVERY = 20.0  # seconds between two lines


def track(
    items: Iterable | None, description: str, *, total: int | None = None, unit: str = "images", initial: int = 0
) -> tqdm.tqdm:
    """Progress bar over items, which are iterated through it: count, rate and time left.

        for path in track(paths, "upscaling"): ...
        with track(None, "encoding", total=count, unit="frames") as progress: progress.update()

    total: how many there are, where items has no length. initial: how many are done already, by a run before this one.
    Work of less than a second shows no bar, and work of less than EVERY seconds no line.
    """
    if sys.stderr.isatty():
        return tqdm.tqdm(items, description, total, unit=f" {unit}", initial=initial, delay=1)
    # Looks at the clock at each item, for the next one may take long.
    return _LogLines(
        items, description, total, unit=f" {unit}", initial=initial, delay=EVERY, mininterval=EVERY, miniters=1,
        file=io.StringIO(),
    )  # fmt: skip


class _LogLines(tqdm.tqdm):
    """tqdm that writes lines into the log in place of a bar."""

    _logged = None  # how many were done by the last line

    def display(self, msg=None, pos=None):
        facts = self.format_dict
        n, total, elapsed = facts["n"], facts["total"], facts["elapsed"]
        if n == self._logged:  # tqdm shows the end twice
            return
        self._logged = n
        rate = (n - facts["initial"]) / elapsed if elapsed else 0.0
        line = f"{facts['prefix']}: {n}{f' of {total}' if total else ''}{facts['unit']}, "
        line += f"{rate:.2g} a second" if rate < 10 else f"{rate:.0f} a second"
        if total and n >= total:
            line += f", in {_clock(elapsed)}"
        elif total and rate:
            line += f", {_clock((total - n) / rate)} left"
        logging.info("%s", line)


@contextlib.contextmanager
def heartbeat(description: str, state: Callable[[], str] | None = None) -> Iterator[None]:
    """Heartbeat, as a context: a line in the log every EVERY seconds while one long call runs, a download say.

    state: what a line says of the work; called in a thread of its own.
    """
    done, started = threading.Event(), time.monotonic()

    def beat():
        while not done.wait(EVERY):
            said = f"{state()}, " if state else ""
            logging.info("%s: %s%s so far", description, said, _clock(time.monotonic() - started))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _clock(seconds):
    """Seconds -> h:mm:ss."""
    return datetime.timedelta(seconds=round(seconds))
