from fractions import Fraction
from itertools import pairwise
from math import floor, log2, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedrun.privacy._grid as module
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree, row
from fedrun.privacy._grid import (
    clipped_to_grid,
    from_grid,
    grid_scale,
    noised,
    num_parameters,
    plus,
)
from fedrun.privacy._stream import streams

SEEDED = streams("seeded", 3)
NASTY = [0.0, -0.0, 1e-45, 1e-40, 2.0**-126, 1e-10, 0.1, 1.0, -1.0, 3.0, 1e10, 1e19, 1e30, 3e38]
BAD = [float("nan"), float("inf"), -float("inf")]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]


def tree(*leaves):
    return Tree(b=Tree(w=leaves[0]), a=leaves[1]) if len(leaves) == 2 else Tree(w=leaves[0])


def integers(grid_C, client):
    """All of one client's numbers, as Python's, which have no limits."""
    return [int(x) for leaf in row(grid_C, client).leaves() for x in leaf.flatten().tolist()]


def within(values, clip_norm, scale, norm="l2"):
    """Whether whole steps are no longer than the clip norm, without any rounding."""
    bound = Fraction(clip_norm) * Fraction(scale)
    length, most = (sum(v * v for v in values), bound**2) if norm == "l2" else (
        sum(map(abs, values)), bound
    )  # fmt: skip
    return length <= most


@st.composite
def updates(draw):
    """Some clients' updates of two leaves, of any dtype, with anything in them."""
    clients, sizes = draw(st.integers(1, 3)), (draw(st.integers(1, 40)), draw(st.integers(1, 5)))
    leaves = []
    for size in sizes:
        numbers = st.one_of(
            st.sampled_from(NASTY + BAD),
            st.floats(-10, 10, width=32),
            st.floats(allow_nan=False, width=32),
        )
        common = draw(st.none() | numbers)  # all of them equal
        count = clients * size
        values = [common] * count if common is not None else draw(
            st.lists(numbers, min_size=count, max_size=count)
        )  # fmt: skip
        dtype = draw(st.sampled_from(DTYPES))
        leaf = torch.tensor(values, dtype=torch.float64)
        if not dtype.is_floating_point:
            leaf = leaf.nan_to_num(0, 1e15, -1e15).clamp(-1e15, 1e15)
        leaves.append(leaf.to(dtype).reshape(clients, size))
    return tree(*leaves)


@given(
    updates(), st.sampled_from([1e-12, 1e-3, 0.3, 1.0, 7.7, 1e12]), st.sampled_from(["l2", "l1"])
)
def test_m11_m05_whatever_a_client_sends_moves_the_sum_by_no_more_than_the_clip(
    update_C, clip, norm
):
    grid_C, clipped_C, finite_C = clipped_to_grid(update_C, clip, norm)
    scale = grid_scale(clip, num_parameters(update_C), norm)
    for client in range(len(finite_C)):
        values = integers(grid_C, client)
        assert within(values, clip, scale, norm)
        sent = torch.cat([leaf[client].double().flatten() for leaf in update_C.leaves()])
        assert bool(finite_C[client]) == bool(sent.isfinite().all())
        if not finite_C[client]:
            assert values == [0] * len(values)
            assert not clipped_C[client]


