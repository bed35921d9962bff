import subprocess
import sys

CODE = """
import sys
from keras_rfdn.cli.lazy import lazy_imports

before = list(sys.meta_path)
with lazy_imports():
    from keras_rfdn.networks import models
    from keras_rfdn.checkpoints import checkpoint
assert sys.meta_path == before
assert "tensorflow" not in sys.modules
assert "float16" in models.POLICIES
assert "tensorflow" in sys.modules
from keras_rfdn.networks.models import POLICIES
assert POLICIES is models.POLICIES
assert sys.modules["keras_rfdn.networks.models"] is models
try:
    with lazy_imports():
        from keras_rfdn.networks import absent
except ImportError as error:
    print(error.name, [finder for finder in sys.meta_path if "Lazy" in type(finder).__name__])
"""


def test_a_module_is_loaded_when_it_is_used():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "keras_rfdn.networks []\n"), done.stderr
