"""Noise that undoes part of itself in later rounds: banded Toeplitz matrix factorisation.

Choquette-Choo, Ganesh, McKenna, McMahan, Rush, Thakurta, Xu, "(Amplified) banded matrix
factorization: a unified approach to private training", NeurIPS 2023; the Toeplitz form of McKenna,
"Scaling up the banded matrix factorization mechanism for differentially private ML", ICLR 2025.

| symbol | name |
| --- | --- |
| n, b^ | rounds, bands |
| C, with c_0, ..., c_(b-1) down its first column | coefficients |
| A = B C, the running sums; ||B||_F / sqrt(n) | error over all rounds |
| k | participations |

The release of round t is x_t + y_t with y = C^-1 z. Running sums of it have the noise B z, and the
whole of it hides C x under z: one Gaussian release. Where a client's rounds are `bands` or more
apart, the columns of C that it moves do not meet, so that it moves C x by sqrt(k) ||c|| at most.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from torch import Tensor

from fedrun.core.dataset import Array
from fedrun.core.option import RunError
from fedrun.core.tree import Tree


def coefficients(rounds: int, bands: int) -> Array:
    """float64 [bands]: the c of norm 1 with the least mean squared error of the running sums.

    The gradient is exact; the search starts from the square root of A, cut off (Fichtenberger,
    Henzinger, Upadhyay, ICML 2023).
    """
    from scipy.optimize import minimize

    bands = min(bands, rounds)
    start = np.cumprod([1.0, *((2 * k - 1) / (2 * k) for k in range(1, bands))])
    found = minimize(
        _log_loss, start, args=(rounds,), jac=True, method="L-BFGS-B",
        options={"maxiter": 1000, "maxfun": 2000, "maxcor": 20, "ftol": 1e-14, "gtol": 1e-9},
    )  # fmt: skip
    best: Array = found.x / np.linalg.norm(found.x)
    return best


def sensitivity(c: Array, separation: int, participations: int) -> float:
    """How far a client whose updates have norm 1 moves C x, in L2 norm.

    It takes part in so many rounds, any two of them `separation` or more apart.
    """
    assert separation >= len(c), "columns of C that meet"
    return sqrt(participations) * float(np.linalg.norm(c))


def prefix_variance(c: Array, rounds: int) -> Array:
    """float64 [rounds]: of the noise on the sum of the releases 1 to t, where z has variance 1."""
    variance: Array = np.cumsum(_prefix_column(c, rounds) ** 2)
    return variance


def advance(state: Tree, round: int, c: Array, fresh: Tensor) -> tuple[Tensor, Tree]:
    """y_t = (z_t - c_1 y_(t-1) - ... - c_(b-1) y_(t-b+1)) / c_0, and the new state.

    fresh: z_t, float64 [D]; it is used up. state: the last b - 1 of y, that of round t under t
    modulo b - 1; so a round replaces one vector and leaves the others as they are.
    """
    last = min(round, len(c)) - 1
    if set(state) != {_slot(round - back, c) for back in range(1, last + 1)}:
        raise RunError(
            f"the noise of {len(state)} rounds is there, where round {round} needs that of {last}"
        )
    for back in range(1, last + 1):
        fresh.add_(state[_slot(round - back, c)], alpha=-float(c[back]))
    noise = fresh.div_(float(c[0]))
    renewed = Tree(state)
    if len(c) > 1:
        renewed[_slot(round, c)] = noise.clone()
    return noise, renewed


def _slot(round: int, c: Array) -> str:
    return str(round % (len(c) - 1))


def _prefix_column(c: Array, rounds: int) -> Array:
    """First column of B = A C^-1, a Toeplitz matrix too: the series of 1 / ((1 - x) c(x))."""
    from scipy.signal import lfilter

    column: Array = lfilter([1.0], c, np.ones(rounds))
    return column


def _log_loss(c: Array, rounds: int) -> tuple[float, Array]:
    """log(||c||^2 ||B||_F^2) and its gradient; the scale of c makes no difference.

    With s = 1 / ((1 - x) c(x)) is ||B||_F^2 = sum_i (n - i) s_i^2 and ds = -dc s / c(x).
    """
    from scipy.signal import fftconvolve, lfilter

    s = _prefix_column(c, rounds)
    weighted = np.arange(rounds, 0, -1) * s
    squared_error, squared_norm = float(weighted @ s), float(c @ c)
    change = lfilter([1.0], c, s)
    slope = fftconvolve(weighted, change[::-1])[rounds - 1 : rounds - 1 + len(c)]
    gradient: Array = 2 * c / squared_norm - 2 * slope / squared_error
    return float(np.log(squared_error) + np.log(squared_norm)), gradient
