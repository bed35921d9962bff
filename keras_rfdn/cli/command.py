"""Command-line parser: a dataclass's fields are the flags, its docstring is the help."""

import functools
import re
import sys

import simple_parsing
from absl import app, flags, logging

from keras_rfdn.data.system.errors import StoppedError, UserError

# Packages whose INFO log lines (about saving, tracing, converting) tell a user nothing.
QUIET = {"tensorflow", "tf_keras", "tensorflow_model_optimization", "tensorflow_datasets"}


def run(main, config_class, *, preset=None):
    """Command: parse the command line into config_class, call main(config), exit.

    preset: function from the command line's words to a dict of fields, which replace the class' own defaults.
    UserError and StoppedError are printed as one line and exit with status 2; any other exception keeps its traceback.
    """

    def guarded(config):
        try:
            main(config)
        except (UserError, StoppedError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    logging.get_absl_handler().addFilter(_is_worth_showing)
    app.run(guarded, flags_parser=functools.partial(_parse, config_class, preset=preset))


def _is_worth_showing(record):
    """Whether a line of the log is a warning, or was not written by an installed package in QUIET."""
    *_, package = re.split(r"[/\\](?:site|dist)-packages[/\\]", record.pathname)
    return record.levelno > logging.converter.STANDARD_INFO or re.split(r"[/\\]", package)[0] not in QUIET


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
    parsed, rest = parser.parse_known_args(argv[1:])
    try:
        words = flags.FLAGS(argv[:1] + rest)[1:]  # absl's own, --verbosity for one
    except flags.Error as error:
        parser.error(str(error))
    if words:
        parser.error(f"unexpected: {' '.join(words)}")
    return parsed.config
