"""Clients do unequal work.

Wang, Liu, Liang, Joshi, Poor, "Tackling the objective inconsistency problem in heterogeneous
federated optimization", NeurIPS 2020, section 5: E_i ~ U(2, 5), drawn for each client and round.
"""

from __future__ import annotations

from fedrun.core.dataset import Array
from fedrun.core.federation import System
from fedrun.core.option import ConfigError, Count
from fedrun.core.plan import Work
from fedrun.core.random import generator


def uneven(work: Work, seed: int, *, least: Count = 2) -> System:
    """Each client gets another number of epochs done in each round, and all of them count.

    least: epochs are drawn evenly from this (paper 2) to local.epochs, both included (paper 5; the
        authors' code leaves its upper end out, so that its 5 is local.epochs=4)
    """
    if work.steps or work.epochs < least:
        asked = f"local.steps={work.steps}" if work.steps else f"local.epochs={work.epochs}"
        raise ConfigError(
            f"system=uneven draws epochs from {least} to local.epochs, which must be at least "
            f"that; {asked}"
        )

    def epochs(round: int, cohort: Array) -> Array:
        return generator(seed, "system", round).integers(least, work.epochs + 1, len(cohort))

    return System(epochs)
