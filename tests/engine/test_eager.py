import pytest
import torch
from torch import nn

from fedrun.core.dataset import Spec

pytestmark = pytest.mark.usefixtures("plugins")


def dropout(spec: Spec) -> nn.Module:
    """Draws while it trains."""
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, spec.outputs))


class TwoBiases(nn.Module):
    """Autograd gives both biases the same gradient tensor; `scale` is a single number."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.linear = nn.Linear(6, spec.outputs)
        self.first = nn.Parameter(torch.ones(1, spec.outputs))
        self.second = nn.Parameter(2 * torch.ones(1, spec.outputs))
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.linear(x.flatten(1)) + (self.first + self.second)


def two_biases(spec: Spec) -> nn.Module:
    """Parameters of odd shapes."""
    return TwoBiases(spec)


class Warmer(nn.Linear):
    """Gives larger outputs while it trains."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1)) * (3.0 if self.training else 1.0)


def warmer(spec: Spec) -> nn.Module:
    """Differs between training and scoring."""
    return Warmer(6, spec.outputs)


@pytest.fixture
def plugins(monkeypatch):
    """This file as an importable module, for `model=plain_models:dropout`."""
    import sys

    monkeypatch.setitem(sys.modules, "plain_models", sys.modules[__name__])


DROPOUT = ("model=plain_models:dropout", "engine=eager", "rounds=2")


def test_dropout_draws_by_client_and_round_not_by_worker_or_chunk(train, same):
    first = train(*DROPOUT)
    assert same(train(*DROPOUT), first)
    chunked = train(*DROPOUT, "engine.chunk=2")
    assert same(train(*DROPOUT, "engine.chunk=2", "engine.workers=2"), chunked)
    for name, leaf in first.items():
        torch.testing.assert_close(chunked[name], leaf, rtol=1e-5, atol=1e-6)
    assert not same(train(*DROPOUT, "seed=1"), first)


def test_dropout_leaves_the_global_generator_alone(train):
    before = torch.random.get_rng_state()
    train(*DROPOUT)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("local", ["sgd", "adam"])
def test_odd_parameters_train_as_in_lockstep(train, local):
    options = ("model=plain_models:two_biases", f"local={local}", "local.weight_decay=0.1",
               "local.clip_norm=0.5", "local.lr=0.05")  # fmt: skip
    eager, stack = train("engine=eager", *options), train("engine=stack", *options)
    for name, leaf in eager.items():
        torch.testing.assert_close(stack[name], leaf, rtol=1e-4, atol=1e-6)


def test_every_engine_trains_in_training_mode(train):
    # Rounds are scored in between, in evaluation mode.
    eager, stack = (
        train("model=plain_models:warmer", "rounds=3", f"engine={engine}")
        for engine in ("eager", "stack")
    )
    for name, leaf in eager.items():
        torch.testing.assert_close(stack[name], leaf, rtol=1e-4, atol=1e-6)


def test_the_given_module_is_not_trained(federation, play):
    experiment = federation("engine=eager", "evaluate.every=0", "rounds=2", "model.hidden=[4]")
    module = experiment.task.module
    before = [p.clone() for p in module.parameters()]
    with experiment.engine.open(experiment.protocol.chunk) as map_chunks:
        experiment.protocol.start(experiment.state, map_chunks)()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
