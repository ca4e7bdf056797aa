"""Epsilon against reference values, and what is refused."""

import json
from itertools import islice
from math import inf, isfinite, sqrt
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrun.accounting import bounds, epsilon, refused
from fedrun.accounting.parts import Parts, keep
from fedrun.accounting.rdp import curve
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Event, Sampling

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
FULL = Sampling(scheme="full", population=1, cohort=1)
GRID = 2e-3  # what a value on PLD's grid of 1e-4 may be off by


def each(group):
    return [SimpleNamespace(**case) for case in VECTORS[group]]


def poisson(q, z=1.0, **others):
    sampling = Sampling(scheme="poisson", population=1, cohort=q)
    return Event(sampling=sampling, noise_multiplier=z, **others)


def gaussian(z, scheme="full", population=1, cohort=1):
    sampling = Sampling(scheme=scheme, population=population, cohort=cohort)
    return Event(sampling=sampling, noise_multiplier=z)


def response(value, classes, scheme="full"):
    sampling = Sampling(scheme=scheme, population=1, cohort=1)
    return Event(mechanism="randomized_response", sampling=sampling, epsilon=value, classes=classes)


def by(found):
    return {bound.accountant: bound.epsilon for bound in found}


@pytest.mark.parametrize("case", each("poisson"), ids=str)
def test_rdp_of_poisson_sampling(case):
    account = [(poisson(case.q, case.z), case.rounds)]
    assert epsilon(account, case.delta, "add_remove", "rdp") == pytest.approx(case.rdp, rel=1e-6)


def check_pld(case):
    found = by(bounds([(poisson(case.q, case.z), case.rounds)], case.delta, "zero_out"))
    assert found["pld"] == pytest.approx(case.pld, abs=GRID)
    assert found["pld"] <= found["rdp"]


