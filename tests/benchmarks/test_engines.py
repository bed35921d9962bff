import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import engines
from keras_rfdn.data.sources import sample
from keras_rfdn.upscaling import litert

LR = sample.dead_leaves(100, seed=1)[:32, :40]


def test_litert_gives_grey_levels(fixed_tflite):
    session, facts = engines.start(engines.open_litert, fixed_tflite, 1, LR, 1)
    assert facts == {}
    found = session.upscale(LR)
    model = litert.Model(fixed_tflite)
    np.testing.assert_array_equal(found.round().clip(0, 255).astype(np.uint8), model.upscale(LR))
    assert found.dtype == np.float32


def test_a_session_times_the_network_alone():
    calls = []

    def opener(path, threads):
        assert (path, threads) == ("file", 3)
        return engines.Engine(
            prepare=lambda lr: calls.append("prepare") or time.sleep(0.3) or lr,
            run=lambda x: calls.append("run") or x,
            result=lambda y: calls.append("result") or y,
        )

    session = engines.Session(opener, "file", 3, LR, 2)
    assert session.invoke_ms() < 300
    assert len(session.cpu_ms()) == 1
    assert calls == ["prepare", "run", "run", "run"]
    assert session.upscale(LR) is LR
    assert calls[4:] == ["prepare", "run", "result"]


def test_layouts():
    nchw = engines._nchw(LR)
    assert (nchw.shape, nchw.dtype) == ((1, 3, 32, 40), np.float32)
    assert nchw[0, 2, 5, 7] == LR[5, 7, 2]
    hwc = engines._hwc(nchw)
    np.testing.assert_array_equal(hwc, LR)
    nchw[:] = 0  # as an engine does that writes over its output
    np.testing.assert_array_equal(hwc, LR)


def test_openvino_refuses_bfloat16_where_the_processor_has_none():
    openvino = pytest.importorskip("openvino")
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has bfloat16")
    with pytest.raises(engines.Unsupported, match="no bfloat16"):
        engines.open_openvino_bfloat16("file", 1)


def test_needs_no_tensorflow(root):
    code = "import sys, benchmarks.engines, benchmarks.compare_engines; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
