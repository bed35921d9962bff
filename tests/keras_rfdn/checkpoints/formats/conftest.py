import contextlib

import pytest

from keras_rfdn.data.system.errors import UserError


@pytest.fixture
def read_damaged(rng):
    """Function: reads a file of each of `times` copies with three bytes changed, from the byte `first` on.

    A UserError is what damage may raise, and nothing else.
    """

    def check(read, path, *, times, first=0):
        content = path.read_bytes()
        for _ in range(times):
            damaged = bytearray(content)
            for place in rng.integers(first, len(content), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(UserError):
                read(path)

    return check
