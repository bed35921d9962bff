import pathlib

import pytest

from keras_rfdn.data.system import memory


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A /proc/meminfo with 3000 KiB available, and an empty folder for a control group."""
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemFree:  1000 kB\nMemAvailable:  3000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    return tmp_path


def test_what_the_kernel_says(system):
    assert memory.available() == 3000 * 1024
    (system / "memory.max").write_text("max\n")
    assert memory.available() == 3000 * 1024


def test_a_containers_limit_counts_without_pages_that_can_be_dropped(system):
    (system / "memory.max").write_text("1000000\n")
    (system / "memory.current").write_text("700000\n")
    (system / "memory.stat").write_text("anon 400000\nactive_file 50000\ninactive_file 250000\n")
    assert memory.available() == 1_000_000 - (700_000 - 250_000)
    (system / "memory.max").write_text("300000\n")  # lowered below what is used
    assert memory.available() == 0


def test_systems_that_do_not_tell(monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", pathlib.Path("/nowhere/meminfo"))
    assert memory.available() is None
