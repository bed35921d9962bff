import csv
import dataclasses
import io

import pytest

from keras_rfdn.evaluation import tables
from keras_rfdn.evaluation.scoring import Score


@pytest.fixture
def bicubic_result(result):
    return dataclasses.replace(result("bicubic"), weights=None, sha256=None, parameters=None, mult_adds=None)


def test_the_papers_rows_stand_before_ours(result, report):
    one = report(result(sets=[("Set5", 5, 32.2449), ("mine", 3, 30.0)]))
    sets, lines = tables.lines(one)
    assert sets == ["Set5", "mine"]
    assert [line.source for line in lines] == ["published"] * 14 + ["here"]
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
    assert rates[13:17] == ["RFDN-L", "0.25, Table 2", "0.5, Table 2", "0.75, Table 2"]  # after Table 3, for rfdn
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
