"""How cohorts are drawn, and that it is what the accountant is told."""

import numpy as np
import pytest

from fedrun.core.option import ConfigError

TINY = ("model=logistic", "engine=eager", "evaluate.every=0", "data.examples=400")
CENTRAL = ("privacy=central", "clients.count=10")


@pytest.mark.parametrize(
    ("options", "scheme", "cohort"),
    [
        (("clients.sampling=poisson", "clients.per_round=0.25"), "poisson", 2.5),
        (("clients.sampling=poisson", "clients.per_round=3"), "poisson", 3),
        (("clients.sampling=poisson", "clients.per_round=0.01"), "poisson", 0.1),
        (("clients.per_round=3",), "fixed", 3),
        (("clients.per_round=0.34",), "fixed", 3),
        (("clients.per_round=1.0",), "full", 10),
        (("clients.per_round=10",), "full", 10),
        (("clients.sampling=cyclic", "clients.per_round=4"), "cyclic", 4),
        (("clients.sampling=shuffled", "clients.per_round=4"), "shuffled", 4),
    ],
)
def test_m03_the_event_has_the_cohort_of_the_config_and_the_whole_population(
    options, scheme, cohort, federation
):
    experiment = federation(*TINY, *CENTRAL, *options)
    sampling = experiment.privacy.event.sampling
    assert (sampling.scheme, sampling.cohort, sampling.population) == (scheme, cohort, 10)
    assert sampling.rate * sampling.population == pytest.approx(cohort)
    assert experiment.federation.cohort_size == cohort
    sizes = [len(experiment.federation.cohort(number)) for number in range(1, 1501)]
    if scheme == "poisson":
        deviation = (cohort * (1 - cohort / 10) / 1500) ** 0.5
        assert np.mean(sizes) == pytest.approx(cohort, abs=4 * deviation)
    else:
        assert set(sizes) == {int(cohort)}


def drawn(experiment, rounds, clients):
    found = np.zeros((rounds, clients))
    for number in range(rounds):
        found[number, experiment.federation.cohort(number + 1)] = 1
    return found


def test_m02_clients_come_by_coins_of_their_own(federation):
    rounds, clients, q = 20_000, 10, 0.3
    came = drawn(federation(*TINY, *CENTRAL, "clients.sampling=poisson",
                            "clients.per_round=0.3"), rounds, clients)  # fmt: skip
    deviation = (q * (1 - q) / rounds) ** 0.5
    assert came.mean(0) == pytest.approx(np.full(clients, q), abs=4.5 * deviation)
    pairs = came.T @ came / rounds
    apart = ~np.eye(clients, dtype=bool)
    assert pairs[apart] == pytest.approx(q**2, abs=4.5 * (q**2 * (1 - q**2) / rounds) ** 0.5)
    variance = clients * q * (1 - q)
    assert came.sum(1).var() == pytest.approx(variance, rel=4.5 * (2 / rounds) ** 0.5)
    after = (came[1:] * came[:-1]).mean(0)  # a round says nothing of the next
    assert after == pytest.approx(q**2, abs=5 * (q**2 * (1 - q**2) / rounds) ** 0.5)


def test_m01_fixed_cohorts_are_subsets_of_one_size_all_alike(federation):
    rounds, clients, size = 20_000, 5, 2
    came = drawn(federation(*TINY, "privacy=central", "clients.per_round=2"), rounds, clients)
    assert set(came.sum(1)) == {size}
    pairs = came.T @ came / rounds
    apart = ~np.eye(clients, dtype=bool)
    assert pairs[apart] == pytest.approx(0.1, abs=4.5 * (0.09 / rounds) ** 0.5)
    numbers = came @ 2.0 ** np.arange(clients)
    same_again = (numbers[1:] == numbers[:-1]).mean()
    assert same_again == pytest.approx(0.1, abs=4.5 * (0.09 / rounds) ** 0.5)


def test_m13_m15_secret_cohorts_come_from_the_secret_streams(federation, monkeypatch):
    from fedrun.experiment import participants

    def public(*args):
        raise AssertionError("a secret cohort was drawn from a public generator")

    for options in (
        ("clients.sampling=poisson", "clients.per_round=0.5"),
        ("clients.per_round=3",),
    ):
        experiment = federation(*TINY, *CENTRAL, *options)
        with monkeypatch.context() as patch:
            patch.setattr(participants, "generator", public)
            patch.setattr("fedrun.core.cohort.generator", public)
            first = [experiment.federation.cohort(n).tolist() for n in range(1, 9)]
        again = federation(*TINY, *CENTRAL, *options)
        assert [again.federation.cohort(n).tolist() for n in range(1, 9)] == first
        secure = [federation(*TINY, *CENTRAL, *options, "privacy.rng=secure") for _ in range(2)]
        others = [[one.federation.cohort(n).tolist() for n in range(1, 9)] for one in secure]
        assert first != others[0] != others[1] != first


def test_cohorts_and_noise_come_from_streams_of_their_own(federation):
    streams = federation(*TINY, *CENTRAL, "clients.per_round=3").privacy.streams
    assert not np.array_equal(streams("cohort", 1, 0).uniform(9), streams("noise", 1, 0).uniform(9))


@pytest.mark.parametrize("sampling", ["poisson", "uniform", "cyclic"])
def test_clients_that_never_take_part_are_not_in_the_population(sampling, federation):
    experiment = federation(*TINY, *CENTRAL, "clients.unseen=[2,5]", f"clients.sampling={sampling}",
                            "clients.per_round=0.5")  # fmt: skip
    drawn_of = experiment.privacy.event.sampling
    assert (drawn_of.population, drawn_of.cohort) == (8, 4)
    assert experiment.federation.population == 8
    came = {client for n in range(1, 60) for client in experiment.federation.cohort(n).tolist()}
    assert came == {0, 1, 3, 4, 6, 7, 8, 9}


def test_coins_that_always_come_up_are_refused(federation):
    with pytest.raises(ConfigError, match=r"clients\.sampling=poisson has no effect"):
        federation(*TINY, *CENTRAL, "clients.sampling=poisson")
