"""From a dataclass to a command: its fields are the flags, its docstring the help."""

import pathlib
import sys
import traceback

from absl import app
from etils import eapp

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(main, config_class):
    """Parse the command line into config_class, call main(config), exit.

    An error that our own code raised for the user (ValueError) is printed as one line and exits with status 2; any
    other exception keeps its traceback.
    """

    def guarded(config):
        try:
            main(config)
        except ValueError as error:
            raised_in = pathlib.Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
            if not any(raised_in.is_relative_to(ROOT / package) for package in ("data", "keras_rfdn", "tflite")):
                raise
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    app.run(guarded, flags_parser=eapp.make_flags_parser(config_class))
