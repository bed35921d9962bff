"""The paper's ablations: Table 1 (four blocks) or Table 2 (three distillation rates), trained under one setting.

    python -m tools.ablation SET... --table 1 --data FOLDER --steps 100000

Each row is trained in its own workdir (WORKDIR/ROW), where the same command goes on after a stop, and is then measured
on the sets. WORKDIR gets table.json and table.md.
"""

import dataclasses
import pathlib

import simple_parsing

from keras_rfdn import evaluate, train
from keras_rfdn.checkpoints import checkpoint
from keras_rfdn.cli import command
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import measurement, published, scoring
from keras_rfdn.networks import models
from keras_rfdn.training import recipes

TABLES = {1: published.TABLE_1, 2: published.TABLE_2}  # {row of VARIANTS: thousand parameters at x4 in the paper}


@dataclasses.dataclass(frozen=True)
class AblationConfig:
    """Train and measure the rows of an ablation table; the same command again resumes it."""

    sets: tuple[str, ...] = simple_parsing.field(
        positional=True, nargs="+", metavar="SET", help="folders of HR images to measure on"
    )
    table: int = 1  # 1: the blocks, 2: the distillation rates
    workdir: str | None = None  # by default runs/tableTABLE-xSCALE
    images: int | None = None  # measure the first of each set only
    # The setting that all rows share, as in keras_rfdn.train.
    scale: int = 4  # 2, 3 or 4; the paper's tables are of 4
    data: str = "div2k"  # div2k, sample, or a folder of HR images
    data_dir: str | None = None  # tensorflow-datasets' folder for div2k
    valid: str | None = None  # folder to validate on; by default the data's own validation images
    valid_images: int = 10  # validate on the first of them only
    cache: str = "memory"  # where decoded images are kept: memory, or a folder for a file
    steps: int = 1_000_000  # updates
    batch: int = 64
    patch: int = 64  # LR pixels
    learning_rate: float = 5e-4
    schedule: str = simple_parsing.choice(*recipes.SCHEDULES, default="halving")
    halve_every: int = 200_000  # updates
    warmup: int = 0  # updates
    mixed_precision: str = simple_parsing.choice(*models.POLICIES, default="float32")  # compute type
    validate_every: int = 5000  # updates
    log_every: int = 100  # updates
    seed: int = 0


def main(config):
    """Prints the table and returns what table.json says: table, setting, scale, protocol, rows and versions.

    Raises StoppedError when a row was stopped before its end, or has been trained longer than --steps.
    """
    if config.table not in TABLES:
        raise UserError(f"--table must be one of {', '.join(map(str, TABLES))}, got {config.table}")
    workdir = pathlib.Path(config.workdir or checkpoint.RUNS / f"table{config.table}-x{config.scale}")
    rows = TABLES[config.table]
    for number, row in enumerate(rows, 1):
        print(f"row {number} of {len(rows)}: {row}", flush=True)
        record = train.main(_train_config(config, row, workdir))
        if record.get("step") != config.steps:
            raise StoppedError(
                f"{workdir / row} is at step {record.get('step')}, not {config.steps}; the same command goes on where "
                f"it stopped, another --workdir starts afresh"
            )
    measured = measurement.measure(
        evaluate.EvaluateConfig(config.sets, tuple(str(workdir / row) for row in rows), images=config.images)
    )
    bicubic, *networks = measured["results"]
    result = {
        "table": config.table,
        "setting": {field: getattr(config, field) for field in _shared()},
        **{key: measured[key] for key in ("scale", "protocol", "shave")},
        "bicubic": bicubic["sets"],
        "rows": [
            {"paper_thousand_parameters": thousands if config.scale == 4 else None, **network}
            for thousands, network in zip(rows.values(), networks, strict=True)
        ],
    }
    print(caption(result))
    print(text_table(*cells(result)))
    files.write_json(workdir / "table.json", result)
    files.write_text(workdir / "table.md", markdown(result))
    return result


def cells(result):
    """Result of main -> (header, rows) of text: the paper's parameters beside ours, PSNR and SSIM of each set."""
    sets = list(result["bicubic"])
    rows = [["bicubic", "", "", *_scores(result["bicubic"], sets)]]
    for row in result["rows"]:
        thousands = row["paper_thousand_parameters"]
        papers = "" if thousands is None else f"{thousands}K"
        rows.append([row["model"], papers, f"{row['parameters']:,}", *_scores(row["sets"], sets)])
    return ["row", "paper's parameters", "parameters", *sets], rows


def caption(result):
    """What was trained and measured, in two sentences."""
    setting = ", ".join(f"{key} {value}" for key, value in result["setting"].items() if value is not None)
    return (
        f"Table {result['table']} of the paper, x{result['scale']}: PSNR in dB / SSIM on luma, "
        f"{result['shave']} pixels shaved. All rows: {setting}."
    )


def markdown(result):
    """Result of main -> text of a Markdown file."""
    header, rows = cells(result)
    body = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join([caption(result), "", *("| " + " | ".join(row) + " |" for row in body), ""])


def _scores(of, sets):
    return [str(scoring.Score(of[name]["psnr"], of[name]["ssim"])) for name in sets]


def _shared():
    """Names of the fields that a row's TrainConfig takes from ours."""
    ours = {field.name for field in dataclasses.fields(AblationConfig)}
    return [field.name for field in dataclasses.fields(train.TrainConfig) if field.name in ours - {"workdir"}]


def _train_config(config, row, workdir):
    shared = {field: getattr(config, field) for field in _shared()}
    return train.TrainConfig(variant=row, workdir=str(workdir / row), **shared)


if __name__ == "__main__":
    command.run(main, AblationConfig)
