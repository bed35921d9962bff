import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.tflite import benchmark
from keras_rfdn.tflite.inspection import description, machine, timing

MEGABYTE = 1e6


def test_main(fixed_tflite, nearest_tflite, tmp_path, capsys):
    file = tmp_path / "results" / "benchmark.json"
    config = benchmark.BenchmarkConfig(
        models=(fixed_tflite, nearest_tflite), threads=1, rounds=2, warmup=1, height=1000, width=1500, json=str(file)
    )
    result = benchmark.main(config)
    first, second = result.models
    assert [m.model for m in (first, second)] == [fixed_tflite, nearest_tflite]
    assert (first.lr, first.sr) == ((32, 40), (64, 80))  # its own size
    assert (second.lr, second.sr) == ((1000, 1500), (2000, 3000))
    assert first.size_bytes == pathlib.Path(fixed_tflite).stat().st_size
    assert first.latency.ratio == 1
    assert second.latency.ratio > 1
    assert all(len(m.latency.latencies_ms) == 2 and m.dtype == "float32" for m in (first, second))
    # What the second model must hold at least: 3 floats for 1.5 megapixels in and 6 out.
    assert 90 < second.memory_bytes / MEGABYTE < 180
    assert 0 < first.memory_bytes / MEGABYTE < 30
    assert second.peak_bytes > second.memory_bytes
    assert (result.threads, result.xnnpack, result.rounds, result.warmup) == (1, True, 2, 1)

    # JSON knows no tuples.
    assert json.loads(file.read_text()) == json.loads(json.dumps(dataclasses.asdict(result)))
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    printed = capsys.readouterr().out
    assert result.surroundings["machine"]["processor"] in printed
    (row,) = (line.split() for line in printed.splitlines() if line.startswith(fixed_tflite))
    assert row[1:3] == ["float32", "40x32"]
    assert row[6] == "1.00"


def test_latency_of_known_times():
    found = timing.Latency.of([10.0, 30.0, 20.0, 40.0, 50.0], [10.0, 10.0, 10.0, 10.0, 100.0], (500, 1000))
    assert found == timing.Latency(
        latencies_ms=(10.0, 30.0, 20.0, 40.0, 50.0),
        median_ms=30,
        p90_ms=pytest.approx(46),  # between the 4th and the 5th, 0.6 of the way
        min_ms=10,
        frames_per_second=pytest.approx(33.333, abs=1e-3),
        megapixels_per_second=pytest.approx(16.667, abs=1e-3),
        ratio=2,  # median of 1, 3, 2, 4, 0.5
    )


def test_models_take_turns_in_changing_order():
    calls = []
    functions = [lambda i=i: calls.append(i) or (i, len(calls)) for i in range(3)]
    results = timing.interleave(functions, 10)
    rounds = [calls[i : i + 3] for i in range(0, 30, 3)]
    assert all(sorted(turn) == [0, 1, 2] for turn in rounds)
    assert {turn[0] for turn in rounds} == {0, 1, 2}
    assert [[i for i, _ in result] for result in results] == [[i] * 10 for i in range(3)]


def test_names_the_processor():
    found = machine.machine()
    assert found["processor"]
    assert found["cores"] >= 1
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists() and "model name" in cpuinfo.read_text():
        assert f": {found['processor']}\n" in cpuinfo.read_text()


def test_errors_are_for_the_user(fixed_tflite, open_tflite, tmp_path):
    with pytest.raises(ValueError, match="no file at"):
        benchmark.main(benchmark.BenchmarkConfig(models=(str(tmp_path / "gone.tflite"),)))
    with pytest.raises(ValueError, match="--rounds"):
        benchmark.main(benchmark.BenchmarkConfig(models=(fixed_tflite,), rounds=0))
    with pytest.raises(UserError, match="takes no 14x320"):  # raised in another process
        benchmark.main(benchmark.BenchmarkConfig(models=(open_tflite,), height=14))


@pytest.mark.parametrize("xnnpack", [True, False])
def test_opens_the_model_as_asked(nearest_tflite, monkeypatch, xnnpack):
    opened = []
    model = benchmark.litert.Model
    monkeypatch.setattr(
        benchmark.litert, "Model", lambda path, **options: opened.append((path, options)) or model(path)
    )
    config = benchmark.BenchmarkConfig(models=(nearest_tflite,), threads=3, xnnpack=xnnpack, height=20, width=30)
    _, facts = benchmark._open(nearest_tflite, config)
    assert (facts["model"], facts["dtype"], facts["lr"], facts["sr"]) == (nearest_tflite, "float32", (20, 30), (40, 60))
    assert opened == [(nearest_tflite, {"threads": 3, "xnnpack": xnnpack})]


def test_profile(fixed_tflite, capsys):
    config = benchmark.BenchmarkConfig(models=(fixed_tflite,), threads=1, rounds=2, warmup=0, profile=True)
    (model,) = benchmark.main(config).models
    found = model.profile
    assert len(found.operators) == sum(description.describe(fixed_tflite).operators.values())
    assert found.whole_ms > 0
    printed = capsys.readouterr().out.splitlines()
    (row,) = (line.split() for line in printed if line.startswith("Convolution (NHWC, F32) IGEMM"))
    total = sum(o.ms for o in found.operators)
    share = sum(o.ms for o in found.operators if o.kernel == "Convolution (NHWC, F32) IGEMM") / total
    assert row[-1] == f"{share:.1%}"
    slowest = max(found.operators, key=lambda o: o.ms)
    assert printed[-benchmark.SLOWEST].startswith(slowest.tensor.split(";")[0])


@pytest.mark.parametrize(
    "command", [["tflite/benchmark.py"], pytest.param(["-m", "keras_rfdn.tflite.benchmark"], marks=pytest.mark.slow)]
)
def test_command(nearest_tflite, root, tmp_path, command):
    file = tmp_path / "b.json"
    flags = ["--noxnnpack", "--threads=1", "--rounds=2", "--height=20", "--width=30", f"--json={file}"]
    subprocess.run([sys.executable, *command, nearest_tflite, *flags], cwd=root, check=True, capture_output=True)
    result = json.loads(file.read_text())
    assert (result["xnnpack"], result["threads"], result["models"][0]["sr"]) == (False, 1, [40, 60])
