"""The two errors that a user is told in one line; commands print them and exit with status 2."""

import contextlib
from collections.abc import Callable, Iterator


class UserError(ValueError):
    """A user's mistake. The message says what was needed, what came and what to try."""


@contextlib.contextmanager
def as_user_error(words: Callable[[Exception], str]) -> Iterator[None]:
    """Errors of any kind as UserError, as a context: what a parser meets in a damaged file can't be foreseen.

    words: function from the error to the message; UserError passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(words(error)) from error


class StoppedError(RuntimeError):
    """Work that cannot go on: a full disk, a lost worker, a diverged training. The message says what is kept."""
