"""`fedrun.sweep`: a sweep from Python, as an object with its runs and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from fedrun.experiment import sweep as sweeps
from fedrun.experiment import sweep_search
from fedrun.experiment.api import Run
from fedrun.experiment.launcher import Launcher, Local
from fedrun.experiment.sweep_work import Nobody, Search, work


@dataclass(frozen=True)
class Sweep:
    """A sweep that has been worked off. rows: one a cell, in the order of the sweep."""

    path: Path
    rows: list[dict[str, Any]]
    runs: list[Run]

    @property
    def table(self) -> Any:
        """One row a cell: what the sweep has set, status, rounds, final figures, the run's path.

        A pandas DataFrame where pandas is installed, else a list of dicts.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            return self.rows
        return pd.DataFrame(self.rows)

    @property
    def failures(self) -> dict[str, str]:
        """Why cells have failed, by what the sweep has set in them."""
        return {row["cell"]: row["reason"] for row in self.rows if row["status"] == "failed"}

    def _repr_html_(self) -> str:
        """What a notebook shows: a line for each cell."""
        named = [name for row in self.rows for name in row if name not in ("cell", "run")]
        keys = [name for name in dict.fromkeys(named) if not name.startswith(HIDDEN)]
        head = "".join(f"<th>{escape(key)}</th>" for key in keys)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_short(row.get(key)))}</td>" for key in keys) + "</tr>"
            for row in self.rows
        )
        return (
            f'<div class="fedrun-sweep"><b>{escape(str(self.path))}</b>: {len(self.rows)} cells'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


HIDDEN = ("time/", "comm/", "clients/", "train/examples")  # in a notebook's table


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
    if isinstance(overrides, str):
        raise TypeError(f"overrides is a list, such as [{overrides!r}]")
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
    rows = [_row(cell) for cell in planned.cells]
    runs = [Run(cell.job.path) for cell in planned.cells if cell.status == "finished"]
    return Sweep(planned.path, rows, runs)


def _row(cell: sweeps.Cell) -> dict[str, Any]:
    values = cell.job.composed.values
    row: dict[str, Any] = {"cell": cell.title}
    for word in cell.swept:
        key = word.partition("=")[0].lstrip("+")
        row[key] = cell.job.composed.config_name if key == "config" else _value(values, key)
    row |= {"status": cell.status, "rounds": cell.round, "reason": cell.reason}
    figures = cell.figures if cell.status == "finished" else {}
    return {
        **row,
        **{name: value for name, value in figures.items() if "/" in name},
        "run": str(cell.job.path),
    }


def _value(values: dict[str, Any], key: str) -> Any:
    node: Any = values
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node["name"] if isinstance(node, dict) and "name" in node else node


def _short(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
