"""Measurement of networks and of bicubic on sets of HR images."""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Sequence

from absl import logging

import keras_rfdn
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders, image_names
from keras_rfdn.data.sources.image_names import HR
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import published, reports
from keras_rfdn.evaluation.reports import Report, Result, SetResult
from keras_rfdn.evaluation.scoring import evaluate_all, first, mean
from keras_rfdn.networks import complexity
from keras_rfdn.networks.config import name_of
from keras_rfdn.upscaling import keras_upscalers


def measure(
    sets: Sequence[str], weights: Sequence[str] = (), *, variant: str | None = None, scale: int | None = None,
    protocol: str = "y", ensemble: bool = False, images: int | None = None, skip_broken: bool = False,
    earlier: Sequence[Report] = (),
) -> Report:  # fmt: skip
    """Scores of bicubic and of networks on sets of HR images -> Report, merged with earlier Reports.

    sets: folders, as folders.find_pairs takes them. weights: as checkpoint.resolve takes them, or .tflite files; with
    none the newest run or the pretrained ones. variant, scale: what the weights must be of. protocol: key of
    scoring.PROTOCOLS. ensemble: whether networks give the mean over eight flips and quarter turns. images: how many of
    each set, from its first; None for all. skip_broken: whether unreadable images are left out.
    Raises UserError for weights of several scales, sets of one name, and what cannot stand beside the earlier reports.
    """
    names = [set_name(folder) for folder in sets]
    if len(set(names)) < len(names):
        raise UserError(f"the sets must have different names, got {', '.join(names)}")
    upscale_functions, report = _open(weights or (None,), variant, scale, protocol, ensemble)
    reports.merge([*earlier, report])  # refuses what cannot stand side by side before the long part
    for folder in sets:
        pairs = folders.find_pairs(folder, report.scale, skip_broken=skip_broken)
        for note in folders.reading_notes(pairs.files[:images]):
            logging.warning("%s: %s", folder, note)
        results = _measure(upscale_functions, report, folder, first(pairs, images, set_name(folder)))
        report = dataclasses.replace(report, results=results)
    return reports.merge([*earlier, report])


def set_name(folder):
    """Name of a set: its folder's, or the one above HR, spelled as the papers spell it."""
    path = pathlib.Path(folder).resolve()
    marks = image_names.folder_marks(path.name)
    return published.set_name(path.parent.name if marks == image_names.Marks(HR, True) else path.name)


def _open(weights, variant, scale, protocol, ensemble):
    """([upscale], Report without any sets yet) of bicubic and the networks."""
    functions, results = [], []
    for path in weights:
        # A .tflite tells no variant, and open_upscaler checks its scale.
        if path is None or not str(path).endswith(".tflite"):
            path = checkpoint.resolve(path, variant=variant, scale=scale)
        upscale, scale, _ = keras_upscalers.open_upscaler(path, variant=variant, scale=scale, ensemble=ensemble)
        functions.append(upscale)
        results.append(_result(path, scale, ensemble))
    functions.insert(0, lambda lr: bicubic.upscale(lr, scale))
    results.insert(0, Result("bicubic", None, None, False, None, None, _versions(), {}))
    return functions, Report(protocol, scale, scale, tuple(results))


def _result(weights, scale, ensemble):
    """Result of a weight file, without any sets yet."""
    model, parameters, mult_adds = pathlib.Path(weights).stem, None, None
    if not str(weights).endswith(".tflite"):
        config, _ = checkpoint.about(weights)
        cost = complexity.of_config(config, *complexity.hd_input(scale))
        model, parameters, mult_adds = name_of(config), cost.parameters, cost.convolution_multiply_adds
    return Result(model, str(weights), files.sha256(weights), ensemble, parameters, mult_adds, _versions(), {})


def _versions():
    """{package: version} of what scores depend on."""
    packages = ("tensorflow", "tf_keras", "numpy")
    return {name: importlib.metadata.version(name) for name in packages} | {"keras_rfdn": keras_rfdn.__version__}


def _measure(functions, report, folder, pairs):
    """Results of a report with one set's scores added."""
    scores = evaluate_all(functions, pairs, report.scale, report.protocol)
    if not scores.images[0]:
        reasons = "; ".join(f"{name}: {why}" for name, why in scores.left_out.items())
        raise UserError(f"no image of {folder} could be {f'measured ({reasons})' if reasons else 'read'}")
    results = []
    for result, by_image in zip(report.results, scores.images, strict=True):
        average = mean(by_image.values())
        measured = SetResult(str(folder), average.psnr, average.ssim, by_image, scores.left_out)
        results.append(dataclasses.replace(result, sets={**result.sets, set_name(folder): measured}))
    return tuple(results)
