"""Log filter for native libraries, which write to file descriptor 2 past all settings of Python's.

TF_CPP_MIN_LOG_LEVEL does not reach all lines (CUDA's come before it is read), and for LiteRT's INFO there is no setting
in Python at all. So descriptor 2 becomes a pipe to another process, which lets through what is worth showing: not to a
thread, so that the last words of a crash are shown too.
"""

import io
import os
import re
import subprocess
import sys

SOURCE = r"\S+\.(?:cc|cpp|cu|h|inc):\d+\] "  # a line of a C++ log names its source file; one of absl in Python is kept
CHATTER = re.compile(
    "|".join(
        [
            r"INFO: ",  # LiteRT
            r"WARNING: All log messages before absl::InitializeLog",
            rf"I\d{{4}} \S+ +\d+ {SOURCE}",  # Abseil
            rf"\d{{4}}-\d\d-\d\d [\d:.]+: I {SOURCE}",  # TensorFlow's older form
            # Warnings, but for that of CUDA's libraries not being found, which is why training on a GPU would be slow.
            rf"W\d{{4}} \S+ +\d+ {SOURCE}(?!.*GPU libraries)",
            rf"\d{{4}}-\d\d-\d\d [\d:.]+: W {SOURCE}(?!.*GPU libraries)",
            # Errors that are none: no GPU is there, or libraries are registered twice.
            rf".*{SOURCE}failed call to cuInit",
            rf".*{SOURCE}Unable to register cu\w+ factory",
            r"(?:ZIP|LZW|LZMA|ZSTD|Fax|PackBits|JPEG|LogLuv|PixarLog|TIFF)\w*: ",  # libtiff, of a file that we name
            r"More samples per pixel than can be decoded",
            r"To enable the following instructions: ",  # the second line of one above
            r"Created TensorFlow Lite",  # LiteRT, where another process writes between INFO and this
            r"(INFO|WARNING):(root|__main__|apache_beam[\w.]*):",  # Apache Beam's workers, which set up their own log
        ]
    )
)


def start() -> None:
    """Filter what native code writes to standard error, for the rest of this process and its children.

    Python's own sys.stderr stays as it is: a terminal where it was one.
    """
    try:
        terminal = os.dup(2)
        relay = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True
        )  # a session of its own: Ctrl-C is not for it, it ends with the last one who writes
    except OSError:  # no file descriptor 2, or no process to be had: nothing is filtered
        return
    sys.stderr.flush()
    sys.stderr = io.TextIOWrapper(
        os.fdopen(terminal, "wb", 0), encoding=sys.stderr.encoding, errors="backslashreplace", write_through=True
    )
    os.dup2(relay.stdin.fileno(), 2)
    relay.stdin.close()


def relay(lines, out) -> None:
    """Write those of lines, bytes, to out that are not CHATTER."""
    for line in lines:
        if not CHATTER.match(line.decode(errors="replace")):
            out.write(line)
            out.flush()


if __name__ == "__main__":
    relay(sys.stdin.buffer, sys.stderr.buffer)
