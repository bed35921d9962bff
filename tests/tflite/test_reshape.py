import pytest

from keras_rfdn.tflite import reshape
from keras_rfdn.upscaling import litert


def run(*words, **options):
    return reshape.main(reshape.ReshapeConfig(*map(str, words), **options))


def test_main_writes_a_file_of_the_size(fixed_tflite, tmp_path, capsys):
    target = run(fixed_tflite, "1,20,30,3", tmp_path / "out.tflite")
    assert litert.Model(target).input_shape == (1, 20, 30, 3)
    assert capsys.readouterr().out.startswith(f"{target}: 20x30 to 40x60, ")
    run(target, "1,30,20,3", target, overwrite=True)
    assert litert.Model(target).input_shape == (1, 30, 20, 3)


def test_refuses_and_writes_nothing(fixed_tflite, tmp_path):
    target = tmp_path / "out.tflite"
    for shape, message in [("dynamic", "got dynamic"), ("1,14,20,3", "15 or more"), ("20,30", "must be")]:
        with pytest.raises(ValueError, match=message):
            run(fixed_tflite, shape, target)
    with pytest.raises(ValueError, match="no file at"):
        run("nothing.tflite", "1,20,30,3", target)
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"mine")
    with pytest.raises(ValueError, match="is there already"):
        run(fixed_tflite, "1,20,30,3", target)
    assert target.read_bytes() == b"mine"
