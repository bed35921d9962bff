"""Learning rates: Keras schedules, functions of the update's number."""

import numpy as np
import tensorflow as tf
import tf_keras as keras


def learning_rate(stages):
    """Stages of keras_rfdn.training.recipes, one after the other -> a Keras schedule over all of their updates."""
    return Staged([dict(vars(stage)) for stage in stages])


@keras.saving.register_keras_serializable("keras_rfdn")
class Staged(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each stage, each counting from its own first update.

    stages: dicts with steps, learning_rate, schedule, halve_every and warmup, as in recipes.Stage.
    """

    def __init__(self, stages):
        self.stages = stages

    def __call__(self, step):
        step, start, rate = tf.cast(step, tf.float32), 0, 0.0
        for stage in self.stages:
            rate = tf.where(step >= start, _rate(step - start, stage), rate)
            start += stage["steps"]
        return rate

    def get_config(self):
        return {"stages": self.stages}


def _rate(step, stage):
    peak, warmup = stage["learning_rate"], stage["warmup"]
    return peak * tf.minimum(1.0, (step + 1) / max(1, warmup)) * _DECAYS[stage["schedule"]](step, stage)


def _halving(step, stage):
    return 0.5 ** tf.floor(step / stage["halve_every"])


def _cosine(step, stage):
    done = (step - stage["warmup"]) / max(1, stage["steps"] - stage["warmup"])
    return 0.5 * (1 + tf.cos(np.pi * tf.clip_by_value(done, 0.0, 1.0)))


def _constant(step, stage):
    return 1.0


_DECAYS = {"halving": _halving, "cosine": _cosine, "constant": _constant}
