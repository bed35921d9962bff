"""Crash isolation: a .tflite file from elsewhere is run in a process of its own first, where a crash costs nothing.

LiteRT checks a file's structure, but not that its numbers make sense: of files with a field of the graph changed, about
one in 200 ends the process that allocates its tensors (docs/robustness.md).
"""

import hashlib
import subprocess
import sys

from keras_rfdn.checkpoints import pretrained
from keras_rfdn.data.system.errors import UserError

SECONDS = 300  # for one run, on a slow machine

_passed: set[str] = set()  # SHA-256


def check(content: bytes, name: str) -> None:
    """Raise UserError when LiteRT crashes on a .tflite file, or doesn't come back.

    content: of the file. name: what it is called in the message. Each file is tried once in a process; those that come
    with the package are not. What LiteRT refuses in words is not said here, but by who opens the file then.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest in _passed or digest in pretrained.checksums().values():
        return
    try:
        status = subprocess.run(
            [sys.executable, "-m", __name__], input=content, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=SECONDS,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{name} keeps LiteRT busy for more than {SECONDS} s with a small image; it is damaged, or no upscaler"
        ) from error
    if not 0 <= status < 256:  # a signal, or a status that Windows gives a crash
        raise UserError(f"{name} makes LiteRT crash (status {status}); it is damaged, make it again or copy it again")
    _passed.add(digest)


if __name__ == "__main__":
    import numpy as np

    from keras_rfdn.upscaling.resizable import ResizableModel

    ResizableModel(sys.stdin.buffer.read(), threads=1)(np.zeros((24, 32, 3), np.uint8))
