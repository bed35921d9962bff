"""Registration of this package's layers, optimizers and schedules with tf_keras, whenever that is imported."""

import importlib.util
import sys

# What saved models may hold; registered at their import, which needs TensorFlow.
MODULES = (
    "keras_rfdn.networks.layers",
    "keras_rfdn.networks.reparameterized",
    "keras_rfdn.networks.zoo",
    "keras_rfdn.training.optimizers",
    "keras_rfdn.training.schedules",
)


def register_with_keras() -> None:
    """Register them, so that keras.models.load_model knows them: now, or as soon as tf_keras is imported."""
    if "tf_keras" in sys.modules:
        _import_modules()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


def _import_modules():
    if any(_is_being_imported(name) for name in MODULES):
        return  # it asked for Keras, and is not there yet for the others; whoever builds a network imports them
    for name in MODULES:
        importlib.import_module(name)


def _is_being_imported(name):
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


class _AfterKeras:
    """Finder that lets others find tf_keras, and imports MODULES once it is loaded.

    wrapt.when_imported does the same, but its import alone takes 65 ms, and every command imports this.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tf_keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module

            def load_and_register(module):
                load(module)
                _import_modules()

            spec.loader.exec_module = load_and_register
        return spec
