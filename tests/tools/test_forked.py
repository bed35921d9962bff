import subprocess
import sys

KILLED = """
import os, pathlib, signal, sys
import tqdm
from keras_rfdn.data.system.progress import track
from tools import forked

def die():
    tqdm.tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)

log = pathlib.Path(sys.argv[1])
with track(None, "working", total=1) as progress:
    assert os.waitpid(forked.start(die, log), 0)[1] == signal.SIGKILL
    assert os.waitpid(forked.start(lambda: list(track([1, 2], "working")), log), 0)[1] == 0
    progress.update()
"""


def test_a_process_that_is_killed_while_it_draws_a_bar_stops_no_other(root, tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "log")], cwd=root, check=True, timeout=120)
