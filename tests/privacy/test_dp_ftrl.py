"""Noise on running sums, in a run: what restarts, what goes on, and what a client pays."""

import numpy as np
import pytest
import torch

from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.core.chain import Context, Total
from fedrun.core.tree import Tree
from fedrun.experiment.spending import Spending

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
TURNS = ("clients.sampling=cyclic", "clients.per_round=1")
NOBODY = np.empty(0, np.int64)


def flat(state):
    return torch.cat([leaf.flatten() for leaf in state.server["model"].leaves()])


def releases(layer, rounds, state=None, first=1):
    state, found = layer.init() if state is None else state, []
    for number in range(first, rounds + 1):
        total = Total(Tree(model=torch.zeros(2000, dtype=torch.int64)), torch.tensor(0.0))
        total, state = layer.decode(total, state, Context(number, NOBODY))
        found.append(total.update["model"].double())
    return torch.stack(found), state


def test_the_model_is_the_first_one_and_the_noisy_running_sum(federation, play):
    """x_t = x_0 + lr (noisy sum): so noise does not pile up as rounds do."""
    options = (*TINY, "model.hidden=[200]", "local.lr=1e-9", "rounds=16")
    tree = play(federation(*options, "privacy=dp_ftrl", "privacy.noise_multiplier=1"))
    alone = play(federation(*options, "privacy=central"))
    start = flat(federation(*options).state)
    # in the end one node, of variance 16 / 31, against sixteen draws
    assert (flat(tree[-1].state) - start).std().item() == pytest.approx(
        (16 / 31) ** 0.5 / 5, rel=0.1
    )
    assert (flat(alone[-1].state) - start).std().item() == pytest.approx(4 / 5, rel=0.1)


def test_a_tree_goes_on_from_its_state_alone(federation):
    layer = federation(*TINY, "privacy=dp_ftrl", *TURNS).federation.chain[0]
    straight, end = releases(layer, 11)
    _, half = releases(layer, 6)
    again = federation(*TINY, "privacy=dp_ftrl", *TURNS).federation.chain[0]
    rest, last = releases(again, 11, half, first=7)
    assert torch.equal(rest, straight[6:])
    assert list(last["nodes"]) == list(end["nodes"]) == ["3", "1", "0"]  # 11 = 8 + 2 + 1


def test_m13_another_process_with_secure_streams_begins_another_tree(federation):
    options = (*TINY, "privacy=dp_ftrl", *TURNS, "privacy.rng=secure", "privacy.restart=4")
    first = federation(*options).federation.chain[0]
    _, state = releases(first, 6)
    assert (state["planted"], list(state["nodes"])) == (0, ["1"])  # two releases of its second tree
    other = federation(*options).federation.chain[0]
    _, one = releases(other, 7, state, first=7)
    assert (one["planted"], list(one["nodes"])) == (6, ["0"])
    _, four = releases(other, 10, state, first=7)
    assert list(four["nodes"]) == ["2"]
    _, five = releases(other, 11, state, first=7)
    assert list(five["nodes"]) == ["0"]  # after `restart` rounds of its own


@pytest.mark.parametrize(
    ("options", "rounds", "square"),
    [
        ((*TURNS,), 5, 3 / 25),  # one turn in a tree of three levels
        ((*TURNS, "privacy.restart=5"), 10, 2 * 3 / 25),  # and one in a second tree
        (("privacy.restart=1",), 4, 4 / 25),  # all, each round a tree of its own: as central
    ],
)
def test_m26_what_a_client_pays(options, rounds, square, federation):
    made = Spending(federation(*TINY, "privacy=dp_ftrl", *options).privacy)
    for number in range(1, rounds + 1):
        made.charge(number, [])
    expected = gaussian_epsilon(square**-0.5, 1e-5)
    assert made.statement()["epsilon"] == pytest.approx(expected, rel=1e-3)


def test_m25_the_relation_is_zero_out_unless_asked(federation):
    assert federation(*TINY, "privacy=dp_ftrl", *TURNS).privacy.claim.relation == "zero_out"
    assert any(
        "hold the noise" in text
        for text in federation(*TINY, "privacy=dp_ftrl").privacy.claim.caveats
    )


def test_the_mark_of_a_tree_is_none_of_its_noise(federation):
    """A checkpoint keeps the mark of its streams when the first node's noise is long forgotten."""
    experiment = federation("privacy=dp_ftrl", "model.hidden=[3]", "engine=eager")
    layer, secret = experiment.privacy.layer, experiment.privacy.streams
    total = Total(Tree(model=torch.zeros(4, dtype=torch.int64)), torch.tensor(1.0))
    _, state = layer.decode(total, layer.init(), Context(1, np.empty(0, np.int64)))
    assert state["key"] != int(secret("noise", 0, 0).words(1)[0] >> 1)
