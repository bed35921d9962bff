import pytest

from keras_rfdn import complexity as command
from keras_rfdn.networks import complexity
from keras_rfdn.networks.config import VARIANTS


def test_command(capsys):
    config = command.ComplexityConfig(("e-rfdn",), scale=3, height=20, width=30)
    results = command.main(config)
    assert list(results) == ["e-rfdn"]
    asked, large = results["e-rfdn"]
    assert asked == complexity.of_variant("e-rfdn", 3, 20, 30)
    assert large == complexity.of_variant("e-rfdn", 3, 240, 427)  # the smallest LR that covers 1280x720 at x3
    printed = capsys.readouterr().out.splitlines()[-1].split()
    assert printed[:3] == ["e-rfdn", "423,977", "64"]
    assert printed[-1] == f"{large.convolution_multiply_adds / 1e9:.2f}"


def test_command_without_variants_counts_all(monkeypatch):
    asked = []
    one = complexity.Complexity(1, 1, 1, 1, 1)
    monkeypatch.setattr(complexity, "of_variant", lambda name, *_: asked.append(name) or one)
    assert command.main(command.ComplexityConfig()).keys() == VARIANTS.keys()
    assert set(asked) == VARIANTS.keys()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"height": 0}, "--height must be 15 or above, got 0"), ({"scale": 5}, "--scale must be one of 2, 3, 4, got 5")],
)
def test_sizes_that_no_image_has(fields, message):
    with pytest.raises(ValueError, match=message):
        command.main(command.ComplexityConfig(("e-rfdn",), **fields))
