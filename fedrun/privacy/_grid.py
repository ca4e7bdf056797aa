"""Clipped updates on a grid of integers, and one rounded Gaussian on their sum.

Sums of floats depend on their order, and the floats near a sum are not evenly spaced, so that noise
added to them leaves holes by which a sum can be told from its neighbour (Mironov, "On significance
of the least significant bits for differential privacy", CCS 2012). Here the sum is exact and its
noise an integer: x + round(g) = round(x + g), which is the Gaussian mechanism and then rounding.

One rounded Gaussian only: a sum of several rounded ones is not a rounded Gaussian.
"""

from __future__ import annotations

from math import floor, frexp, ldexp, prod, sqrt
from typing import Literal

import torch
from torch import Tensor

from fedrun.core.option import ConfigError
from fedrun.core.privacy import Stream
from fedrun.core.tree import Tree, flatten, unflatten

Norm = Literal["l2", "l1"]


def clipped_to_grid(
    update_C: Tree, clip_norm: float, norm: Norm = "l2", factor_C: Tensor | None = None
) -> tuple[Tree, Tensor, Tensor]:
    """Each client's update in whole steps of the grid, no longer than `clip_norm`.

    The norm is that of all leaves together. Longer updates are scaled down to `clip_norm`, and an
    update with a NaN or an infinity becomes zero; then it is multiplied by the client's factor in
    [0, 1], and cut off towards zero. `grid_scale` steps are 1.

    Returns the integers, int32, or int64 where these could overflow; bool [C], whose norm was above
    `clip_norm`; bool [C], whose update was finite: had a norm that a float64 can hold.
    """
    if any(leaf.dtype != torch.float32 for leaf in update_C.leaves()):
        update_C = update_C.map(Tensor.double)
    flat_CD = _flat(update_C)
    scale = grid_scale(clip_norm, flat_CD.shape[1], norm)
    order = 2 if norm == "l2" else 1
    norm_C = torch.linalg.vector_norm(flat_CD, ord=order, dim=1, dtype=torch.float64)
    finite_C = norm_C.isfinite()
    if not bool(finite_C.all()):
        flat_CD[~finite_C] = 0
        norm_C[~finite_C] = 0
    scaling_C = scale * (_SHRUNK * clip_norm / norm_C).clamp_(max=1)
    if factor_C is not None:
        assert bool(((factor_C >= 0) & (factor_C <= 1)).all()), factor_C
        scaling_C *= factor_C.to(scaling_C)
    flat_CD.mul_(scaling_C.to(flat_CD.dtype)[:, None])

    bound = floor(clip_norm * scale)
    integers = flat_CD.to(torch.int32 if bound < 2**31 else torch.int64)
    # Never so by `_SHRUNK`; but what a guarantee rests on is looked at, and not reasoned alone.
    integers[_length(integers, norm) > (bound**2 if norm == "l2" else bound)] = 0
    return _unflat(integers, update_C), norm_C > clip_norm, finite_C


_SHRUNK = 1 - 2.0**-20
"""Where updates are aimed at, as a part of the clip norm, so that no rounding passes it: the norm
is too small by at most D 2^-53 < 2^-22 of it (D numbers added in float64), and each number too
large by 2^-24 for the rounding of its float32 factor and 2^-24 for that of the product; these are
less than 2^-21 together. Cutting off towards zero only shortens."""

_MOST = 2**31
"""Parameters of an update, at most: below, whole norms are under 2^11 sqrt(2^31) < 2^26.5, whose
squares float64 adds up exactly."""


def grid_scale(clip_norm: float, parameters: int, norm: Norm = "l2") -> float:
    """Steps of the grid in 1: the power of 2 for which cutting off shortens no update by more than
    2^-10 of the clip norm.

    >>> grid_scale(1.0, 10_000)
    131072.0
    """
    assert 0 < parameters < _MOST, parameters
    # Far from the ends of float32 and float64, so that nothing in between can overflow.
    if not 1e-12 <= clip_norm <= 1e12:
        raise ConfigError(
            f"privacy: a clip norm of {clip_norm:g} has no grid for its noise; accepted is 1e-12 "
            f"to 1e12"
        )
    # each number is cut by less than one step; D such cuts make sqrt(D) in L2 norm, D in L1
    steps = 2**10 * (sqrt(parameters) if norm == "l2" else parameters)
    mantissa, exponent = frexp(steps / clip_norm)  # in [1/2, 1)
    return ldexp(1.0, exponent - (mantissa == 0.5))


def num_parameters(update_C: Tree) -> int:
    """Numbers in one client's update."""
    return sum(prod(leaf.shape[1:]) for leaf in update_C.leaves())


def noised(total: Tree, std: float, stream: Stream) -> Tree:
    """The exact sum with one rounded Gaussian, int64.

    std: its standard deviation in steps of the grid. The noise is drawn for all numbers at once,
    leaf after leaf in the order of their names.
    """
    # 10.2 standard deviations and any sum of packets stay far inside int64, and each whole number
    # up to there is a float64.
    if not 0 <= std <= 2**49:
        raise ConfigError(
            f"privacy.noise_multiplier gives a standard deviation of {std:g} grid steps, and "
            f"accepted is 0 to 2^49; take less noise"
        )
    assert not any(leaf.is_floating_point() for leaf in total.leaves()), "a sum that is not exact"
    one = total.map(lambda leaf: leaf[None].to(torch.int64))
    exact = _flat(one)
    if std > 0:
        noise = stream.normal(exact.numel()).mul_(std).round_()
        exact += noise.to(exact.device).to(torch.int64)
    return _unflat(exact, one).map(lambda leaf: leaf[0])


def plus(total: Tree, noise_D: Tensor) -> Tree:
    """The exact sum with this noise, float64 [D] in steps of the grid and the order of `noised`."""
    assert not any(leaf.is_floating_point() for leaf in total.leaves()), "a sum that is not exact"
    if not noise_D.abs().max() <= 2**52:
        raise ConfigError("privacy.noise_multiplier gives noise beyond 2^52 grid steps; take less")
    one = total.map(lambda leaf: leaf[None].to(torch.int64))
    exact = _flat(one)
    return _unflat(exact + noise_D.to(exact.device), one).map(lambda leaf: leaf[0])


def from_grid(total: Tree, scale: float, denominator: float) -> Tree:
    """The sum in steps of the grid over a public denominator: the mean update, float32."""
    return total.map(lambda leaf: (leaf.double() / (scale * denominator)).float())


def _flat(tree_C: Tree) -> Tensor:
    """[C, D]: all leaves side by side, in the order of their names; a copy."""
    flat = flatten(tree_C)
    leaves = (flat[name] for name in sorted(flat) if flat[name] is not None)
    return torch.cat([leaf.reshape(len(leaf), prod(leaf.shape[1:])) for leaf in leaves], dim=1)


def _unflat(flat_CD: Tensor, like_C: Tree) -> Tree:
    """The inverse: leaves of the shapes of `like_C`."""
    like = flatten(like_C)
    names = sorted(name for name in like if like[name] is not None)
    parts = torch.split(flat_CD, [prod(like[name].shape[1:]) for name in names], dim=1)
    leaves = {name: part.reshape(like[name].shape) for name, part in zip(names, parts, strict=True)}
    return unflatten({name: leaves.get(name) for name in like})


def _length(integers_CD: Tensor, norm: Norm) -> Tensor:
    """float64 [C]: the exact squared L2 norm, or L1 norm, of whole numbers."""
    exact = integers_CD.double()
    length: Tensor = torch.linalg.vecdot(exact, exact if norm == "l2" else exact.sign())
    return length
