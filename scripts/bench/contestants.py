"""Who takes part: fedrun in several forms, the plain loop, and the peers that are installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OURS = "fedrun"
PEERS = ("fedjax", "pfl", "fedlab", "flwr")


@dataclass(frozen=True)
class Contestant:
    """A script of this folder and the Python executable that runs it.

    overrides: what fedrun is told beside the workload; cores: that it may use, from 1;
    only: the one workload it is for.
    """

    name: str
    script: str
    python: str = sys.executable
    overrides: tuple[str, ...] = ()
    cores: int = 1
    only: str | None = None

    @property
    def path(self) -> Path:
        return Path(__file__).with_name(f"run_{self.script}.py")


PLAIN = Contestant("plain loop", "plain")


def fedruns(engines: Sequence[str], *, short: bool) -> list[Contestant]:
    """fedrun with each engine (none: its own choice), one and two workers, three algorithms.

    The first is the one that everybody is compared with.
    """
    found = []
    for engine in engines or [""]:
        label = f"{OURS} {engine}".rstrip()
        chosen = (f"engine={engine}",) if engine else ()
        one = (*chosen, "engine.workers=1")
        found.append(Contestant(label, OURS, overrides=one))
        if short:
            continue
        two = (*chosen, "engine.workers=2")
        found.append(Contestant(f"{label} 2 workers", OURS, overrides=two, cores=2))
        for algorithm in ("fedprox", "scaffold"):
            words = (*one, f"algorithm={algorithm}")
            found.append(Contestant(f"{label} {algorithm}", OURS, overrides=words, only="W1"))
        words = (*two, "privacy=central")
        name = f"{label} 2 workers private"
        found.append(Contestant(name, OURS, overrides=words, cores=2, only="W1"))
    return found


def peers(given: Mapping[str, str]) -> tuple[list[Contestant], dict[str, str]]:
    """Those with an executable of their own or in this environment; and why others are not here."""
    found, missing = [], {}
    for name in PEERS:
        if name in given or find_spec(name):
            python = given.get(name, sys.executable)
            # Flower's tasks run in Ray's processes, one a core.
            found.append(Contestant(name, name, python, cores=2 if name == "flwr" else 1))
        else:
            missing[name] = f"not installed; --peer {name}=PYTHON names an environment that has it"
    return found, missing
