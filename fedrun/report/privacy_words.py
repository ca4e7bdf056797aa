"""What must be said together with an epsilon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedrun.core.bound import upwards

RELATIONS = {
    "add_remove": "there or not",
    "zero_out": "counted or not",
    "replace_one": "replaced by another",
}


def guarantee(statement: Mapping[str, Any]) -> str:
    """Epsilon and delta, of whom, against which neighbours, by whose reckoning."""
    epsilon = statement["epsilon"]
    bound = epsilon if isinstance(epsilon, str) else f"<= {upwards(epsilon)}"
    return (
        f"epsilon {bound} at delta {statement['delta']:g} for each {statement['unit']} "
        f"({RELATIONS[statement['relation']]}; {statement['accountant']}, {statement['version']})"
    )


def why_not(statement: Mapping[str, Any]) -> str:
    """What keeps a statement from being a guarantee; empty where nothing does."""
    reasons = []
    if isinstance(statement["epsilon"], str):
        reasons.append("no bound is finite (no noise, or delta 0 with Gaussian noise)")
    if statement["leaky"]:
        reasons.append("privacy.leaky_diagnostics wrote figures without noise")
    if statement["rng"] == "seeded":
        reasons.append("privacy.rng=seeded, and whoever knows the seed can take the noise off")
    return "; ".join(reasons)
