"""Runs as jobs of a SLURM cluster, through submitit; of this machine where there is no SLURM.

submitit hands a function over in a pickle of its own, in `<sweep>/submitit`. Ours only starts
`fedrun WORDS...` and notes in plain text how that ended; nothing that a job leaves is unpickled
here: what a run has come to stands in its run directory, which all machines must see.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from fedrun.core.option import ConfigError
from fedrun.experiment import suggest
from fedrun.experiment.launcher import End, Work, command, environment

SHARED = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
ONE = ("nodes", "tasks_per_node")  # a run is one process
DAY = 24 * 60  # minutes that a job may take, where nothing is said
POLITE = 60.0  # seconds that a job is waited for once it was asked to end
REAPED = 3.0  # seconds that submitit is given to notice that a job has ended
LATE = 30.0  # seconds that a shared file system may take to show what a job has written


class Submitit:
    """A job for each run. folder: for what submitit writes, and how each job ended.

    is_local: no SLURM was found, so jobs are processes of this machine
    """

    def __init__(self, folder: Path, options: Sequence[str], cluster: str | None = None) -> None:
        self.folder = folder.absolute()
        shared, slurm = sorted_options(options)
        # Tried elsewhere first: an executor makes its folder, and a mistake shall leave nothing.
        with TemporaryDirectory() as nowhere:
            _executor(Path(nowhere), cluster, shared, slurm)
        self.is_local = cluster is None and _submitit().AutoExecutor.which() != "slurm"
        self.executor = _executor(self.folder, cluster, shared, slurm)

    def start(self, words: Sequence[str]) -> Work:
        place = self.folder / f"{uuid4().hex}.end"
        job = self.executor.submit(partial(run, list(words), str(Path.cwd()), str(place)))
        return _Job(job, place)


def run(words: Sequence[str], folder: str, place: str) -> None:
    """What a job does: one fedrun, whose stderr and exit status it writes down."""
    done = subprocess.Popen(
        command(words), cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = done.communicate()
    except KeyboardInterrupt:  # cancelled: it shall save its run
        done.terminate()
        _, errors = done.communicate()
        raise
    finally:
        beside = Path(f"{place}.part")
        beside.write_bytes(f"{done.returncode}\n".encode() + (errors or b""))
        beside.replace(place)


def sorted_options(options: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`KEY=VALUE` words: those that submitit names itself, and those of SLURM."""
    shared: dict[str, Any] = {}
    slurm: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        key = key.removeprefix("slurm_").replace("-", "_")
        if not (equals and key and text):
            raise ConfigError(f"--slurm {option}: write KEY=VALUE, such as --slurm partition=gpu")
        value: Any = int(text) if text.isdigit() else text
        if key in ONE and value != 1:
            raise ConfigError(f"--slurm {option} is not accepted (accepted: 1; a run is one task)")
        if key in SHARED:
            if not isinstance(value, int):
                raise ConfigError(f"--slurm {option} is not accepted (accepted: a whole number)")
            shared[key] = value
        else:
            slurm[f"slurm_{key}"] = value
    return shared, slurm


@dataclass
class _Job:
    job: Any
    place: Path
    over: float | None = None

    def poll(self) -> End | None:
        written, done = self.place.exists(), self.job.done()
        if not (written or done):
            return None
        self.over = self.over or monotonic()
        waited = monotonic() - self.over
        if written:
            if not done and waited < REAPED:
                return None
            code, _, text = self.place.read_text(errors="replace").partition("\n")
            return End(int(code), text.strip())
        if self.job.state in ("FINISHED", "COMPLETED") and waited < LATE:
            return None  # its file is on the way
        return End(1, f"fedrun: job {self.job.job_id} ended ({self.job.state}); see {self.log}")

    @property
    def log(self) -> Path:
        return Path(self.job.paths.stderr)

    def stop(self) -> None:
        self.job.cancel()

    def wait(self) -> None:
        last = monotonic() + POLITE
        while self.poll() is None and monotonic() < last:
            sleep(0.1)


def _executor(
    folder: Path, cluster: str | None, shared: dict[str, Any], slurm: dict[str, Any]
) -> Any:
    executor = _submitit().AutoExecutor(folder=folder, cluster=cluster)
    try:
        executor.update_parameters(**{"timeout_min": DAY, "name": "fedrun", **shared}, **slurm)
    except NameError as error:  # submitit's way to say so
        known = str(error).partition("\n")[0].partition(" Valid arguments: ")[2].split(", ")
        wrong = next(key for key in slurm if f"'{key}'" in str(error)).removeprefix("slurm_")
        near = suggest.did_you_mean(suggest.nearest(wrong, known, cutoff=0.7))
        raise ConfigError(f"--slurm {wrong}=...: submitit has no such option{near}") from error
    return executor


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise ConfigError(
            "--launcher submitit needs submitit: pip install 'fedrun[slurm]'"
        ) from error
