import io
import os
import subprocess
import sys

import pytest

from keras_rfdn.cli import native_log

CHATTER = [
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795861237.398591   26773 cudart_stub.cc:31] Could not find cuda drivers on your machine",
    "W0000 00:00:1795861501.781407   28342 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_format.",
    "E0000 00:00:1795861506.486984   28404 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
    "2026-01-02 03:04:05.678901: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is",
    "2026-01-02 03:04:05.678901: W tensorflow/core/framework/local_rendezvous.cc:407] End of sequence",
    "2026-01-02 03:04:05.678901: E external/local_xla/cuda_fft.cc:467] Unable to register cuFFT factory: Attempting to",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate",
]
WORTH_SHOWING = [
    "E0000 00:00:1795861506.486984   28404 gpu_device.cc:52] out of memory",
    "F0000 00:00:1795861506.486984   28404 tensor.cc:52] Check failed: dtype() == expected_dtype",
    "W0000 00:00:1795861506.486984   28404 gpu_device.cc:2341] Cannot dlopen some GPU libraries. Please make sure",
    "2026-01-02 03:04:05.678901: E tensorflow/core/util.cc:153] it failed",
    "ERROR: Node number 3 (CONV_2D) failed to prepare.",
    "WARNING: Attempting to use a delegate that only supports static-sized tensors",
    "I1128 10:27:36.397588 139910397344640 progress.py:30] upscaling: 3 of 10 images",  # ours, of a child process
    "Fatal Python error: Segmentation fault",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "info: \xff\xfe is no UTF-8",
    "",
]


def test_chatter_goes_and_what_matters_stays():
    out = io.BytesIO()
    lines = [f"{line}\n".encode("latin-1") for line in WORTH_SHOWING]
    chatter = [f"{line}\n".encode() for line in CHATTER]
    native_log.relay([*lines[:3], *chatter, *lines[3:]], out)
    assert out.getvalue() == b"".join(lines)


@pytest.mark.parametrize("end", ["", "os.abort()", "os.kill(os.getpid(), 9)"])
def test_the_last_words_of_a_crash_are_shown(end):
    code = f"""
import os, sys
from keras_rfdn.cli import native_log
native_log.start()
os.write(2, b"INFO: chatter\\n")
print("from Python: INFO:", file=sys.stderr)
os.write(2, b"last words")
{end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert sorted(done.stderr.splitlines()) == ["from Python: INFO:", "last words"]
    assert (done.returncode == 0) == (end == "")


def test_without_standard_error_nothing_is_filtered():
    code = "from keras_rfdn.cli import native_log; native_log.start(); print('done')"
    command = f'"{sys.executable}" -c "{code}" 2>&-'
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, env=os.environ, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n")
