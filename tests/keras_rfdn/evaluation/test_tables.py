import csv
import dataclasses
import io

import pytest

from keras_rfdn.evaluation import tables
from keras_rfdn.evaluation.reports import Timing
from keras_rfdn.evaluation.scoring import Score


@pytest.fixture
def bicubic_result(result):
    return dataclasses.replace(result("bicubic"), weights=None, sha256=None, parameters=None, mult_adds=None)


def test_the_papers_rows_stand_before_ours(result, report):
    one = report(result(sets=[("Set5", 5, 32.2449), ("mine", 3, 30.0)]))
    sets, lines = tables.lines(one)
    assert sets == ["Set5", "mine"]
    assert [line.source for line in lines] == ["published"] * 17 + ["here"]
    (papers,) = (line for line in lines if line.method == "RFDN")
    assert (papers.parameters, papers.scores) == (550_000, {"Set5": Score(32.24, 0.8952)})
    header, rows = tables.cells(one)
    assert header == ["method", "from", "parameters, K", "Mult-Adds, G", "Set5", "mine"]
    assert rows[-1] == ["rfdn", "here", "550", "31.1", "32.24 / 0.8952", "30.00 / 0.8952"]
    assert ["RFDN-L", "published", "643", "36.4", "32.28 / 0.8957", "–"] in rows
    assert ["IDN", "published", "553", "–", "31.82 / 0.8903", "–"] in rows
    assert rows[0] == ["Bicubic", "published", "–", "–", "28.42 / 0.8104", "–"]


def test_ablations_stand_beside_the_papers_tables_1_and_2(result, report, bicubic_result):
    blocks = report(bicubic_result, result("table1-srb"), result("table1-rfdb"))
    names = [line.method for line in tables.lines(blocks)[1]]
    assert names[:4] == ["Base, Table 1", "SRB, Table 1", "FDC, Table 1", "RFDB, Table 1"]
    assert names[4:] == ["bicubic", "table1-srb", "table1-rfdb"]
    assert ["RFDB, Table 1", "published", "637", "–", "32.18 / 0.8950"] in tables.cells(blocks)[1]
    rates = [line.method for line in tables.lines(report(result("table2-0.5"), result("rfdn")))[1]]
    assert rates[16:20] == ["LKDN", "0.25, Table 2", "0.5, Table 2", "0.75, Table 2"]  # after the peers, for rfdn
    # The paper's are of x4 only.
    assert "Base, Table 1" not in [line.method for line in tables.lines(report(result("table1-srb"), scale=2))[1]]


def test_the_papers_rows_stay_away_from_what_they_do_not_compare_with(result, report):
    for other in (
        report(result(), protocol="rgb"),
        report(result(sets=[("Set5", 4, 32.2)])),  # the first images only
        report(result(sets=[("mine", 5, 32.2)])),
    ):
        assert [line.source for line in tables.lines(other)[1]] == ["here"]
    assert "Published rows are on luma and left out" in tables.caption(report(result(), protocol="rgb"))


def test_networks_of_one_name_are_told_apart(result, report):
    several = report(result(), result("imdn"), result("imdn", sha256="cd" * 32))
    assert [line.method for line in tables.lines(several)[1]][-3:] == ["rfdn", "imdn (abababab)", "imdn (cdcdcdcd)"]
    plus = report(result(), result(ensemble=True))
    assert [line.method for line in tables.lines(plus)[1]][-2:] == ["rfdn", "rfdn+"]
    assert "eight flips" in tables.caption(plus)


def test_ours_beside_the_papers(result, report, bicubic_result):
    one = report(
        bicubic_result,
        result(sets=[("Set5", 5, 32.2449), ("mine", 3, 30.0)]),
        result("rlfn", sets=[("Set5", 5, 32.236), ("Manga109", 109, 30.0)]),
        result("e-rfdn"),  # which the paper measures by another protocol
    )
    header, rows = tables.comparison_cells(one)
    assert header == [
        "network",
        *(f"{s}{part}" for s in ("Set5", "Manga109") for part in (", published", ", here", ", dB")),
    ]
    assert rows == [
        ["bicubic", "28.42", "32.24", "+3.82", "24.89", "–", "–"],
        ["rfdn", "32.24", "32.24", "+0.00", "30.58", "–", "–"],
        ["rlfn", "32.24", "32.24", "+0.00", "–", "30.00", "–"],
    ]
    assert "| network | Set5, published | Set5, here | Set5, dB |" in tables.markdown(report(result()))
    for other in (report(result(), protocol="rgb"), report(result("e-rfdn")), report(result(ensemble=True))):
        assert tables.comparison_cells(other)[1] == []
        assert "beside the papers'" not in tables.markdown(other)


def test_times_of_tflite_files(result, report):
    timed = dataclasses.replace(result(), timing=Timing(129.04, 213_400, 2, (180, 320)))
    header, rows = tables.cells(report(timed, result("imdn")))
    assert header[2:6] == ["parameters, K", "Mult-Adds, G", "latency, ms", "file, KB"]
    assert [row[4:] for row in rows[-2:]] == [["129.0", "213", "32.24 / 0.8952 *"], ["–", "–", "32.24 / 0.8952"]]
    caption = tables.caption(report(timed))
    assert "Latency: median for LR of 320x180, 2 threads; *: on its Pareto front." in caption


def test_pareto_front():
    drawn = [
        ("slow", "here", 9, 32.0),
        ("quick", "here", 1, 30.0),
        ("worse", "here", 2, 29.0),
        ("best", "here", 5, 32.0),
    ]
    assert [method for method, *_ in tables.pareto_front(drawn)] == ["quick", "best"]


def test_images_of_one_set(result, report, bicubic_result):
    header, rows = tables.image_cells(report(bicubic_result, result(sets=[("Set5", 5, 30.0)])))
    assert header == ["image", "bicubic", "rfdn"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4", "mean"]
    assert rows[-1][2] == Score(30.0, 0.8952)


def test_files(result, report, bicubic_result):
    one = report(result(), bicubic_result)
    text = tables.markdown(one)
    assert "| rfdn | here | 550 | 31.1 | 32.24 / 0.8952 |" in text
    assert f"- rfdn: `rfdn.h5`, sha256 `{'ab' * 32}`, tensorflow 2.21.0, keras_rfdn 0.1.0" in text
    assert "- bicubic" not in text
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(one))))
    assert rows[-2]["psnr"] == "32.2449"  # not rounded
    assert (rows[-1]["method"], rows[-1]["parameters"]) == ("bicubic", "")
