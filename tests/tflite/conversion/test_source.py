import pytest
import tf_keras as keras

from keras_rfdn.tflite.conversion import source


@pytest.fixture
def saved(tmp_path):
    """Function (x, y, name) -> path of the functional model from x to y."""

    def save(x, y, name="own.keras"):
        keras.Model(x, y).save(tmp_path / name)
        return str(tmp_path / name)

    return save


def doubled(x):
    return keras.layers.UpSampling2D(2)(x)


@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
def test_a_whole_model_is_loaded_with_its_scale_and_its_file_s_name(saved, name):
    x = keras.Input((None, None, 3))
    found = source.load(saved(x, doubled(keras.layers.Conv2D(3, 1)(x)), name))
    assert (found.name, found.scale, found.path.name) == ("own", 2, name)


def test_weights_of_the_table_s_networks_are_loaded_as_before(tiny_weights):
    found = source.load(tiny_weights, scale=2)
    assert (found.name, found.scale) == ("rfdb", 2)


def test_what_enlarges_nothing_and_other_colours_are_refused(saved):
    x, grey = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    with pytest.raises(ValueError, match=r"makes \(1, 15, 15, 3\) of \(1, 15, 15, 3\); need RGB of 2, 3, 4 times"):
        source.load(saved(x, keras.layers.Conv2D(3, 1)(x)))
    with pytest.raises(ValueError, match="need float RGB"):
        source.load(saved(grey, doubled(grey)))


def test_another_scale_or_a_variant_is_refused(saved):
    x = keras.Input((None, None, 3))
    path = saved(x, doubled(x))
    with pytest.raises(ValueError, match="enlarges 2 times, not 3"):
        source.load(path, scale=3)
    with pytest.raises(ValueError, match="of no variant"):
        source.load(path, variant="rfdn")


@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
def test_code_in_a_file_is_refused_unread(saved, name):
    x = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="Lambda layer, which holds code"):
        source.load(saved(x, keras.layers.Lambda(lambda t: t + 1)(doubled(x)), name))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "own.keras"
    path.write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="is no model that tf_keras"):
        source.load(str(path))
