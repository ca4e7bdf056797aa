"""`fedrun.sweep`: a sweep from Python, as an object with its runs and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrun.experiment import sweep as sweeps
from fedrun.experiment import sweep_search
from fedrun.experiment.api import Run, check_words, frame
from fedrun.experiment.launcher import Launcher, Local
from fedrun.experiment.sweep_cells import cell_of, lines, row
from fedrun.experiment.sweep_picture import html
from fedrun.experiment.sweep_record import read_sweep
from fedrun.experiment.sweep_work import Nobody, Search, work


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder, read when it is asked for something."""

    path: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One a cell, in the order of the sweep: what the sweep has set there, status, rounds,
        reason (of a failure), the figures of a finished run, and the run's path."""
        return [row(cell) for cell in self._cells]

    @property
    def table(self) -> Any:
        """The rows as a pandas DataFrame where pandas is installed, else as they are."""
        return frame(self.rows)

    @property
    def metrics(self) -> Any:
        """One row per cell and round, unfinished cells as far as they came: what the sweep has set
        there, then what `Run.metrics` holds; in the form of `table`."""
        return frame([
            {"cell": cell["title"], **cell["set"], **line}
            for cell in self._cells for line in lines(cell["path"])
        ])  # fmt: skip

    @property
    def runs(self) -> list[Run]:
        """The finished ones."""
        return [Run(cell["path"]) for cell in self._cells if cell["status"] == "finished"]

    @property
    def failures(self) -> dict[str, str]:
        """Why cells have failed, by what the sweep has set in them."""
        return {row["cell"]: row["reason"] for row in self.rows if row["status"] == "failed"}

    @property
    def _cells(self) -> list[dict[str, Any]]:
        return [cell_of(noted) for noted in read_sweep(self.path)["cells"]]

    def _repr_html_(self) -> str:
        """What a notebook shows: a line for each cell, and the courses of a figure."""
        return html(str(self.path), [(row(cell), lines(cell["path"])) for cell in self._cells])


def sweep(
    config: str = "train",
    overrides: Sequence[str] = (),
    *,
    jobs: int = 1,
    retry_failed: bool = False,
    sampler: str | None = None,
    trials: int = 20,
    sampler_seed: int = 0,
    metric: str | None = None,
    prune: bool = True,
    launcher: Launcher | None = None,
) -> Sweep:
    """Run every combination of what the overrides list, as `fedrun sweep` does.

    `config` may list several too: "a,b". Finished cells are found again; a cell that fails stops no
    other, and is told in `failures`. Raises `ConfigError` where the command line would exit with 2.
    """
    check_words(config, overrides)
    if jobs < 1:
        raise ValueError(f"jobs={jobs} is not accepted (accepted: at least 1)")
    search: Search | None = None
    if sampler is None:
        planned = sweeps.plan(config, overrides, metric=metric, retry_failed=retry_failed)
    else:
        planned, search = sweep_search.plan(
            config, overrides, sampler, trials, sampler_seed,
            metric=metric, retry_failed=retry_failed, prune=prune,
        )  # fmt: skip
    planned.open()
    try:
        work(planned, jobs, launcher or Local(), Nobody(), search)
    finally:
        planned.close()
    return Sweep(planned.path)
