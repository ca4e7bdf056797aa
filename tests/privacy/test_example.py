"""DP-SGD at the clients: what each of them is charged, and for what."""

import numpy as np
import pytest

from fedrun.accounting import epsilon
from fedrun.core.option import ConfigError
from fedrun.core.partition import Ragged
from fedrun.core.privacy import Event, Sampling
from fedrun.local.sgd import sgd
from fedrun.privacy.example import example, worst

HELD = Ragged.of([np.arange(600), np.arange(600, 605), np.arange(605, 725)])


def made(batch_size=60, epochs=1, steps=0, **options):
    local = sgd(10, batch_size=batch_size, epochs=epochs, steps=steps)
    return example(10, 0, local, HELD, **options)


def test_m17_each_client_is_charged_by_its_own_chance():
    own = made(noise_multiplier=1.3).own
    for examples, mean in ((600, 60), (5, 5), (120, 60)):
        drawn = Sampling(scheme="poisson", population=examples, cohort=mean)
        event = Event(mechanism="gaussian", sampling=drawn, noise_multiplier=1.3)
        assert own(examples, 7) == (event, 7)
    assert made(batch_size=0).own(600, 2)[0].sampling.rate == 1


def test_what_is_claimed():
    privacy = made(rng="secure")
    assert (privacy.claim.unit, privacy.claim.relation) == ("example", "zero_out")
    assert not privacy.repeats
    assert privacy.event is None
    assert privacy.layer is None
    assert not any("seed" in caveat for caveat in privacy.claim.caveats)
    assert any("seed" in caveat for caveat in made().claim.caveats)
    assert any("public" in caveat and "holds" in caveat for caveat in privacy.claim.caveats)
    assert (privacy.steps.clip_norm, privacy.steps.noise_multiplier) == (1.0, 1.0)
    assert privacy.steps.streams is privacy.streams


def test_m19_training_figures_are_withheld_unless_asked_for():
    assert "train/" in made().hidden
    assert made().hides_clients
    leaky = made(leaky_diagnostics=True)
    assert not leaky.hidden
    assert not leaky.hides_clients
    assert any("without noise" in caveat for caveat in leaky.claim.caveats)


def test_one_of_noise_and_target():
    with pytest.raises(ConfigError, match="give one of them"):
        made(target_epsilon=1.0)
    with pytest.raises(ConfigError, match="give one of them"):
        made(noise_multiplier=None)


def test_the_clients_that_nobody_has_it_worse_than():
    held = Ragged.of([np.arange(n) for n in (7, 20, 19, 10, 31, 8)])
    assert worst(sgd(1, batch_size=10), held) == [(7, 1), (19, 2), (31, 4)]
    assert worst(sgd(1, batch_size=10, epochs=3), held) == [(7, 3), (19, 6), (31, 12)]
    assert worst(sgd(1, batch_size=10, steps=5), held) == [(7, 5)]
    assert worst(sgd(1, batch_size=0), held) == [(7, 1)]


def test_the_noise_for_a_target_keeps_every_client_within_it():
    held = Ragged.of([np.arange(5), np.arange(120)])
    privacy = example(
        10, 0, sgd(10, batch_size=60), held, noise_multiplier=None, target_epsilon=3.0
    )
    spent = []
    for examples, steps in ((5, 1), (120, 2)):
        event, times = privacy.own(examples, steps)
        assert event.noise_multiplier == privacy.steps.noise_multiplier
        spent.append(epsilon([(event, 10 * times)], delta=1e-5, relation="add_remove"))
    assert 2.9 < max(spent) <= 3.0 + 1e-9


@pytest.mark.parametrize(("power", "most"), [(0.1, (10 / 21) ** 0.1 * 3), (40, 1.0)])
def test_the_noise_is_that_of_whoever_needs_most(power, most, monkeypatch):
    """By made-up prices, of which those of others than the client that is asked first are higher:
    it is the second of three."""

    def price(event, count):
        return event.sampling.rate**power * count

    def charged(events, delta, relation):
        ((event, count),) = events
        return price(event, count) / event.noise_multiplier

    def least(event, target, *, releases, delta, relation):
        return price(event(1.0), releases) / target

    monkeypatch.setattr("fedrun.accounting.epsilon", charged)
    monkeypatch.setattr("fedrun.accounting.least_noise", least)
    held = Ragged.of([np.arange(n) for n in (7, 11, 21)])
    asked = example(10, 0, sgd(10, batch_size=10), held, noise_multiplier=None, target_epsilon=2)
    assert asked.steps.noise_multiplier == pytest.approx(10 * most / 2)