@pytest.mark.parametrize("case", [*each("poisson")[:6], *each("poisson")[9:11]], ids=str)
def test_pld_of_poisson_sampling(case):
    check_pld(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", each("poisson"), ids=str)
def test_pld_of_all_poisson_sampling(case):
    check_pld(case)


def test_the_curve_of_one_subsampled_release():
    for case in each("curve"):
        found = curve(Parts(poisson={(case.q, case.z): 1}), (float(case.order),))
        assert found[0] == pytest.approx(case.rdp, rel=1e-6), case


@pytest.mark.parametrize("case", each("published"), ids=lambda case: case.source)
def test_published_figures_come_out_with_the_conversion_of_their_time(case):
    account = [(poisson(case.q, case.z), case.rounds)]
    whole = range(2, 257) if "McMahan" in case.source else None
    classic = epsilon(account, case.delta, "add_remove", "rdp", conversion="classic", orders=whole)
    assert classic == pytest.approx(case.epsilon, rel=1e-6)
    assert epsilon(account, case.delta, "add_remove", "rdp") < classic


def test_a_conversion_belongs_to_rdp():
    with pytest.raises(ConfigError, match="accountant=rdp"):
        epsilon([(gaussian(1.0), 1)], 1e-5, "zero_out", "pld", conversion="classic")


@pytest.mark.parametrize("case", each("fixed"), ids=str)
def test_m25_fixed_size_is_accounted_with_half_the_multiplier(case):
    event = gaussian(case.z, "fixed", case.population, case.cohort)
    found = epsilon([(event, case.rounds)], case.delta, "replace_one", "rdp")
    assert found == pytest.approx(case.rdp, rel=1e-6)
    assert found > 2 * case.unhalved


def test_m25_replacing_one_is_twice_as_far():
    found = by(bounds([(gaussian(3.0), 7)], 1e-5, "replace_one"))
    assert found["pld"] == pytest.approx(8.57263, abs=1e-4)
    assert found["exact"] == pytest.approx(8.57263, abs=1e-4)
    assert found["rdp"] > found["exact"]
    one = by(bounds([(gaussian(3.0), 7)], 1e-5, "zero_out"))
    assert one["rdp"] == pytest.approx(4.09524, abs=1e-4)


@pytest.mark.parametrize("case", each("fixed")[:3], ids=str)
def test_m01_fixed_size_is_never_accounted_as_poisson(case):
    event = gaussian(case.z, "fixed", case.population, case.cohort)
    assert [bound.accountant for bound in bounds([(event, 5)], 1e-5, "replace_one")] == ["rdp"]
    assert "fixed-size" in refused([(event, 5)], "replace_one")["pld"]
    with pytest.raises(ConfigError, match="accountant=rdp does"):
        epsilon([(event, case.rounds)], case.delta, "replace_one", "pld")
    as_poisson = poisson(case.cohort / case.population, case.z)
    wrong = epsilon([(as_poisson, case.rounds)], case.delta, "add_remove", "rdp")
    assert wrong == pytest.approx(case.as_poisson, rel=1e-6)
    assert epsilon([(event, case.rounds)], case.delta, "replace_one", "rdp") > 2 * wrong


def test_m01_shuffled_batches_get_no_amplification():
    shuffled = gaussian(1.1, "shuffled", 1000, 10)
    found = by(bounds([(shuffled, 1000)], 1e-5, "zero_out"))
    alone = by(bounds([(gaussian(1.1), 10)], 1e-5, "zero_out"))
    assert found == alone  # ten passes, ten turns
    assert found["pld"] > 5 * epsilon([(poisson(0.01, 1.1), 1000)], 1e-5, "zero_out")


@pytest.mark.parametrize(
    ("event", "relation", "said"),
    [
        (poisson(0.1), "replace_one", "take add_remove or zero_out"),
        (gaussian(1, "fixed", 10, 2), "add_remove", "replace_one only"),
        (gaussian(1, "fixed", 10, 2), "zero_out", "replace_one only"),
        (gaussian(1, "cyclic", 10, 2), "add_remove", "cyclic sampling does not go"),
        (gaussian(1, "shuffled", 10, 2), "add_remove", "shuffled sampling does not go"),
        (gaussian(1, "full", 10, 2), "zero_out", "full participation takes all 10, not 2"),
        (gaussian(1, "cyclic", 10, 2.5), "zero_out", "2.5 is not whole"),
        (gaussian(1, "poisson", 10, 11), "zero_out", "cohort of 11 is not accepted"),
        (poisson(0.1, mechanism="tree"), "zero_out", "cyclic or shuffled"),
        (Event(mechanism="tree", sampling=FULL, noise_multiplier=1), "add_remove", "tree noise"),
        (poisson(0.1, mechanism="banded", bands=2), "zero_out", "cyclic or shuffled"),
        (
            Event(
                mechanism="banded",
                sampling=Sampling(scheme="cyclic", population=10, cohort=2),
                noise_multiplier=1,
                bands=6,
            ),
            "zero_out",
            "accepted: 1 to 5 bands",
        ),
        (response(1, 2), "zero_out", "which answer"),
        (response(1, 1), "replace_one", "at least 2"),
        (response(1, 2, "poisson"), "replace_one", "without amplification"),
        (
            Event(
                mechanism="laplace",
                sampling=Sampling(scheme="fixed", population=9, cohort=2),
                noise_multiplier=1,
            ),
            "replace_one",
            "laplace noise under fixed-size",
        ),
        (gaussian(-1.0), "zero_out", "at least 0"),
    ],
)
def test_m01_what_no_theorem_covers_is_refused_in_a_sentence(event, relation, said):
    with pytest.raises(ConfigError) as error:
        bounds([(event, 3)], 1e-5, relation)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", each("tree"), ids=str)
def test_trees_with_one_turn_each(case):
    sampling = Sampling(scheme="cyclic", population=7 * case.leaves, cohort=7)
    event = Event(mechanism="tree", sampling=sampling, noise_multiplier=case.z, restart=case.leaves)
    found = by(bounds([(event, case.leaves * case.trees)], case.delta, "zero_out"))
    assert found["rdp"] == pytest.approx(case.rdp, rel=1e-6)
    assert found["exact"] == pytest.approx(case.exact, rel=1e-6)
    assert found["pld"] == pytest.approx(case.exact, abs=GRID)


def test_a_banded_run_is_one_release_however_long():
    sampling = Sampling(scheme="cyclic", population=100, cohort=10)
    for case in each("banded"):
        event = Event(mechanism="banded", sampling=sampling, noise_multiplier=case.z, bands=10)
        for rounds in (1, 77, 2000):
            found = epsilon([(event, rounds)], case.delta, "zero_out", "exact")
            assert found == pytest.approx(case.epsilon, abs=1e-6)


def test_one_gaussian_release_is_exact():
    for case in each("gaussian"):
        found = by(bounds([(gaussian(case.z), 1)], case.delta, "add_remove"))
        assert found["exact"] == pytest.approx(case.epsilon, abs=1e-6)
        assert found["exact"] <= found["pld"] + 1e-6 <= found["rdp"]


def test_laplace_noise():
    for case in each("laplace"):
        event = Event(mechanism="laplace", sampling=FULL, noise_multiplier=case.scale)
        found = by(bounds([(event, case.rounds)], case.delta, "zero_out"))
        assert found["pld"] == pytest.approx(case.pld, abs=GRID)
        assert found["rdp"] == pytest.approx(case.rdp, rel=1e-6)
        assert found["pure"] == epsilon([(event, case.rounds)], 0, "zero_out") == case.pure
        assert found["pld"] <= min(found["rdp"], found["pure"])
        far = Event(mechanism="laplace", sampling=FULL, noise_multiplier=2 * case.scale)
        assert by(bounds([(far, case.rounds)], case.delta, "replace_one")) == found


def test_subsampled_laplace_noise_has_no_rdp():
    event = poisson(0.1, 1.0, mechanism="laplace")
    assert [bound.accountant for bound in bounds([(event, 9)], 1e-5, "zero_out")] == ["pld", "pure"]
    assert "accountant=pld does" in refused([(event, 9)], "zero_out")["rdp"]


def check_response(cases):
    for case in cases:
        found = by(bounds([(response(case.epsilon, case.classes), 10)], 1e-5, "replace_one"))
        assert keep(case.epsilon, case.classes) == pytest.approx(case.keep, abs=1e-7)
        assert found["pld"] == pytest.approx(case.pld, abs=GRID)
        assert found["rdp"] == pytest.approx(case.rdp, rel=1e-6)
        assert found["pld"] <= found["rdp"]
        assert found["pld"] > 5 * case.dropped_count  # what dp-accounting's accountant says


def test_randomized_response_counts_every_answer():
    check_response(islice((case for case in each("response") if case.epsilon <= 1), 2))


@pytest.mark.slow
def test_randomized_response_of_all_kinds():
    check_response(each("response"))


@pytest.mark.slow
def test_releases_of_different_kinds():
    laplace = Event(mechanism="laplace", sampling=FULL, noise_multiplier=10)
    first = [(poisson(0.01, 1.1), 1000), (gaussian(20.0), 10), (laplace, 5)]
    second = [(poisson(0.01, 1.1), 500), (poisson(0.02, 1.1), 500), (poisson(0.01, 0.9), 500)]
    for account, case in zip((first, second), each("mixed"), strict=True):
        found = by(bounds(account, case.delta, "add_remove"))
        assert found["rdp"] == pytest.approx(case.rdp, rel=1e-6)
        assert found["pld"] == pytest.approx(case.pld, abs=GRID)
        assert by(bounds(account[::-1], case.delta, "add_remove")) == found


def test_equal_releases_are_merged():
    once = bounds([(poisson(0.05), 40)], 1e-5, "add_remove")
    assert bounds([(poisson(0.05), 1)] * 40, 1e-5, "add_remove") == once


def test_m18_only_upper_bounds():
    for case in each("cross"):
        found = by(bounds([(poisson(0.01, 1.1), case.rounds)], 1e-5, "add_remove"))
        for value in found.values():
            assert value > case.low  # of the interval that PRV proves
            assert value > case.not_a_bound  # the central limit theorem's, below the truth
        assert found["pld"] < case.high
    names = {bound.accountant for bound in bounds([(gaussian(1.0), 1)], 1e-5, "add_remove")}
    assert names == {"pld", "rdp", "exact"}


def test_the_least_comes_first_with_name_and_version():
    best, other = bounds([(poisson(0.01, 1.1), 1000)], 1e-5, "add_remove")
    assert (best.accountant, other.accountant) == ("pld", "rdp")
    assert best.version.startswith("dp-accounting 0.6")
    assert best.epsilon < other.epsilon


@pytest.mark.parametrize("account", [[], [(gaussian(0.0), 0)]])
def test_nothing_released_costs_nothing(account):
    assert {bound.epsilon for bound in bounds(account, 1e-5, "zero_out")} == {0.0}


def test_without_noise_epsilon_is_infinite():
    for account in ([(gaussian(0.0), 1)], [(poisson(0.01, 0.0), 1), (gaussian(9.0), 4)]):
        found = bounds(account, 1e-5, "zero_out")
        assert all(bound.epsilon == inf and not bound.is_finite for bound in found)


@pytest.mark.parametrize("delta", [1.0, 1.5, -1e-9, float("nan")])
def test_m23_a_delta_of_one_is_refused(delta):
    with pytest.raises(ConfigError, match="delta="):
        bounds([(gaussian(1.0), 1)], delta, "zero_out")


def test_with_delta_zero_only_pure_mechanisms_say_something():
    assert epsilon([(gaussian(5.0), 1)], 0, "zero_out") == inf
    assert epsilon([(response(0.5, 2), 6)], 0, "replace_one") == pytest.approx(3.0)


rates = st.sampled_from([0.001, 0.01, 0.1, 0.5])
noises = st.sampled_from([0.7, 1.0, 2.0, 5.0, 20.0])
counts = st.integers(1, 3000)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(rates, noises, counts, st.sampled_from([1e-8, 1e-5, 1e-3]))
def test_rdp_falls_with_noise_and_delta_and_grows_with_rounds_and_rate(q, z, rounds, delta):
    def found(q=q, z=z, rounds=rounds, delta=delta):
        return epsilon([(poisson(q, z), rounds)], delta, "add_remove", "rdp")

    here = found()
    assert isfinite(here)
    assert found(rounds=rounds + 100) >= here
    assert found(z=z * 1.25) <= here
    assert found(q=q * 1.5) >= here
    assert found(delta=delta * 3) <= here


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0.001, 0.01, 0.1]), st.sampled_from([1.0, 2.0, 20.0]), counts)
def test_pld_grows_with_rounds_and_stays_below_rdp(q, z, rounds):
    grid = 1e-3  # coarse, to be quick; a few steps of it are what rounding adds

    def found(rounds):
        return by(bounds([(poisson(q, z), rounds)], 1e-5, "add_remove", interval=grid))

    here, later = found(rounds), found(2 * rounds)
    slack = 0.0 if here["rdp"] > 10 * grid else 10 * grid
    assert here["pld"] <= here["rdp"] + slack
    assert here["pld"] <= later["pld"] + slack


