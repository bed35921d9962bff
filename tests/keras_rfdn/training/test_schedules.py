import pytest
import tf_keras as keras

from keras_rfdn.training import recipes, schedules
from keras_rfdn.training.recipes import Stage

PAPER = {0: 5e-4, 199_999: 5e-4, 200_000: 2.5e-4, 399_999: 2.5e-4, 400_000: 1.25e-4, 999_999: 5e-4 / 16}
COSINE = {0: 5e-4, 250: 2.5e-4 * (1 + 0.5**0.5), 500: 2.5e-4, 1000: 0}


def test_every_schedule_of_recipes_is_there():
    assert set(recipes.SCHEDULES) == schedules._DECAYS.keys()


@pytest.mark.parametrize(
    ("stage", "rates"),
    [
        (Stage(), PAPER),
        (Stage(warmup=100), {0: 5e-6, 49: 2.5e-4, 99: 5e-4, 100: 5e-4, 200_000: 2.5e-4}),
        (Stage(schedule="cosine", steps=1000), COSINE),
        (Stage(schedule="cosine", steps=1100, warmup=100), {0: 5e-6, 49: 2.5e-4, 100: 5e-4, 600: 2.5e-4, 1100: 0}),
        (Stage(schedule="constant"), {0: 5e-4, 999_999: 5e-4}),
        (Stage(schedule="constant", warmup=10), {0: 5e-5, 9: 5e-4, 999_999: 5e-4}),
    ],
)
def test_one_stage(stage, rates):
    schedule = schedules.learning_rate([stage])
    assert {step: float(schedule(step)) for step in rates} == pytest.approx(rates, abs=1e-9)


def test_each_stage_counts_from_its_own_first_update():
    schedule = schedules.learning_rate(
        [Stage(steps=100, schedule="cosine"), Stage(steps=50, learning_rate=1e-5, schedule="constant", warmup=2)]
    )
    rates = {0: 5e-4, 50: 2.5e-4, 100: 5e-6, 101: 1e-5, 149: 1e-5, 150: 1e-5}
    assert {step: float(schedule(step)) for step in rates} == pytest.approx(rates, abs=1e-9)


def test_serialised():
    schedule = schedules.learning_rate([Stage(), Stage(loss="l2")])
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert float(again(300_000)) == float(schedule(300_000)) == pytest.approx(2.5e-4)
