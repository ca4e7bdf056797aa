"""The figures that are measured: their names, and which way each is better."""

from __future__ import annotations

from collections.abc import Sequence

SCORED = (
    "test/",
    "client/",
    "personal/",
    "unseen/",
    "objective/",
)  # what figures of a scored model begin with
SPREAD = ("mean", "worst10", "best10", "sd")  # of a figure over clients


def trained(has_accuracy: bool) -> list[str]:
    """What is measured of a round's local steps."""
    return ["train/loss", "train/accuracy"] if has_accuracy else ["train/loss"]


def evaluated(
    has_accuracy: bool,
    *,
    model: bool = True,
    objective: bool = False,
    personal: bool = False,
    unseen: bool = False,
    names: Sequence[str] = (),
) -> list[str]:
    """What is measured where models are scored.

    model: the global one; objective: on the training rows too; personal: the clients' own; unseen:
    those of clients that never train;
    names: of clients with a figure each.
    """
    whole = ["loss", "accuracy"] if has_accuracy else ["loss", "mae", "r2"]
    each = [f"{'accuracy' if has_accuracy else 'loss'}_{name}" for name in SPREAD]
    known = [f"test/{n}" for n in whole] + [f"client/{n}" for n in each] if model else []
    known += [f"objective/{name}" for name in whole] if objective else []
    for prefix in ["personal"] * personal + ["unseen"] * unseen:
        known += [f"{prefix}/{name}" for name in [*whole, *each]]
    one = "accuracy" if has_accuracy else "loss"
    for prefix in ["client"] * model + ["personal"] * personal:
        known += [f"{prefix}/{one}@{name}" for name in names]
    return known


def is_better(metric: str) -> int:
    """+1 where more of this metric is better, -1 where less is."""
    last = metric.partition("@")[0].rpartition("/")[2]
    less = ("loss", "mae", "epsilon", "up_bytes", "down_bytes", "rejected")
    return -1 if last.startswith(less) or last.endswith(("_sd", "_seconds")) else 1
