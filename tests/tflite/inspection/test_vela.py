import sys

import pytest

from keras_rfdn.tflite.inspection import targets, vela

LOG = """Warning: No system configuration specified.

Warning (supported operators) operator: RESIZE_BILINEAR, ofm: 'B1.esa/resize'
Reason: width scale-factor must be an integer power of two. scale-factor: (320/51)
Scale-factor must be an integer power of two.

Warning (supported operators) operator: SQRT, ofm: 'a, b'
Reason: Unsupported opType
"""


@pytest.fixture
def stand_in(monkeypatch):
    """Function (Python program): it takes Vela's place."""

    def install(program):
        monkeypatch.setattr(vela, "find", lambda: [sys.executable, "-c", program])
        monkeypatch.setattr(targets, "operators", lambda content: [None] * 7)

    return install


def test_verdict_is_read_from_its_log(stand_in):
    stand_in(f"print({LOG!r})")
    found = vela.verdict(b"", "ethos-u85-512")
    assert (found.target, found.total, found.accepted) == ("Vela, ethos-u85-512", 7, 5)
    assert found.refusals == (
        targets.Refusal(
            "RESIZE_BILINEAR",
            "B1.esa/resize",
            "width scale-factor must be an integer power of two. scale-factor: (320/51)",
        ),
        targets.Refusal("SQRT", "a, b", "Unsupported opType"),
    )


def test_failures_are_told(stand_in, monkeypatch):
    stand_in("raise SystemExit('no such accelerator')")
    with pytest.raises(ValueError, match=r"Vela failed for ethos-u1.*no such accelerator"):
        vela.verdict(b"", "ethos-u1")
    monkeypatch.setattr(vela, "find", lambda: None)
    with pytest.raises(ValueError, match="pip install ethos-u-vela"):
        vela.verdict(b"", "ethos-u85-512")


def test_found_on_the_path(monkeypatch, tmp_path):
    program = tmp_path / "vela"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert vela.find() == [str(program)]
