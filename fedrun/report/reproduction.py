"""A baseline's runs: which there are to be, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import batch, choices
from fedrun.experiment.batch import Job
from fedrun.experiment.compose import compose
from fedrun.experiment.files import read_json, read_json_lines
from fedrun.experiment.measurable import check_metric
from fedrun.report.accounted import Accounting, compute, versions
from fedrun.report.baseline import Baseline
from fedrun.report.figure import Figure, read_figure
from fedrun.report.intact import refuse_changed
from fedrun.report.verdict import Judged, best, failed, judge

PLACES = ("data.root=", "data.path=", "run.", "device=", "engine=", "engine.",
          "checkpoint.", "tracker=", "tracker.")  # fmt: skip
SEED = "seed="


@dataclass(frozen=True)
class Side:
    """A baseline's own runs, or those of the one that it is compared with: a row of jobs for each
    setting, one job for each seed."""

    settings: list[list[str]]
    jobs: list[list[Job]]


@dataclass(frozen=True)
class Plan:
    """All the runs of a baseline; `changed`: the overrides that make it another experiment."""

    baseline: Baseline
    own: Side
    other: Side | None
    changed: list[str]

    @property
    def jobs(self) -> list[Job]:
        sides = [self.own, self.other] if self.other else [self.own]
        return [job for side in sides for row in side.jobs for job in row]


@dataclass(frozen=True)
class Result:
    """What came out; `setting`: of those tried, the one that counts; `minutes`: what a whole run
    took; `ended`: when the last one did."""

    baseline: Baseline
    judged: Judged
    setting: list[str]
    changed: list[str]
    seeds: list[int]
    minutes: float | None
    ended: str | None
    versions: Mapping[str, Any]


def plan(baseline: Baseline, overrides: Sequence[str], known: dict[str, Job]) -> Plan:
    """Every run that the verdict needs, with what there is of it already.

    known: the jobs so far, by the hash of their config: baselines share their runs.
    """
    seeds = [word for word in map(_bare, overrides) if word.startswith(SEED)]
    if baseline.accounting:
        _refuse_changes(baseline, overrides)
        return Plan(baseline, Side([[]], [[]]), None, [])
    if seeds:
        one = [int(word.removeprefix(SEED)) for word in seeds[-1:]]
        baseline = replace(baseline, expect=replace(baseline.expect, seeds=one))
    more = [word for word in overrides if not _bare(word).startswith(SEED)]
    changed = [word for word in overrides if not _bare(word).startswith(PLACES)]
    own = _side(baseline, more, known)
    _refuse_unmeasured(baseline, [job for row in own.jobs for job in row])
    other = _side(baseline.other, more, known) if baseline.other else None
    return Plan(baseline, own, other, changed)


def conclude(plan: Plan, failures: Mapping[Path, str]) -> Result:
    """Read the runs' figures and judge them. What is not as its run wrote it counts as failed."""
    baseline, expect = plan.baseline, plan.baseline.expect
    if baseline.accounting:
        return _computed(baseline, baseline.accounting)
    failures = {**_changed(plan), **failures}
    setting, own, why = _best(baseline, plan.own, failures)
    other: Sequence[Figure] | None = None
    if plan.other and baseline.other:
        _, other, why_other = _best(baseline.other, plan.other, failures)
        why = why or why_other
    judged = failed(len(expect.seeds), why) if why else judge(expect, own, other)
    # One that has lost was left on its way, or never begun.
    done = [job.path for job in plan.jobs if job.path not in failures and job.again().finished]
    return Result(
        baseline,
        judged,
        plan.own.settings[setting],
        plan.changed,
        expect.seeds,
        mean(_minutes(path) for path in done) if done else None,
        max((_manifest(path)["ended"] for path in done), default=None),
        _manifest(done[0]).get("versions", {}) if done else {},
    )


def _bare(word: str) -> str:
    """`seed=1` of `++seed=1`."""
    return word.lstrip("+")


