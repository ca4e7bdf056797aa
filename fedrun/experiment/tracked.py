"""A run as its trackers are told of it: from its config and its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fedrun.core.tracker import Row, Tracked
from fedrun.experiment.config_text import NO_PART_OF_IT

PLACES = ("root", "path", "test_path")  # of data on this machine: they may name a user
LONGEST = 2000  # letters of a value: a config may hold somebody's data


def tracked(
    path: Path, manifest: Mapping[str, Any], values: Mapping[str, Any], history: Sequence[Row]
) -> Tracked:
    """Its key is that of this very run: another run of the same config has another."""
    config = manifest["config"]
    own = [config.get("first", config["sha256"]), manifest.get("started"), path.name]
    engine, versions = manifest.get("engine", {}), manifest.get("versions", {})
    facts = {
        "config_sha256": config["sha256"],
        "data_sha256": manifest["data"]["sha256"],
        "partition_sha256": manifest["partition"]["sha256"],
        "parameters": manifest.get("parameters"),
        "device": manifest.get("device"),
        "engine": engine.get("how"),
        **{name: versions.get(name) for name in ("fedrun", "python", "torch")},
    }
    group = path.absolute().parent.name
    return Tracked(
        key=hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16],
        name=f"{group}/{path.name}",
        group=group,
        folder=path,
        root=Path(values["run"]["root"]).expanduser(),
        config=hyperparameters(values),
        facts={name: fact for name, fact in facts.items() if fact is not None},
        started=begun(manifest),
        history=history,
    )


def begun(manifest: Mapping[str, Any]) -> float:
    """When the run began, in seconds since 1970."""
    started = manifest.get("started")
    return datetime.fromisoformat(started).timestamp() if started else 0.0


def ends(started: float, history: Sequence[Row]) -> list[float]:
    """When the run began and when each round ended, as if it had never been interrupted.

    >>> ends(10.0, [{"round": 1, "time/round_seconds": 2.0}, {"round": 2}])
    [10.0, 12.0, 12.0]
    """
    times = [started]
    for row in history:
        times.append(times[-1] + row.get("time/round_seconds", 0.0))
    return times


def hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what says where things lie and without very long values."""
    told: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in NO_PART_OF_IT:
            told[key] = {name: brief(one) for name, one in value.items() if name not in PLACES}
        elif key not in NO_PART_OF_IT:
            told[key] = brief(value)
    return told


def brief(value: Any) -> Any:
    """A value, or its length and hash in the place of a long one."""
    text = json.dumps(value)
    if len(text) <= LONGEST:
        return value
    return f"{len(text)} letters, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"
