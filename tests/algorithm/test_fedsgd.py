import copy

import pytest
import torch
from torch.nn import functional as F

from fedrun.core.option import ConfigError


@pytest.mark.parametrize("engine", ["eager", "stack"])
@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_a_round_is_one_gradient_step_on_the_pooled_data(engine, server_lr, federation, play):
    experiment = federation(
        "algorithm=fedsgd", f"engine={engine}", f"server.lr={server_lr}", "local.lr=0.4",
        "model.hidden=[8]", "rounds=3",
    )  # fmt: skip
    data, module = experiment.dataset.train, copy.deepcopy(experiment.task.module)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    for event in play(experiment):
        loss = F.cross_entropy(module(x), y)
        grads = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(module.parameters(), grads, strict=True):
                parameter.sub_(0.4 * server_lr * slope)
        for name, p in module.named_parameters():
            torch.testing.assert_close(
                event.state.server["model"][name], p.detach(), rtol=1e-4, atol=1e-6
            )
        assert event.metrics["train/loss"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["local.batch_size=10"], r"fedsgd .*local.batch_size must be 0 \(it is 10\)"),
        (["local.epochs=2"], r"fedsgd takes one local step a round, not 2"),
        (["local.steps=3"], r"fedsgd takes one local step a round, not 3"),
    ],
)
def test_more_than_one_gradient_is_refused(options, message, federation):
    with pytest.raises(ConfigError, match=message):
        federation("algorithm=fedsgd", *options)


def test_one_step_may_be_said(federation):
    federation("algorithm=fedsgd", "local.steps=1")
