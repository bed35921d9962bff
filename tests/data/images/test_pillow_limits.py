import threading
import warnings

import pytest
from PIL import Image

from keras_rfdn.data.images import pillow_limits


def test_limit_and_warnings_are_back_after_the_last_one():
    limit, show = Image.MAX_IMAGE_PIXELS, warnings.showwarning
    with pillow_limits.taken_over() as outer:
        assert Image.MAX_IMAGE_PIXELS is None
        with pillow_limits.taken_over() as inner:
            warnings.warn("two\nlines", stacklevel=1)
        assert Image.MAX_IMAGE_PIXELS is None
        warnings.warn("after", stacklevel=1)
    assert (outer, inner) == (["after"], ["two lines"])
    assert (Image.MAX_IMAGE_PIXELS, warnings.showwarning) == (limit, show)


def test_what_is_for_programmers_is_dropped():
    with pillow_limits.taken_over() as heard:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert heard == []


def test_each_thread_hears_its_own():
    inside, done, heard = threading.Barrier(2), threading.Barrier(2), {}

    def read(name):
        with pillow_limits.taken_over() as messages:
            inside.wait(10)
            warnings.warn(name, stacklevel=1)
            done.wait(10)
            heard[name] = messages

    threads = [threading.Thread(target=read, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"a": ["a"], "b": ["b"]}
    assert Image.MAX_IMAGE_PIXELS is not None


def test_threads_that_read_no_image_warn_as_ever():
    def other():
        warnings.warn("elsewhere", stacklevel=1)

    thread = threading.Thread(target=other)
    with pytest.warns(UserWarning, match="elsewhere"), pillow_limits.taken_over() as heard:  # noqa: PT031
        thread.start()
        thread.join()
    assert heard == []
