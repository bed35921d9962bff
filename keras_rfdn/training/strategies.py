"""Distribution strategies, the devices of a training: functions that make a tf.distribute strategy."""

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
        settings = json.loads(text)
        task = settings["task"]
        settings["cluster"][task["type"]][task["index"]]
    except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            "strategy multiworker needs TF_CONFIG in the environment, such as "
            '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}, '
            f"with another index on each host; got {text or 'nothing'}"
        ) from error
    return tf.distribute.MultiWorkerMirroredStrategy()


STRATEGIES = {"one": one, "mirrored": mirrored, "multiworker": multiworker}


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that validates and writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type != "worker":
        return True
    return resolver.task_id == 0 and not resolver.cluster_spec().as_dict().get("chief")
