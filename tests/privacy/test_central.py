"""Clip, noise on the sum, a fixed denominator: the terms of the guarantee."""

import numpy as np
import pytest
import torch

from fedrun.accounting import epsilon
from fedrun.core.chain import Context, Packets
from fedrun.core.privacy import Privacy
from fedrun.core.tree import Tree

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
COINS = ("clients.sampling=poisson", "clients.per_round=0.4")


@pytest.mark.parametrize(
    ("options", "relation"),
    [((), "zero_out"), (COINS, "add_remove"), (("clients.per_round=2",), "replace_one"),
     (("clients.sampling=cyclic", "clients.per_round=2"), "zero_out")],
)  # fmt: skip
def test_m25_the_relation_is_the_one_that_the_sampling_is_proved_for(options, relation, federation):
    claim = federation(*TINY, "privacy=central", *options).privacy.claim
    assert (claim.unit, claim.relation) == ("client", relation)
    assert claim.trust == "the server sees each client's update and adds the noise"


@pytest.mark.parametrize("options", [(), COINS, ("clients.per_round=2",)])
@pytest.mark.parametrize(
    "privacy", ["central", pytest.param("adaptive_clip", marks=pytest.mark.slow)]
)
def test_m26_the_noise_for_a_target_is_enough_for_all_rounds_and_no_more(
    privacy, options, federation
):
    made = federation(*TINY, f"privacy={privacy}", *options, "privacy.noise_multiplier=null",
                      "privacy.target_epsilon=3", "rounds=20").privacy  # fmt: skip
    accountant = "rdp" if options == ("clients.per_round=2",) else "pld"
    spent = epsilon([(made.event, 20)], 1e-5, made.claim.relation, accountant)
    assert 2.98 < spent <= 3 * (1 + 1e-9)


def test_without_clip_and_noise_there_is_nothing(federation):
    made = federation(*TINY, "privacy=central", "privacy.clip_norm=inf",
                      "privacy.noise_multiplier=0").privacy  # fmt: skip
    assert made == Privacy()


def test_the_noise_of_a_simulated_federation_is_scaled_to_the_cohort(federation):
    made = federation(*TINY, "privacy=central", *COINS, "privacy.noise_multiplier=0.8",
                      "privacy.simulated_cohort=100",
                      "privacy.simulated_population=5000").privacy  # fmt: skip
    # the same noise on the mean: 0.8 C / 100 = z C / 2
    assert made.event.noise_multiplier == pytest.approx(0.8 * 2 / 100)
    assert made.simulated.noise_multiplier == pytest.approx(0.8)
    assert (made.simulated.sampling.cohort, made.simulated.sampling.population) == (100, 5000)
    assert made.event.sampling.population == 5


def test_m05_the_weights_of_the_method_are_not_used(federation):
    """Clients count alike, whatever they hold: n_k weights would move the sum by n_k clips."""
    layer = federation(*TINY, "privacy=central").federation.chain[0]
    update = Tree(model=torch.full((2, 3), 0.1))
    sent = layer.encode(Packets(update, torch.tensor([1.0, 5000.0])), Tree(),
                        Context(1, np.arange(2)))  # fmt: skip
    assert torch.equal(sent.update["model"][0], sent.update["model"][1])
    assert sent.weight.tolist() == [1.0, 1.0]
