"""Faults while working: seven commands are killed, starved of disk, locked out and doubled; a table says what survived.

    python -m tools.check_faults                                   all, an hour or two on two cores
    python -m tools.check_faults --jobs upscale video --kinds kill

For each command with a small network and images: SIGKILL at 50 moments, a disk that is full at each write, folders that
may not be written or vanish, a clock set back, two runs at once, two hosts with one process number, and power loss, by
strace. After a fault no file under its final name is broken, and the same command finishes with the results that a run
without a fault has. Full and read-only disks are real ones for root; others get a limit on a file's size, and modes.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.cli.text_table import text_table
from keras_rfdn.data.system.errors import StoppedError, UserError
from keras_rfdn.data.system.progress import track
from tools import check_faults_jobs, check_faults_kinds
from tools.check_faults_jobs import JOBS
from tools.check_faults_kinds import KINDS

TRIES = {"full disk": 8, "read-only": 2, "vanishing": 4, "clock": 2, "two runs": 2, "one PID": 1, "power loss": 1}


@dataclasses.dataclass(frozen=True)
class CheckFaultsConfig:
    """Provoke faults while commands are at work, and say what survived."""

    jobs: tuple[str, ...] = tuple(JOBS)
    kinds: tuple[str, ...] = tuple(KINDS)
    kills: int = number(50, above=0)
    seed: int = number(0, least=0)
    keep: str | None = None  # folder for the runs' logs and inputs; by default they go


def main(config):
    """Prints the table and what did not survive. Returns {job: {kind: (tries, troubles)}}; raises StoppedError."""
    check_fields(config)
    for given, known in ((config.jobs, JOBS), (config.kinds, KINDS)):
        if unknown := set(given) - set(known):
            raise UserError(f"{', '.join(unknown)} is unknown; choose from {', '.join(known)}")
    chosen = [JOBS[name] for name in config.jobs]
    check_faults_jobs.import_all(chosen)
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(config.keep or temporary).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        inputs = scratch / "inputs"
        if check_faults_jobs.wait(
            check_faults_jobs.start(lambda: check_faults_jobs.make_inputs(inputs), scratch, scratch / "inputs.log")
        ):
            raise StoppedError((scratch / "inputs.log").read_text())
        for job in track(chosen, "provoking faults", unit="commands"):
            bench = check_faults_kinds.Bench(job, scratch, inputs, np.random.default_rng(config.seed))
            bench.measure()
            results[job.name] = {}
            for kind in config.kinds:
                bench.tries, bench.troubles = 0, []
                KINDS[kind](bench, config.kills if kind == "kill" else TRIES[kind])
                results[job.name][kind] = bench.tries, bench.troubles
                print(
                    f"{job.name}: {kind}, {_cell(bench.tries, bench.troubles)}", *bench.troubles, sep="\n", flush=True
                )
    rows = [[name, *(_cell(*row[kind]) for kind in config.kinds)] for name, row in results.items()]
    print(text_table(["command", *config.kinds], rows))
    if count := sum(len(troubles) for row in results.values() for _, troubles in row.values()):
        raise StoppedError(f"{count} faults were not survived, which are named above; --keep FOLDER keeps the logs")
    return results


def _cell(tries, troubles):
    if not tries and not troubles:
        return "-"
    return f"{tries} survived" if not troubles else f"{len(troubles)} wrong of {tries}"


if __name__ == "__main__":
    command.run(main, CheckFaultsConfig)
