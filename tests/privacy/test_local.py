"""Noise, or answers by chance, before anything leaves a client."""

from math import exp

import numpy as np
import pytest
import torch

from fedrun.core.chain import Context, Packets
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.privacy._stream import streams
from fedrun.privacy.local import laplace, local

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")


def sent(layer, round=1, clients=(0, 1), size=4000, value=0.0):
    packets = Packets(Tree(model=torch.full((len(clients), size), value)), torch.ones(len(clients)))
    return layer.encode(packets, Tree(), Context(round, np.array(clients))).update["model"].double()


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_m12_each_client_adds_the_whole_noise_itself(mechanism):
    layer = local(5, 0, 3, mechanism=mechanism, clip_norm=2.0, noise_multiplier=1.5).layer
    found = sent(layer, size=20_000)
    scale = 1.5 * 2.0 * (1 if mechanism == "gaussian" else 2**0.5)
    for one in found:
        assert one.std().item() == pytest.approx(scale, rel=0.03)
        assert one.mean().abs() < 5 * scale / 20_000**0.5
    middle = (found.abs() < scale / 10).double().mean().item()
    expected = 0.0797 if mechanism == "gaussian" else 1 - exp(-(2**0.5) / 10)
    assert middle == pytest.approx(expected, rel=0.05)


def test_m13_clients_and_rounds_have_noise_of_their_own():
    layer = local(5, 0, 3).layer
    noise = torch.cat([sent(layer, 1, (0, 1, 2)), sent(layer, 2, (0, 1, 2))])
    found = np.corrcoef(noise.numpy()) - np.eye(6)
    assert np.abs(found).max() < 5 / 4000**0.5
    assert torch.equal(sent(layer, 1, (1,))[0], noise[1])  # whoever else is there
    secure = sent(local(5, 0, 3, rng="secure").layer)
    assert not torch.equal(secure, sent(local(5, 0, 3, rng="secure").layer))


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_m05_a_client_is_clipped_in_the_norm_that_its_noise_is_for(mechanism):
    layer = local(5, 0, 3, mechanism=mechanism, clip_norm=2.0, noise_multiplier=0.0).layer
    one = sent(layer, size=100, value=7.0)[0]
    length = one.norm() if mechanism == "gaussian" else one.abs().sum()
    assert 0.99 * 2 < length <= 2


def test_m25_the_relation_halves_the_noise_that_counts(federation):
    from fedrun.accounting import running_epsilon

    options = (*TINY, "privacy=local", "privacy.noise_multiplier=3")
    replaced = federation(*options).privacy
    event, count = replaced.own(9, 9)
    assert (replaced.claim.relation, count, event.noise_multiplier) == ("replace_one", 1, 3.0)
    there = federation(*options, "privacy.relation=zero_out").privacy.claim.relation
    halved = [(event.__class__(sampling=event.sampling, noise_multiplier=1.5), 4)]
    assert running_epsilon([(event, 4)], 1e-5, "replace_one") == running_epsilon(
        halved, 1e-5, there
    )


def test_the_target_is_for_a_client_in_every_round(federation):
    from fedrun.accounting import epsilon

    made = federation(*TINY, "privacy=local", "privacy.target_epsilon=3", "rounds=7").privacy
    event, _ = made.own(1, 1)
    assert 2.9 < epsilon([(event, 7)], 1e-5, "replace_one") <= 3


def test_m14_large_laplace_noise_leaves_no_step_of_the_grid_out():
    """Of one uniform k / 2^53 it would be one of the logarithms, far apart at the end."""
    stream = streams("seeded", 3)("noise", 1, 0)
    drawn = laplace(stream, 400_000)
    middle = torch.linspace(-6, 6, 25, dtype=torch.float64)
    below = torch.stack([(drawn <= cut).double().mean() for cut in middle])
    true = 0.5 * (1 + middle.sign() * -torch.expm1(-middle.abs()))
    assert float((below - true).abs().max()) < 1.63 / 400_000**0.5
    large = drawn[drawn.abs() > 8]
    assert len(large) > 50
    ticks = torch.exp(-large.abs()) * 2.0**53
    assert float((ticks - ticks.round()).abs().mean()) > 0.2  # evenly spread: 0.25


@pytest.mark.parametrize("algorithm", ["fedavg", "cfl"])
def test_m11_that_an_update_is_not_finite_is_not_told(algorithm, federation, play):
    """It sends noise as the others do, and the server's rule counts it with them."""
    options = (*TINY, "privacy=local", "privacy.noise_multiplier=0.01", f"algorithm={algorithm}",
               "clients.count=3", "clients.per_round=3", "rounds=1", "local.lr=1e38")  # fmt: skip
    experiment = federation(*options)
    (event,) = play(experiment)
    assert {row["status"] for row in event.clients} == {"rejected"}
    assert all(
        not torch.equal(leaf, event.state.server["model"][name])
        for name, leaf in experiment.state.server["model"].items()
    )


def test_randomized_response_keeps_and_changes_labels_as_often_as_it_says():
    made = local(5, 0, 4, mechanism="randomized_response", epsilon=1.0)
    labels = np.repeat(np.arange(4), 20_000)
    found = made.answers(labels)
    keep = exp(1) / (exp(1) + 3)
    table = np.array([[np.mean(found[labels == a] == b) for b in range(4)] for a in range(4)])
    expected = np.full((4, 4), (1 - keep) / 3) + np.eye(4) * (keep - (1 - keep) / 3)
    assert table == pytest.approx(expected, abs=5 * 0.5 / 20_000**0.5)
    assert made.once.epsilon == 1.0
    assert (made.once.classes, made.claim.unit) == (4, "label")
    assert np.array_equal(made.answers(labels), found)  # asked once, whoever asks again


def test_training_never_sees_the_labels_that_were_answered_for(federation):
    options = (*TINY, "privacy=local", "privacy.mechanism=randomized_response")
    made = federation(*options, "privacy.epsilon=0.001")
    truth = made.dataset.train.y
    told = made.privacy.answers(truth)
    assert not np.array_equal(told, truth)
    assert made.privacy.event is made.privacy.own is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("privacy.mechanism=randomized_response",), "needs privacy.epsilon"),
        (("privacy.mechanism=randomized_response", "privacy.epsilon=1", "privacy.clip_norm=1"),
         "privacy.clip_norm has no effect"),
        (("privacy.mechanism=randomized_response", "privacy.epsilon=1",
          "privacy.relation=zero_out"), "zero_out"),
        (("privacy.epsilon=1",), "privacy.epsilon has no effect with privacy.mechanism=gaussian"),
        (("privacy.noise_multiplier=1", "privacy.target_epsilon=1"), "both say how much noise"),
        (("privacy.delta=1",), "delta"),
        (("privacy.relation=add_remove",), "add_remove"),
        (("data=diabetes", "partition=iid", "privacy.mechanism=randomized_response",
          "privacy.epsilon=1"), "answers for labels"),
    ],
)  # fmt: skip
def test_refusals(options, why, federation):
    with pytest.raises(ConfigError, match=why) as told:
        federation(*TINY, "privacy=local", *options)
    assert str(told.value).count("\n") == 0
