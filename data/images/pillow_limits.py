"""Decompression bomb limits and warnings of Pillow, taken over while files are read: it has one for all threads."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

LIMITS = (
    (Image, "MAX_IMAGE_PIXELS", None),
    (PngImagePlugin, "MAX_TEXT_CHUNK", 2**28),  # bytes; image generators keep whole workflows there
    (PngImagePlugin, "MAX_TEXT_MEMORY", 2**30),
)

_lock = threading.Lock()
_inside = 0  # readers at work in all threads
_heard = threading.local()  # .messages: the list that this thread's warnings go to
_saved = contextlib.ExitStack()


@contextlib.contextmanager
def taken_over() -> Iterator[list[str]]:
    """Pillow without its limits on size and without Python warnings, as a context; gives the list of its warnings.

    The caller checks sizes itself. Several threads may be inside: the first one sets, the last one puts back.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _take_over()
        _inside += 1
    outer, _heard.messages = getattr(_heard, "messages", None), []
    try:
        yield _heard.messages
    finally:
        _heard.messages = outer
        with _lock:
            _inside -= 1
            if _inside == 0:
                _saved.close()


def _take_over():
    for module, name, value in LIMITS:
        _saved.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, value)
    _saved.enter_context(warnings.catch_warnings())
    show = warnings.showwarning

    def hear(message, category, *args, **options):
        messages = getattr(_heard, "messages", None)
        if messages is None:  # of a thread that reads no image
            show(message, category, *args, **options)
        elif not issubclass(category, DeprecationWarning | ResourceWarning):  # those are for programmers
            messages.append(" ".join(str(message).split()))

    warnings.simplefilter("always")
    warnings.showwarning = hear
