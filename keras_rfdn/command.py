"""From a dataclass to a command: its fields are the flags, its docstring the help."""

import functools
import pathlib
import sys
import traceback

import simple_parsing
from absl import app, flags, logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("data", "keras_rfdn", "tflite")


def run(main, config_class, *, preset=None):
    """Parse the command line into config_class, call main(config), exit.

    preset: function from the command line's words to a dict of fields, which replace the class' own defaults.

    A ValueError or RuntimeError that our own code raised for the user is printed as one line and exits with status 2;
    any other exception keeps its traceback.
    """

    def guarded(config):
        try:
            main(config)
        except (ValueError, RuntimeError) as error:
            if not _is_ours(traceback.extract_tb(error.__traceback__)[-1].filename):
                raise
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    logging.get_absl_handler().addFilter(_ours_or_serious)
    app.run(guarded, flags_parser=functools.partial(_parse, config_class, preset=preset))


def _ours_or_serious(record):
    """Keep TensorFlow's chatter about saving and converting out of the log, but none of its warnings."""
    return record.levelno > logging.converter.STANDARD_INFO or _is_ours(record.pathname)


def _is_ours(file):
    return any(pathlib.Path(file).resolve().is_relative_to(ROOT / package) for package in PACKAGES)


def _parse(config_class, argv, *, preset=None):
    """argv -> config_class, where an unknown flag or a word too many stops with the usage and status 2.

    etils.eapp.make_flags_parser would do, but it ignores words and answers an unknown flag with a traceback.
    """
    parser = simple_parsing.ArgumentParser()
    parser.add_arguments(config_class, "config", default=config_class(**preset(argv)) if preset else None)
    parsed, rest = parser.parse_known_args(argv[1:])
    try:
        words = flags.FLAGS(argv[:1] + rest)[1:]  # absl's own, --verbosity for one
    except flags.Error as error:
        parser.error(str(error))
    if words:
        parser.error(f"unexpected: {' '.join(words)}")
    return parsed.config
