"""Groups and shufflers."""

import json
from math import exp, inf
from pathlib import Path

import pytest
from dp_accounting.pld.privacy_loss_distribution import from_mixture_gaussian_mechanism
from hypothesis import given
from hypothesis import strategies as st

from fedrun.accounting import epsilon, group_bound, group_epsilon, shuffle_epsilon
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Event, Sampling

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
FULL = Sampling(scheme="full", population=1, cohort=1)


@given(st.floats(1e-3, 5), st.floats(1e-12, 1e-3), st.integers(1, 20))
def test_m17_a_group_costs_more_than_its_members_by_themselves(one, delta, size):
    together, less_sure = group_bound(one, delta, size)
    assert together == size * one
    assert less_sure <= min(1.0, size * exp((size - 1) * one) * delta) * (1 + 1e-9)
    assert less_sure >= min(1.0, size * delta) * (1 - 1e-9)


def test_m17_groups_by_hand():
    assert group_bound(0.5, 1e-6, 1) == (0.5, pytest.approx(1e-6))
    assert group_bound(1.0, 1e-6, 3)[1] == pytest.approx(1e-6 * (1 + exp(1) + exp(2)))
    assert group_bound(inf, 1e-6, 3) == (inf, 1.0)
    assert group_bound(0.0, 1e-6, 3) == (0.0, pytest.approx(3e-6))
    with pytest.raises(ConfigError, match="group of 0"):
        group_bound(1.0, 1e-6, 0)


def test_m17_a_group_moves_gaussian_noise_by_its_size():
    event = Event(sampling=FULL, noise_multiplier=12.0)
    nearer = Event(sampling=FULL, noise_multiplier=4.0)
    found = group_epsilon([(event, 10)], 3, 1e-5, "zero_out")
    assert found == epsilon([(nearer, 10)], 1e-5, "zero_out", "exact")


def test_m17_a_sampled_group_keeps_its_delta():
    sampling = Sampling(scheme="poisson", population=1, cohort=0.01)
    account = [(Event(sampling=sampling, noise_multiplier=2.0), 100)]
    alone = epsilon(account, 1e-5, "zero_out")
    two, five = (group_epsilon(account, size, 1e-5, "zero_out") for size in (2, 5))
    assert group_epsilon(account, 1, 1e-5, "zero_out") == pytest.approx(alone)
    assert 2 * alone < two < five
    assert two < 2.3 * alone
    # The truth for two on one side: none, one or both of them come, by coins of their own.
    q, half = 0.01, (1 - 0.01) ** 2
    truth = from_mixture_gaussian_mechanism(
        2.0, [0, 1, 2], [half, 2 * q * (1 - q), q**2], value_discretization_interval=1e-3
    ).self_compose(100)
    assert alone < truth.get_epsilon_for_delta(1e-5) <= two


def test_shuffled_answers():
    for case in VECTORS["shuffle"]:
        found = shuffle_epsilon(case["local"], case["delta"], case["clients"])
        assert found == pytest.approx(case["epsilon"], abs=1e-7)


@pytest.mark.parametrize(
    ("local", "delta", "clients"), [(4.0, 1e-6, 10_000), (0.1, 1e-6, 100), (1.0, 0.0, 10**6)]
)
def test_the_shuffle_bound_is_refused_outside_its_proof(local, delta, clients):
    with pytest.raises(ConfigError, match="shuffle bound"):
        shuffle_epsilon(local, delta, clients)
