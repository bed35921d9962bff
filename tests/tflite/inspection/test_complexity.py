import dataclasses

import pytest
import tensorflow as tf

import keras_rfdn.complexity
from keras_rfdn.networks import models
from keras_rfdn.networks.config import VARIANTS
from keras_rfdn.tflite.inspection import complexity


def tiny(name):
    row = VARIANTS[name]
    return dataclasses.replace(row, channels=8, num_blocks=2, reduction=min(row.reduction, 4))


def converted(model, *, optimizations=(), types=()):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    converter.target_spec.supported_types = list(types)
    return converter.convert()


@pytest.mark.parametrize("name", ["e-rfdn", "rfdn", "imdn", "imdn-aim", "msrresnet"])
def test_counts_are_those_of_the_keras_model(name):
    model = models.build(tiny(name), height=17, width=24, batch=1)
    assert complexity.count(converted(model)) == keras_rfdn.complexity.count(model)


@pytest.mark.parametrize("types", [(), (tf.float16,)], ids=["dynamic range", "float16"])
def test_precision_changes_no_count(types):
    model = models.build(tiny("e-rfdn"), height=16, width=16, batch=1)
    content = converted(model, optimizations=[tf.lite.Optimize.DEFAULT], types=types)
    assert complexity.count(content) == keras_rfdn.complexity.count(model)


@pytest.mark.slow
def test_published_counts_from_a_file(tmp_path, capsys):
    path = tmp_path / "e-rfdn.tflite"
    path.write_bytes(converted(models.build(VARIANTS["e-rfdn"], height=256, width=256, batch=1)))
    complexity.main(complexity.ComplexityConfig((str(path),)))
    assert capsys.readouterr().out.splitlines()[-1].split() == [str(path), "433,448", "64", "27.10", "112.03"]


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file at .*absent\.tflite"):
        complexity.main(complexity.ComplexityConfig((str(tmp_path / "absent.tflite"),)))
    (tmp_path / "text.tflite").write_text("weights, they said")
    with pytest.raises(ValueError, match=r"text\.tflite is not a TFLite model"):
        complexity.count(tmp_path / "text.tflite")


def test_open_sizes_are_refused():
    with pytest.raises(ValueError, match="fixed size"):
        complexity.count(converted(models.build(tiny("imdn-aim"))))
