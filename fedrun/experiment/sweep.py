"""A sweep: many cells of one command line, each a run of its own, kept together by `sweep.json`.

The same command comes to the same sweep, by the hash of its cells' configs, and goes on where it
stopped: what is finished is skipped, what is unfinished is resumed, what failed waits until it is
asked for. Imports no PyTorch itself; checking a cell imports the module of each choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from fedrun.core.option import ConfigError
from fedrun.experiment import batch, choices, tracking
from fedrun.experiment.batch import Job
from fedrun.experiment.bind import bind_all
from fedrun.experiment.compose import compose, config_hash
from fedrun.experiment.files import read_json
from fedrun.experiment.lock import take_lock
from fedrun.experiment.measurable import check_metric
from fedrun.experiment.place import LONGEST, safe
from fedrun.experiment.sweep_record import FILE, read_sweep, write_sweep
from fedrun.experiment.sweep_space import Point, Space, read

SHOWN = ("test/accuracy", "test/r2", "personal/accuracy_mean", "test/loss", "train/loss")
PENDING = ("waiting", "interrupted")


@dataclass
class Cell:
    """A run of the sweep.

    status: waiting, running, finished, interrupted, failed or pruned
    elsewhere: another process is working on this very run; we wait for it
    """

    number: int
    swept: tuple[str, ...]
    job: Job
    status: str = "waiting"
    reason: str | None = None
    round: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    elsewhere: bool = False
    begun_at: int = 0  # the round that this process has found it at
    ended: float = 0.0  # when, by the monotonic clock; 0 where that was before this process

    @property
    def title(self) -> str:
        return " ".join(self.swept) or self.job.path.name

    @property
    def rounds(self) -> int:
        """How many it will have; one that was stopped early has them all."""
        return self.round if self.status == "finished" else self.job.rounds

    @property
    def row(self) -> dict[str, Any]:
        """Its object in `sweep.json`."""
        facts = {
            "overrides": list(self.swept),
            "path": self.job.path,
            "config": config_hash(self.job.composed.values),
            "status": self.status,
        }
        return {**facts, **({"reason": self.reason} if self.reason else {})}

    def figure(self, metric: str | None) -> tuple[str, float] | None:
        """What is shown of it: this metric, or the first that there is of the usual ones."""
        names = [metric] if metric else SHOWN
        return next(((name, self.figures[name]) for name in names if name in self.figures), None)

    def look(self) -> bool:
        """Read how far its run is; whether it is further than before."""
        lines = batch.last_lines(self.job.path)
        if not lines or int(lines[-1]["round"]) == self.round:
            return False
        self.round = int(lines[-1]["round"])
        for line in lines:
            self.figures |= line
        return True


@dataclass
class Sweep:
    """All cells of a command line; `retold` counts those that came to the config of another."""

    path: Path
    command: list[str]
    cells: list[Cell]
    metric: str | None = None
    retold: int = 0
    search: dict[str, Any] = field(default_factory=dict)  # how cells are found; empty for a grid
    lock: BinaryIO | None = None

    @property
    def size(self) -> int:
        """How many cells there will be: a search has not proposed all of them yet."""
        return max(len(self.cells), int(self.search.get("trials", 0)))

    def open(self) -> None:
        """Make the folder; ConfigError where another process is working on this sweep."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot write {self.path}: {error.strerror or error}; choose another run.root"
            ) from error
        try:
            self.lock = take_lock(self.path)
        except ConfigError as error:
            raise ConfigError(f"{self.path} is in use: this sweep is being run") from error
        self.save()

    def close(self) -> None:
        if self.lock:
            self.lock.close()

    def save(self) -> None:
        more = {"search": self.search} if self.search else {}
        write_sweep(self.path, self.command, [cell.row for cell in self.cells], **more)

    def count(self, *status: str) -> int:
        return sum(cell.status in status for cell in self.cells)


