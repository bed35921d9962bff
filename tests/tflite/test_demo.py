import pytest
from PIL import Image

from keras_rfdn.tflite import demo


@pytest.mark.slow
def test_main_goes_the_whole_road_and_can_be_started_again(tmp_path, capsys):
    config = demo.DemoConfig(out=str(tmp_path), steps=4, rounds=2)
    rows = demo.main(config)
    assert [row[0] for row in rows] == ["bicubic", "float", "int8"]
    assert rows[0][1] == "29.38"  # bicubic does not depend on the training: chelsea and coffee, x4
    assert Image.open(tmp_path / "bicubic_float_int8_original.png").size == (1200, 320)
    assert "int8 loses" in capsys.readouterr().out
    assert demo.main(config)[0] == rows[0]
