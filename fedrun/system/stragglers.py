"""Some clients of every cohort are too slow to do all of their work.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated optimization in heterogeneous networks",
MLSys 2020, section 5.2: 0, 50 or 90 % of the devices of a round are stragglers; one gets
U{1, ..., E - 1} of its E epochs done. FedAvg drops them, FedProx takes what they have.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from fedrun.core.dataset import Array
from fedrun.core.federation import System
from fedrun.core.option import ConfigError, between
from fedrun.core.plan import Work
from fedrun.core.random import generator


def stragglers(
    work: Work,
    seed: int,
    cohort: int,
    *,
    share: Annotated[float, between(0, 1)] = 0.5,
    late: Literal["drop", "partial"] = "drop",
) -> System:
    """A fixed share of every cohort is slow; the same clients for every method with the same seed.

    share: of the cohort, rounded to whole clients (paper: 0, 0.5, 0.9)
    late: what becomes of a slow client: it is dropped (as in FedAvg), or the work it got done,
        1 to epochs - 1 passes, counts (as in FedProx)
    """
    if late == "drop" and np.rint(share * cohort) == cohort:
        raise ConfigError(
            f"system.share={share:g} of {cohort} client{'s' * (cohort != 1)} with system.late=drop "
            f"drops everybody in every round; take a smaller share, or late=partial"
        )
    if late == "partial" and (work.steps or work.epochs < 2):
        asked = f"local.steps={work.steps}" if work.steps else f"local.epochs={work.epochs}"
        raise ConfigError(
            f"system.late=partial has clients do some of their epochs: it needs local.epochs of "
            f"at least 2, and {asked}"
        )

    def epochs(round: int, cohort: Array) -> Array:
        draw = generator(seed, "system", round)
        slow = draw.permutation(len(cohort))[: int(np.rint(share * len(cohort)))]
        done = np.full(len(cohort), max(work.epochs, 1))
        done[slow] = draw.integers(1, work.epochs, len(slow)) if late == "partial" else 0
        return done

    return System(epochs)
