"""Noise on running sums by a binary tree: every sum of the first t releases is made of few nodes.

Dwork, Naor, Pitassi, Rothblum, "Differential privacy under continual observation", STOC 2010; Chan,
Shi, Song, "Private and continual release of statistics", ICALP 2010. The estimate from below of
Honaker, "Efficient use of differentially private binary trees", 2015, as in Kairouz et al.,
"Practical and private (deep) learning without sampling or shuffling", ICML 2021, appendix D.

A node of height h covers 2^h releases. Its noisy sum has noise of its own, and so has the sum of
its two halves; of both the mean with the least variance is taken. With v_0 = 1 for a leaf,

    1 / v_h = 1 + 1 / (2 v_(h-1)),   so   v_h = 2^h / (2^(h+1) - 1),

which falls to 1/2. One release is in at most floor(log2 n) + 1 nodes: that is the square of the
sensitivity of all of them together.

The state has the estimate of each complete subtree that no larger one contains, by its height: the
bits of t. It is noise that nobody may see.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from torch import Tensor

from fedrun.core.option import RunError
from fedrun.core.tree import Tree

Draw = Callable[[int, int], Tensor]
"""(height, place from the left, 0, 1, ...) -> the own noise of a node, float64 [D], of standard
deviation 1 node. It is asked for once for each node: at release (place + 1) 2^height."""


def advance(
    state: Tree, release: int, draw: Draw, *, efficient: bool = True
) -> tuple[Tensor, Tree]:
    """The noise on the sum of releases 1 to `release` of this tree, and the new state.

    state: after the release before; at release 1 a new tree begins, whatever the state.
    efficient: take the mean of a node and its halves; else nodes alone count, as first published.
    """
    kept = Tree() if release == 1 else Tree(state)
    before = release - 1
    if set(kept) != {str(height) for height in _bits(before)}:
        raise RunError(
            f"the noise tree has subtrees of heights {', '.join(kept) or 'none'}, which are not "
            f"those of {before} releases"
        )
    estimate, height = draw(0, before), 0
    while str(height) in kept:
        halves = kept.pop(str(height)).add(estimate)
        height += 1
        own = draw(height, before >> height)
        weight = node_variance(height) if efficient else 1.0
        estimate = own.mul(weight).add_(halves, alpha=1 - weight)
    # from the largest to the smallest: so they stay, and so they are added up
    kept[str(height)] = estimate
    return prefix_noise(kept), kept


def prefix_noise(state: Tree) -> Tensor:
    """The noise on the sum of all releases of this tree so far: the same bits again."""
    first, *others = (state[height] for height in sorted(state, key=int, reverse=True))
    noise: Tensor = first.clone()
    for other in others:
        noise += other
    return noise


def place_in_tree(round: int, restart: int) -> int:
    """Which release of its tree a round is, 1, 2, ...; a tree has `restart` releases, 0 is all."""
    return (round - 1) % restart + 1 if restart else round


def node_variance(height: int) -> float:
    """Of the estimate of a complete subtree, where a node's own noise has variance 1."""
    return float(2**height / (2 ** (height + 1) - 1))


def prefix_variance(release: int, *, efficient: bool = True) -> float:
    """Of the noise on the sum of releases 1 to `release`."""
    return sum(node_variance(height) if efficient else 1.0 for height in _bits(release))


def sensitivity(releases: int) -> float:
    """How far one release of norm 1 moves all the nodes of a tree together, in L2 norm."""
    return sqrt(releases.bit_length())


def _bits(number: int) -> list[int]:
    return [height for height in range(number.bit_length()) if number >> height & 1]