@given(updates(), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_m05_the_sum_without_a_client_is_no_farther_away_than_the_clip(update_C, factors):
    clients = len(next(update_C.leaves()))
    factor_C = torch.tensor(factors[:clients])

    def summed(kept):
        grid_C, _, _ = clipped_to_grid(
            update_C.map(lambda leaf: leaf[kept]), 0.7, factor_C=factor_C[kept]
        )
        return torch.cat([leaf.sum(0).flatten() for leaf in grid_C.leaves()])

    everybody = summed(list(range(clients)))
    for left in range(clients):
        without = summed([client for client in range(clients) if client != left])
        moved = (everybody - without).tolist()
        assert within(moved, 0.7, grid_scale(0.7, num_parameters(update_C)))


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_an_update_inside_the_ball_is_cut_off_towards_zero_and_no_more(norm):
    values = torch.tensor([[0.30001, -0.30001, 2.0**-30, -(2.0**-30), 0.0, -0.0]])
    grid_C, clipped_C, finite_C = clipped_to_grid(tree(values), 1.0, norm)
    scale = grid_scale(1.0, 6, norm)
    expected = [int(float(value) * scale) for value in values[0]]
    assert integers(grid_C, 0) == expected
    assert expected[0] == -expected[1] > 0
    assert expected[2:] == [0] * 4
    assert not clipped_C[0]
    assert finite_C[0]


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("size", [1, 1000, 199_210])
def test_a_clipped_update_keeps_its_direction_and_nearly_all_of_the_clip_norm(norm, size):
    sent = torch.tensor(np.random.default_rng(1).normal(size=(1, size)), dtype=torch.float32)
    grid_C, clipped_C, _ = clipped_to_grid(tree(sent), 0.01, norm)
    released = from_grid(row(grid_C, 0), grid_scale(0.01, size, norm), 1)["w"].double()
    assert clipped_C[0]
    order = 2 if norm == "l2" else 1
    length = float(released.norm(order)) / 0.01
    assert 1 - 2.0**-10 - 2.0**-19 < length <= 1
    wanted = sent[0].double() * (0.01 / float(sent.double().norm(order)))
    assert float((released - wanted).norm(order)) < 0.01 * 2.0**-9


def test_the_norm_is_that_of_all_leaves_together():
    # (3, 4) has norm 5: clipped to 1 it is (0.6, 0.8), where leaf by leaf it were (1, 1)
    sent = tree(torch.tensor([[3.0]]), torch.tensor([[4.0]]))
    grid_C, clipped_C, _ = clipped_to_grid(sent, 1.0)
    found = from_grid(row(grid_C, 0), grid_scale(1.0, 2), 1)
    assert found["b"]["w"].item() == pytest.approx(0.6, abs=1e-3)
    assert found["a"].item() == pytest.approx(0.8, abs=1e-3)
    assert clipped_C[0]
    assert list(grid_C) == ["b", "a"]
    assert grid_C["b"]["w"].shape == (1, 1)


def test_the_l1_norm_by_hand():
    # |3| + |-4| = 7
    grid_C, _, _ = clipped_to_grid(tree(torch.tensor([[3.0, -4.0]])), 1.0, "l1")
    found = from_grid(row(grid_C, 0), grid_scale(1.0, 2, "l1"), 1)["w"]
    assert found.tolist() == pytest.approx([3 / 7, -4 / 7], abs=1e-3)


def test_clients_are_clipped_each_by_its_own_norm_and_weighted_after():
    sent = tree(torch.tensor([[10.0, 0.0], [0.25, 0.0], [0.0, float("nan")], [0.0, -8.0]]))
    factor_C = torch.tensor([1.0, 1.0, 1.0, 0.5])
    grid_C, clipped_C, finite_C = clipped_to_grid(sent, 1.0, factor_C=factor_C)
    found = from_grid(grid_C, grid_scale(1.0, 2), 1)["w"]
    wanted = [[1.0, 0.0], [0.25, 0.0], [0.0, 0.0], [0.0, -0.5]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=2e-3, rtol=0)
    assert clipped_C.tolist() == [True, False, False, True]
    assert finite_C.tolist() == [True, True, False, True]


def test_a_weight_above_1_is_refused():
    with pytest.raises(AssertionError):
        clipped_to_grid(tree(torch.ones(2, 3)), 1.0, factor_C=torch.tensor([0.5, 1.1]))


def test_what_was_sent_is_left_as_it_was():
    sent = torch.tensor([[5.0, float("inf")], [3.0, 4.0]])
    before = sent.clone()
    clipped_to_grid(tree(sent), 1.0)
    assert torch.equal(sent, before)


def test_one_client_at_a_time_gives_the_same_integers():
    sent = torch.tensor(np.random.default_rng(2).normal(size=(4, 3000)), dtype=torch.float32)
    together, _, _ = clipped_to_grid(tree(sent), 20.0)
    for client in range(4):
        alone, _, _ = clipped_to_grid(tree(sent[client : client + 1]), 20.0)
        assert torch.equal(alone["w"][0], together["w"][client])


def test_an_update_that_were_too_long_after_all_would_count_as_nothing(monkeypatch):
    monkeypatch.setattr(module, "_SHRUNK", 1.01)
    grid_C, _, _ = clipped_to_grid(tree(torch.tensor([[5.0, 5.0], [0.1, 0.1]])), 1.0)
    assert integers(grid_C, 0) == [0, 0]
    assert integers(grid_C, 1)[0] > 0


@pytest.mark.parametrize("bad", BAD)
def test_m11_numbers_that_are_none_are_gone_before_they_are_made_whole(bad, monkeypatch):
    # what NaN is as a whole number differs from processor to processor
    monkeypatch.setattr(module, "_length", lambda integers, norm: torch.zeros(len(integers)))
    grid_C, _, _ = clipped_to_grid(tree(torch.tensor([[bad, 0.5], [0.5, 0.5]])), 1.0)
    assert integers(grid_C, 0) == [0, 0]
    assert integers(grid_C, 1)[0] > 0


@pytest.mark.parametrize(
    ("leaf", "other"),
    [
        (torch.tensor([[3e100, -4e100]], dtype=torch.float64), torch.zeros(1, 1)),
        (torch.tensor([[30_000, -40_000]]), torch.zeros(1, 1, dtype=torch.float16)),
        (torch.tensor([[3 << 59, -(4 << 59)]]), torch.zeros(1, 1, dtype=torch.bool)),
    ],
)
def test_numbers_of_other_kinds_keep_their_size(leaf, other):
    grid_C, clipped_C, finite_C = clipped_to_grid(tree(leaf, other), 1.0)
    found = from_grid(row(grid_C, 0), grid_scale(1.0, 3), 1)["b"]["w"]
    assert found.tolist() == pytest.approx([0.6, -0.8], abs=1e-3)
    assert clipped_C[0]
    assert finite_C[0]


def test_the_rounding_stays_below_what_updates_are_shrunk_by():
    # the bound in the comment at `_SHRUNK`, for the largest update
    rounding = Fraction(module._MOST, 2**53) + 2 * Fraction(1, 2**24)
    assert Fraction(module._SHRUNK) * (1 + rounding) < 1


@given(
    st.sampled_from([1, 2, 3, 1000, 199_210, 1_600_000, 2**31 - 1]),
    st.sampled_from([1e-12, 0.001, 0.1, 1.0, 8.0, 1e12]),
    st.sampled_from(["l2", "l1"]),
)
def test_the_grid_is_fine_enough_and_no_finer(parameters, clip_norm, norm):
    scale = grid_scale(clip_norm, parameters, norm)
    assert log2(scale) == round(log2(scale))
    root = sqrt(parameters) if norm == "l2" else parameters
    assert 1 / scale <= 2.0**-10 * clip_norm / root * (1 + 1e-15)
    assert 2 / scale > 2.0**-10 * clip_norm / root
    if norm == "l2":
        assert floor(clip_norm * scale) ** 2 < 2**53


def test_the_grid_of_the_published_example():
    assert grid_scale(1.0, 1_600_000) == 2.0**21


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, 1e-13, 1e13, float("inf"), float("nan")])
def test_a_clip_norm_that_has_no_grid_is_refused(clip_norm):
    with pytest.raises(ConfigError, match=r"clip norm of .* accepted is 1e-12 to 1e12"):
        grid_scale(clip_norm, 10)


