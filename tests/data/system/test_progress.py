import io
import sys
import threading

import pytest
import tqdm.std
from absl import logging

from keras_rfdn.data.system import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it: clock[0] is the time."""
    now = [1000.0]
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    return now


@pytest.fixture
def lines(monkeypatch):
    """What goes to the log."""
    said = []
    monkeypatch.setattr(logging, "info", lambda form, *words: said.append(form % words))
    return said


def test_a_line_every_twenty_seconds_and_one_at_the_end(clock, lines, capsys):
    for _ in progress.track(range(10), "upscaling"):
        clock[0] += 9
    assert [line.split(", ")[0] for line in lines] == [
        "upscaling: 3 of 10 images",
        "upscaling: 6 of 10 images",
        "upscaling: 9 of 10 images",
        "upscaling: 10 of 10 images",
    ]
    assert lines[0] == "upscaling: 3 of 10 images, 0.11 a second, 0:01:03 left"
    assert lines[-1] == "upscaling: 10 of 10 images, 0.11 a second, in 0:01:30"
    assert capsys.readouterr() == ("", "")


def test_a_slow_item_has_a_line_of_its_own(clock, lines):
    items = iter(progress.track(range(3), "upscaling"))
    next(items)
    clock[0] += 1000
    next(items)
    assert lines == ["upscaling: 1 of 3 images, 0.001 a second, 0:33:20 left"]


def test_the_end_is_said_once(clock, lines):
    for _ in progress.track(range(2), "upscaling"):
        clock[0] += 30
    assert [line.split(",")[0] for line in lines] == ["upscaling: 1 of 2 images", "upscaling: 2 of 2 images"]


def test_short_work_says_nothing(clock, lines):
    for _ in progress.track(range(10), "upscaling"):
        clock[0] += 1.9
    assert lines == []


def test_what_was_done_before_counts_but_is_no_work_of_this_run(clock, lines):
    with progress.track(None, "encoding", total=300, unit="frames", initial=100) as bar:
        for _ in range(100):
            clock[0] += 0.5
            bar.update()
    assert lines[0] == "encoding: 140 of 300 frames, 2 a second, 0:01:20 left"


def test_a_terminal_has_a_bar_after_a_second(clock, lines, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    for i in progress.track(range(4), "upscaling"):
        clock[0] += 0.6
        assert ("upscaling:" in terminal.getvalue()) == (i > 1), i
    assert "4/4" in terminal.getvalue()
    assert lines == []


def test_heartbeat_says_what_state_the_work_is_in(lines, monkeypatch):
    beaten = threading.Event()
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(logging, "info", lambda form, *words: (lines.append(form % words), beaten.set()))
    with progress.heartbeat("downloading", lambda: "3 of 4 GB"):
        assert beaten.wait(60)
    assert lines[0] == "downloading: 3 of 4 GB, 0:00:00 so far"
    assert not any(thread.name.endswith("(beat)") for thread in threading.enumerate())


def test_what_has_no_end_has_no_time_left(clock, lines):
    for _ in progress.track(iter(range(3)), "reading", unit="files"):
        clock[0] += 1 / 0.045
    assert lines[-1] == "reading: 3 files, 0.045 a second"
