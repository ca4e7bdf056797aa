import numpy as np
import pytest
import torch

from fedrun.core.federation import Job, clients_of
from fedrun.core.plan import chunk_plan
from fedrun.core.tree import Tree, expand

# Points with x = 0 leave b alone to be learnt: f = (b - y)^2, gradient 2 (b - y), Hessian 2.
# Two equal points (0, 1), so that both halves of the batch are the same; alpha 0.25, lr 0.1.
# Inner step from 0: 0 + 0.25 * 2 = 0.5. Outer gradient there: -1.
# First order: b = 0.1. With the Hessian: times (1 - 0.25 * 2): b = 0.05.
POINTS = [[(0, 1), (0, 1)]]
OPTIONS = ("algorithm=per_fedavg", "algorithm.alpha=0.25")


@pytest.mark.parametrize(("variant", "end"), [("fo", 0.1), ("hf", 0.05)])
@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_a_step_by_hand(engine, variant, end, line, federation, play):
    experiment = federation(
        *line(POINTS), *OPTIONS, f"algorithm.variant={variant}", f"engine={engine}"
    )
    event = play(experiment)[0]
    assert event.state.server["model"]["1.bias"].item() == pytest.approx(end)
    assert event.state.server["model"]["1.weight"].item() == 0
    assert event.metrics["train/loss"] == pytest.approx(0.25)  # after the inner step, at 0.5


def test_inner_and_outer_step_see_different_halves(line, federation, play):
    # y = 1 and y = 3: an inner step to 0.5, then -2 (3 - 0.5); or to 1.5, then +2 (1.5 - 1).
    event = play(federation(*line([[(0, 1), (0, 3)]]), *OPTIONS))[0]
    end = event.state.server["model"]["1.bias"].item()
    assert end == pytest.approx(0.5) or end == pytest.approx(-0.1)


def test_a_batch_of_one_is_both_halves(line, federation, play):
    event = play(federation(*line([[(0, 1)]]), *OPTIONS))[0]
    assert event.state.server["model"]["1.bias"].item() == pytest.approx(0.1)


@pytest.mark.parametrize(("steps", "a", "b"), [(1, 0.6, 1.1), (2, 0.8, 1.55)])
def test_own_models_are_some_gradient_steps_away(steps, a, b, line, federation):
    # From 0.2 by 0.25 * 2 (y - b): half of the way to 1, and to 2, the mean of 1 and 3.
    points = [[(0, 1)], [(0, 1), (0, 3)]]
    experiment = federation(*line(points), *OPTIONS, f"algorithm.personal_steps={steps}")
    clients = clients_of(experiment.federation, Job(1, np.arange(2), Tree()))
    model = experiment.state.server["model"]
    model = Tree(model, **{"1.bias": torch.full_like(model["1.bias"], 0.2)})
    own = experiment.federation.algorithm.personal(clients, Tree(model=expand(model, 2)))
    torch.testing.assert_close(own["1.bias"].flatten(), torch.tensor([a, b]))


def test_the_hessian_is_the_second_derivative(federation, play):
    # Against a difference of gradients, as the paper has it.
    options = (*OPTIONS, "model.hidden=[5]", "local.batch_size=0", "clients.count=1",
               "partition=iid", "local.lr=1")  # fmt: skip
    experiment = federation(*options, "algorithm.variant=hf")
    start = experiment.state.server["model"].map(torch.Tensor.double)
    end = play(experiment)[0].state.server["model"]
    plain = play(federation(*options))[0].state.server["model"]
    outer = start - plain.map(torch.Tensor.double)
    held, work = experiment.partition.train, experiment.federation.work
    rows = chunk_plan(held, work, 0, 1, np.arange(1)).clients[0].rows
    rows = rows[: len(rows) // 2]
    x = torch.from_numpy(experiment.dataset.train.x[rows]).double()
    y = torch.from_numpy(experiment.dataset.train.y[rows])

    def gradient(model):
        leaves = {name: leaf.clone().requires_grad_() for name, leaf in model.items()}
        outputs = torch.func.functional_call(experiment.task.module, leaves, (x,))
        loss = torch.nn.functional.cross_entropy(outputs, y)
        return Tree(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))

    width = 1e-4
    product = (gradient(start + width * outer) - gradient(start - width * outer)) * (0.5 / width)
    for name, leaf in end.items():
        expected = start[name] - (outer[name] - 0.25 * product[name])
        torch.testing.assert_close(leaf.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("weights", "end"), [("uniform", 0.15), ("examples", 1 / 6)])
def test_clients_count_alike_or_by_their_examples(weights, end, line, federation, play):
    # A alone gets to 0.1 as above, B with four points at y = 2 to 0.2.
    points = [POINTS[0], [(0, 2)] * 4]
    event = play(federation(*line(points), *OPTIONS, f"algorithm.weights={weights}"))[0]
    assert event.state.server["model"]["1.bias"].item() == pytest.approx(end)
