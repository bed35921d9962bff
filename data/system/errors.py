"""The two errors that a user is told in one line; commands print them and exit with status 2."""


class UserError(ValueError):
    """A user's mistake. The message says what was needed, what came and what to try."""


class StoppedError(RuntimeError):
    """Work that cannot go on: a full disk, a lost worker, a diverged training. The message says what is kept."""
