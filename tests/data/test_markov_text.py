"""markov_text: the rule of the docstring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.data._random import generator
from fedrun.data.markov_text import chain, markov_text, written


def test_the_defaults_have_the_shapes_of_the_shakespeare_task() -> None:
    data = markov_text()
    assert data.spec.input_shape == data.spec.target_shape == (80,)
    assert (data.spec.kind, data.spec.outputs, data.spec.vocabulary) == ("tokens", 90, 90)
    assert len(data.client_names) == 50
    train, test = np.bincount(data.train.client), np.bincount(data.test.client)
    assert test.tolist() == [n // 4 for n in train]
    assert (train.min() >= 10, train.max() <= 400) == (True, True)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(1, 9), st.integers(1, 4), st.integers(0, 9))
def test_targets_are_what_follows(symbols: int, length: int, clients: int, seed: int) -> None:
    make = {"symbols": symbols, "length": length, "clients": clients, "seed": seed}
    whole, last = markov_text(**make), markov_text(**make, task="classes")
    for text, following in ((whole.train, last.train), (whole.test, last.test)):
        assert text.x.min() >= 0
        assert text.x.max() < symbols
        assert (text.x[:, 1:] == text.y[:, :-1]).all()
        assert (following.x == text.x).all()
        assert (following.y == text.y[:, -1]).all()


def test_sizes_are_lognormal() -> None:
    sizes = np.bincount(markov_text(clients=3000, symbols=2, length=1).train.client)
    # Of LogNormal(4, 0.7): median exp(4) = 54.6; 15.9 % are above exp(4.7) = 109.9.
    assert np.median(sizes) == pytest.approx(54, abs=3)
    assert (sizes > 109.9).mean() == pytest.approx(0.159, abs=0.025)


def test_symbols_follow_each_other_as_often_as_the_chain_says() -> None:
    chances = np.array([[0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.9, 0.0, 0.1]])
    text = written(generator(0, "markov_text"), chances, 4000, 11)
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (text[:, :-1].ravel(), text[:, 1:].ravel()), 1)
    assert (pairs[chances == 0] == 0).all()
    assert pairs / pairs.sum(axis=1, keepdims=True) == pytest.approx(chances, abs=0.01)
    assert np.bincount(text[:, 0]) / 4000 == pytest.approx(np.full(3, 1 / 3), abs=0.03)


@pytest.mark.parametrize("concentration", [0.001, 0.1, 1000.0])
def test_chances_have_the_moments_of_the_dirichlet_distribution(concentration: float) -> None:
    random = generator(0, "markov_text")
    chances = np.concatenate([chain(random, 4, concentration) for _ in range(2000)])
    assert chances.sum(axis=1) == pytest.approx(np.ones(8000))
    # Mean p in proportion to 1, 1/2, 1/3, 1/4; variance p (1 - p) / (4 concentration + 1).
    p = np.array([12, 6, 4, 3]) / 25
    assert chances.mean(axis=0) == pytest.approx(p, abs=0.02)
    assert chances.var(axis=0) == pytest.approx(p * (1 - p) / (4 * concentration + 1), rel=0.1)


def test_difference_is_how_much_a_client_is_its_own() -> None:
    def distance(difference: float) -> float:
        """Between the pair frequencies of two clients, in total variation."""
        data = markov_text(clients=2, symbols=5, concentration=0.3, difference=difference)
        pairs = np.zeros((2, 5, 5))
        owner = np.repeat(data.train.client, 80)
        np.add.at(pairs, (owner, data.train.x.ravel(), data.train.y.ravel()), 1)
        chances = pairs / np.maximum(pairs.sum(axis=2, keepdims=True), 1)
        return float(np.abs(chances[0] - chances[1]).sum() / 10)

    none, whole = distance(0.0), distance(1.0)
    assert none < 0.1  # some symbols are rare
    assert whole > 0.4
    assert distance(0.5) == pytest.approx(whole / 2, abs=0.1)


def test_seed_is_part_of_the_data() -> None:
    assert markov_text().fingerprint == markov_text(seed=0).fingerprint
    assert markov_text().fingerprint != markov_text(seed=1).fingerprint
