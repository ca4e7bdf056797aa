from math import sqrt
from time import perf_counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.optimize import check_grad

from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.privacy import _banded
from fedrun.privacy._banded import advance, coefficients, prefix_variance, sensitivity

VECTORS = [  # n, b, k, sensitivity, rmse, mean loss, first coefficients
    (64, 8, 4, 2.0, 2.6639748, 5.3279497,
     [0.67667765, 0.39771341, 0.32375984, 0.28304638, 0.25440915]),
    (256, 32, 4, 2.0, 3.0868104, 6.1736208,
     [0.5888269, 0.31763007, 0.2508905, 0.21765729, 0.19681604]),
    (1000, 100, 10, 3.1622777, 3.6595999, 11.572671,
     [0.5308204, 0.2761353, 0.21347289, 0.18250151, 0.16331197]),
    (2000, 400, 5, 2.236068, 3.5102246, 7.8491007,
     [0.53541499, 0.27003455, 0.20396558, 0.17104198, 0.15052311]),
]  # fmt: skip


@pytest.mark.parametrize(("n", "b", "k", "moved", "rmse", "loss", "first"), VECTORS)
def test_reference_values(n, b, k, moved, rmse, loss, first):
    start = perf_counter()
    c = coefficients(n, b)
    assert perf_counter() - start < 10  # a fifth of a second, where the machine is free
    np.testing.assert_allclose(c[:5], first, atol=1e-6)
    assert np.linalg.norm(c) == pytest.approx(1, rel=1e-12)
    found = sqrt(prefix_variance(c, n).mean())
    assert found == pytest.approx(rmse, rel=1e-7)
    assert sensitivity(c, b, k) == pytest.approx(moved, rel=1e-7)
    assert found * sensitivity(c, b, k) == pytest.approx(loss, rel=1e-7)


@pytest.mark.parametrize(
    ("n", "rmse", "moved"), [(16, 1.2887499, 1.3942306), (64, 1.4426055, 1.5455899)]
)
def test_the_square_root_of_the_running_sums(n, rmse, moved):
    # c_k = C(2k, k) / 4^k, all of them: reference values of one participation
    c = np.cumprod([1.0, *((2 * k - 1) / (2 * k) for k in range(1, n))])
    assert sqrt(prefix_variance(c, n).mean()) == pytest.approx(rmse, rel=1e-7)
    assert sqrt(prefix_variance(c, n).max()) == pytest.approx(moved, rel=1e-7)
    assert sensitivity(c, n, 1) == pytest.approx(moved, rel=1e-7)


def matrix(c, n):
    return toeplitz(np.r_[c, np.zeros(n - len(c))], np.zeros(n))


@pytest.mark.parametrize(("n", "b"), [(1, 1), (5, 1), (9, 3), (12, 12), (20, 7)])
def test_the_variance_of_running_sums_against_whole_matrices(n, b):
    c = coefficients(n, b)
    error = np.tril(np.ones((n, n))) @ np.linalg.inv(matrix(c, n))
    np.testing.assert_allclose(prefix_variance(c, n), (error**2).sum(1), rtol=1e-9)


@pytest.mark.parametrize(("n", "b"), [(9, 1), (9, 3), (20, 7)])
def test_the_recursion_solves_the_system(n, b):
    c, z = coefficients(n, b), np.random.default_rng(1).normal(size=(n, 4))
    state, found = Tree(), []
    for t in range(1, n + 1):
        before = Tree(state)
        kept = {slot: vector.clone() for slot, vector in state.items()}
        noise, state = advance(state, t, c, torch.tensor(z[t - 1]))
        found.append(noise.clone())
        noise.fill_(9)  # what is handed out is not what is kept
        assert all(torch.equal(before[slot], kept[slot]) for slot in kept)
        assert len(state) == min(t, b - 1)
    np.testing.assert_allclose(torch.stack(found), np.linalg.solve(matrix(c, n), z), atol=1e-12)


def test_one_band_is_noise_of_each_round_alone():
    assert coefficients(10, 1).tolist() == [1.0]
    fresh = torch.tensor([1.0, -2.0], dtype=torch.float64)
    noise, state = advance(Tree(), 5, coefficients(10, 1), fresh)
    assert noise.tolist() == [1.0, -2.0]
    assert state == {}


def test_more_bands_than_rounds_are_as_many_as_rounds():
    np.testing.assert_array_equal(coefficients(6, 99), coefficients(6, 6))


@given(st.data())
def test_the_sensitivity_against_every_way_of_taking_part(data):
    n, b = 18, 4
    c = np.abs(data.draw(st.lists(st.floats(-1, 1), min_size=b, max_size=b)))
    c[0] += 0.1
    rounds, t = [], data.draw(st.integers(0, b))
    while t < n:
        rounds.append(t)
        t += data.draw(st.integers(b, 2 * b))
    x = np.zeros((n, 3))
    x[rounds] = np.random.default_rng(len(rounds)).normal(size=(len(rounds), 3))
    x[rounds] /= np.linalg.norm(x[rounds], axis=1, keepdims=True)
    moved = np.linalg.norm(matrix(c, n) @ x)
    assert moved <= sensitivity(c, b, len(rounds)) * (1 + 1e-12)
    if rounds[-1] + b <= n:
        assert moved == pytest.approx(sensitivity(c, b, len(rounds)))


def test_columns_that_meet_are_refused():
    with pytest.raises(AssertionError, match="meet"):
        sensitivity(coefficients(16, 4), 3, 2)


def test_the_gradient_is_that_of_the_loss():
    c = np.random.default_rng(4).uniform(0.2, 1, size=6)
    c[0] = 2
    error = check_grad(
        lambda x: _banded._log_loss(x, 40)[0], lambda x: _banded._log_loss(x, 40)[1], c
    )
    assert error < 1e-5


def test_no_neighbour_does_better():
    c = coefficients(64, 8)
    best = _banded._log_loss(c, 64)[0]
    for change in np.random.default_rng(6).normal(size=(50, 8)):
        assert _banded._log_loss(c + 1e-3 * change, 64)[0] > best


def test_noise_by_monte_carlo():
    n, b, width = 12, 4, 40_000
    c, state, total, found = coefficients(n, b), Tree(), torch.zeros(width).double(), []
    generator = torch.Generator().manual_seed(2)
    for t in range(1, n + 1):
        fresh = torch.randn(width, dtype=torch.float64, generator=generator)
        noise, state = advance(state, t, c, fresh)
        total = total + noise
        found.append(float(total.var()))
    np.testing.assert_allclose(found, prefix_variance(c, n), rtol=5 * sqrt(2 / width))


def test_a_state_of_another_round_is_refused():
    c = coefficients(9, 3)
    _, state = advance(Tree(), 1, c, torch.zeros(2).double())
    with pytest.raises(RunError, match="round 3 needs that of 2"):
        advance(state, 3, c, torch.zeros(2).double())
