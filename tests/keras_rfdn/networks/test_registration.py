import subprocess
import sys

import pytest

from keras_rfdn.networks import models
from keras_rfdn.networks.config import ModelConfig

# All layers of the package's own: ESA's resize, CCA's statistics, the pixel shuffle, LeakyReLU.
CONFIGS = [
    ModelConfig("rfdb", channels=8, num_blocks=1, attention="esa", reduction=2, scale=2),
    ModelConfig("rfdb", channels=8, num_blocks=1, attention="cca", reduction=2, scale=2),
    ModelConfig("rfdb", channels=8, num_blocks=1, activation="relu", network="image_residual", scale=2),
]


@pytest.mark.parametrize(
    "imports", ["import tf_keras, keras_rfdn", pytest.param("import keras_rfdn, tf_keras", marks=pytest.mark.slow)]
)
def test_saved_models_load_in_a_process_that_imports_the_package(tmp_path, imports):
    paths = []
    for i, config in enumerate(CONFIGS):
        for suffix in ("keras", "h5"):
            paths.append(tmp_path / f"{i}.{suffix}")
            models.build(config).save(paths[-1])
    code = f"{imports}; import sys; [tf_keras.models.load_model(path, compile=False) for path in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", code, *paths], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["layers", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reparameterized", "zoo"))]
)
def test_a_module_with_layers_can_be_the_first_that_is_imported(module):
    """It imports Keras, which imports what is registered with it, the module itself among it."""
    done = subprocess.run(
        [sys.executable, "-c", f"import keras_rfdn.networks.{module}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_neither_tensorflow_nor_numpy():
    code = "import sys, keras_rfdn; sys.exit(bool({'tensorflow', 'tf_keras', 'numpy', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
