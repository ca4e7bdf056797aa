"""The least noise for an epsilon."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.accounting import (
    bounds,
    epsilon,
    gaussian_epsilon,
    gaussian_multiplier,
    least_noise,
    noise_left,
    with_noise,
)
from fedrun.accounting.calibrate import least_noise_of
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Event, Sampling

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
FULL = Sampling(scheme="full", population=1, cohort=1)


def each(group):
    return [SimpleNamespace(**case) for case in VECTORS[group]]


def make(q):
    sampling = Sampling(scheme="poisson", population=1, cohort=q)
    return lambda z: Event(sampling=sampling, noise_multiplier=z)


def terms(case):
    return {"releases": case.rounds, "delta": case.delta, "relation": "add_remove"}


@pytest.mark.parametrize("case", each("noise")[::8], ids=str)
def test_noise_by_rdp(case):
    check_rdp(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", each("noise"), ids=str)
def test_noise_by_rdp_for_all(case):
    check_rdp(case)


def check_rdp(case):
    found = least_noise(make(case.q), case.target, accountant="rdp", **terms(case))
    assert found == pytest.approx(case.rdp, rel=1e-5)


def check_pld(case):
    found = least_noise(make(case.q), case.target, **terms(case))
    assert found == pytest.approx(case.pld, rel=2e-4)
    account = [(make(case.q)(found), case.rounds)]
    spent = bounds(account, case.delta, "add_remove")[0].epsilon
    assert case.target * (1 - 1e-3) <= spent <= case.target


@pytest.mark.parametrize("case", [each("noise")[at] for at in (5, 10, 13)], ids=str)
def test_noise_by_the_tightest(case):
    check_pld(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", each("noise"), ids=str)
def test_noise_by_the_tightest_for_all(case):
    check_pld(case)


@settings(max_examples=5, deadline=None)
@given(st.sampled_from([0.01, 0.2]), st.integers(1, 2000), st.sampled_from([0.3, 1.0, 3.0, 20.0]))
def test_epsilon_of_the_noise_is_the_target(q, rounds, target):
    found = least_noise(
        make(q), target, releases=rounds, delta=1e-5, relation="add_remove", accountant="rdp"
    )
    spent = epsilon([(make(q)(found), rounds)], 1e-5, "add_remove", "rdp")
    assert target * (1 - 1e-3) <= spent <= target


def test_noise_of_several_releases_keeps_their_proportion():
    account = [(Event(sampling=FULL, noise_multiplier=z), 20) for z in (4.0, 8.0)]
    factor = least_noise_of(lambda z: with_noise(account, z), 2.0, delta=1e-4, relation="zero_out")
    spent = epsilon(with_noise(account, factor), 1e-4, "zero_out", "exact")
    assert spent == pytest.approx(2.0, rel=1e-3)
    assert spent <= 2.0


@pytest.mark.slow
def test_noise_under_fixed_size_sampling():
    sampling = Sampling(scheme="fixed", population=100, cohort=10)

    def event(z):
        return Event(sampling=sampling, noise_multiplier=z)

    found = least_noise(event, 2.0, releases=20, delta=1e-4, relation="replace_one")
    assert 1.998 < epsilon([(event(found), 20)], 1e-4, "replace_one", "rdp") <= 2.0


def test_quick_noise_is_enough_too():
    found = least_noise_of(
        lambda z: [(make(0.1)(z), 50)], 1.5, delta=1e-5, relation="add_remove", quick=True
    )
    spent = epsilon([(make(0.1)(found), 50)], 1e-5, "add_remove")
    assert 1.5 * (1 - 5e-3) <= spent <= 1.5


@pytest.mark.parametrize("target", [0.0, -1.0, float("inf"), float("nan")])
def test_a_target_is_above_nothing(target):
    with pytest.raises(ConfigError, match="target epsilon"):
        least_noise(make(0.1), target, releases=3, delta=1e-5, relation="add_remove")


def test_a_target_that_needs_no_noise_is_refused():
    with pytest.raises(ConfigError, match="next to no noise"):
        least_noise(make(0.1), 1e9, releases=1, delta=1e-5, relation="add_remove", accountant="rdp")
    with pytest.raises(ConfigError, match="no noise brings"):
        least_noise(lambda z: make(0.1)(1.0), 0.1, releases=99, delta=1e-9,
                    relation="add_remove", accountant="rdp")  # fmt: skip


@pytest.mark.parametrize("case", each("local"), ids=str)
def test_m23_local_noise_is_exact_at_every_epsilon(case):
    found = gaussian_multiplier(case.epsilon, case.delta)
    assert found == pytest.approx(case.z, rel=1e-7)
    assert found < case.classic
    assert (
        case.epsilon * (1 - 1e-6)
        <= gaussian_epsilon(found, case.delta)
        <= case.epsilon * (1 + 1e-9)
    )


def test_m23_the_classic_formula_would_break_its_promise():
    from math import log, sqrt

    classic = sqrt(2 * log(1.25 / 1e-2)) / 40  # epsilon 40: far outside its proof
    assert gaussian_epsilon(classic, 1e-2) > 40
    assert gaussian_multiplier(40, 1e-2) > classic


@given(st.floats(0.01, 100), st.floats(1e-12, 0.1))
def test_multiplier_and_epsilon_are_inverse(target, delta):
    assert gaussian_epsilon(gaussian_multiplier(target, delta), delta) == pytest.approx(
        target, rel=1e-6
    )


@pytest.mark.parametrize("case", each("split"), ids=str)
def test_noise_that_is_left_beside_the_clip_bits(case):
    left = noise_left(case.total, case.bits)
    assert left == pytest.approx(case.left, rel=1e-6)
    pair = [(Event(sampling=FULL, noise_multiplier=z), 1) for z in (left, 2 * case.bits)]
    together = epsilon(pair, 1e-5, "zero_out", "exact")
    assert together == pytest.approx(gaussian_epsilon(case.total, 1e-5), rel=1e-6)


def test_clip_bits_may_not_take_all_noise():
    with pytest.raises(ConfigError, match=r"above 0\.5"):
        noise_left(1.0, 0.5)
