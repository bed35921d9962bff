"""Scores on sets of HR images, bicubic beside the network.

    python -m keras_rfdn.evaluate FOLDER                     the newest run: each image, and the mean
    python -m keras_rfdn.evaluate SET SET --weights A B      several sets and models: the paper's Table 3 beside ours

A set is a folder of HR images, with or without their LR (data/folders.py says in which layouts); weights are a weight
file, a workdir, a .tflite or a released .pth. The papers' protocol is y: PSNR and SSIM on luma, `scale` pixels shaved;
rgb is that of the challenges: all three channels, `scale` pixels shaved.
"""

import dataclasses
import importlib.metadata
import itertools
import pathlib
import statistics

import simple_parsing
import tqdm

import keras_rfdn
from data import bicubic, folders
from keras_rfdn import checkpoint, command, complexity, metrics, published, report, tables, upscale
from keras_rfdn.config import name_of

PROTOCOLS = {"y": (metrics.psnr_y, metrics.ssim_y), "rgb": (metrics.psnr, metrics.ssim)}


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure PSNR and SSIM against HR images, bicubic beside the networks and the paper's numbers beside ours."""

    sets: tuple[str, ...] = simple_parsing.field(
        default=(), positional=True, nargs="*", metavar="SET", help="folders of HR images, or of HR and LR_bicubic"
    )
    weights: tuple[str, ...] = simple_parsing.field(default=(), nargs="*")  # by default the newest run or shipped
    variant: str | None = None  # by default that of the weights
    scale: int | None = None  # by default that of the weights
    protocol: str = simple_parsing.choice(*PROTOCOLS, default="y")  # y: luma, as papers; rgb: as NTIRE and AIM
    ensemble: bool = False  # mean over the eight flips and quarter turns of each image, eight times as slow
    images: int | None = None  # measure the first of each set only
    skip_broken: bool = False  # leave unreadable images out instead of stopping
    earlier: tuple[str, ...] = simple_parsing.field(
        default=(), alias="with", nargs="*", help="JSON files of earlier evaluations, to stand beside or alone"
    )
    json: str | None = None  # write all that was measured to this file
    markdown: str | None = None  # write the table of sets to this file
    csv: str | None = None  # write it to this file, a row for each method and set
    plot: str | None = None  # write PSNR over cost to this prefix and _parameters.png, _mult_adds.png


@dataclasses.dataclass(frozen=True)
class Score:
    """psnr in dB and ssim of one image, or of several in the mean."""

    psnr: float
    ssim: float

    def __str__(self):
        return f"{self.psnr:.2f} / {self.ssim:.4f}"


def score(sr, hr, scale, protocol="y"):
    """Both numbers of a protocol for one image. sr, hr: uint8 RGB [h, w, 3]. protocol: key of PROTOCOLS."""
    return Score(*(metric(sr, hr, shave=scale) for metric in PROTOCOLS[protocol]))


def mean(scores):
    """Mean of the images' scores, as papers give it for a set."""
    scores = list(scores)
    return Score(statistics.fmean(s.psnr for s in scores), statistics.fmean(s.ssim for s in scores))


def evaluate(upscale, pairs, scale, protocol="y"):
    """{image: Score} of an upscaler. pairs: (name, lr, hr) items, uint8 RGB."""
    return {name: score(upscale(lr), hr, scale, protocol) for name, lr, hr in pairs}


def first(pairs, limit, description):
    """Iterator over the first `limit` of sized pairs, or with None all, with a progress bar."""
    total = min(len(pairs), limit or len(pairs))
    return tqdm.tqdm(itertools.islice(pairs, total), description, total, unit=" images", disable=None)


def main(config):
    """Prints a table and returns the report (keras_rfdn/tables.py says what that is), which --json writes."""
    _check(config)
    reports = [tables.read(path) for path in config.earlier]
    result = measure(config, reports) if config.sets else tables.merge(reports)
    if len(config.sets) == 1 and len(config.weights) < 2 and not config.earlier:
        print(_images_table(result))
    else:
        print(tables.caption(result))
        print(report.table(*tables.cells(result)))
    if config.json:
        report.write_json(config.json, result)
    if config.markdown:
        report.write_text(config.markdown, tables.markdown(result))
    if config.csv:
        report.write_text(config.csv, tables.as_csv(result))
    if config.plot:
        from keras_rfdn import plots  # matplotlib takes a second to import

        print("\n".join(map(str, plots.save(result, config.plot))))
    return result


def measure(config, earlier=()):
    """EvaluateConfig -> report on its models and sets, merged with earlier reports (keras_rfdn/tables.py)."""
    upscalers, fresh = _open(config)
    tables.merge([*earlier, fresh])  # refuses what cannot stand side by side before the long part
    for folder in config.sets:
        _measure(config, upscalers, fresh, folder)
    return tables.merge([*earlier, fresh])


