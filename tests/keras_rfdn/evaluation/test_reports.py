import dataclasses
import json
import math

import pytest

from keras_rfdn.data.system import files
from keras_rfdn.evaluation import reports


def test_json_and_back(tmp_path, result, report):
    one = report(result(), dataclasses.replace(result("bicubic"), weights=None, sha256=None, parameters=None))
    files.write_json(tmp_path / "a.json", one.to_json())
    assert reports.read(tmp_path / "a.json") == one
    exact = report(result(sets=[("equal", 1, math.inf)]))  # which JSON has no number for
    files.write_json(tmp_path / "a.json", exact.to_json())
    assert reports.read(tmp_path / "a.json") == exact


def test_files_of_earlier_versions_are_read(tmp_path, result, report):
    """They repeat protocol, shave and scale in each result."""
    values = report(result()).to_json()
    for of_network in values["results"]:
        of_network |= {"protocol": "y", "shave": 4, "scale": 4}
    (tmp_path / "a.json").write_text(json.dumps(values))
    assert reports.read(tmp_path / "a.json") == report(result())


def test_what_is_no_report_is_refused(tmp_path, result, report):
    half = report(result()).to_json()
    del half["results"][0]["sets"]["Set5"]["images"]
    contents = ("{}", "no JSON", "[1]", "null", json.dumps(half), json.dumps({**half, "results": [1]}))
    for i, content in enumerate(contents):
        (tmp_path / f"{i}.json").write_text(content)
        with pytest.raises(ValueError, match=rf"{i}\.json is no JSON file that keras_rfdn\.evaluate wrote"):
            reports.read(tmp_path / f"{i}.json")
    with pytest.raises(ValueError, match="gone is no JSON file"):
        reports.read(tmp_path / "gone")


def test_merge_joins_the_sets_of_one_network(result, report):
    first = report(result(sets=[("Set5", 5, 32.0)]), result("imdn"))
    second = report(result(sets=[("Set14", 14, 28.0), ("Set5", 5, 32.1)]), result("imdn", sha256="cd" * 32))
    merged = reports.merge([first, second])
    assert [(r.model, list(r.sets)) for r in merged.results] == [
        ("rfdn", ["Set5", "Set14"]),
        ("imdn", ["Set5"]),
        ("imdn", ["Set5"]),
    ]
    assert merged.results[0].sets["Set5"].psnr == 32.1  # the later
    plus = reports.merge([first, report(result(ensemble=True))])
    assert [r.label for r in plus.results] == ["rfdn", "imdn", "rfdn+"]


def test_what_does_not_compare_is_refused(result, report):
    with pytest.raises(ValueError, match="protocol y and rgb cannot stand side by side"):
        reports.merge([report(result()), report(result(), protocol="rgb")])
    with pytest.raises(ValueError, match="scale 4 and 2"):
        reports.merge([report(result()), report(result(), scale=2)])
    with pytest.raises(ValueError, match="Set5 are of different images"):
        reports.merge([report(result()), report(result("imdn", sets=[("Set5", 2, 31.0)]))])


TIMES = {
    "threads": 2,
    "models": [{"model": "a/rfdn.tflite", "size_bytes": 9, "lr": [180, 320], "latency": {"median_ms": 5.5}}],
}


def test_times_of_tflite_files(tmp_path, result, report):
    (tmp_path / "times.json").write_text(json.dumps(TIMES))
    timed = dataclasses.replace(result(), weights="elsewhere/rfdn.tflite")
    one = reports.with_timings(report(result("imdn"), timed), tmp_path / "times.json")
    assert [r.timing for r in one.results] == [None, reports.Timing(5.5, 9, 2, (180, 320))]
    files.write_json(tmp_path / "a.json", one.to_json())
    assert reports.read(tmp_path / "a.json") == one


def test_times_of_nothing_that_was_measured_are_refused(tmp_path, result, report):
    (tmp_path / "times.json").write_text(json.dumps(TIMES))
    with pytest.raises(ValueError, match=r"times rfdn\.tflite, and no result is of these"):
        reports.with_timings(report(result()), tmp_path / "times.json")
    (tmp_path / "b.json").write_text(json.dumps(report(result()).to_json()))
    with pytest.raises(ValueError, match=r"b\.json is no JSON file that tflite/benchmark\.py wrote"):
        reports.with_timings(report(result()), tmp_path / "b.json")