def test_integers_are_as_small_as_they_may_be():
    assert clipped_to_grid(tree(torch.ones(1, 1000)), 1.0)[0]["w"].dtype == torch.int32
    # 2^10 * 2^21 steps: more than int32 holds
    sent = torch.zeros(1, 2**21)
    sent[0, 0] = 9
    grid_C, _, _ = clipped_to_grid(tree(sent), 1.0, "l1")
    assert grid_C["w"].dtype == torch.int64
    assert grid_C["w"][0, 0] == floor(2**31 * (1 - 2.0**-20))


def total(*values):
    return tree(torch.tensor(values, dtype=torch.int64))


def test_without_noise_the_sum_is_what_it_was():
    exact = Tree(b=torch.tensor([[1, -2]]), a=Tree(c=torch.tensor(2**61)))
    found = noised(exact, 0.0, SEEDED("noise", 1, 0))
    assert found["a"]["c"].item() == 2**61
    assert found["b"].tolist() == [[1, -2]]


def test_m12_the_noise_has_the_std_that_was_asked_for():
    std, width, releases = 777.7, 40, 2000
    exact = total(*range(0, 1000 * width, 1000))
    found = torch.stack(
        [noised(exact, std, SEEDED("noise", t, 0))["w"] - exact["w"] for t in range(releases)]
    ).double()
    assert float(found.std()) == pytest.approx(std, rel=0.01)
    for column in found.T:
        assert float(column.std()) == pytest.approx(std, rel=0.06)  # 4 standard errors
        assert abs(float(column.mean())) < 4 * std / sqrt(releases)
    mean = found / std
    assert float(mean.pow(4).mean()) == pytest.approx(3, abs=0.1)


