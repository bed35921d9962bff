"""Measurement of several networks on several sets of images."""

import dataclasses
import importlib.metadata
import pathlib

import keras_rfdn
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.data.images import bicubic
from keras_rfdn.data.sources import folders
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation import published, tables
from keras_rfdn.evaluation.scoring import first, mean, score
from keras_rfdn.networks import complexity
from keras_rfdn.networks.config import name_of
from keras_rfdn.upscaling import upscalers


def measure(config, earlier=()):
    """EvaluateConfig -> report on its models and sets, merged with earlier reports (evaluation/tables.py)."""
    functions, fresh = _open(config)
    tables.merge([*earlier, fresh])  # refuses what cannot stand side by side before the long part
    for folder in config.sets:
        _measure(config, functions, fresh, folder)
    return tables.merge([*earlier, fresh])


def versions():
    """{package: version} of what scores depend on."""
    packages = ("tensorflow", "tf_keras", "numpy")
    return {name: importlib.metadata.version(name) for name in packages} | {"keras_rfdn": keras_rfdn.__version__}


def set_name(folder):
    path = pathlib.Path(folder).resolve()
    return published.set_name(path.parent.name if path.name == "HR" else path.name)


def _open(config):
    """([upscale], report without any sets yet) of bicubic and the models."""
    functions, results, scale = [], [], config.scale
    for weights in config.weights or (None,):
        # A .tflite tells no variant, and checks the scale itself.
        if weights is None or not str(weights).endswith(".tflite"):
            weights = checkpoint.resolve(weights, variant=config.variant, scale=scale)
        upscaler, scale, _ = upscalers.open_upscaler(
            weights, variant=config.variant, scale=scale, ensemble=config.ensemble
        )
        functions.append(upscaler)
        results.append({**_facts(weights, scale), "ensemble": config.ensemble})
    bicubic_facts = dict.fromkeys(("weights", "sha256", "parameters", "mult_adds"))
    results.insert(0, {"model": "bicubic", **bicubic_facts, "ensemble": False})
    functions.insert(0, lambda lr: bicubic.upscale(lr, scale))
    common = {"protocol": config.protocol, "shave": scale, "scale": scale}
    results = [{**result, **common, "versions": versions(), "sets": {}} for result in results]
    return functions, {**common, "results": results}


def _facts(weights, scale):
    """What a report tells of a weight file."""
    hd = complexity.hd_input(scale)
    facts = {"weights": str(weights), "sha256": files.sha256(weights), "parameters": None, "mult_adds": None}
    if str(weights).endswith(".tflite"):  # its float network's row tells what it costs
        return {"model": pathlib.Path(weights).stem, **facts}
    model_config, _ = checkpoint.about(weights)
    cost = complexity.of_config(model_config, *hd)
    costs = {"parameters": cost.parameters, "mult_adds": cost.convolution_multiply_adds}
    return {"model": name_of(model_config), **facts, **costs}


def _measure(config, functions, fresh, folder):
    """Put one set's scores into a report."""
    name, scale = set_name(folder), fresh["scale"]
    pairs = folders.find_pairs(folder, scale, skip_broken=config.skip_broken)
    scores = [{} for _ in functions]
    for image, lr, hr in first(pairs, config.images, name):
        for of, function in zip(scores, functions, strict=True):
            of[image] = score(function(lr), hr, scale, config.protocol)
    if not scores[0]:
        raise UserError(f"no image of {folder} could be read")
    for of, result in zip(scores, fresh["results"], strict=True):
        result["sets"][name] = {
            "folder": str(folder),
            **dataclasses.asdict(mean(of.values())),
            "images": {image: dataclasses.asdict(s) for image, s in of.items()},
        }
