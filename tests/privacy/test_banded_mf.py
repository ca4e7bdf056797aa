"""Correlated noise in a run: who may come when, what is paid, and how the sums gain."""

import numpy as np
import pytest
import torch

from fedrun.accounting import epsilon
from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.core.chain import Context, Total
from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.experiment.spending import Spending

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
TURNS = ("clients.sampling=cyclic", "clients.per_round=1")
NOBODY = np.empty(0, np.int64)


def releases(layer, rounds, state=None, first=1):
    state, found = layer.init() if state is None else state, []
    for number in range(first, rounds + 1):
        total = Total(Tree(model=torch.zeros(3000, dtype=torch.int64)), torch.tensor(0.0))
        total, state = layer.decode(total, state, Context(number, NOBODY))
        found.append(total.update["model"].double())
    return torch.stack(found), state


def test_more_bands_leave_less_noise_on_the_running_sums(federation):
    ends = [
        releases(
            federation(
                *TINY, "privacy=banded_mf", *TURNS, f"privacy.bands={bands}", "rounds=40"
            ).federation.chain[0],
            40,
        )[0]
        .cumsum(0)
        .square()
        .mean(1)
        .mean()
        .item()
        for bands in (1, 2, 5)
    ]
    assert ends[0] > 1.3 * ends[1] > 1.3 * ends[2]


def test_it_goes_on_from_its_state_alone(federation):
    options = (*TINY, "privacy=banded_mf", *TURNS, "privacy.bands=4", "rounds=9")
    straight, _ = releases(federation(*options).federation.chain[0], 9)
    _, half = releases(federation(*options).federation.chain[0], 5)
    again = federation(*options).federation.chain[0]
    assert torch.equal(releases(again, 9, half, first=6)[0], straight[5:])
    with pytest.raises(RunError, match="needs that of 3"):
        releases(again, 9, Tree(), first=6)


@pytest.mark.parametrize(("rounds", "turns"), [(5, 1), (6, 2), (11, 3)])
def test_the_noise_grows_with_the_turns_of_a_client_and_the_price_does_not(
    rounds, turns, federation
):
    made = federation(*TINY, "privacy=banded_mf", *TURNS, "privacy.bands=1", f"rounds={rounds}")
    noise, _ = releases(made.federation.chain[0], 1)
    assert noise.std().item() == pytest.approx(turns**0.5, rel=0.05)  # cohort 1, clip 1, z 1
    spending = Spending(made.privacy)
    for number in range(1, rounds + 1):
        spending.charge(number, [])
    assert spending.statement()["epsilon"] == pytest.approx(gaussian_epsilon(1, 1e-5), rel=1e-3)


def test_m26_the_target_is_for_the_whole_run(federation):
    made = federation(*TINY, "privacy=banded_mf", *TURNS, "privacy.noise_multiplier=null",
                      "privacy.target_epsilon=2", "rounds=12").privacy  # fmt: skip
    assert 1.98 < epsilon([(made.event, 12)], 1e-5, "zero_out") <= 2
