"""What the server releases under each mechanism: exact sum, so much noise, a public denominator."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.chain import Context, Packets, Total
from fedrun.core.federation import Job
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.privacy._banded import coefficients
from fedrun.privacy._banded import prefix_variance as banded_variance
from fedrun.privacy._bits import noise_split
from fedrun.privacy._grid import grid_scale
from fedrun.privacy._tree import prefix_variance as tree_variance
from fedrun.protocol.synchronous import synchronous

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
COINS = ("clients.sampling=poisson", "clients.per_round=2")  # of 5
TURNS = ("clients.sampling=cyclic", "clients.per_round=2")
NOBODY = np.empty(0, np.int64)


def zeros(size, bits=None):
    update = Tree(model=torch.zeros(size, dtype=torch.int64))
    update = update if bits is None else Tree(update=update, bits=torch.tensor(bits))
    return Total(update, torch.tensor(0.0))


def released(layer, size, rounds, state=None, bits=None):
    """float64 [rounds, size]: releases of a sum that is zero."""
    state, found = layer.init() if state is None else state, []
    for number in range(1, rounds + 1):
        total, state = layer.decode(zeros(size, bits), state, Context(number, NOBODY))
        found.append(total.update["model"].double())
    return torch.stack(found)


def layer_of(federation, *options):
    return federation(*TINY, *options).federation.chain[0]


@pytest.mark.parametrize("clip_norm", [0.5, 20.0])
def test_m12_central_noise_over_2000_releases(clip_norm, federation):
    layer = layer_of(federation, "privacy=central", *COINS, "privacy.noise_multiplier=1.3",
                     f"privacy.clip_norm={clip_norm}")  # fmt: skip
    noise = released(layer, 8, 2000)
    assert noise.std().item() == pytest.approx(1.3 * clip_norm / 2, rel=0.03)
    assert noise.mean().abs() < 4 * 1.3 * clip_norm / 2 / 16000**0.5
    for one in noise.T:  # of every single number
        assert one.std().item() == pytest.approx(1.3 * clip_norm / 2, rel=0.08)


def test_m13_rounds_seeds_and_secure_runs_are_uncorrelated(federation):
    options = ("privacy=central", *COINS)
    first = released(layer_of(federation, *options), 4000, 2)
    others = [
        first[1],
        released(layer_of(federation, *options, "seed=1"), 4000, 1)[0],
        *(released(layer_of(federation, *options, "privacy.rng=secure"), 4000, 1)[0]
          for _ in range(2)),
    ]  # fmt: skip
    found = np.corrcoef(torch.stack([first[0], *others]).numpy()) - np.eye(5)
    assert np.abs(found).max() < 5 / 4000**0.5
    assert torch.equal(released(layer_of(federation, *options), 4000, 2), first)


def test_m13_in_a_whole_run_the_noise_is_another_each_round_and_in_each_secure_run(
    federation, play
):
    def models(*more):
        events = play(federation(*TINY, "privacy=central", "rounds=3", "local.lr=1e-9", *more))
        flat = [torch.cat([leaf.flatten() for leaf in e.state.server["model"].leaves()])
                for e in events]  # fmt: skip
        return flat[1] - flat[0], flat[2] - flat[1]

    seeded, again = models(), models()
    assert all(map(torch.equal, seeded, again))
    assert not torch.equal(*seeded)
    secure, other = models("privacy.rng=secure"), models("privacy.rng=secure")
    assert not any(map(torch.equal, secure, other))


def test_m06_m08_adaptive_noise_is_of_this_rounds_clip_norm_and_its_share(federation):
    options = ("privacy=adaptive_clip", *COINS, "privacy.noise_multiplier=0.9",
               "privacy.bit_noise=0.8", "privacy.clip_lr=1.0")  # fmt: skip
    layer = layer_of(federation, *options)
    split = noise_split(0.9, 0.8)
    assert split > 0.9
    for clip_norm in (0.1, 3.0):
        found = []
        for number in range(1, 2001):
            # nobody was below: the next norm is far larger than this one
            before = Tree(clip_norm=clip_norm)
            total, after = layer.decode(zeros(8, [0, 2]), before, Context(number, NOBODY))
            found.append(total.update["model"].double())
            assert after["clip_norm"] != clip_norm
        assert torch.stack(found).std().item() == pytest.approx(split * clip_norm / 2, rel=0.03)


def test_m06_clients_are_clipped_by_the_norm_that_the_noise_is_of(federation, play):
    experiment = federation(*TINY, "privacy=adaptive_clip", "privacy.noise_multiplier=0",
                            "privacy.initial_clip_norm=0.01", "rounds=3")  # fmt: skip
    layer, norms = experiment.federation.chain[0], []
    for state in (experiment.state, *(event.state for event in play(experiment))):
        told = layer.told(state.channel["0"])
        packets = Packets(Tree(model=torch.full((1, 4), 9.0)), torch.ones(1))
        sent = layer.encode(packets, told, Context(1, np.array([0]))).update["update"]["model"]
        norms.append(sent.double().norm().item() / grid_scale(told["clip_norm"], 4))
        assert norms[-1] == pytest.approx(state.channel["0"]["clip_norm"], rel=2e-3)
    assert norms == sorted(norms)
    assert norms[-1] > 1.2 * norms[0]


@pytest.mark.parametrize("restart", [0, 3])
def test_m12_the_noise_of_a_tree_on_running_sums(restart, federation):
    layer = layer_of(federation, "privacy=dp_ftrl", *TURNS, "privacy.noise_multiplier=2",
                     "privacy.clip_norm=0.5", f"privacy.restart={restart}")  # fmt: skip
    sums, trees = released(layer, 6000, 8).cumsum(0), 0.0
    for number in range(1, 9):
        place = (number - 1) % restart + 1 if restart else number
        expected = (trees + tree_variance(place)) ** 0.5 * 2 * 0.5 / 2
        assert sums[number - 1].std().item() == pytest.approx(expected, rel=0.03)
        trees += tree_variance(place) if place == restart else 0.0


def test_m12_banded_noise_on_running_sums(federation):
    layer = layer_of(federation, "privacy=banded_mf", *TURNS, "privacy.noise_multiplier=2",
                     "privacy.clip_norm=0.5", "rounds=6")  # fmt: skip
    sums = released(layer, 6000, 6).cumsum(0)
    variance = banded_variance(coefficients(6, 2), 6) * 3  # turns of a client in 6 rounds: 12 / 5
    for number in range(6):
        expected = variance[number] ** 0.5 * 2 * 0.5 / 2
        assert sums[number].std().item() == pytest.approx(expected, rel=0.03)


SUMS = {
    "central": ("privacy=central",),
    "adaptive_clip": ("privacy=adaptive_clip", "privacy.initial_clip_norm=1"),
    "dp_ftrl": ("privacy=dp_ftrl",),
    "banded_mf": ("privacy=banded_mf", "privacy.bands=1"),
}


@pytest.mark.parametrize("privacy", SUMS)
def test_m04_the_denominator_is_the_cohort_of_the_config(privacy, federation):
    patterned = privacy in ("dp_ftrl", "banded_mf")
    for clients in (5, 6, 9):  # one client more changes nothing
        layer = layer_of(federation, *SUMS[privacy], "privacy.noise_multiplier=0",
                         *(TURNS if patterned else COINS), f"clients.count={clients}")  # fmt: skip
        for weight in (0.0, 1.0, 5.0):  # nor do those who came
            update = Tree(model=torch.tensor([64, -128]))
            if privacy == "adaptive_clip":
                update = Tree(update=update, bits=torch.tensor([1, 0]))
            total = Total(update, torch.tensor(weight))
            mean, _ = layer.decode(total, layer.init(), Context(1, NOBODY))
            found = mean.update["model"] * grid_scale(1.0, 2)
            assert found.tolist() == [32.0, -64.0]


def test_m04_a_fraction_is_one_of_all_clients_whose_number_is_public(federation):
    for clients, cohort in ((5, 2.0), (10, 4.0)):
        experiment = federation("privacy=central", *TINY, COINS[0], "clients.per_round=0.4",
                                f"clients.count={clients}")  # fmt: skip
        assert experiment.federation.cohort_size == cohort
        assert any("number of clients" in text for text in experiment.privacy.claim.caveats)


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_m21_stragglers_change_neither_the_noise_nor_the_denominator(share, federation, play):
    """A client that never comes leaves all of the noise: it is the server's, and drawn once."""
    options = (*TINY, "privacy=central", "rounds=2", "local.lr=1e-9")
    slow = (*options, "system=stragglers", f"system.share={share}")
    for one, other in zip(play(federation(*slow)), play(federation(*options)), strict=True):
        assert "dropped" in [row["status"] for row in one.clients]
        for name, leaf in one.state.server["model"].items():
            # without anything learnt, noise over the denominator is all that there is
            torch.testing.assert_close(leaf, other.state.server["model"][name], atol=1e-6, rtol=0)
        assert one.state.up_bytes == other.state.up_bytes