def plan(
    config: str, overrides: Sequence[str], *, metric: str | None = None, retry_failed: bool = False
) -> Sweep:
    """The grid of a command line, with what there is of it; every cell's config is checked."""
    space = read(config, overrides)
    checker = Checker()
    cells: list[Cell] = []
    points = list(space.points())
    for point in points:
        before = len(checker.known)
        job = checker.job(point)
        if len(checker.known) > before:
            cells.append(Cell(len(cells) + 1, point.swept, job))
    check_metric(metric, (job.composed.choices for job in checker.known.values()))
    path = folder(space, cells[0].job, sorted(checker.known))
    found(cells, recorded(path), retry_failed)
    return Sweep(path, words(space), cells, metric or stop_metric(cells), len(points) - len(cells))


@dataclass
class Checker:
    """Finds the run of each point, its config checked as far as it can be without the data.

    known: runs by the hash of their configs; sound: what need not be done again
    """

    known: dict[str, Job] = field(default_factory=dict)
    sound: set[str] = field(default_factory=set)

    def job(self, point: Point) -> Job:
        composed = compose(point.config, point.overrides)
        job = batch.job(composed, self.known)
        if job.composed is composed:  # else the same config was checked already
            self.check(composed.values)
        return job

    def check(self, values: dict[str, Any]) -> None:
        if values["run"]["dir"] is not None:
            raise ConfigError("run.dir is one run's own folder; run.root=FOLDER is for many")
        nodes = choices.nodes(values)
        new = {key: text for key, node in nodes.items()
               if (text := json.dumps([key, node])) not in self.sound}  # fmt: skip
        bind_all({key: nodes[key] for key in new})
        if any(key.startswith("tracker.") for key in new):
            tracking.trackers(values)  # a library may be missing
        self.sound.update(new.values())


def folder(space: Space, job: Job, identity: Iterable[str]) -> Path:
    """Where the sweep is kept: beside its runs, under the hash of what it consists of."""
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:8]
    values = job.composed.values
    configs = [each.values for each in space.dimensions if each.place < 0]
    names = [Path(name.strip("'\"")).stem for name in (configs[0] if configs else [space.config])]
    name = values["name"] or safe("_".join(names))[:LONGEST].rstrip("._-")
    return Path(values["run"]["root"]).expanduser() / name / f"sweep-{digest}"


def words(space: Space) -> list[str]:
    return [f"config={space.config}"] * (space.config != choices.CONTENTS) + [*space.overrides]


def stop_metric(cells: Sequence[Cell]) -> str | None:
    """The metric that decides when to stop, where all cells have the same."""
    named = {cell.job.composed.values["stop"]["metric"] for cell in cells}
    return named.pop() if len(named) == 1 else None


def recorded(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier process has noted of this sweep's cells, by the hashes of their configs."""
    if not (path / FILE).is_file():
        return {}
    return {cell["config"]: cell for cell in read_sweep(path)["cells"]}


def found(
    cells: Sequence[Cell], notes: dict[str, dict[str, Any]], retry_failed: bool = False
) -> None:
    """Set each cell's status: what its run's manifest says, and what only the sweep has noted."""
    for cell in cells:
        note = notes.get(config_hash(cell.job.composed.values), {})
        noted = note.get("status")
        status = cell.job.status
        if status == "finished":
            finished(cell)
            continue
        cell.look()
        cell.begun_at = cell.round
        if status == "failed":
            cell.status, cell.reason = "failed", failure_of(cell.job.path)
        elif noted == "pruned" or (noted == "failed" and status != "interrupted"):
            cell.status, cell.reason = noted, note.get("reason")
        elif status is not None:
            cell.status = "interrupted"
        if cell.status == "failed" and retry_failed:
            cell.status, cell.reason = "interrupted" if status else "waiting", None


def finished(cell: Cell) -> None:
    """What a finished run has come to."""
    cell.job = replace(cell.job, status="finished")
    cell.status, cell.reason, cell.elsewhere = "finished", None, False
    summary = read_json(cell.job.path / "summary.json")
    cell.round = int(summary["rounds"])
    cell.figures |= summary["final"] | {"time/seconds": summary["time/seconds"]}


def failure_of(path: Path) -> str:
    """Why a run has failed, as its manifest tells."""
    error = str(read_json(path / "manifest.json").get("error", "it tells no reason"))
    return error.removeprefix("RunError: ").removeprefix("ConfigError: ")
