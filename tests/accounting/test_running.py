"""Epsilon after each release."""

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.accounting import bounds, epsilon, gaussian_epsilon, running_epsilon
from fedrun.accounting import running as module
from fedrun.accounting.convolution import composed_epsilon
from fedrun.accounting.parts import Parts
from fedrun.accounting.pld import compose
from fedrun.accounting.running import next_count
from fedrun.core.privacy import Event, Sampling


def poisson(q, z, **others):
    sampling = Sampling(scheme="poisson", population=1, cohort=q)
    return Event(sampling=sampling, noise_multiplier=z, **others)


FULL = Sampling(scheme="full", population=1, cohort=1)
LAPLACE = Event(mechanism="laplace", sampling=FULL, noise_multiplier=8)
ANSWER = Event(mechanism="randomized_response", sampling=FULL, epsilon=0.3, classes=4)
FIXED = Event(sampling=Sampling(scheme="fixed", population=1000, cohort=20), noise_multiplier=4)
CYCLIC = Event(sampling=Sampling(scheme="cyclic", population=1000, cohort=20), noise_multiplier=2)
TREE = Event(mechanism="tree", sampling=CYCLIC.sampling, noise_multiplier=9, restart=64)
RUNS = [
    ([(poisson(0.01, 1.1), 5000)], "add_remove"),
    ([(poisson(0.01, 1.1), 90), (poisson(0.02, 1.5), 130), (LAPLACE, 12)], "add_remove"),
    ([(FIXED, 300)], "replace_one"),
    ([(CYCLIC, 400)], "zero_out"),
    ([(TREE, 300)], "zero_out"),
    ([(LAPLACE, 60)], "zero_out"),
    ([(poisson(0.2, 3, mechanism="laplace"), 60)], "zero_out"),
    ([(ANSWER, 40)], "replace_one"),
]


def course(account, relation, delta=1e-5):
    """Epsilon after every release, asked as a run does."""
    told, spent = [], []
    for event, rounds in account:
        spent.append((event, 0))
        for _ in range(rounds):
            spent[-1] = (event, spent[-1][1] + 1)
            told.append(running_epsilon(spent, delta, relation))
    return told


@pytest.mark.parametrize(("account", "relation"), RUNS, ids=lambda value: str(value)[:60])
def test_m26_epsilon_grows_and_is_never_below_the_truth(account, relation):
    told = course(account, relation)
    assert told == sorted(told)
    truth = bounds(account, 1e-5, relation)[0].epsilon
    assert truth <= told[-1] <= 1.1 * truth


def test_m26_what_was_released_counts_not_what_was_planned():
    event = poisson(0.05, 1.0)
    first = running_epsilon([(event, 10)], 1e-5, "add_remove")
    assert first < running_epsilon([(event, 100)], 1e-5, "add_remove")
    assert first == running_epsilon([(event, 4), (event, 6)], 1e-5, "add_remove")


def test_it_depends_on_the_releases_alone():
    account = [(poisson(0.03, 1.2), 37), (poisson(0.01, 2.0), 50)]
    later = running_epsilon(account, 1e-5, "add_remove")
    course(account, "add_remove")
    module.by_grid.cache_clear()
    assert running_epsilon(account, 1e-5, "add_remove") == later


def test_five_thousand_rounds_take_about_a_second():
    event = poisson(0.01, 0.9)
    running_epsilon([(event, 1)], 1e-5, "add_remove")  # imports
    begin = perf_counter()
    course([(poisson(0.011, 0.9), 5000)], "add_remove")
    assert perf_counter() - begin < 4  # 0.5 s on an idle core


@given(st.integers(1, 10**7))
def test_the_grid_of_counts_is_fine_and_never_below(count):
    ahead = next_count(count)
    assert count <= ahead <= 1.091 * count + 1
    assert next_count(ahead) == ahead
    assert next_count(count + 1) >= ahead


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0.001, 0.02, 0.3]),
    st.sampled_from([0.8, 1.5, 6.0]),
    st.integers(1, 4000),
    st.sampled_from([1e-3, 1e-5, 1e-8]),
)
def test_convolution_gives_what_dp_accounting_gives(q, z, count, delta):
    whole = compose(Parts(poisson={(q, z): count}), 1e-3).get_epsilon_for_delta(delta)
    ours = composed_epsilon((("poisson", (q, z), count),), delta, 1e-3)
    assert whole - 1e-6 * max(1, whole) <= ours <= whole * (1 + 1e-3) + 1e-6


def test_convolution_of_gaussians_is_above_the_exact_value():
    for z in (0.5, 1.0, 5.0, 40.0):
        exact = gaussian_epsilon(z, 1e-6)
        found = composed_epsilon((("gaussian", (z,), 1),), 1e-6, 1e-3)
        assert exact <= found + 1e-9 <= exact * 1.001 + 1e-4


def test_a_delta_that_rounding_would_hide_is_left_to_rdp():
    assert composed_epsilon((("poisson", (0.01, 1.0), 10),), 1e-14, 1e-3) == float("inf")
    account = [(poisson(0.01, 1.0), 10)]
    assert running_epsilon(account, 1e-14, "add_remove") == epsilon(
        account, 1e-14, "add_remove", "rdp"
    )
