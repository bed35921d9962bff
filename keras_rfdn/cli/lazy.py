"""Lazy imports, for commands: a module is loaded when it is first used, so that --help needs no TensorFlow."""

import contextlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator

PACKAGES = ("keras_rfdn", "tools", "benchmarks")


@contextlib.contextmanager
def lazy_imports() -> Iterator[None]:
    """Lazy imports, as a context: modules of ours that are imported in it are loaded when they are first used.

        with lazy_imports():
            from keras_rfdn.checkpoints import checkpoint

    Import modules, not what is in them: `from keras_rfdn.training.loop import fit` would load the module to find fit.
    Besides --help being fast, command.run has set up the log by the time that TensorFlow is loaded.
    """
    finder = _LazyFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _LazyFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in PACKAGES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec and spec.submodule_search_locations is None:  # packages hold nothing but their modules
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
