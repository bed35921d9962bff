import functools
import json
import signal
import socket

import pytest
import tensorflow as tf

from keras_rfdn.training import strategies, workdir


def losses(folder):
    return [line["loss"] for line in workdir.records(folder)]


def cluster():
    """TF_CONFIG of two workers on loopback, as environments."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]


@pytest.mark.parametrize(("recipe", "steps"), [("one-stage", 12), pytest.param("tiny", 18, marks=pytest.mark.slow)])
def test_one_or_two_devices_or_two_processes_learn_alike(start_training, tmp_path, recipe, steps):
    """The same loss curve from the same global batches, to what the order of float32 sums can change."""
    small = functools.partial(start_training, recipe=recipe)
    every = ["--validate_every", 2]
    one = small(tmp_path / "one", *every)
    two = small(tmp_path / "two", *every, "--strategy", "mirrored", devices=2)
    assert (one.wait(), two.wait()) == (0, 0)
    chief, other = (
        small(tmp_path / "both", *every, "--strategy", "multiworker", environment=task) for task in cluster()
    )
    assert (chief.wait(), other.wait()) == (0, 0)
    expected = losses(tmp_path / "one")
    assert len(expected) == steps // 2
    assert losses(tmp_path / "two") == pytest.approx(expected, rel=1e-4)
    assert losses(tmp_path / "both") == pytest.approx(expected, rel=1e-4)
    # Only the chief writes, and the worker says what it does no less.
    assert "summary" not in other.text()
    assert f"step {steps}/{steps}" in other.text()
    assert "dB on validation" not in other.text()


@pytest.mark.slow
def test_a_stop_of_one_worker_stops_all_after_the_same_update(start_training, tmp_path):
    chief, other = (
        start_training(tmp_path / "run", "--strategy", "multiworker", environment=task) for task in cluster()
    )
    other.wait_for("step 3/18")
    other.process.terminate()
    assert (chief.wait(), other.wait()) == (0, 0)
    (line,) = (line for line in chief.text().splitlines() if "stopped at step" in line)
    assert line.split("stopped at step")[1] in other.text()


@pytest.mark.slow
def test_a_dead_worker_ends_the_others_clearly(start_training, tmp_path):
    flags = ["--strategy", "multiworker", "--validate_every", 4]
    chief, other = (start_training(tmp_path / "run", *flags, environment=task) for task in cluster())
    other.wait_for("step 5/18")
    other.process.kill()
    assert chief.wait() == 2
    assert "error: another worker is gone" in chief.text()
    assert other.wait() == -signal.SIGKILL
    chief, other = (start_training(tmp_path / "run", *flags, environment=task) for task in cluster())
    assert (chief.wait(), other.wait()) == (0, 0)
    assert "resumed at step 4" in chief.text()


def test_a_batch_that_devices_cannot_share(start_training, tmp_path):
    training = start_training(tmp_path / "run", "--strategy", "mirrored", devices=3)
    assert training.wait() == 2
    assert "error: a batch of 4 can't be split evenly on 3 devices" in training.text()


TASK = '{"cluster": {"%s": %s}, "task": {"type": "worker", "index": %s}}'


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[1]", "[" * 100_000, TASK % ("worker", '["a:1"]', 1), TASK % ("worker", '["a:1"]', -1),
        TASK % ("worker", '["a:1"]', "true"), TASK % ("worker", "[7]", 0), TASK % ("worker", '["a:99999"]', 0),
        TASK % ("worker", '["a"]', 0), TASK % ("ps", '["a:1"]', 0), TASK % ("worker", '"a:1"', 0),
    ],
)  # fmt: skip
def test_multiworker_without_a_cluster(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r"needs TF_CONFIG in the environment, such as \{\"cluster\": .*; got "):
        strategies.multiworker()


@pytest.mark.parametrize(("task", "index", "chief"), [("worker", 0, True), ("worker", 1, False), ("chief", 0, True)])
@pytest.mark.parametrize("cluster", [{"worker": ["a:1", "b:1"]}, {"chief": ["c:1"], "worker": ["a:1", "b:1"]}])
def test_chief(monkeypatch, task, index, chief, cluster):
    if task not in cluster:
        pytest.skip("no such task")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type=task, task_id=index
    )
    expected = chief and (task == "chief" or "chief" not in cluster)
    assert strategies.is_chief(type("Strategy", (), {"cluster_resolver": resolver})) == expected


def test_a_single_process_is_its_own_chief():
    assert strategies.is_chief(strategies.one())
