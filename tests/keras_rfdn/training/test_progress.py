import math

import pytest
import tensorflow as tf

from keras_rfdn.training import progress
from keras_rfdn.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_report_by_hand(clock, caplog):
    caplog.set_level("INFO", logger="absl")
    report = Progress(start=10, steps=100)
    assert math.isnan(report.mean_loss())
    for loss in (3.0, 5.0):
        report.add(tf.constant(loss), images=16, waited=0.5)
    clock[0] += 4
    report.report(12, learning_rate=1e-3)
    assert (report.loss, report.images_per_second, report.data_wait) == (4.0, 8.0, 0.25)
    # 88 updates are left, of 2 seconds each.
    assert "step 12/100  loss 4.000  8.0 images/s, 25% waiting for data  left 0:02:56" in caplog.text
    assert report.mean_loss() == 4.0  # nothing came since
    report.add(tf.constant(1.0), images=16, waited=0)
    clock[0] += 1
    report.psnr_y = 30.0
    report.report(13, learning_rate=1e-3)
    assert "loss 1.000  valid 30.00 dB  16.0 images/s" in caplog.text
    assert (report.loss, report.images_per_second, report.data_wait) == (1.0, 16.0, 0.0)


def test_slow_updates_have_lines_between_reports(clock, caplog):
    caplog.set_level("INFO", logger="absl")
    slow = Progress(start=10, steps=100)
    for step in range(11, 18):
        clock[0] += 10
        slow.heartbeat(step)
    assert [record.getMessage() for record in caplog.records] == [
        "step 13/100  left 0:14:30",
        "step 16/100  left 0:14:00",
    ]
    slow.report(17, learning_rate=1e-3)
    clock[0] += 29
    slow.heartbeat(18)
    assert len(caplog.records) == 3