def test_pld_stays_below_rdp_where_losses_are_far_below_the_grid():
    account = [(poisson(0.001, 20.0), 3000)]
    found = by(bounds(account, 1e-5, "add_remove"))
    assert found["pld"] <= found["rdp"] < 0.02


def test_an_epsilon_beyond_what_exponentials_can_hold():
    found = by(bounds([(poisson(0.01, 0.1), 1000)], 1e-5, "add_remove"))
    assert 700 < found["pld"] < found["rdp"]


def test_gaussians_one_after_another_are_one():
    several = [(gaussian(3.0), 2), (gaussian(4.0), 5)]
    together = gaussian(1 / sqrt(2 / 9 + 5 / 16))
    assert epsilon(several, 1e-6, "zero_out", "exact") == pytest.approx(
        epsilon([(together, 1)], 1e-6, "zero_out", "exact"), rel=1e-9
    )


@pytest.mark.parametrize("scheme", ["full", "poisson"])
def test_next_to_no_noise_has_an_epsilon_too(scheme):
    drawn = Sampling(scheme=scheme, population=10, cohort=10 if scheme == "full" else 5)
    event = Event(mechanism="gaussian", sampling=drawn, noise_multiplier=1e-9)
    found = bounds([(event, 2)], 1e-5, "zero_out")
    assert 1e17 < found[0].epsilon < inf
    assert {bound.accountant: bound.epsilon for bound in found}["pld"] == inf
