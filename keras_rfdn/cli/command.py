"""Command-line parser: a dataclass's fields are the flags, its docstring is the help."""

import dataclasses
import functools
import logging as std_logging
import os
import re
import signal
import sys
import warnings

import simple_parsing
from absl import app, flags, logging

from keras_rfdn.cli import native_log
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError

BOOLS = ("true", "false", "yes", "no", "t", "f", "y", "n", "1", "0")  # values of a flag that is on or off

# Packages that `pip install keras-rfdn` leaves out, and the extra that brings each.
TRAIN = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "tensorflow_datasets", "skimage", "matplotlib")
EXTRAS = dict.fromkeys((*TRAIN, "h5py"), "train") | {"av": "video", "apache_beam": "beam"}


def run(main, config_class, *, preset=None):
    """Command: parse the command line into config_class, call main(config), exit.

    preset: function from the command line's words to a dict of fields, which replace the class' own defaults.
    UserError, StoppedError and errors of the system (OSError: a full disk, a folder that is gone) are printed as one
    line and exit with status 2; any other exception keeps its traceback.
    The log is ours: that of installed packages is shown with absl's --verbosity alone, whatever its value.
    """

    def guarded(config):
        if not flags.FLAGS["verbosity"].present:
            _quiet()
        try:
            main(config)
        except (UserError, StoppedError) as error:
            _fail(error)
        except OSError as error:  # of a disk or a network, for which the command has no words of its own
            logging.debug("traceback:", exc_info=True)
            name = (
                f"{files.printable(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
            )
            _fail(f"{name}{error.strerror or error}")
        except KeyboardInterrupt:
            sys.exit(130)  # as shells say that Ctrl-C ended it; what is kept, the log has said
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            _fail(f'this needs {package}, which is not installed: pip install "keras-rfdn[{EXTRAS[package]}]"')

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half-written files are removed
    app.run(guarded, flags_parser=functools.partial(_parse, config_class, preset=preset))


def _fail(error):
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _quiet():
    """Leave out what installed packages say of themselves; their warnings and errors in the log come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    native_log.start()
    handler = logging.get_absl_handler()
    handler.python_handler.setStream(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno > logging.converter.STANDARD_INFO or _is_ours(record.pathname))
    show = warnings.showwarning
    warnings.showwarning = lambda message, category, filename, *rest: (
        _is_ours(filename) and show(message, category, filename, *rest)
    )


class _Formatter(std_logging.Formatter):
    """A line of the log as "12:00:00 message" or "12:00:00 warning: message"."""

    def formatMessage(self, record):
        level = f"{record.levelname.lower()}: " if record.levelno > std_logging.INFO else ""
        return f"{record.asctime} {level}{record.message}"


def _is_ours(path):
    """Whether a source file belongs to no installed package but this one."""
    *_, package = re.split(r"[/\\](?:site|dist)-packages[/\\]", path)
    return package == path or re.split(r"[/\\]", package)[0] == "keras_rfdn"


def _with_values(config_class, words):
    """The words of a command line, a bare flag of a bool as --flag=true: the parser would take the next word for it."""
    bools = [field.name for field in dataclasses.fields(config_class) if field.type is bool]
    values = {f"--{name}": f"--{name}=true" for name in bools} | {f"--no{name}": f"--{name}=false" for name in bools}
    following = [*words[1:], ""]
    return [
        values.get(word, word) if after.lower() not in BOOLS else word
        for word, after in zip(words, following, strict=bool(words))
    ]


def _parse(config_class, argv, *, preset=None):
    """argv -> config_class, where an unknown flag or a word too many stops with the usage and status 2.

    etils.eapp.make_flags_parser would do, but it ignores words and answers an unknown flag with a traceback.
    """
    parser = simple_parsing.ArgumentParser()
    try:
        defaults = config_class(**preset(argv)) if preset else None
    except UserError as error:
        parser.error(str(error))
    parser.add_arguments(config_class, "config", default=defaults)
    parsed, rest = parser.parse_known_args(_with_values(config_class, argv[1:]))
    try:
        words = flags.FLAGS(argv[:1] + rest)[1:]  # absl's own, --verbosity for one
    except flags.Error as error:
        parser.error(str(error))
    if words:
        parser.error(f"unexpected: {' '.join(words)}")
    return parsed.config
