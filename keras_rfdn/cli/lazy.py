"""Lazy imports, for commands: a module is loaded when it is first used, so that --help needs no TensorFlow."""

import contextlib
import importlib.abc
import sys
import threading
import types
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
            spec.loader = _LazyLoader(spec.loader)
        return spec


class _LazyLoader(importlib.abc.Loader):
    """importlib.util.LazyLoader, which before Python 3.12 shows other threads a module that one has half loaded."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        # A lock for each module: threads wait for each other as modules import each other, which is never in a circle.
        module.__spec__.loader_state = {"lock": threading.RLock(), "loading": False}
        module.__class__ = _LazyModule


class _LazyModule(types.ModuleType):
    def __getattribute__(self, name):
        _load(self)
        return types.ModuleType.__getattribute__(self, name)

    def __setattr__(self, name, value):
        _load(self)
        types.ModuleType.__setattr__(self, name, value)


def _load(module):
    """Load a lazy module, unless that is done, or is being done by this thread. Other threads wait."""
    spec = types.ModuleType.__getattribute__(module, "__spec__")
    state = spec.loader_state
    with state["lock"]:
        if type(module) is _LazyModule and not state["loading"]:
            state["loading"] = True
            try:
                spec.loader.exec_module(module)
                module.__class__ = types.ModuleType
            finally:
                state["loading"] = False
