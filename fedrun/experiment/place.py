"""Where a run lives: `<run.root>/<name>/<what was overridden>-<hash8>`."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from fedrun.experiment.compose import Composed, config_hash
from fedrun.experiment.config_text import NO_PART_OF_IT

LONGEST = 48


def run_path(composed: Composed) -> Path:
    """The same config has the same path, so the same command finds its own run again."""
    values = composed.values
    if values["run"]["dir"] is not None:
        return Path(values["run"]["dir"]).expanduser()
    name = values["name"] or safe(PurePath(composed.config_name).stem)
    last = f"{summary(composed.overrides)}-{config_hash(values)[:8]}"
    return Path(values["run"]["root"]).expanduser() / name / last


def summary(overrides: list[str]) -> str:
    """The overrides as a short name: `fedprox_mu0.1_rounds50`; `default` without any. Of a key that
    is given twice the last counts, as everywhere.

    >>> summary(["algorithm=fedprox", "algorithm.mu=1", "run.root=/tmp", "algorithm.mu=0.1"])
    'fedprox_mu0.1'
    """
    parts = []
    told = (override.lstrip("+~").partition("=") for override in overrides)
    latest = {key: value for key, _, value in told}
    for key, value in latest.items():
        if key.partition(".")[0] in NO_PART_OF_IT or "/" in value:
            continue  # places, and who looks on, say nothing about what was run
        leaf = key.rpartition(".")[2] if "." in key else ("" if is_choice(value) else key)
        parts.append(safe(f"{leaf}{value}"))
    return "_".join(parts)[:LONGEST].rstrip("._-") or "default"


def is_choice(value: str) -> bool:
    """Whether the value of a key without a dot reads as a group's choice, not as a number."""
    return bool(re.match(r"[A-Za-z]", value))


def safe(text: str) -> str:
    """Only letters, digits, dot, underscore and hyphen; nothing that leaves its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("e+", "e")).strip(".-") or "run"
