"""One contestant's go: its own process, on one core unless it is given more, watched to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contestants import Contestant
from bench.processes import end, memory_bytes

WARM_UP = 1  # rounds that are run and not counted
LIMIT = 1800.0  # seconds for a go, start and all
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Go:
    """cpu, wall: seconds per timed round, the mean over them; memory: peak bytes; rounds: all."""

    cpu: float
    wall: float
    memory: int
    rounds: list[dict[str, float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


class CrashError(RuntimeError):
    """A contestant that ended without a result; the message is the end of what it said."""


Attempts = dict[str, Callable[[], Go]]


def interleaved(
    part: str,
    attempts: Attempts,
    repeats: int,
    crashed: dict[str, str],
    tell: Callable[[str], None],
) -> dict[str, list[Go]]:
    """A B C, A B C, ...: what the machine does meanwhile happens to all. Who crashes is out."""
    goes: dict[str, list[Go]] = {name: [] for name in attempts}
    for repeat in range(repeats):
        for name in list(goes):
            try:
                done = attempts[name]()
            except CrashError as error:
                crashed[f"{part} {name}"] = str(error)
                tell(f"{part} {repeat + 1}/{repeats} {name}: crashed")
                del goes[name]
                continue
            goes[name].append(done)
            seconds = f"{done.cpu:.4g} s CPU, {done.wall:.4g} s"
            tell(f"{part} {repeat + 1}/{repeats} {name}: {seconds}")
    return goes


def go(
    contestant: Contestant, workload: str, cohorts: Sequence[Sequence[int]], *, evaluate: bool
) -> Go:
    """Run it over these cohorts, of which the first `WARM_UP` are not counted."""
    job = {
        "workload": workload,
        "cohorts": [list(map(int, cohort)) for cohort in cohorts],
        "evaluate": evaluate,
        "overrides": contestant.overrides,
    }
    result, memory = watch(contestant.python, contestant.path, job, contestant.cores)
    # A result without the rounds that were asked for is no result.
    timed = result["rounds"][WARM_UP : len(cohorts)]
    assert len(timed) == len(cohorts) - WARM_UP, (contestant.name, len(timed))
    cpu, wall = (sum(line[clock] for line in timed) / len(timed) for clock in ("cpu", "wall"))
    return Go(cpu, wall, memory, result["rounds"], result["versions"])


def watch(
    python: str, script: Path, job: Mapping[str, Any], cores: int
) -> tuple[dict[str, Any], int]:
    """What a script of this folder hands in, and the peak memory of its process tree."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONDONTWRITEBYTECODE": "1"}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        result, said = Path(folder, "result.json"), Path(folder, "said.txt")
        todo = Path(folder, "job.json")
        todo.write_text(json.dumps({**job, "result": str(result)}))
        with said.open("wb") as log, on_cores(cores):
            process = subprocess.Popen(
                [python, str(script), str(todo)],
                stdout=log, stderr=log, env=environment, cwd=folder,
            )  # fmt: skip
        try:
            memory = peak_memory(process)
        finally:
            if process.poll() is None:
                end(process.pid)
                process.wait()
        if process.returncode or not result.exists():
            tail = said.read_text(errors="replace").strip()[-2000:]
            raise CrashError(f"{script.name}: exit status {process.returncode}\n{tail}")
        return json.loads(result.read_text()), memory


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Whoever is started meanwhile runs on this many cores. JAX takes no other limit: with a second
    core to hand work to and fro, FedJAX needs up to twice the CPU time for the same wall clock."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(ours)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Look every quarter of a second until the process ends."""
    peak, began = 0, time.monotonic()
    while time.monotonic() - began < LIMIT:
        peak = max(peak, memory_bytes(process.pid))
        try:
            process.wait(0.25)
            return peak
        except subprocess.TimeoutExpired:
            continue
    raise CrashError(f"no end after {LIMIT:.0f} s")