@pytest.mark.parametrize("system", ["stragglers", "uneven"])
def test_m21_who_is_slow_may_not_depend_on_who_is_there(system, federation):
    """A share of the cohort is slow: with one client more, others are; that moves the sum by more
    than the clip norm, unless neighbours have the same clients and one counts as nothing. Where
    cohorts are drawn by chance even that is not enough: that one was drawn shows by the others."""
    options = (*TINY, "privacy=central", f"system={system}", "local.epochs=5")
    for drawn in (COINS, (COINS[1], "clients.sampling=uniform")):
        with pytest.raises(ConfigError, match=r"clients\.sampling=cyclic"):
            federation(*options, *drawn)
        if drawn == COINS:
            with pytest.raises(ConfigError, match=r"clients\.sampling=cyclic"):
                federation(*options, *drawn, "privacy.relation=zero_out")
    with pytest.raises(ConfigError, match=r"privacy\.relation=zero_out"):
        federation(*options, "privacy.relation=add_remove")
    federation(*options)
    federation(*options, *TURNS)


@pytest.mark.parametrize("privacy", SUMS)
def test_m22_a_round_that_nobody_comes_to_releases_noise_even_the_first(privacy, federation, play):
    experiment = federation(*TINY, *SUMS[privacy], "rounds=3")
    if privacy in ("central", "adaptive_clip"):
        experiment = federation(*TINY, *SUMS[privacy], "rounds=3", "clients.sampling=poisson",
                                "clients.per_round=0.000001")  # fmt: skip
        empty = experiment
    else:
        none = replace(experiment.federation, cohort=lambda number: NOBODY)
        empty = replace(experiment, federation=none, protocol=synchronous(none))
    before = experiment.state.server["model"]
    for event in play(empty):
        assert list(event.clients) == []
        after = event.state.server["model"]
        for name, leaf in after.items():
            assert leaf.isfinite().all()
            assert not torch.equal(leaf, before[name]), name
        before = after


def test_m22_the_stand_in_of_an_empty_round_adds_nothing(federation):
    experiment = federation(*TINY, "privacy=adaptive_clip")
    message = Tree(experiment.federation.algorithm.message(experiment.state.server),
                   channel=Tree({"0": experiment.state.channel["0"]}))  # fmt: skip
    job = Job(1, np.zeros(1, np.int64), Tree(), nobody=True)
    done = experiment.protocol.chunk(message, job)
    assert not any(leaf.any() for leaf in done.sent.update.leaves())
    assert done.sent.update["bits"].tolist() == [0, 0]
