"""Settings of which the best counts: one that has lost is not run to its end.

Where rounds to a target are counted, a setting that is on its way after as many rounds as another
one took has lost, whatever it comes to: the verdict is the same, and a rate that diverges costs no
more rounds than the one that wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import fmean

from fedrun.core.option import RunError
from fedrun.experiment.batch import Job, last_round, metrics_so_far
from fedrun.report.figure import Protocol, course, figure, read_figure
from fedrun.report.reproduction import Plan


class Race:
    """All the plans of one command. They share runs: one that any of them still needs goes on."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._heats = [
            _Heat(side.jobs, plan.baseline.expect.metric, plan.baseline.protocol)
            for plan in plans
            for side in (plan.own, plan.other)
            if side is not None
        ]

    def lost(self, job: Job) -> bool:
        """Whether nobody needs further rounds of an unfinished run."""
        heats = [heat for heat in self._heats if heat.holds(job)]
        return bool(heats) and all(heat.lost(job) for heat in heats)


@dataclass(frozen=True)
class _Heat:
    """A row of runs for each setting, one for each seed."""

    rows: list[list[Job]]
    metric: str
    protocol: Protocol
    _ended: dict[Path, float] = field(default_factory=dict)

    def holds(self, job: Job) -> bool:
        return any(job.path == each.path for row in self.rows for each in row)

    def lost(self, job: Job) -> bool:
        """Whether another setting took no more rounds on average than this one has made."""
        if not self.protocol.counts_rounds or len(self.rows) == 1:
            return False
        own = next(row for row in self.rows if any(job.path == each.path for each in row))
        least = min(fmean(map(self._end, row)) for row in self.rows if row is not own)
        if least == inf or fmean(map(self._made, own)) < least:
            return False
        return fmean(map(self._least, own)) >= least

    def _end(self, job: Job) -> float:
        """The figure of a finished run; infinite where there is none, or the target was missed."""
        if job.path not in self._ended:
            if not job.again().finished:
                return inf
            try:
                end = read_figure(job.path, self.metric, self.protocol, job.rounds)
            except RunError:  # told where the figures are read
                return inf
            self._ended[job.path] = inf if end.value is None else end.value
        return self._ended[job.path]

    def _made(self, job: Job) -> float:
        """The rounds of a run so far, of a finished one its figure: cheap, and never too few."""
        return self._ended.get(job.path, last_round(job.path))

    def _least(self, job: Job) -> float:
        """What the run's figure is at least."""
        if self._end(job) < inf:
            return self._end(job)
        lines = metrics_so_far(job.path)
        if not any(self.metric in line for line in lines):
            return 0.0
        reached = figure(lines, self.metric, self.protocol).value
        return course(lines, self.metric)[-1][0] if reached is None else reached