def _refuse_unmeasured(baseline: Baseline, jobs: Sequence[Job]) -> None:
    """What is known to be wanting after all rounds is said before the first."""
    metric, protocol = baseline.expect.metric, baseline.protocol
    check_metric(metric, (job.composed.choices for job in jobs), f"{baseline.file}: expect.metric=")
    rounds = min(job.rounds for job in jobs)
    if protocol.needs > rounds:
        raise ConfigError(
            f"{baseline.file}: expect.protocol={baseline.expect.protocol} needs {protocol.needs} "
            f"rounds, and there are {rounds}"
        )


def _changed(plan: Plan) -> dict[Path, str]:
    """The finished runs that are not what they were, and why."""
    found = {}
    for job in plan.jobs:
        try:
            if job.again().finished:
                refuse_changed(job.path)
        except RunError as error:
            found[job.path] = str(error)
    return found


def _refuse_changes(baseline: Baseline, overrides: Sequence[str]) -> None:
    for word in overrides:
        if not _bare(word).startswith((*PLACES, SEED)):
            raise ConfigError(
                f"{word} has no effect on {baseline.name}, which is computed and makes no runs; "
                f"leave it out"
            )


def _computed(baseline: Baseline, accounting: Accounting) -> Result:
    """A number that takes no runs."""
    judged = judge(baseline.expect, [Figure(compute(accounting), accounting.rounds, 0)])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(baseline, judged, [], [], [], None, now, versions())


def _side(baseline: Baseline, overrides: Sequence[str], known: dict[str, Job]) -> Side:
    given = {_bare(word).partition("=")[0] for word in overrides}
    tune = {key: values for key, values in baseline.tune.items() if key not in given}
    settings = replace(baseline, tune=tune).settings
    words = placed(baseline, overrides)
    jobs = [
        [
            batch.job(compose(baseline.config, [*setting, f"seed={seed}", *words]), known)
            for seed in baseline.expect.seeds
        ]
        for setting in settings
    ]
    return Side(settings, jobs)


def placed(baseline: Baseline, overrides: Sequence[str]) -> list[str]:
    """The overrides with `data.root` as it suits this baseline's data: one folder may hold a folder
    for each set (`mnist`, `heart_disease`), and generated data need none."""
    chosen = [word for word in overrides if word.startswith("data=")]
    data = chosen[-1].partition("=")[2] if chosen else baseline.layer.choices.get("data", "")
    data = data or choices.defaults()["data"]
    words = []
    for word in overrides:
        key, _, folder = word.partition("=")
        if key == "data.root" and data in choices.choices("data"):
            if "root" not in choices.chosen_by("data", data)["data"]:
                continue
            inside = Path(folder) / data
            words.append(f"{key}={inside}" if inside.expanduser().is_dir() else word)
        else:
            words.append(word)
    return words


def _best(
    baseline: Baseline, side: Side, failures: Mapping[Path, str]
) -> tuple[int, list[Figure], str | None]:
    """The setting that counts and its figures; or why there are none."""
    expect, protocol = baseline.expect, baseline.protocol
    rows: list[list[Figure] | None] = []
    whys: list[str | None] = []
    for jobs in side.jobs:
        why = next((_told(job, failures) for job in jobs if job.path in failures), None)
        figures = None
        if why is None:
            try:
                figures = [read_figure(job.path, expect.metric, protocol, job.rounds)
                           for job in jobs]  # fmt: skip
            except RunError as error:
                why = str(error)
        rows.append(figures)
        whys.append(why)
    place = best(rows, expect.metric, protocol)
    return place, rows[place] or [], whys[place]


def _told(job: Job, failures: Mapping[Path, str]) -> str:
    return f"{job.path}: {failures[job.path]}"


def _minutes(path: Path) -> float:
    lines = read_json_lines(path / "metrics.jsonl")
    return float(sum(line["time/round_seconds"] for line in lines)) / 60


def _manifest(path: Path) -> dict[str, Any]:
    return read_json(path / "manifest.json")
