"""Distribution strategies, the devices of a training: functions that make a tf.distribute strategy."""

import itertools
import json
import os

import tensorflow as tf

from keras_rfdn.data.system.errors import UserError


def one() -> tf.distribute.Strategy:
    """The first GPU, or the CPU."""
    return tf.distribute.get_strategy()


def mirrored() -> tf.distribute.Strategy:
    """All GPUs of this machine; without any, all of its logical CPU devices."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def multiworker() -> tf.distribute.Strategy:
    """All GPUs of all machines that TF_CONFIG names, each of which runs the same command.

    TF_CONFIG is TensorFlow's own: {"cluster": {"worker": ["host1:port", ...]}, "task": {"type": "worker", "index": 0}};
    the worker of index 0 is the chief, which validates and writes. Must come before any other use of TensorFlow's
    devices. Raises UserError when TF_CONFIG is absent or not of that form.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        _check_cluster(json.loads(text))
    except Exception as error:  # whatever a text leads to that is of another form
        raise UserError(
            "strategy multiworker needs TF_CONFIG in the environment, such as "
            '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}, '
            f"with another index on each host; got {text or 'nothing'}"
        ) from error
    return tf.distribute.MultiWorkerMirroredStrategy()


def _check_cluster(settings):
    """Raise an error of any kind where TensorFlow would end the process, or wait for ever."""
    task = settings["task"]
    kinds = {kind: list(hosts) for kind, hosts in settings["cluster"].items()}
    for host in itertools.chain.from_iterable(kinds.values()):
        if not 0 < int(host.rpartition(":")[2]) < 65536 or not host.rpartition(":")[0]:
            raise ValueError(f"{host!r} is no HOST:PORT")
    if kinds.keys() - {"worker", "chief"} or type(task["index"]) is not int:
        raise ValueError("need workers, and a whole number for the index")
    if not 0 <= task["index"] < len(kinds[task["type"]]):
        raise ValueError("the index is that of no host")


STRATEGIES = {"one": one, "mirrored": mirrored, "multiworker": multiworker}


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that validates and writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type != "worker":
        return True
    return resolver.task_id == 0 and not resolver.cluster_spec().as_dict().get("chief")
