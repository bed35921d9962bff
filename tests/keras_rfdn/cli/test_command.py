import os
import re
import subprocess
import sys

import pytest

from keras_rfdn import upscale
from keras_rfdn.cli import command

COMMAND = """
import dataclasses
import os
import signal
import time
import warnings
import numpy as np
from absl import logging
from keras_rfdn.data.images import patches
from keras_rfdn.cli import command
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import config

@dataclasses.dataclass(frozen=True)
class AddConfig:
    '''Adds.'''
    a: int = 1  # the first number
    fails: str = ''

def main(options):
    for line, file in (
        ("logging.info('chatter of a library')", '/lib/site-packages/tensorflow/python/a.py'),
        ("logging.warning('warning of a library')", '/lib/site-packages/tensorflow/python/a.py'),
        ("logging.info('adding')", __file__),
        ("logging.info('installed')", '/lib/site-packages/keras_rfdn/add.py'),
        ("logging.info('cloned')", '/home/me/tensorflow/keras-rfdn/add.py'),
        ("warnings.warn('advice of a library')", '/lib/site-packages/tensorflow/python/a.py'),
        ("warnings.warn('advice of ours')", __file__),
    ):
        exec(compile(line, file, 'exec'))  # as if that file said it
    os.write(2, b'INFO: chatter of LiteRT')
    if options.fails == 'ours':
        config.variant('rfdn', 5)
    if options.fails == 'foreign':
        np.zeros(3).reshape(2)
    if options.fails == 'package':
        raise ModuleNotFoundError(name='tensorflow.keras')
    if options.fails in ('interrupt', 'terminate'):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which nohup and & leave ignored
        with files.atomic_write(os.path.join(os.path.dirname(__file__), 'half')):
            os.kill(os.getpid(), {'interrupt': signal.SIGINT, 'terminate': signal.SIGTERM}[options.fails])
            time.sleep(60)
    if options.fails == 'other':
        patches.orient(None, 1)
    print(options.a + 1)

def preset(argv):
    if 'unknown' in argv:
        raise UserError('no preset of that name')
    return {}

command.run(main, AddConfig, preset=preset)
"""


@pytest.fixture
def run(root, tmp_path):
    # A file, because the help is read from the comments in it.
    (tmp_path / "add.py").write_text(COMMAND)

    def run(*flags):
        command = [sys.executable, tmp_path / "add.py", *flags]
        return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True)

    return run


def test_flags_are_the_fields(run):
    done = run("--a", "41")
    assert (done.returncode, done.stdout) == (0, "42\n")
    assert "the first number (default: 1)" in run("--help").stdout


@pytest.mark.parametrize(
    ("words", "strip"),
    [
        ("--strip in.png out.png", True),
        ("in.png --strip out.png", True),
        ("in.png out.png --strip", True),
        ("--strip=false in.png out.png", False),
        ("--strip False in.png out.png", False),
        ("--nostrip in.png out.png", False),
        ("--strip --scale 2 in.png out.png", True),
    ],
)
def test_a_flag_that_is_on_or_off_takes_no_other_word(words, strip):
    config = command._parse(upscale.UpscaleConfig, ["rfdn", *words.split()])
    assert (config.input, config.output, config.strip) == ("in.png", "out.png", strip)


def test_the_log_is_ours_and_warnings(run):
    log = run().stderr
    for shown in ("adding", "installed", "cloned", "warning of a library", "advice of ours"):
        assert shown in log
    assert "chatter" not in log
    assert "advice of a library" not in log


def test_a_line_of_the_log_has_its_time_and_says_what_is_a_warning(run):
    lines = run().stderr.splitlines()
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d adding", line) for line in lines)
    assert any(re.fullmatch(r"\d\d:\d\d:\d\d warning: warning of a library", line) for line in lines)


@pytest.mark.parametrize(("fails", "status"), [("interrupt", 130), ("terminate", 143)])
def test_a_command_that_is_stopped_says_nothing_and_leaves_no_half_file(run, tmp_path, fails, status):
    done = run("--fails", fails)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["add.py"]


def test_a_missing_package_is_named_with_its_extra(run):
    done = run("--fails", "package")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        'error: this needs tensorflow, which is not installed: pip install "keras-rfdn[train]"'
    )


def test_verbosity_shows_all_that_there_is(run):
    log = run("--verbosity", "0").stderr
    for shown in ("adding", "chatter of a library", "chatter of LiteRT", "advice of a library"):
        assert shown in log


def test_our_errors_are_one_line(run):
    done = run("--fails", "ours")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: scale must be one of (2, 3, 4), got 5"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("fails", "error"), [("foreign", "ValueError: cannot reshape"), ("other", "TypeError")])
def test_other_errors_keep_their_traceback(run, fails, error):
    done = run("--fails", fails)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert error in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("flags", [["--b", "3"], ["--a", "one"], ["--a", "3", "4"]])
def test_what_is_no_flag_is_refused(run, flags):
    done = run(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preset_that_is_refused_is_no_traceback(run):
    done = run("--fails", "unknown")
    assert done.returncode == 2
    assert "error: no preset of that name" in done.stderr
    assert "Traceback" not in done.stderr
