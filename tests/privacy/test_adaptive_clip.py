"""A clip norm that finds the median of the clients' norms, in a federation that trains."""

import numpy as np
import pytest
import torch

from fedrun.core.chain import Context, Packets, Total
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.experiment.spending import Spending
from fedrun.privacy._bits import noise_split

TINY = ("model=logistic", "evaluate.every=0")
# All clients train from the same model again and again: their norms stay what they are.
STILL = (*TINY, "clients.count=21", "data.examples=800", "server.lr=1e-12", "local.batch_size=0",
         "local.epochs=1")  # fmt: skip


@pytest.fixture(scope="module")
def norms(federation, play):
    rows = play(federation(*STILL))[0].clients
    return sorted(row["update_norm"] for row in rows)


@pytest.mark.parametrize("cohort", [(), ("clients.sampling=poisson", "clients.per_round=0.8")])
@pytest.mark.parametrize("times", [0.1, 5.0])
def test_m07_the_clip_norm_finds_the_median_of_a_federation(times, cohort, norms, federation, play):
    median = norms[10]
    events = play(federation(*STILL, *cohort, "privacy=adaptive_clip", "rounds=60",
                             f"privacy.initial_clip_norm={times * median}",
                             "privacy.noise_multiplier=0.3"))  # fmt: skip
    found = [event.metrics["privacy/clip_norm"] for event in events]
    # the way there is as steep as the rule says: everybody is on one side
    towards = found[4] / (times * median)
    assert towards == pytest.approx(np.exp((0.1 if times < 1 else -0.1) * 5), rel=0.35)
    # and in the end it is among the norms in the middle
    for late in found[45:]:
        assert 0.85 * norms[6] < late < 1.15 * norms[14]


def test_another_quantile(norms, federation, play):
    high = play(federation(*STILL, "privacy=adaptive_clip", "rounds=60", "privacy.quantile=0.9",
                           f"privacy.initial_clip_norm={norms[10]}",
                           "privacy.noise_multiplier=0.3"))[-1]  # fmt: skip
    assert high.metrics["privacy/clip_norm"] > norms[15]


def test_m09_the_next_clip_norm_is_learnt_from_noised_bits_and_the_account_covers_them(federation):
    """The clip norm that is told everybody depends on the clients by the bits alone, whose noise
    takes its share out of the one event of the round."""
    experiment = federation(*STILL, "privacy=adaptive_clip", "privacy.noise_multiplier=0.9")
    assert experiment.privacy.event.noise_multiplier == 0.9
    bit_noise = max(21 / 20, 0.9)
    both = 1 / (1 / noise_split(0.9, bit_noise) ** 2 + 1 / (2 * bit_noise) ** 2) ** 0.5
    assert both == pytest.approx(0.9)
    layer = experiment.federation.chain[0]
    learnt = []
    for number in range(1, 2001):
        update = Tree(update=Tree(model=torch.zeros(1, dtype=torch.int64)),
                      bits=torch.tensor([11, 10]))  # fmt: skip
        _, state = layer.decode(
            Total(update, torch.tensor(0.0)), layer.init(), Context(number, np.empty(0, np.int64))
        )
        learnt.append(np.log(state["clip_norm"] / 0.1))
    # C exp(-0.2 (b - 1/2)) with b - 1/2 = (1/2 + noise) / 21
    assert np.std(learnt) == pytest.approx(0.2 * bit_noise / 21, rel=0.05)
    assert np.mean(learnt) == pytest.approx(-0.2 * 0.5 / 21, abs=4 * np.std(learnt) / 2000**0.5)


def test_one_client_moves_each_bit_by_one(federation):
    layer = federation(*STILL, "privacy=adaptive_clip").federation.chain[0]

    def bits(values, weight):
        packets = Packets(Tree(model=torch.tensor(values)[:, None]), torch.tensor(weight))
        return layer.encode(
            packets, Tree(clip_norm=0.1), Context(1, np.arange(len(values)))
        ).update["bits"].tolist()  # fmt: skip

    assert bits([0.05, 0.2, 0.0999], [1.0, 1.0, 1.0]) == [[1, 0], [0, 1], [1, 0]]
    assert bits([0.0, 0.2], [0.0, 1e30]) == [[0, 0], [0, 1]]  # who is not there says nothing
    assert bits([float("nan")], [float("nan")])[0] in ([0, 0], [1, 0])


def test_m08_bits_that_spend_all_of_the_noise_are_refused(federation):
    with pytest.raises(ConfigError, match=r"privacy.bit_noise=0.4 spends all.*above 0.5"):
        federation(*TINY, "privacy=adaptive_clip", "privacy.bit_noise=0.4")


def test_without_noise_the_clip_norm_is_noiseless_too_and_nothing_is_claimed(federation):
    experiment = federation(*STILL, "privacy=adaptive_clip", "privacy.noise_multiplier=0")
    spending = Spending(experiment.privacy)
    assert "privacy/epsilon" not in spending.charge(1, [])
    assert spending.statement()["epsilon"] == "infinite"
    assert spending.statement()["real"] is False
