import csv
import io
import json

import pytest

from keras_rfdn.evaluation import tables

VERSIONS = {"tensorflow": "2.21.0", "keras_rfdn": "0.1.0"}


def result(model="rfdn", sets=(("Set5", 5, 32.2449),), *, sha256="ab" * 32, ensemble=False, **others):
    return {
        "model": model,
        "weights": f"{model}.h5",
        "sha256": sha256,
        "ensemble": ensemble,
        "parameters": 549_624,
        "mult_adds": 31_128_890_112,
        "versions": VERSIONS,
        "sets": {
            name: {"psnr": psnr, "ssim": 0.8952, "images": {str(i): {"psnr": psnr, "ssim": 0.8952} for i in range(n)}}
            for name, n, psnr in sets
        },
        **others,
    }


def report(*results, protocol="y", scale=4):
    return {"protocol": protocol, "shave": scale, "scale": scale, "results": list(results)}


def test_the_papers_rows_stand_before_ours():
    sets, lines = tables.lines(report(result(sets=[("Set5", 5, 32.2449), ("mine", 3, 30.0)])))
    assert sets == ["Set5", "mine"]
    assert [line.source for line in lines] == ["published"] * (len(lines) - 1) + ["here"]
    (papers,) = (line for line in lines if line.method == "RFDN")
    assert (papers.parameters, papers.scores) == (550_000, {"Set5": (32.24, 0.8952)})
    header, rows = tables.cells(report(result(sets=[("Set5", 5, 32.2449), ("mine", 3, 30.0)])))
    assert header == ["method", "from", "parameters, K", "Mult-Adds, G", "Set5", "mine"]
    assert rows[-1] == ["rfdn", "here", "550", "31.1", "32.24 / 0.8952", "30.00 / 0.8952"]
    assert ["IMDN", "published", "715", "40.9", "32.21 / 0.8948", "–"] in rows
    assert rows[0] == ["Bicubic", "published", "–", "–", "28.42 / 0.8104", "–"]


def test_the_papers_rows_stay_away_from_what_they_do_not_compare_with():
    for other in (
        report(result(), protocol="rgb"),
        report(result(sets=[("Set5", 4, 32.2)])),  # the first images only
        report(result(sets=[("mine", 5, 32.2)])),
    ):
        assert [line.source for line in tables.lines(other)[1]] == ["here"]
    assert "Published rows are on luma and left out" in tables.caption(report(result(), protocol="rgb"))


def test_merge_joins_the_sets_of_one_model():
    first = report(result(sets=[("Set5", 5, 32.0)]), result("imdn"))
    second = report(result(sets=[("Set14", 14, 28.0), ("Set5", 5, 32.1)]), result("imdn", sha256="cd" * 32))
    merged = tables.merge([first, second])
    assert [(r["model"], list(r["sets"])) for r in merged["results"]] == [
        ("rfdn", ["Set5", "Set14"]),
        ("imdn", ["Set5"]),
        ("imdn", ["Set5"]),
    ]
    assert merged["results"][0]["sets"]["Set5"]["psnr"] == 32.1  # the later
    assert [line.method for line in tables.lines(merged)[1]][-3:] == ["rfdn", "imdn (abababab)", "imdn (cdcdcdcd)"]
    plus = tables.merge([first, report(result(ensemble=True))])
    assert [line.method for line in tables.lines(plus)[1]][-3:] == ["rfdn", "imdn", "rfdn+"]
    assert "eight flips" in tables.caption(plus)


def test_what_does_not_compare_is_refused():
    with pytest.raises(ValueError, match="protocol y and rgb cannot stand side by side"):
        tables.merge([report(result()), report(result(), protocol="rgb")])
    with pytest.raises(ValueError, match="scale 4 and 2"):
        tables.merge([report(result()), report(result(), scale=2)])
    with pytest.raises(ValueError, match="Set5 are of different images"):
        tables.merge([report(result()), report(result("imdn", sets=[("Set5", 2, 31.0)]))])


def test_files(tmp_path):
    one = report(result(), result("bicubic", sha256=None, weights=None, parameters=None, mult_adds=None))
    text = tables.markdown(one)
    assert "| rfdn | here | 550 | 31.1 | 32.24 / 0.8952 |" in text
    assert f"- rfdn: `rfdn.h5`, sha256 `{'ab' * 32}`, tensorflow 2.21.0, keras_rfdn 0.1.0" in text
    assert "- bicubic" not in text
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(one))))
    assert rows[-2]["psnr"] == "32.2449"  # not rounded
    assert (rows[-1]["method"], rows[-1]["parameters"]) == ("bicubic", "")
    (tmp_path / "a.json").write_text(json.dumps(one))
    assert tables.read(tmp_path / "a.json") == one
    for name, content in (("b.json", "{}"), ("c.json", "no JSON"), ("d.json", "[1]")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=f"{name} is no JSON file that keras_rfdn.evaluate wrote"):
            tables.read(tmp_path / name)
