"""Workdir, the folder of a training run: its settings, its lock and what was measured.

config.json   the settings; a workdir that was made with others is refused
lock          locked while a run trains here
metrics.jsonl a line of JSON for every validation
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Iterator

from keras_rfdn.data.system import files
from keras_rfdn.data.system.errors import UserError, as_user_error

CONFIG, LOCK, METRICS, STATE = "config.json", "lock", "metrics.jsonl", "state"


@contextlib.contextmanager
def locked(workdir: str | os.PathLike, config, *, resumable: Collection[str]) -> Iterator[pathlib.Path]:
    """Lock of a workdir for one run, as a context; makes the folder if it is not there.

    config: a dataclass, written to config.json. resumable: names of the fields that may differ when a run goes on.
    Raises UserError when the workdir can't be written, another run is training there, or one that has saved had other
    settings.
    """
    workdir = pathlib.Path(workdir)
    with contextlib.ExitStack() as stack:
        try:
            busy = f"another run is training in {workdir}; stop it, or use another workdir"
            stack.enter_context(files.locked(workdir / LOCK, busy))
        except OSError as error:
            raise UserError(f"{workdir} can't be written ({error}); use another workdir") from error
        _refuse_other_settings(workdir, config, resumable)
        files.write_json(workdir / CONFIG, dataclasses.asdict(config))
        yield workdir


def has_state(workdir: pathlib.Path) -> bool:
    """Whether a run has saved a state here that the next one resumes from."""
    return (workdir / STATE / "checkpoint").exists()


def records(workdir: pathlib.Path) -> list[dict]:
    """Records of validations so far: the lines of metrics.jsonl, [] before the first. Raises UserError for damage."""
    file = workdir / METRICS
    if not file.exists():
        return []
    with _reading(file, "delete it, which loses the list of validations alone"):
        found = [json.loads(line) for line in file.read_text().splitlines()]
        if not all(isinstance(record["step"], int) for record in found):
            raise ValueError("a step is no number")
        return found


def _reading(file, hint):
    """Reading of JSON that a run wrote, as a context: whatever damage leads to becomes UserError."""
    return as_user_error(
        lambda error: f"{file} is damaged ({type(error).__name__}: {error}); {hint}, or use another workdir"
    )


def add_record(workdir: pathlib.Path, record: dict) -> None:
    """Append a line to metrics.jsonl; one of the same or a later step, which a killed run left behind, goes."""
    earlier = [line for line in records(workdir) if line["step"] < record["step"]]
    files.write_text(workdir / METRICS, "".join(json.dumps(line) + "\n" for line in (*earlier, record)))


def _refuse_other_settings(workdir, config, resumable):
    file = workdir / CONFIG
    if not (file.exists() and (workdir / STATE).exists()):  # a run that never saved has nothing to mix up
        return
    settings = _as_written(dataclasses.asdict(config))
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    with _reading(file, "restore it"):
        before = _as_written(defaults) | json.loads(file.read_text())
    differ = [key for key in sorted(settings.keys() - resumable) if before[key] != settings[key]]
    if differ:
        changes = ", ".join(f"{key} was {before[key]} and is now {settings[key]}" for key in differ)
        raise UserError(f"{workdir} was made with other settings: {changes}; use another workdir")


def _as_written(settings):
    """Settings as they come back from JSON, which makes lists of tuples."""
    return json.loads(json.dumps(settings))
