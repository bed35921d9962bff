"""Ablation study of the paper: Table 1 (four blocks) or Table 2 (three distillation rates), trained alike.

    python -m tools.ablation SET... --table 1 --data FOLDER --steps 100000

Each row is trained in its own workdir (WORKDIR/ROW), where the same command goes on after a stop, and is then measured
on the sets, beside the paper's numbers. WORKDIR gets table.json and table.md. All flags of keras_rfdn.train but
--variant and --recipe hold for every row.
"""

import dataclasses
import pathlib

import simple_parsing

from keras_rfdn import train
from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, choice, number
from keras_rfdn.cli.lazy import lazy_imports
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.evaluation import published

with lazy_imports():
    from keras_rfdn.checkpoints import checkpoint
    from keras_rfdn.evaluation import measurement, tables


@dataclasses.dataclass(frozen=True)
class AblationConfig:
    """Train and measure the rows of an ablation table; the same command again resumes it."""

    sets: tuple[str, ...] = simple_parsing.field(
        positional=True, nargs="+", metavar="SET", help="folders of HR images to measure on"
    )
    table: int = choice(*published.ABLATIONS, default=1)  # 1: blocks, 2: distillation rates
    images: int | None = number(None, least=1)  # measure the first of each set only
    training: train.TrainConfig = dataclasses.field(default_factory=train.TrainConfig)  # what all rows share


def main(config):
    """Prints the table and returns the evaluation.reports.Report of its rows.

    Raises StoppedError when a row was stopped before its end, or has been trained for more updates than these.
    """
    check_fields(config)
    shared, defaults = config.training, train.TrainConfig()
    for field in ("variant", "recipe"):
        if getattr(shared, field) != getattr(defaults, field):
            raise UserError(f"--{field} is what the rows of the table differ in; leave it out")
    workdir = pathlib.Path(shared.workdir or checkpoint.RUNS / f"table{config.table}-x{shared.scale}")
    names = [row.variant for row in published.ABLATIONS[config.table]]
    for i, name in enumerate(names, 1):
        print(f"row {i} of {len(names)}: {name}", flush=True)
        record = train.main(dataclasses.replace(shared, variant=name, workdir=str(workdir / name)))
        if record.get("step") != shared.steps:
            raise StoppedError(
                f"{workdir / name} is at step {record.get('step')}, not {shared.steps}; the same command goes on where "
                f"it stopped, another --workdir starts afresh"
            )
    report = measurement.measure(config.sets, [workdir / name for name in names], images=config.images)
    setting = {key: value for key, value in dataclasses.asdict(shared).items() if value != getattr(defaults, key)}
    setting.pop("workdir", None)
    changes = "".join(f", {key} {value}" for key, value in setting.items())
    caption = f"Table {config.table} of the paper at x{shared.scale}. All rows: keras_rfdn.train's defaults{changes}."
    print(caption)
    print(tables.caption(report))
    print(text_table(*tables.cells(report)))
    files.write_json(workdir / "table.json", {"table": config.table, "setting": setting, **report.to_json()})
    files.write_text(workdir / "table.md", f"{caption}\n\n{tables.markdown(report)}")
    return report


if __name__ == "__main__":
    command.run(main, AblationConfig)
