import dataclasses

import pytest
import tensorflow as tf
import tf_keras as keras

from keras_rfdn.networks import complexity, models
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.tflite.inspection import description
from keras_rfdn.tflite.inspection.complexity import count


def tiny(name):
    row = VARIANTS[name]
    return dataclasses.replace(row, channels=8, num_blocks=2, reduction=min(row.reduction, 4))


def converted(model, *, optimizations=(), types=()):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    converter.target_spec.supported_types = list(types)
    return converter.convert()


@pytest.mark.parametrize(
    "name",
    ["e-rfdn", "imdn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rfdn", "imdn-aim", "msrresnet"))],
)
def test_counts_are_those_of_the_keras_model(name):
    model = models.build(tiny(name), height=17, width=24, batch=1)
    assert description.describe(converted(model)).complexity == complexity.count(model)


@pytest.mark.parametrize(
    "types", [pytest.param((), marks=pytest.mark.slow, id="dynamic range"), pytest.param((tf.float16,), id="float16")]
)
def test_precision_changes_no_count(types):
    model = models.build(tiny("e-rfdn"), height=16, width=16, batch=1)
    content = converted(model, optimizations=[tf.lite.Optimize.DEFAULT], types=types)
    assert description.describe(content).complexity == complexity.count(model)


@pytest.mark.slow
def test_published_counts_from_a_file():
    content = converted(models.build(VARIANTS["e-rfdn"], height=256, width=256, batch=1))
    found = description.describe(content)
    assert (found.complexity.parameters, found.complexity.convolutions) == (433_448, 64)
    assert found.complexity.multiply_adds == pytest.approx(27.10e9, rel=2e-4)
    assert found.complexity.activations == pytest.approx(112.03e6, rel=1e-4)
    assert "27.10" in description.table(["e-rfdn"], [found])


def test_open_sizes_and_operators_without_a_count_are_not_counted():
    content = converted(models.build(tiny("imdn-aim")))
    assert description.describe(content).complexity is None
    with pytest.raises(ValueError, match="fixed size"):
        count(description.parse(content, content))
    lr = keras.Input((8, 8, 3), 1)
    content = converted(keras.Model(lr, keras.layers.Conv2DTranspose(3, 2, 2)(lr)))
    assert description.describe(content).complexity is None
    with pytest.raises(ValueError, match="cannot count TRANSPOSE_CONV"):
        count(description.parse(content, content))
