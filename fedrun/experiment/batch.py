"""Many runs, each in a process of its own, some at a time.

A run that is finished is found again, one that was left unfinished is gone on with. A process of
its own costs two seconds, and gives each run the bits, the directory and the message that
`fedrun train` gives; one that fails takes no other with it. Imports no PyTorch itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import Any, Protocol

from fedrun.core.option import ConfigError
from fedrun.experiment import tracking
from fedrun.experiment.compose import Composed, config_hash
from fedrun.experiment.files import read_json
from fedrun.experiment.interrupt import Interrupts
from fedrun.experiment.launcher import End, Launcher, Local, Work
from fedrun.experiment.place import run_path
from fedrun.experiment.settings import read_settings

LOOK = 0.1  # seconds between two looks at the processes
TAIL = 1 << 14  # bytes: more than a line of metrics
INTERRUPTED = 130  # exit status of a run that was told to save itself and end


@dataclass(frozen=True)
class Job:
    """A config and its run directory; `status` is the manifest's, None where there is no run."""

    composed: Composed
    path: Path
    status: str | None

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def rounds(self) -> int:
        return int(self.composed.values["rounds"])

    @property
    def words(self) -> list[str]:
        """The command that brings the run to its end."""
        if self.status is None:
            return ["train", "--quiet", *self.composed.command]
        about = tracking.words(self.composed.overrides)
        return ["resume", "--quiet", str(self.path), *about]

    def again(self) -> Job:
        """The same with its run as it is now."""
        return replace(self, status=_status(self.path, config_hash(self.composed.values)))


class Watcher(Protocol):
    """Whoever watches: told of each run's beginning, its rounds, and its end."""

    def started(self, job: Job) -> None: ...
    def advanced(self, job: Job, round: int) -> None: ...
    def ended(self, job: Job, failure: str | None) -> None: ...
    def left(self, job: Job, round: int) -> None:
        """Nobody needs further rounds of it; it may never have been told to begin."""


def job(composed: Composed, known: dict[str, Job] | None = None) -> Job:
    """The config with the run that there is of it, by the hash of its config: as `train` finds it,
    also where other words, or a config of another name, have come to the same.

    known: jobs by hash, filled and read, so that the same config is one job.
    """
    read_settings(composed.values)  # its mistakes are told before anything runs
    digest = config_hash(composed.values)
    known = {} if known is None else known
    if digest not in known:
        known[digest] = _found(composed, digest)
    return known[digest]


def _found(composed: Composed, digest: str) -> Job:
    path = run_path(composed)
    root = Path(composed.values["run"]["root"]).expanduser()
    others = [] if composed.values["run"]["dir"] else sorted(root.glob(f"*/*-{digest[:8]}"))
    statuses = {place: _status(place, digest) for place in (path, *others)}
    for place, status in statuses.items():
        if status == "finished":
            return Job(composed, place, status)
    place = next((place for place, status in statuses.items() if status), path)
    return Job(composed, place, statuses[place])


def never(job: Job) -> bool:
    """All runs are wanted to their end."""
    return False


def run(
    jobs: Sequence[Job],
    processes: int,
    watcher: Watcher,
    launcher: Launcher | None = None,
    lost: Callable[[Job], bool] = never,
) -> dict[Path, str]:
    """Bring the unfinished ones to their end, `processes` at a time; what failed, and why.

    lost: whether nobody needs further rounds of a run: it is saved and left as it is.

    ConfigError where one is refused as the user's mistake: then the others are not begun. When
    interrupted, the processes save their runs and end before `KeyboardInterrupt` goes on.
    """
    launcher = launcher or Local()
    waiting = [job for job in {job.path: job for job in jobs}.values() if not job.finished]
    running: dict[Path, tuple[Job, Work]] = {}
    failures: dict[Path, str] = {}
    left: set[Path] = set()
    with Interrupts(), ended(running):
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop(0)
                if lost(job):
                    watcher.left(job, last_round(job.path))
                    continue
                running[job.path] = job, launcher.start(job.words)
                watcher.started(job)
            sleep(LOOK)
            for path, (job, work) in list(running.items()):
                end = work.poll()
                if end is None:
                    watcher.advanced(job, last_round(path))
                    if path not in left and lost(job):
                        left.add(path)
                        work.stop()
                    continue
                del running[path]
                if end.code == 2 and end.text.startswith("fedrun: ") and not in_use(end):
                    raise ConfigError(end.reason)
                if path in left and end.code == INTERRUPTED:
                    watcher.left(job, last_round(path))
                    continue
                failure = why_failed(job, end)
                if failure is not None:
                    failures[path] = failure
                watcher.ended(job, failure)
    return failures


def in_use(end: End) -> bool:
    """Whether another process is working on the run, such as one that a kill left behind."""
    return " is in use: " in end.text


def why_failed(job: Job, end: End) -> str | None:
    """Why the run is not there although its process has ended; None where it is."""
    if end.code:
        return end.reason
    whole = job.again().finished
    return None if whole else "its config came out as another: files were changed meanwhile"


@contextmanager
def ended(running: Mapping[Any, tuple[Any, Work]]) -> Iterator[None]:
    """However the work ends, no process is left behind: each is told to save its run."""
    try:
        yield
    finally:
        for _, work in running.values():
            work.stop()
        for _, work in running.values():
            work.wait()


def last_round(path: Path) -> int:
    """The number of rounds that a run has written so far."""
    lines = last_lines(path)
    return int(lines[-1]["round"]) if lines else 0


def last_lines(path: Path) -> list[dict[str, float]]:
    """The newest metrics of a run: one round at least, where there is one."""
    return _lines(path, TAIL)


def metrics_so_far(path: Path) -> list[dict[str, float]]:
    """All rounds that a run has written so far, which may be at work."""
    return _lines(path, None)


def _lines(path: Path, most: int | None) -> list[dict[str, float]]:
    try:
        with (path / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = file.seek(0 if most is None else max(0, size - most))
            # The last piece is empty, or a line that is being written; the first may be cut off.
            lines = file.read().split(b"\n")[bool(begin) : -1]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [json.loads(line) for line in lines]


def _status(path: Path, digest: str) -> str | None:
    if not (path / "manifest.json").is_file():
        return None
    manifest = read_json(path / "manifest.json")
    config: Any = manifest.get("config", {})
    same = isinstance(config, dict) and digest in (config.get("sha256"), config.get("first"))
    return str(manifest.get("status")) if same else None
