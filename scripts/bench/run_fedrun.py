"""fedrun as `fedrun train --quiet` runs it: with its run directory, records and checkpoints."""

import json
import tempfile
from pathlib import Path

import workloads
from contest import finish, job, mark

from fedrun.experiment.compose import compose
from fedrun.experiment.run import Nobody, train


class Marks(Nobody):
    """Marks the rounds as they end."""

    def started(self, *_: object) -> None:
        mark()

    def round(self, _: object) -> None:
        mark()


def main() -> None:
    todo = job()
    name, cohorts = todo["workload"], todo["cohorts"]
    workload = workloads.WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "data=fedrun_data:workload", f"data.which={name}", f"data.evaluate={todo['evaluate']}",
            "partition=natural", f"clients.per_round={workload.cohort}", f"model={workload.model}",
            f"local.lr={workload.lr}", f"local.epochs={workload.epochs}",
            f"local.batch_size={workload.batch_size}", f"evaluate.every={int(todo['evaluate'])}",
            # The model is always scored in the last round: one more than is timed.
            f"rounds={len(cohorts) + 1}", f"run.root={folder}", *todo["overrides"],
        ]  # fmt: skip
        path = train(compose("train", words), Marks())
        check(path, cohorts)
    finish("torch", "numpy")


def check(path: Path, cohorts: list[list[int]]) -> None:
    """The records must name the same clients in the same rounds as everybody else's job.

    Who comes to a private run is secret, and others than in the job: there clients must be alike.
    """
    if (path / "privacy.json").exists():
        return
    trained: dict[int, list[int]] = {}
    for line in (path / "clients.jsonl").read_text().splitlines():
        row = json.loads(line)
        trained.setdefault(row["round"], []).append(row["client"])
    assert [trained[number + 1] for number in range(len(cohorts))] == cohorts


if __name__ == "__main__":
    main()
