"""Evaluation reports: the scores of several networks on several sets of images, as JSON too. No TensorFlow here."""

import collections
import dataclasses
import json
import math
import pathlib

from keras_rfdn.data.system.errors import UserError
from keras_rfdn.evaluation.scoring import Score

COMMON = ("protocol", "shave", "scale")  # fields that reports must share to stand side by side
IDENTITY = ("model", "sha256", "ensemble", "versions")  # fields that make two results one network's


@dataclasses.dataclass(frozen=True)
class SetResult:
    """Scores on one set of images."""

    folder: str
    psnr: float  # dB, mean of the images
    ssim: float
    images: dict[str, Score]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # {image: why} that are not in the mean

    @property
    def score(self) -> Score:
        return Score(self.psnr, self.ssim)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Time that a .tflite file takes for an image, as tflite/benchmark.py measured it."""

    median_ms: float
    size_bytes: int
    threads: int
    lr: tuple[int, int]  # height and width of the image


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of one network, or of bicubic: then what is told of a weight file is None."""

    model: str  # a variant's name, or "bicubic"
    weights: str | None  # path
    sha256: str | None  # of the weight file
    ensemble: bool  # whether by the mean over eight flips and quarter turns
    parameters: int | None
    mult_adds: int | None  # of convolutions, for a 1280x720 output; None for a .tflite, whose float row tells
    versions: dict[str, str]  # {package: version} of what computed the scores
    sets: dict[str, SetResult]
    timing: Timing | None = None  # of a .tflite file, by with_timings

    @property
    def label(self) -> str:
        """The network's name, with + for the ensemble, as papers write it."""
        return self.model + ("+" if self.ensemble else "")


@dataclasses.dataclass(frozen=True)
class Report:
    """What keras_rfdn.evaluate measured: bicubic and networks of one scale by one protocol."""

    protocol: str  # key of scoring.PROTOCOLS
    shave: int  # border not measured, in HR pixels
    scale: int
    results: tuple[Result, ...]

    def to_json(self) -> dict:
        """Dictionary of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "Report":
        """What to_json gave, or its like from a file of an earlier version -> Report. Raises KeyError or TypeError."""
        return cls(
            **{name: values[name] for name in COMMON},
            results=tuple(
                Result(
                    **{name: result[name] for name in _PLAIN_FIELDS},
                    sets={name: _set_result(scores) for name, scores in result["sets"].items()},
                    timing=_timing(result.get("timing")),
                )
                for result in values["results"]
            ),
        )


_PLAIN_FIELDS = [field.name for field in dataclasses.fields(Result) if field.name not in ("sets", "timing")]


def _timing(values):
    return values and Timing(**{**values, "lr": tuple(values["lr"])})


def _set_result(values):
    images = {image: Score(_decibels(score["psnr"]), score["ssim"]) for image, score in values["images"].items()}
    return SetResult(values["folder"], _decibels(values["psnr"]), values["ssim"], images, values.get("left_out", {}))


def _decibels(value):
    """PSNR from JSON, where infinity (of equal images) is null."""
    return math.inf if value is None else value


def read(path) -> Report:
    """JSON file that evaluate wrote -> Report. Raises UserError when it is none."""
    try:
        return Report.from_json(json.loads(pathlib.Path(path).read_text()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no JSON file that keras_rfdn.evaluate wrote ({error!r})") from error


def with_timings(report: Report, path) -> Report:
    """Report with the times of its .tflite files, from a JSON file that tflite/benchmark.py wrote.

    A .tflite file is known by its name. Raises UserError when the JSON is no such file, or has none of the report's.
    """
    try:
        measured = json.loads(pathlib.Path(path).read_text())
        timings = {
            pathlib.Path(model["model"]).name: Timing(
                model["latency"]["median_ms"], model["size_bytes"], measured["threads"], tuple(model["lr"])
            )
            for model in measured["models"]
        }
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no JSON file that tflite/benchmark.py wrote ({error!r})") from error
    results = [
        dataclasses.replace(result, timing=timings.get(pathlib.Path(result.weights or "").name, result.timing))
        for result in report.results
    ]
    if not any(result.timing for result in results):
        raise UserError(f"{path} times {', '.join(timings)}, and no result is of these: evaluate the .tflite files")
    return dataclasses.replace(report, results=tuple(results))


def merge(reports: list[Report]) -> Report:
    """Reports -> one, a network's sets together; where several have a set of a network, the last one's.

    Raises UserError when they are of different protocols or scales, or their sets of one name are different images.
    """
    first, *others = reports
    for other in others:
        values = [(key, getattr(first, key), getattr(other, key)) for key in COMMON]
        differ = [f"{key} {value} and {others_value}" for key, value, others_value in values if value != others_value]
        if differ:
            raise UserError(f"results of {', '.join(differ)} cannot stand side by side; evaluate them alike")
    results = {}
    for result in (result for report in reports for result in report.results):
        key = json.dumps([getattr(result, part) for part in IDENTITY], sort_keys=True)
        before = results[key].sets if key in results else {}
        results[key] = dataclasses.replace(result, sets={**before, **result.sets})
    images = collections.defaultdict(set)
    for result in results.values():
        for name, scores in result.sets.items():
            images[name].add(frozenset(scores.images))
    for name, different in images.items():
        if len(different) > 1:
            raise UserError(
                f"results on {name} are of different images ({', '.join(str(len(i)) for i in different)} of them) and "
                f"cannot stand side by side; evaluate them on the same"
            )
    return dataclasses.replace(first, results=tuple(results.values()))
