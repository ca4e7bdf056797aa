"""A sweep that searches: Optuna proposes the next cell from what the finished ones have come to.

TPE: Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", NIPS 2011.
Median rule: Golovin et al., "Google Vizier", KDD 2017, section 3.3.

A proposal is a function of the seed, the trial's number and the cells before it, which `sweep.json`
holds: nothing else is kept, so a search that is killed goes on as if nothing had happened. With
--jobs 1 it is the same every time; with more, the cells that happen to be finished decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from statistics import median
from typing import Any

from fedrun.core.metric import is_better
from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.batch import metrics_so_far
from fedrun.experiment.compose import config_hash
from fedrun.experiment.measurable import check_metric
from fedrun.experiment.sweep import (
    Cell,
    Checker,
    Sweep,
    folder,
    found,
    recorded,
    stop_metric,
    words,
)  # fmt: skip
from fedrun.experiment.sweep_parameter import (
    distribution,
    high,
    low,
    optuna,
    parameter_of,
    text_of,
)  # fmt: skip
from fedrun.experiment.sweep_record import FILE, read_sweep
from fedrun.experiment.sweep_space import Point, Space, read

USUAL = "test/accuracy"
CHECKED = 100  # combinations of listed values that are checked before anything runs
ENOUGH = 5  # finished cells before any is pruned
WARM = 5  # so many parts of a run's rounds, the first of which prunes nothing


def plan(
    config: str, overrides: Sequence[str], sampler: str, trials: int, seed: int, *,
    metric: str | None = None, retry_failed: bool = False, prune: bool = True,
) -> tuple[Sweep, OptunaSearch]:  # fmt: skip
    """The sweep with the cells that were proposed so far, and who proposes the others."""
    optuna()  # said first where it is missing
    space = read(config, overrides)
    _refuse(space)
    for dimension in space.dimensions:
        distribution(dimension)
    checker = Checker()
    corners = [checker.job(point) for point in _corners(space)]
    check_metric(metric, (job.composed.choices for job in corners))
    metric = metric or stop_metric([Cell(0, (), job) for job in corners]) or USUAL
    hashes = [config_hash(corners[0].composed.values), config_hash(corners[-1].composed.values)]
    asked = [*sorted(words(space)), sampler, str(seed), metric]
    path = folder(space, corners[0], [*hashes, *asked])
    old = read_sweep(path)["cells"] if (path / FILE).is_file() else []
    cells = [_cell(space, number, _values(space, cell["overrides"]), checker)
             for number, cell in enumerate(old, start=1)]  # fmt: skip
    found(cells, recorded(path), retry_failed)
    facts = {"sampler": sampler, "metric": metric, "seed": seed, "trials": max(trials, len(cells))}
    flags = ["--sampler", sampler, "--trials", str(trials), "--sampler-seed", str(seed),
             "--metric", metric]  # fmt: skip
    sweep = Sweep(path, [*words(space), *flags], cells, metric, search=facts)
    return sweep, OptunaSearch(space, sweep, sampler, trials, seed, metric, prune, checker)


@dataclass
class OptunaSearch:
    """Proposes cells until there are `trials`; ends those that fall behind the median."""

    space: Space
    sweep: Sweep
    sampler: str
    trials: int
    seed: int
    metric: str
    prune: bool
    checker: Checker
    curves: dict[int, dict[int, float]] = field(default_factory=dict)

    def next(self) -> Cell | None:
        if len(self.sweep.cells) >= self.trials:
            return None
        number = len(self.sweep.cells) + 1
        distributions = {each.key: distribution(each) for each in self.space.dimensions}
        with _quiet() as library:
            direction = "maximize" if is_better(self.metric) > 0 else "minimize"
            study = library.create_study(direction=direction, sampler=self._sampler(number))
            for cell in self.sweep.cells:
                study.add_trial(self._trial(cell, distributions))
            proposed = study.ask(distributions).params
        values = [text_of(each, proposed[each.key]) for each in self.space.dimensions]
        cell = _cell(self.space, number, values, self.checker)
        self.sweep.cells.append(cell)
        return cell

    def hopeless(self, cell: Cell) -> bool:
        """The median rule: its best so far is behind the median of the finished ones by now."""
        if not self.prune or cell.round < max(1, cell.rounds // WARM):
            return False
        mine = self._curve(cell)
        if cell.round not in mine:
            return False
        others = [self._curve(each) for each in self.sweep.cells if each.status == "finished"]
        here = [curve[cell.round] for curve in others if cell.round in curve]
        if len(here) < ENOUGH:
            return False
        better = is_better(self.metric)
        return max(better * value for value in mine.values()) < median(
            better * value for value in here
        )

    def _sampler(self, number: int) -> Any:
        samplers = optuna().samplers
        digest = hashlib.sha256(f"{self.seed}/{number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        if self.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed)

    def _trial(self, cell: Cell, distributions: Mapping[str, Any]) -> Any:
        """A cell as Optuna sees it."""
        state = optuna().trial.TrialState
        states = {"finished": state.COMPLETE, "failed": state.FAIL, "pruned": state.PRUNED}
        at = _values(self.space, cell.swept)
        curve = self._curve(cell) if cell.status == "pruned" else {}
        return optuna().trial.create_trial(
            state=states.get(cell.status, state.RUNNING),
            value=self._value(cell) if cell.status == "finished" else None,
            params={each.key: parameter_of(each, value)
                    for each, value in zip(self.space.dimensions, at, strict=True)},
            distributions=dict(distributions),
            intermediate_values=curve,
        )  # fmt: skip

    def _value(self, cell: Cell) -> float:
        if self.metric not in cell.figures:
            names = [name for name in cell.figures if "/" in name and not name.startswith("time/")]
            raise RunError(
                f"{self.metric} was not measured in {cell.job.path}: give --metric, one of "
                + ", ".join(names)
            )
        return cell.figures[self.metric]

    def _curve(self, cell: Cell) -> dict[int, float]:
        """Round -> value, so far."""
        if cell.number not in self.curves or cell.status == "running":
            lines = metrics_so_far(cell.job.path)
            self.curves[cell.number] = {
                int(line["round"]): line[self.metric] for line in lines if self.metric in line
            }
        return self.curves[cell.number]


def _cell(space: Space, number: int, values: Sequence[str], checker: Checker) -> Cell:
    point = space.point(values)
    return Cell(number, point.swept, checker.job(point))


def _values(space: Space, swept: Sequence[str]) -> list[str]:
    """The values of a cell's words, which stand in the order of the dimensions."""
    return [
        word.removeprefix(f"{each.key}=")
        for each, word in zip(space.dimensions, swept, strict=True)
    ]


def _refuse(space: Space) -> None:
    if not space.dimensions:
        raise ConfigError(
            "--sampler has nothing to search: give several values of a key, or "
            "local.lr='tag(log, interval(0.001, 1))'"
        )
    if any(each.key.lstrip("+") == "seed" for each in space.dimensions):
        raise ConfigError(
            "seed cannot be searched: the luckiest one would win; give one seed here, and sweep "
            "over seeds with what was found"
        )


def _corners(space: Space) -> Iterator[Point]:
    """Points at which the space is checked: the listed values in all combinations, or the first so
    many, at the low end of each interval; and one at the high ends."""
    ends = [each.values or (low(each),) for each in space.dimensions]
    for values in islice(product(*ends), CHECKED):
        yield space.point(values)
    yield space.point([each.values[-1] if each.values else high(each) for each in space.dimensions])


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, which otherwise tells of every study on stderr."""
    library = optuna()
    before = library.logging.get_verbosity()
    library.logging.set_verbosity(library.logging.WARNING)
    try:
        yield library
    finally:
        library.logging.set_verbosity(before)
