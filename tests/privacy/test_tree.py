from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch

from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.privacy._stream import streams
from fedrun.privacy._tree import (
    advance,
    node_variance,
    place_in_tree,
    prefix_noise,
    prefix_variance,
    sensitivity,
)

HEIGHTS = 6


def nodes(releases):
    """Every node that is complete after so many releases."""
    return [(h, i) for h in range(HEIGHTS + 1) for i in range(releases >> h)]


def weights(releases, efficient):
    """[t, node]: how the noise on each running sum is made of the nodes' own noises."""
    names = nodes(releases)
    unit = dict(zip(names, torch.eye(len(names), dtype=torch.float64), strict=True))
    asked, rows, state = [], [], Tree()

    def draw(height, place):
        asked.append((height, place))
        return unit[height, place].clone()

    for t in range(1, releases + 1):
        row, state = advance(state, t, draw, efficient=efficient)
        rows.append(row)
    assert sorted(asked) == sorted(names), "each node once"
    return torch.stack(rows).numpy(), names


@pytest.mark.parametrize("efficient", [True, False])
def test_the_variance_of_every_running_sum_is_the_formulas(efficient):
    rows, _ = weights(64, efficient)
    expected = [prefix_variance(t, efficient=efficient) for t in range(1, 65)]
    np.testing.assert_allclose((rows**2).sum(1), expected, rtol=1e-12)


@pytest.mark.parametrize("efficient", [True, False])
@pytest.mark.parametrize("releases", [1, 7, 16, 37])
def test_the_estimate_is_of_the_running_sum_and_nothing_else(efficient, releases):
    # where a node's noisy sum is the sum itself, the estimate is the running sum itself
    rows, names = weights(releases, efficient)
    x = np.random.default_rng(3).normal(size=releases)
    sums = [x[i << h : (i + 1) << h].sum() for h, i in names]
    np.testing.assert_allclose(rows @ sums, np.cumsum(x), atol=1e-12)


def test_no_estimate_from_below_has_less_variance():
    # brute force: the least-squares weights of the nodes under each subtree of the prefix
    rows, names = weights(13, True)
    for t in range(1, 14):
        best, begin = 0.0, 0
        for height in reversed(range(HEIGHTS)):
            if not t >> height & 1:
                continue
            inside = [
                (h, i)
                for h, i in names
                if i << h >= begin and (i + 1) << h <= begin + (1 << height)
            ]
            covers = np.array(
                [
                    [float(i << h <= leaf < (i + 1) << h) for h, i in inside]
                    for leaf in range(begin, begin + (1 << height))
                ]
            )
            # the least |w|^2 with covers @ w = 1
            w = np.linalg.pinv(covers) @ np.ones(1 << height)
            best, begin = best + w @ w, begin + (1 << height)
        assert (rows[t - 1] ** 2).sum() == pytest.approx(best, rel=1e-9)


def test_the_variance_of_a_subtree_by_hand():
    # 1; 1 / (1 + 1/2); 1 / (1 + 3/4)
    assert [node_variance(h) for h in range(3)] == pytest.approx([1, 2 / 3, 4 / 7])
    for height in range(1, 40):
        assert 1 / node_variance(height) == pytest.approx(1 + 1 / (2 * node_variance(height - 1)))
    assert prefix_variance(7) == pytest.approx(4 / 7 + 2 / 3 + 1)
    assert prefix_variance(7, efficient=False) == 3


@pytest.mark.parametrize(
    ("releases", "squared"), [(1, 1), (2, 2), (3, 2), (16, 5), (64, 7), (1000, 10), (2000, 11)]
)
def test_the_sensitivity_is_the_root_of_the_levels(releases, squared):
    assert sensitivity(releases) == pytest.approx(sqrt(squared))
    if releases <= 64:
        inside = [
            sum(i << h <= leaf < (i + 1) << h for h, i in nodes(releases))
            for leaf in range(releases)
        ]
        assert max(inside) == squared


def test_noise_by_monte_carlo():
    secret = streams("seeded", 1)
    std, width, releases, state, noises = 3.0, 40_000, 11, Tree(), []
    for t in range(1, releases + 1):
        # a height is drawn once in a release, so the two name the node
        noise, state = advance(
            state, t, lambda height, place, t=t: secret("noise", t, height).normal(width) * std
        )
        noises.append(noise)
    found = torch.cov(torch.stack(noises)).numpy() / std**2
    rows, _ = weights(releases, True)
    exact = rows @ rows.T
    np.testing.assert_allclose(found, exact, atol=5 * exact.max() / sqrt(width))
    steps = np.diff(np.vstack([np.zeros(len(rows[0])), rows]), axis=0)
    increments = torch.stack([noises[0], *(b - a for a, b in pairwise(noises))])
    np.testing.assert_allclose(
        torch.cov(increments).numpy() / std**2, steps @ steps.T, atol=5 * exact.max() / sqrt(width)
    )


def draw_of(seed):
    secret = streams("seeded", seed)
    return lambda height, place: secret("noise", (place + 1) << height, height).normal(5)


def test_the_state_is_small_and_goes_on_from_a_copy():
    state, draw = Tree(), draw_of(1)
    for t in range(1, 201):
        saved = Tree({name: leaf.clone() for name, leaf in state.items()})
        before = {name: leaf.clone() for name, leaf in state.items()}
        noise, renewed = advance(state, t, draw)
        again, _ = advance(saved, t, draw)
        assert torch.equal(noise, again)
        assert torch.equal(prefix_noise(renewed), noise)
        assert all(torch.equal(state[name], before[name]) for name in before)
        assert len(renewed) == t.bit_count() <= 8
        noise.fill_(9)  # what is handed out is not what is kept
        assert not (prefix_noise(renewed) == 9).any()
        state = renewed


def test_a_new_tree_forgets_the_old_one():
    state = Tree()
    for t in range(1, 8):
        _, state = advance(state, t, draw_of(1))
    noise, state = advance(state, 1, draw_of(2))
    assert torch.equal(noise, draw_of(2)(0, 0))
    assert list(state) == ["0"]


def test_the_place_in_a_tree_with_restarts():
    assert [place_in_tree(round, 3) for round in range(1, 8)] == [1, 2, 3, 1, 2, 3, 1]
    assert [place_in_tree(round, 0) for round in (1, 9)] == [1, 9]


def test_a_state_of_another_release_is_refused():
    _, state = advance(Tree(), 1, draw_of(1))
    with pytest.raises(RunError, match="not those of 2 releases"):
        advance(state, 3, draw_of(1))
