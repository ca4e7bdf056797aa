"""What an algorithm is told of clients whose steps hide each example."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.federation import Job, clients_of
from fedrun.core.option import ConfigError
from fedrun.core.plan import Work
from fedrun.core.privacy import PrivateSteps
from fedrun.core.private_clients import private_clients
from fedrun.core.tree import Tree, expand
from fedrun.privacy._stream import streams

NUMBERS = np.array([0, 2, 3])


@pytest.fixture
def private(federation):
    def make(*options, noise=1.0, phase=0, epochs=None):
        experiment = federation("model.hidden=[4]", "local.batch_size=7", *options)
        steps = PrivateSteps(clip_norm=1.0, noise_multiplier=noise, streams=streams("seeded", 0))
        usual = replace(experiment.federation, steps=None)
        job = Job(1, NUMBERS, Tree(), epochs)
        clients = clients_of(usual, job)
        start = expand(experiment.state.server["model"], len(NUMBERS))
        made = private_clients(clients, replace(usual, steps=steps), job, phase)
        return experiment.federation, *made, start

    return make


def test_steps_are_counted_over_all_solves(private):
    federation, clients, taken, start = private()
    steps = federation.work.num_steps(federation.held.sizes[NUMBERS])
    assert clients.solve(start).steps.tolist() == steps.tolist()
    assert taken.tolist() == steps.tolist()
    clients.solve(start, work=Work(0, 3, 5), only=["3.bias"])
    assert taken.tolist() == (steps + 3).tolist()


def test_slow_clients_take_fewer_steps(private):
    _, clients, taken, start = private("local.epochs=4", epochs=np.array([1, 2, 4]))
    assert clients.solve(start).steps.tolist() == taken.tolist()
    assert private()[1].solve(start).steps[0] == taken[0]


def test_m13_no_two_solves_share_their_noise(private):
    ends = []
    for phase in (0, 1):
        _, clients, _, start = private("local.lr=1.0", "local.steps=1", noise=1e4, phase=phase)
        ends += [clients.solve(start, turn=turn).params["1.weight"] for turn in (0, 0, 1)]
    moved = np.stack([end.flatten().numpy() for end in ends])
    correlation = np.corrcoef(moved) - np.eye(len(ends))
    assert abs(correlation).max() < 0.6
    again = private("local.lr=1.0", "local.steps=1", noise=1e4)[1].solve(start)
    assert torch.equal(again.params["1.weight"], ends[0])


def test_what_shows_examples_without_noise_is_refused(private):
    _, clients, taken, start = private()
    for ask in (
        lambda: clients.loss(start),
        lambda: clients.gradient(start),
        lambda: clients.solve(start, objective=lambda *_: None),
    ):
        with pytest.raises(ConfigError, match="privacy=example"):
            ask()
    assert taken.tolist() == [0, 0, 0]