def test_m13_the_noise_of_rounds_is_uncorrelated():
    exact = total(*[0] * 50)
    found = [noised(exact, 1e4, SEEDED("noise", t, 0))["w"].double() for t in range(1000)]
    products = torch.stack([(a * b).mean() for a, b in pairwise(found)]) / 1e8
    assert abs(float(products.mean())) < 4 / sqrt(50 * 1000)


def test_m14_what_is_released_has_no_holes():
    released = noised(total(*[12_345] * 160_000), 40.0, SEEDED("noise", 1, 0))["w"]
    assert released.dtype == torch.int64
    counts = torch.bincount(released & 15, minlength=16).double()
    assert float(((counts - 10_000) ** 2 / 10_000).sum()) < 37.7  # chi-square, 15 degrees, 0.1 %
    # every whole number within 3 standard deviations comes up: about 18 times at the ends
    found = set(released.tolist())
    assert found >= set(range(12_345 - 120, 12_345 + 121))


def test_m14_the_noise_does_not_depend_on_what_it_hides():
    # so a sum and its neighbour have the same values to be released
    zero = noised(total(0, 0, 0), 5e5, SEEDED("noise", 4, 0))["w"]
    other = noised(total(7, 2**50 + 1, -(2**40)), 5e5, SEEDED("noise", 4, 0))["w"]
    assert (other - zero).tolist() == [7, 2**50 + 1, -(2**40)]


def test_noise_goes_by_the_names_of_the_leaves():
    leaves = {"b": torch.zeros(3, dtype=torch.int64), "a": torch.zeros(2, 2, dtype=torch.int64)}
    here = noised(Tree(leaves), 1e6, SEEDED("noise", 1, 0))
    there = noised(Tree(reversed(leaves.items())), 1e6, SEEDED("noise", 1, 0))
    flat = SEEDED("noise", 1, 0).normal(7).mul(1e6).round()
    assert torch.equal(here["a"].flatten().double(), flat[:4])
    assert torch.equal(here["b"].double(), flat[4:])
    assert all(torch.equal(here[name], there[name]) for name in "ab")
    assert list(here) == ["b", "a"]


def test_noise_that_is_given_goes_to_the_same_places():
    exact = Tree(b=torch.tensor([10, 20]), a=Tree(c=torch.tensor(30)))
    found = plus(exact, torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    assert found["a"]["c"].item() == 31
    assert found["b"].tolist() == [8, 23]


@pytest.mark.parametrize("std", [2.0**49 * 1.01, float("inf"), float("nan"), -1.0])
def test_noise_beyond_whole_numbers_is_refused(std):
    with pytest.raises(ConfigError, match="grid steps"):
        noised(total(1), std, SEEDED("noise", 1, 0))


def test_a_sum_of_floats_is_refused():
    with pytest.raises(AssertionError, match="not exact"):
        noised(tree(torch.tensor([1.0])), 1.0, SEEDED("noise", 1, 0))


def test_back_from_the_grid():
    found = from_grid(total(3, -(2**21)), 2.0**20, 4.0)["w"]
    assert found.dtype == torch.float32
    assert found.tolist() == [3 * 2.0**-22, -0.5]


def test_parameters_are_those_of_one_client():
    assert num_parameters(tree(torch.zeros(5, 2, 3), torch.zeros(5))) == 7
