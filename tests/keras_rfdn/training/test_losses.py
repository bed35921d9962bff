import numpy as np
import pytest

from keras_rfdn.training import losses, recipes


def test_recipes_know_every_loss():
    assert set(recipes.LOSSES) == losses.LOSSES.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("l1", 2.0), ("l2", 8.0), ("charbonnier", (0.255 + (16 + 0.255**2) ** 0.5) / 2)],
)
def test_by_hand(name, expected):
    hr = np.full((1, 2, 2, 3), 100, np.float32)
    sr = hr + np.array([0, -4], np.float32)[:, None]  # half of the pixels are right, half 4 grey levels too dark
    assert float(losses.LOSSES[name](sr, hr)) == pytest.approx(expected, rel=1e-6)
