"""Fixtures of several test modules."""

import pathlib

import numpy as np
import pytest
import scipy.signal


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared(root):
    """The folder of benchmark images beside the repository; a test that asks for it is skipped where it is absent."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def scipy_conv():
    """A convolution with bias as SciPy computes it: conv(x [h, w, c], kernel [k, k, c, o], bias [o], mode)."""

    def conv(x, kernel, bias, mode="same"):
        # SciPy centres an odd kernel as TensorFlow pads a stride of 1.
        channels = [
            sum(scipy.signal.correlate(x[..., i], kernel[..., i, o], mode) for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ]
        return np.stack(channels, axis=-1) + bias

    return conv
