"""What can be deleted from a folder of runs without losing a result.

- runs that failed or died before their first checkpoint: nothing can be gone on from;
- checkpoints of finished runs but the newest, from which alone a longer run starts;
- `.NAME.new` folders and `.NAME.part` files that a kill has left behind;
- only when asked: models and all checkpoints of finished runs (their figures stay).

Nothing outside the folder, nothing through a symbolic link, nothing of a run at work, and no
folder that holds a file which fedrun did not write.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.files import read_json
from fedrun.experiment.lock import take_lock
from fedrun.report.collect import search
from fedrun.report.runs import DEAD, find, is_held, size_of, state

# All that a run directory may hold before its first checkpoint, and be deleted with. A summary or a
# model is of a run that was finished once; privacy.json says which budget is spent, for good.
OWN = re.compile(
    r"(\.lock|config\.yaml|manifest\.json|partition\.(npz|json)"
    r"|(metrics|clients|audit)\.jsonl|checkpoints|\..+\.part"
    r"|tensorboard|wandb|mlflow|mlruns)"
)
CHECKPOINT = re.compile(r"round_(\d{6,})")


@dataclass(frozen=True)
class Waste:
    """Something to delete: a file or folder of a run, or the `run` itself."""

    path: Path
    why: str
    size: int
    run: Path


@dataclass(frozen=True)
class Plan:
    """`kept`: what looks like waste, and why it stays; `models`: whether those were asked for."""

    wastes: list[Waste]
    kept: list[str]
    models: bool = False

    @property
    def size(self) -> int:
        return sum(waste.size for waste in self.wastes)


def plan(folder: Path, models: bool = False) -> Plan:
    """What would be deleted; deletes nothing."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; name a folder of runs")
    wastes: list[Waste] = []
    kept: list[str] = []
    for place in [*find(folder), *_half_made(folder)]:
        if not is_held(place):
            found, reason = _wastes(place, models)
            wastes += found
            kept += [reason] if reason else []
    return Plan(wastes, kept, models)


def delete(plan: Plan) -> Plan:
    """Delete what is still waste: the wastes that are gone, and what stays as it has come to life
    or changed since."""
    gone: list[Waste] = []
    kept: list[str] = []
    for waste in plan.wastes:
        if not waste.run.is_dir():
            continue  # gone by itself: a half-made run has got its name
        try:
            lock = take_lock(waste.run)
        except ConfigError:
            kept.append(f"{waste.path}: in use by now")
            continue
        with lock:
            if waste.path not in [still.path for still in _wastes(waste.run, plan.models)[0]]:
                kept.append(f"{waste.path}: no waste any more")
                continue
            _remove(waste.path)
        gone.append(waste)
    return Plan(gone, kept, plan.models)


def _half_made(folder: Path) -> Iterator[Path]:
    """Folders that a run is made in, before it gets its name."""
    for place, names in search(folder):
        for name in names:
            path = place / name
            if re.fullmatch(r"\..+\.new", name) and path.is_dir() and not path.is_symlink():
                yield path


def _wastes(run: Path, models: bool) -> tuple[list[Waste], str | None]:
    """What can go of a run that nobody works on; or why all of it stays."""
    if re.fullmatch(r"\..+\.new", run.name):
        return _whole(run, "half-made")
    try:
        status = state(run, read_json(run / "manifest.json"))
    except RunError as error:
        return [], f"{run}: damaged, left alone ({str(error).partition(chr(10))[0]})"
    checkpoints = _checkpoints(run)
    # Its lock is free, or it is ours: whoever says that he is running is dead.
    status = DEAD if status == "running" else status
    if status in (DEAD, "failed") and not checkpoints:
        return _whole(run, f"{status}, no checkpoint")
    found: list[Waste] = []
    if status == "finished" and models:
        paths = [run / "model.safetensors", run / "checkpoints"]
        found += [_waste(run, path, "the model of a finished run") for path in paths
                  if path.exists() and not path.is_symlink()]  # fmt: skip
    elif status == "finished":
        why = "an older checkpoint of a finished run"
        found += [_waste(run, path, why) for path in checkpoints[:-1]]
    taken = {waste.path for waste in found}
    for place in (run, run / "checkpoints"):
        if place not in taken and place.is_dir() and not place.is_symlink():
            parts = [path for path in sorted(place.glob(".*.part")) if not path.is_symlink()]
            found += [_waste(run, path, "half-written") for path in parts]
    return found, None


def _whole(run: Path, why: str) -> tuple[list[Waste], str | None]:
    """All of a folder, unless it holds what fedrun did not write."""
    foreign = sorted(path.name for path in run.iterdir()
                     if path.is_symlink() or not OWN.fullmatch(path.name))  # fmt: skip
    if foreign:
        return [], f"{run}: {why}, but holds {', '.join(foreign[:3])}"
    return [_waste(run, run, why)], None


def _waste(run: Path, path: Path, why: str) -> Waste:
    return Waste(path, why, size_of(path), run)


def _checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    folder = run / "checkpoints"
    if not folder.is_dir() or folder.is_symlink():
        return []
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := CHECKPOINT.fullmatch(path.name)) and not path.is_symlink()
    }
    return [found[number] for number in sorted(found)]


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # The manifest last: a run that a kill leaves half-deleted is known as a dead one still.
    for child in path.iterdir():
        if child.name not in ("manifest.json", "config.yaml", ".lock"):
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    shutil.rmtree(path)
