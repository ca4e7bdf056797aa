import re
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.partition._dirichlet import cut, share
from fedrun.partition.dirichlet import dirichlet


@settings(deadline=None)  # a thousand draws before a refusal
@given(
    sizes=st.tuples(st.integers(1, 120), st.integers(1, 6), st.integers(1, 12)),
    alpha=st.sampled_from([5e-324, 1e-300, 1e-3, 0.1, 0.5, 10.0, 1e300, float("inf")]),
    min_examples=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_whole_and_large_enough_or_refused(labelled, sizes, alpha, min_examples, seed):
    rows, classes, count = sizes
    dataset = labelled(np.arange(rows) % classes)

    def draw():
        random = generator(seed, "partition")
        return dirichlet(dataset, count, random, alpha=alpha, min_examples=min_examples)

    try:
        partition = draw()
    except ConfigError as refusal:
        assert 1 <= len(str(refusal).splitlines()) <= 2  # noqa: PT017 - refusing is one good end
        return
    assert len(partition) == count
    assert sorted(partition.train.rows) == list(range(rows))
    assert partition.train.sizes.min() >= min_examples
    assert draw().fingerprint == partition.fingerprint


def test_a_class_is_cut_at_its_cumulative_shares_rounded_down():
    # Cumulative shares 1/4, 2/4, 4/4 of 7 rows: cuts at 1.75, 3.5, 7.
    assert cut(7, np.array([1.0, 1.0, 2.0])).tolist() == [1, 2, 4]
    assert cut(3, np.array([0.0, 1.0, 0.0])).tolist() == [0, 3, 0]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 3.0])
def test_shares_have_the_moments_of_the_dirichlet_distribution(alpha):
    random = generator(1, "partition")
    drawn = np.stack([share(4, alpha, random) for _ in range(20_000)])
    drawn /= drawn.sum(axis=1, keepdims=True)
    # Mean 1/N; variance (1/N)(1 - 1/N) / (N alpha + 1).
    np.testing.assert_allclose(drawn.mean(axis=0), 0.25, atol=0.012)
    np.testing.assert_allclose(drawn.var(axis=0), 0.1875 / (4 * alpha + 1), rtol=0.05)


@pytest.mark.parametrize("alpha", [1e-300, 5e-324])
def test_alpha_near_zero_gives_each_class_one_owner(labelled, alpha):
    dataset = labelled(np.arange(300) % 10)
    partition = dirichlet(dataset, 2, generator(0, "partition"), alpha=alpha)
    counts = partition.counts(dataset.train, dataset.spec)
    assert np.count_nonzero(counts) == 10
    assert counts.max() == 30


def test_a_large_alpha_divides_each_class_evenly(labelled):
    dataset = labelled(np.arange(400) % 4)
    partition = dirichlet(dataset, 4, generator(0, "partition"), alpha=1e12)
    counts = partition.counts(dataset.train, dataset.spec)
    assert counts.min() >= 24
    assert counts.max() <= 26


def test_rows_are_shuffled_within_their_class(labelled):
    partition = dirichlet(labelled(np.zeros(900)), 3, generator(0, "partition"), alpha=1e9)
    assert np.diff(partition.train[0]).max() > 1
    assert partition.train[0].max() > 600


def test_more_rows_wanted_than_there_are_is_refused_at_once(labelled):
    with pytest.raises(ConfigError, match=r"min_examples=5 .*needs 20 training rows.* has 12"):
        dirichlet(labelled([0, 1, 2] * 4), 4, generator(0, "partition"), min_examples=5)


def test_redrawing_ends_and_tells_the_best_and_the_mend(labelled):
    start = perf_counter()
    with pytest.raises(ConfigError) as refusal:
        dirichlet(
            labelled(np.arange(60_000) % 10),
            10,
            generator(0, "partition"),
            alpha=0.1,
            min_examples=5_999,
        )
    assert perf_counter() - start < 5
    text = re.sub(r"more than [1-9]\d* rows", "more than N rows", str(refusal.value))
    assert text == (
        "partition=dirichlet: in 1000 draws the smallest client never had more than N rows, and "
        "partition.min_examples asks for 5999; take a larger partition.alpha (now 0.1), fewer "
        "clients (now 10) or a smaller partition.min_examples"
    )


def test_as_many_clients_as_rows_is_refused_quickly(labelled):
    start = perf_counter()
    told = (
        r"in \d+ draws .* never had more than 0 rows, .* asks for 1; take a larger partition.alpha "
        r"\(now 0.5\) or fewer clients \(now 200000\)$"
    )
    with pytest.raises(ConfigError, match=told):
        dirichlet(labelled(np.arange(200_000) % 10), 200_000, generator(0, "partition"))
    assert perf_counter() - start < 5


def test_targets_that_are_numbers_have_no_classes(labelled):
    dataset = labelled([0.1, 0.2], [0.3], kind="number", owner=[0, 1])
    with pytest.raises(ConfigError, match="take partition=iid or partition=natural"):
        dirichlet(dataset, 2, generator(0, "partition"))


@pytest.mark.parametrize(("owner", "more"), [(None, ""), ([0, 1], " or partition=natural")])
def test_sequences_have_no_classes(labelled, owner, more):
    dataset = labelled([[1, 2], [2, 3]], [[1, 1]], kind="tokens", owner=owner)
    with pytest.raises(ConfigError, match=f"has sequences of tokens .* take partition=iid{more}$"):
        dirichlet(dataset, 2, generator(0, "partition"))
