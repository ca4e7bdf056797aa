"""How often one takes part, where the order is fixed, and what that does to a tree of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedrun.core.privacy import Sampling


def most_turns(sampling: Sampling, rounds: int) -> int:
    """The most rounds, of so many in a row from a pass's begin on, in which one takes part.

    >>> from fedrun.core.privacy import Sampling
    >>> most_turns(Sampling(scheme="cyclic", population=10, cohort=4), 5)
    2
    """
    cohort, population = int(sampling.cohort), sampling.population
    if sampling.scheme == "cyclic":
        return ceil_of(rounds * cohort, population)
    if sampling.scheme == "shuffled":
        return ceil_of(rounds, population // cohort)
    return rounds


def turns_within(sampling: Sampling, rounds: int) -> int:
    """As `most_turns`, of so many rounds in a row anywhere."""
    if sampling.scheme == "shuffled":
        # They touch so many passes at most, and in two neighbouring ones nothing keeps turns apart.
        length = sampling.population // int(sampling.cohort)
        return min(rounds, ceil_of(rounds - 1, length) + 1)
    return most_turns(sampling, rounds)


def separation(sampling: Sampling) -> int:
    """The fewest rounds from one turn of a participant to its next."""
    return sampling.population // int(sampling.cohort) if sampling.scheme == "cyclic" else 1


def tree_sensitivity(sampling: Sampling, rounds: int, restart: int, turns: int) -> int:
    """The square of how far one participant moves all nodes of all trees, in clip norms.

    turns: the most that one participant has in these rounds.

    A tree over n releases has L = ceil(log2(n + 1)) levels. On each level, a participant with k
    turns in all and at most c below one node moves the level by sum c_i^2 <= c k. So one turn in
    each of r trees gives r L (Kairouz et al. 2021, theorem C.1), and more turns stay covered.
    """
    leaves = min(rounds, restart) if restart else rounds
    return turns * sum(turns_within(sampling, 2**level) for level in range(leaves.bit_length()))


def ceil_of(amount: int, by: int) -> int:
    """`amount / by`, rounded up, in whole numbers."""
    return -(-amount // by)