def versions():
    """{package: version} of what scores depend on."""
    packages = ("tensorflow", "tf_keras", "numpy")
    return {name: importlib.metadata.version(name) for name in packages} | {"keras_rfdn": keras_rfdn.__version__}


def _check(config):
    if not config.sets and not config.earlier:
        raise ValueError("name folders of HR images, or earlier results by --with")
    if config.protocol not in PROTOCOLS:
        raise ValueError(f"--protocol must be one of {', '.join(PROTOCOLS)}, got {config.protocol}")
    if config.images is not None and config.images < 1:
        raise ValueError(f"--images must be 1 or more, got {config.images}")
    names = [_set_name(folder) for folder in config.sets]
    if len(set(names)) < len(names):
        raise ValueError(f"the sets must have different names, got {', '.join(names)}")


def _set_name(folder):
    path = pathlib.Path(folder).resolve()
    return published.set_name(path.parent.name if path.name == "HR" else path.name)


def _open(config):
    """([upscale], report without any sets yet) of bicubic and the models."""
    upscalers, results, scale = [], [], config.scale
    for weights in config.weights or (None,):
        # A .tflite tells no variant, and checks the scale itself.
        if weights is None or not str(weights).endswith(".tflite"):
            weights = checkpoint.resolve(weights, variant=config.variant, scale=scale)
        upscaler, scale, _ = upscale.open_upscaler(
            weights, variant=config.variant, scale=scale, ensemble=config.ensemble
        )
        upscalers.append(upscaler)
        results.append({**_facts(weights, scale), "ensemble": config.ensemble})
    bicubic_facts = dict.fromkeys(("weights", "sha256", "parameters", "mult_adds"))
    results.insert(0, {"model": "bicubic", **bicubic_facts, "ensemble": False})
    upscalers.insert(0, lambda lr: bicubic.upscale(lr, scale))
    common = {"protocol": config.protocol, "shave": scale, "scale": scale}
    results = [{**result, **common, "versions": versions(), "sets": {}} for result in results]
    return upscalers, {**common, "results": results}


def _facts(weights, scale):
    """What a report tells of a weight file."""
    hd = complexity.hd_input(scale)
    facts = {"weights": str(weights), "sha256": report.sha256(weights), "parameters": None, "mult_adds": None}
    if str(weights).endswith(".tflite"):
        import tflite.complexity
        from tflite import describe

        (tensor,) = describe.describe(weights).inputs
        if -1 not in tensor.shape:  # one of open size cannot be counted
            cost = tflite.complexity.count(weights)
            facts["parameters"] = cost.parameters
            if tensor.shape[1:3] == hd:
                facts["mult_adds"] = cost.convolution_multiply_adds
        return {"model": pathlib.Path(weights).stem, **facts}
    model_config, _ = checkpoint.about(weights)
    cost = complexity.of_config(model_config, *hd)
    costs = {"parameters": cost.parameters, "mult_adds": cost.convolution_multiply_adds}
    return {"model": name_of(model_config), **facts, **costs}


def _measure(config, upscalers, fresh, folder):
    """Put one set's scores into a report."""
    name, scale = _set_name(folder), fresh["scale"]
    pairs = folders.find_pairs(folder, scale, skip_broken=config.skip_broken)
    scores = [{} for _ in upscalers]
    for image, lr, hr in first(pairs, config.images, name):
        for of, function in zip(scores, upscalers, strict=True):
            of[image] = score(function(lr), hr, scale, config.protocol)
    if not scores[0]:
        raise ValueError(f"no image of {folder} could be read")
    for of, result in zip(scores, fresh["results"], strict=True):
        result["sets"][name] = {
            "folder": str(folder),
            **dataclasses.asdict(mean(of.values())),
            "images": {image: dataclasses.asdict(s) for image, s in of.items()},
        }


def _images_table(result):
    """Each image of the only set, bicubic beside the network."""
    (name,) = result["results"][0]["sets"]
    sets = [of["sets"][name] for of in result["results"]]
    network = result["results"][-1]
    labels = ["bicubic", network["model"] + ("+" if network["ensemble"] else "")]
    rows = [[image, *(Score(**of["images"][image]) for of in sets)] for image in sets[0]["images"]]
    means = ["mean", *(Score(of["psnr"], of["ssim"]) for of in sets)]
    lines = [f"{network['weights']} on {sets[0]['folder']}", tables.caption(result)]
    return "\n".join([*lines, report.table(["image", *labels], [*rows, means])])


if __name__ == "__main__":
    command.run(main, EvaluateConfig)
