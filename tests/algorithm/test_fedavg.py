import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedrun.core.plan import chunk_plan

# y = w x + b from w = b = 0, squared error, two steps of lr 0.1 on all points of a client.
# A: gradients (-10, -6), then (-3.2, -1.8):        w = 1.32, b = 0.78
# B: gradients (-6, -2), then (0.8, 0.8):           w = 0.52, b = 0.12
# C: one point, gradients (-2, -2), then (-1.2, -1.2): w = b = 0.32
A, B, C = [(1, 2), (2, 4)], [(1, 0), (3, 2)], [(1, 1)]


def numbers(model):
    return [leaf.item() for leaf in model.values()]


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_the_first_round_by_hand(engine, line, train):
    model = train(*line([A, B]), "local.steps=2", f"engine={engine}")
    assert numbers(model) == pytest.approx([0.92, 0.45])


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_clients_count_by_their_examples(engine, line, train):
    model = train(*line([A, C]), "local.steps=2", f"engine={engine}")
    assert numbers(model) == pytest.approx([(2 * 1.32 + 0.32) / 3, (2 * 0.78 + 0.32) / 3])


def test_or_all_alike(line, train):
    model = train(*line([A, C]), "local.steps=2", "algorithm.weights=uniform")
    assert numbers(model) == pytest.approx([0.82, 0.55])


def test_what_is_reported_of_a_client(line, federation, play):
    event = play(federation(*line([A, C]), "local.steps=2", "algorithm.weights=uniform"))[0]
    a, c = event.clients
    # A's squared errors before each step: 4, 16; then 0.4^2, 1.4^2.
    assert a["train/loss"] == pytest.approx((4 + 16 + 0.16 + 1.96) / 4)
    assert (a["examples"], a["steps"], a["status"]) == (2, 2, "ok")
    assert a["update_norm"] == pytest.approx((1.32**2 + 0.78**2) ** 0.5)
    assert c["train/loss"] == pytest.approx((1 + 0.36) / 2)
    assert (c["examples"], c["steps"]) == (1, 2)
    assert event.metrics["train/loss"] == pytest.approx((20 + 2.12 + 1.36) / 6)
    assert "train/accuracy" not in event.metrics
    assert event.metrics["train/examples"] == 6
    # Two float32 parameters to each of two clients and back.
    assert event.metrics["comm/up_bytes"] == event.metrics["comm/down_bytes"] == 16


def reference(experiment, rounds):
    """FederatedAveraging as one writes it in a script."""
    data, held, work = (
        experiment.dataset.train,
        experiment.partition.train,
        experiment.federation.work,
    )
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    model.load_state_dict(experiment.state.server["model"])
    for t in range(1, rounds + 1):
        start = {n: p.clone() for n, p in model.state_dict().items()}
        mean = {n: torch.zeros_like(p) for n, p in start.items()}
        for k in range(len(held)):
            model.load_state_dict(start)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5, weight_decay=0.01)
            seed = experiment.settings.seed
            plan = chunk_plan(held, work, seed, t, np.array([k])).clients[0]
            for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
                optimizer.zero_grad()
                F.cross_entropy(model(x[plan.rows[a:b]]), y[plan.rows[a:b]]).backward()
                optimizer.step()
            for n, p in model.state_dict().items():
                mean[n] += p * len(held[k]) / len(data)
        model.load_state_dict(mean)
    return model.state_dict()


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_it_is_the_script_that_one_would_write(engine, federation, play):
    experiment = federation(
        f"engine={engine}", "model.hidden=[8]", "rounds=3", "local.epochs=2", "local.batch_size=7",
        "local.lr=0.2", "local.momentum=0.5", "local.weight_decay=0.01",
    )  # fmt: skip
    model = play(experiment)[-1].state.server["model"]
    for name, leaf in reference(experiment, 3).items():
        torch.testing.assert_close(model[name], leaf, rtol=1e-4, atol=1e-6)
