"""fedrun from Python: start a run, find its files again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fedrun.experiment import config_file
from fedrun.experiment import run as runs
from fedrun.experiment.build import build
from fedrun.experiment.compose import compose
from fedrun.experiment.directory import read_manifest
from fedrun.experiment.files import read_json, read_json_lines
from fedrun.experiment.picture import html
from fedrun.experiment.saved import load_model
from fedrun.experiment.sweep_cells import lines
from fedrun.experiment.sweep_record import FILE, read_sweep

if TYPE_CHECKING:
    from fedrun.experiment.sweep_api import Sweep


@dataclass(frozen=True)
class Run:
    """A run directory, read when it is asked for something."""

    path: Path

    @property
    def metrics(self) -> Any:
        """One row a round: a pandas DataFrame where pandas is installed, else a list of dicts."""
        return frame(self._rounds())

    @property
    def clients(self) -> Any:
        """One row per client and round, in the same form as `metrics`."""
        return frame(read_json_lines(self.path / "clients.jsonl"))

    @property
    def summary(self) -> dict[str, Any]:
        """Final and best figures with how they were measured."""
        return read_json(self.path / "summary.json")

    @property
    def status(self) -> str:
        """`running`, `finished`, `interrupted` or `failed`."""
        return str(read_manifest(self.path)["status"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config as plain values."""
        return compose(str(self.path / "config.yaml"), []).values

    def model(self) -> nn.Module:
        """The module with the final weights; of the last checkpoint where the run is unfinished.

        The federation is built again for it, so the data must lie where they did.
        """
        with own_threads():
            experiment = build(self.config)
        params, _ = load_model(self.path, experiment)
        return experiment.task.load(params).eval()

    def export(
        self,
        to: str = "safetensors",
        out: str | Path | None = None,
        *,
        checkpoint: int | None = None,
        client: str | None = None,
    ) -> Path:
        """Write the model for other programs, as `fedrun export` does; the file's path."""
        from fedrun.experiment.export import export

        place = None if out is None else Path(out)
        with own_threads():
            return export(self.path, to, place, checkpoint=checkpoint, client=client).file

    def _repr_html_(self) -> str:
        """What a notebook shows: status, figures, and a curve."""
        rounds = int(config_file.read(self.path / "config.yaml")["rounds"])
        return html(str(self.path), self.status, rounds, self._rounds())

    def _rounds(self) -> list[dict[str, Any]]:
        """The lines of its metrics; of a run that is at work, or was cut off, the whole ones."""
        if self.status == "finished":
            return read_json_lines(self.path / "metrics.jsonl")
        return lines(self.path)


def load(path: str | Path) -> Run | Sweep:
    """A run directory, or a sweep's folder, that is there already; ConfigError where it is none."""
    found = place_of(path).expanduser()
    if (found / FILE).is_file() or found.name == FILE:
        from fedrun.experiment.sweep_api import Sweep

        read_sweep(found)
        return Sweep(found.parent if found.name == FILE else found)
    read_manifest(found)
    return Run(found)


def train(config: str = "train", overrides: Sequence[str] = (), *, resume: bool = False) -> Run:
    """Run a config by name or path, as `fedrun train` does; a finished run is found again.

    Raises `ConfigError` where the command line would exit with 2, `RunError` where with 1.
    """
    check_words(config, overrides)
    composed = compose(config, list(overrides))
    with own_threads():
        return Run(runs.train(composed, runs.Nobody(), resume_unfinished=resume))


def resume(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Go on with a run from its last checkpoint, as `fedrun resume` does."""
    check_words("train", overrides)
    with own_threads():
        return Run(runs.resume(place_of(path), list(overrides), runs.Nobody()))


def check_words(config: object, overrides: object) -> None:
    """TypeError where these are no name and list of words: `sweep(["seed=0,1"])`."""
    if not isinstance(config, str):
        first = 'config is a name or a path, such as "train"'
        if isinstance(config, Sequence):
            raise TypeError(f'{first}; overrides come after it: "train", {list(config)!r}')
        raise TypeError(f"{first}, not {config!r}")
    if isinstance(overrides, str):
        raise TypeError(f"overrides is a list, such as [{overrides!r}]")
    if not isinstance(overrides, Sequence) or any(not isinstance(each, str) for each in overrides):
        raise TypeError(f'overrides is a list of texts, such as ["rounds=2"], not {overrides!r}')


def place_of(path: str | Path) -> Path:
    if not isinstance(path, str | PathLike):
        raise TypeError(f'path is a folder, such as "runs/NAME", not {path!r}')
    return Path(path)


@contextmanager
def own_threads() -> Iterator[None]:
    """A run takes one thread; the caller's program gets its own number back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def frame(rows: list[dict[str, Any]]) -> Any:
    """A pandas DataFrame where pandas is installed, else the rows."""
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return rows
    return pd.DataFrame(rows)
