import itertools
import sys

import numpy as np
import pytest

from keras_rfdn.data.system.errors import StoppedError
from tools import check_long_life
from tools.check_long_life import Memory, measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_growth_is_of_the_last_half_over_the_warm_up():
    assert Memory(50, 100, 105).growth == pytest.approx(5)


def test_what_is_kept_is_seen_and_what_is_dropped_is_not():
    kept = []

    def work(keep):
        def items(_):
            for number in itertools.count():
                made = np.full(2**20, number, np.float32)  # 4 MB
                if keep:
                    kept.append(made)
                if number == 100:
                    return
                yield made

        return items

    base = measure(work(keep=False), 100)
    assert base.growth < 2
    grown = measure(work(keep=True), 100)
    kept.clear()
    assert grown.late - grown.warm == pytest.approx(80 * 4.2, rel=0.1)
    assert grown.late - base.late > 350


def test_parts_that_grow_are_named(monkeypatch, capsys):
    found = {"images": Memory(90, 100, 104), "tiles": Memory(90, 100, 106), "calibration": Memory(90, 100, 99)}
    monkeypatch.setattr(check_long_life, "PARTS", dict.fromkeys(found))
    memories = iter(found.values())
    monkeypatch.setattr(check_long_life, "_in_process", lambda *_: next(memories))
    with pytest.raises(StoppedError, match=r"grows by more than 5\.0 %: tiles$"):
        check_long_life.main(check_long_life.CheckLongLifeConfig())
    assert "2,000 tiles           90   100        106  +6.0" in capsys.readouterr().out
