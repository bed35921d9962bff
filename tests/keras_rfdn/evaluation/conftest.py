"""Reports of scores that were never measured."""

import pytest

from keras_rfdn.evaluation.reports import Report, Result, SetResult
from keras_rfdn.evaluation.scoring import Score

VERSIONS = {"tensorflow": "2.21.0", "keras_rfdn": "0.1.0"}


@pytest.fixture(scope="session")
def result():
    """result(model, [(set, number of images, PSNR)], sha256=, ensemble=) -> Result of RFDN's size."""

    def make(model="rfdn", sets=(("Set5", 5, 32.2449),), *, sha256="ab" * 32, ensemble=False):
        scores = {
            name: SetResult(name, psnr, 0.8952, {str(i): Score(psnr, 0.8952) for i in range(n)})
            for name, n, psnr in sets
        }
        return Result(model, f"{model}.h5", sha256, ensemble, 549_624, 31_128_890_112, VERSIONS, scores)

    return make


@pytest.fixture(scope="session")
def report():
    """report(Result, ..., protocol=, scale=) -> Report."""
    return lambda *results, protocol="y", scale=4: Report(protocol, scale, scale, results)
