"""Authors' released weights as Keras models, without their frameworks: RELEASES names the networks, formats.FORMATS
the formats.
"""

import dataclasses
import functools
import os
import pathlib

import numpy as np
import tf_keras as keras

from keras_rfdn.checkpoints import deep_releases, early_releases, formats, releases
from keras_rfdn.checkpoints.releases import Release
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.networks import models
from keras_rfdn.networks.config import Config, variant

RELEASES = (*releases.RELEASES, *early_releases.RELEASES, *deep_releases.RELEASES)
MOST_SHOWN = 8  # differences named in an error


@dataclasses.dataclass(frozen=True)
class ReleasedWeights:
    """Released network with its weights. state: {key: array} as the file names and orders them."""

    release: Release
    scale: int
    state: dict[str, np.ndarray]

    @property
    def variant(self) -> str:
        return self.release.variant

    @property
    def config(self) -> Config:
        return variant(self.variant, self.scale)


def read(path: str | os.PathLike, scale: int | None = None) -> ReleasedWeights:
    """Released weights of a file. scale: needed where one file serves several. Raises UserError, naming the file, where
    formats.read and identify do.

    The last file is remembered: a command asks several times, and reading takes long.
    """
    path = pathlib.Path(path)
    stat = path.stat() if path.exists() else None
    return _read(path, scale, stat and (stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _read(path, scale, _version):
    state = formats.read(path)
    try:
        return identify(state, scale)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def identify(state: dict[str, np.ndarray], scale: int | None = None) -> ReleasedWeights:
    """Which released network the arrays {key: array} of a weight file are of.

    Variant and scale follow from keys and shapes. Raises UserError that names those that fit no released network, or
    the scales to choose from where a file serves several and scale is None.
    """
    state = {key.removeprefix("module."): array for key, array in state.items()}
    shapes = {key: np.shape(array) for key, array in state.items()}
    differences = {}
    for release in RELEASES:
        for served in release.scales(shapes)[:1]:  # where there are several, they differ in keys that all are there
            differences[release] = _differences(shapes, release, served)
            if not differences[release]:
                return ReleasedWeights(release, _chosen(release, release.scales(shapes), scale), state)
    raise UserError(
        f"these weights are of no released network ({', '.join(dict.fromkeys(r.variant for r in RELEASES))}); "
        + _nearest(differences, shapes)
    )


def _nearest(differences, shapes):
    """What is known of a file that fits no network, in words. differences: {release: those of _differences}."""
    if differences:
        release = min(differences, key=lambda release: len(differences[release]))
        nearest, found = f"nearest is {release.variant} x{release.scales(shapes)[0]}, but ", differences[release]
    else:
        nearest, found = "they are ", [f"{key} {shape}" for key, shape in shapes.items()]
    more = len(found) - MOST_SHOWN
    return nearest + "; ".join(found[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _chosen(release, served, scale):
    if scale is None and len(served) > 1:
        raise UserError(
            f"these weights of {release.variant} serve x{', x'.join(map(str, served))}: choose one by python -m "
            f"keras_rfdn.import_weights FILE --scale {served[0]} --out {release.variant}-x{served[0]}.h5"
        )
    if scale not in (None, *served):
        raise UserError(f"these weights of {release.variant} serve x{', x'.join(map(str, served))}, not x{scale}")
    return scale or served[0]


def build(released: ReleasedWeights, **build_options) -> keras.Model:
    """Keras model with released weights. build_options: as for models.build."""
    model = models.build(released.config, **build_options)
    for layer in _layers(model):
        parts = released.release.parts(layer, released.scale)
        layer.set_weights([part.to_keras(released.state[part.key]) for part in parts])
    return model


def _layers(model):
    return [layer for layer in model.layers if layer.weights]


@functools.cache
def _expected_shapes(release, config):
    """{key: shape} of what a release's file holds for a network."""
    layers = _layers(models.build(config))
    return {part.key: part.shape for layer in layers for part in release.parts(layer, config.scale)}


def _differences(shapes, release, scale):
    """What keeps a file from fitting a network, in words."""
    expected = _expected_shapes(release, variant(release.variant, scale))
    return (
        [f"{key} is {shapes[key]}, not {shape}" for key, shape in expected.items() if shapes.get(key, shape) != shape]
        + [f"{key} {shape} is missing" for key, shape in expected.items() if key not in shapes]
        + [
            f"{key} {shape} is unexpected"
            for key, shape in shapes.items()
            if key not in expected and not release.ignored(key)
        ]
    )
