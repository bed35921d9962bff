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


THREADS = """
import threading
from keras_rfdn.cli.lazy import lazy_imports

with lazy_imports():
    from keras_rfdn.data.images import bicubic, image_files
image_files.MARK = 1
assert (image_files.MARK, image_files.__name__) == (1, "keras_rfdn.data.images.image_files")
begin, found = threading.Barrier(8), []

def use():
    begin.wait()
    found.append(bicubic.downscale.__name__)

threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found.count("downscale"))
"""


def test_threads_wait_for_a_module_that_one_of_them_loads():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "8\n"), done.stderr


def test_a_module_that_could_not_be_loaded_is_tried_again(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/broken.py").write_text("import pathlib\npathlib.Path(__file__).unknown\nNAME = 1\n")
    code = """
from keras_rfdn.cli.lazy import lazy_imports

with lazy_imports():
    from tools import broken
for _ in range(2):
    try:
        broken.NAME
    except AttributeError as error:
        print("unknown" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n" * 2, done.stderr
