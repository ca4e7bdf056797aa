"""From the contestants' goes to the figures that are quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.race import Go
from bench.workloads import Workload

Goes = Mapping[str, Sequence[Go]]


def compared(goes: Goes, first: str) -> dict[str, Any]:
    """CPU and wall seconds of each contestant with their spread, and their ratio to the first's.

    A ratio is the median over the repeats of two neighbours' ratio, so that a machine that slows
    down for a while slows both.
    """
    figures: dict[str, Any] = {}
    for name, runs in goes.items():
        figures[name] = {
            "cpu_seconds": spread([run.cpu for run in runs]),
            "wall_seconds": spread([run.wall for run in runs]),
        }
        if goes.get(first) and runs:
            for clock in ("cpu", "wall"):
                pairs = zip(runs, goes[first], strict=False)
                ratios = [getattr(run, clock) / getattr(base, clock) for run, base in pairs]
                figures[name][f"{clock}_ratio"] = spread(ratios)
    return figures


def trained(
    goes: Goes, first: str, workload: Workload, examples: float, peak: float
) -> dict[str, Any]:
    """The same with memory, examples per second and share of the peak; `examples` of a round, every
    epoch counted; `peak` in GFLOP/s."""
    figures = compared(goes, first)
    for name, runs in goes.items():
        seconds = figures[name]["cpu_seconds"]["median"]
        figures[name] |= {
            "examples_per_cpu_second": examples / seconds,
            "share_of_peak": examples * workload.flops / seconds / (peak * 1e9),
            "peak_memory_mib": median(run.memory for run in runs) / 2**20,
            "rounds": [run.rounds for run in runs],
            "versions": runs[0].versions,
        }
    return figures


def spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": median(values), "min": min(values), "max": max(values), "repeats": list(values)
    }  # fmt: skip
