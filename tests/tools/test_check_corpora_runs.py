import collections
import mmap
import os
import signal
import sys
import time

import pytest

from tools import check_corpora_runs
from tools.check_corpora_runs import Call, Limits


def _fail():
    print("error: a is damaged", file=sys.stderr)
    sys.exit(2)


def _say_twice():
    print("error: a is damaged", file=sys.stderr)
    _fail()


def _take(size):
    mmap.mmap(-1, size).write(bytes(size))


def _spin():
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda: None, "result"),
        (_fail, "error line"),
        (_say_twice, "traceback"),
        (lambda: sys.exit(1), "traceback"),
        (lambda: [][0], "traceback"),
        (lambda: print("a.png can't be upscaled (KeyError: 3); please report this"), "traceback"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal"),
        (_spin, "over time"),
        (lambda: time.sleep(60), "over time"),
    ],
)
def test_outcomes(function, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(check_corpora_runs, "HANG", 2)
    (ended,) = _run(function, tmp_path)
    assert ended.kind == kind


def _run(function, tmp_path, target=None, memory=2**40):
    calls = collections.deque([Call("a", function, tmp_path / "out", Limits(memory, 0.5), target)])
    return list(check_corpora_runs.run(calls, 1))


def test_memory_is_counted(tmp_path):
    (least,) = _run(lambda: None, tmp_path)
    for size, kind in ((2**20, "result"), (200 * 2**20, "over memory")):
        (ended,) = _run(lambda size=size: _take(size), tmp_path, memory=least.memory_bytes + 100 * 2**20)
        assert ended.kind == kind


@pytest.mark.parametrize(
    ("name", "function", "kind"),
    [
        ("a.png", lambda path: path.touch(), "result"),
        ("a.png", lambda path: (path.touch(), _fail()), "partial file"),
        ("a.png", lambda path: None, "partial file"),
        ("a.0123456789abcdef.tmp.png", lambda path: (path.touch(), _fail()), "partial file"),
        ("a.png", lambda path: _fail(), "error line"),
    ],
)
def test_what_is_left_behind(name, function, kind, tmp_path):
    path = tmp_path / "out" / name
    (ended,) = _run(lambda: function(path), tmp_path, tmp_path / "out/a.png")
    assert ended.kind == kind


def test_calls_may_be_added_and_the_last_words_are_kept(tmp_path):
    calls = collections.deque([Call(0, lambda: print("one\ntwo"), tmp_path / "0", Limits(2**40, 5))])
    names = []
    for ended in check_corpora_runs.run(calls, 2):
        names.append(ended.call.name)
        assert ended.words == "one | two"
        if len(names) < 4:
            name = len(names)
            calls.append(Call(name, lambda: print("one\ntwo"), tmp_path / str(name), Limits(2**40, 5)))
    assert names == [0, 1, 2, 3]
