"""Means, intervals and paired tests against scipy, numpy, and all ways of giving signs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedrun.report.statistics import doubled_ranks, paired, signed_rank, spread

ACCURACIES = st.integers(0, 359).map(lambda right: right / 359)


def test_by_hand():
    found = spread([0.8, 0.9, 1.0])
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(0.9), pytest.approx(0.1))
    # t(0.975, 2) = 4.3027, and 0.1 / sqrt(3) = 0.057735
    assert found.low == pytest.approx(0.9 - 0.248414, abs=1e-6)
    assert found.high == pytest.approx(0.9 + 0.248414, abs=1e-6)


def test_one_number_has_no_spread():
    found = spread([0.5])
    assert (found.mean, found.sd, found.low, found.high) == (0.5, None, None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_as_numpy_and_scipy_have_it(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert found.sd == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-6)
    if found.sd > 1e-3:
        error = stats.sem(values)
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert (found.low, found.high) == (pytest.approx(low, rel=1e-6, abs=1e-6),
                                           pytest.approx(high, rel=1e-6, abs=1e-6))  # fmt: skip


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_paired_as_scipy_has_it(n, seed):
    one, two = np.random.default_rng(seed).normal(0.8, 0.05, (2, n))
    found = paired(one.tolist(), two.tolist())
    student = stats.ttest_rel(one, two)
    assert found.t == pytest.approx(student.statistic, rel=1e-6)
    assert found.t_p == pytest.approx(student.pvalue, rel=1e-6)
    interval = student.confidence_interval(0.95)
    assert found.difference.low == pytest.approx(interval.low, rel=1e-6)
    assert found.difference.high == pytest.approx(interval.high, rel=1e-6)
    assert found.exact_p == pytest.approx(stats.wilcoxon(one, two, method="exact").pvalue)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_the_exact_p_counts_all_ways_of_giving_signs(differences):
    left = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(left))
    sums = [sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
            for signs in product([0, 1], repeat=len(left))]  # fmt: skip
    seen = sum(r for r, d in zip(ranks, left, strict=True) if d > 0)
    low = np.mean([s <= seen for s in sums])
    high = np.mean([s >= seen for s in sums])
    assert signed_rank(differences) == pytest.approx(min(1, 2 * min(low, high)))


@given(st.lists(st.tuples(ACCURACIES, ACCURACIES), min_size=2, max_size=12))
def test_the_order_of_methods_turns_the_sign_alone(pairs):
    one, two = zip(*pairs, strict=True)
    there, back = paired(one, two), paired(two, one)
    assert there.difference.mean == pytest.approx(-back.difference.mean)
    assert there.exact_p == pytest.approx(back.exact_p)
    assert (there.t_p is None) == (back.t_p is None)


def test_accuracies_that_tie_in_arithmetic_tie_here():
    # 0.3 - 0.2 and 0.2 - 0.1 differ by 3e-17; as ranks they would be 1 and 2.
    assert 0.3 - 0.2 != 0.2 - 0.1
    found = paired([0.3, 0.1], [0.2, 0.2])
    assert found.exact_p == 1.0
    assert found.difference.mean == 0.0


def test_differences_that_are_all_the_same_give_no_t():
    found = paired([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert (found.t, found.t_p, found.difference.sd) == (None, None, 0.0)
    assert found.exact_p == 0.25 == found.least_p
    same = paired([0.3, 0.4], [0.3, 0.4])
    assert (same.t_p, same.exact_p, same.difference.mean) == (None, 1.0, 0.0)


def test_few_seeds_are_few():
    assert paired([1, 2, 3, 5], [0, 0, 0, 0]).is_few
    assert not paired([1, 2, 3, 5, 9], [0, 0, 0, 0, 0]).is_few


def test_many_pairs_are_exact_still():
    differences = np.random.default_rng(0).normal(0.01, 0.1, 400).tolist()
    near = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank(differences) == pytest.approx(near, rel=0.02)


def test_ranks():
    assert doubled_ranks(np.array([3.0, 1.0, 2.0])).tolist() == [6, 2, 4]
    assert doubled_ranks(np.array([1.0, 1.0, 1.0])).tolist() == [4, 4, 4]
