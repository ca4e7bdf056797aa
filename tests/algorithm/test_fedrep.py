import numpy as np
import pytest
import torch

from fedrun.core.option import ConfigError
from fedrun.core.plan import Work, chunk_plan
from fedrun.core.tree import Tree


def sgd(experiment, params, plan, names, lr=0.1):
    """Plain SGD on some of the parameters, written out."""
    module, data = experiment.task.module, experiment.dataset.train
    params = {name: leaf.clone() for name, leaf in params.items()}
    for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
        free = [params[name].requires_grad_() for name in names]
        x = torch.from_numpy(data.x[plan.rows[a:b]])
        y = torch.from_numpy(data.y[plan.rows[a:b]])
        outputs = torch.func.functional_call(module, params, (x,))
        loss = torch.nn.functional.cross_entropy(outputs, y)
        for name, slope in zip(names, torch.autograd.grad(loss, free), strict=True):
            params[name] = (params[name] - lr * slope).detach()
    return Tree({name: leaf.detach() for name, leaf in params.items()})


def test_the_head_first_then_the_body(federation, play):
    experiment = federation(
        "algorithm=fedrep", "algorithm.head_epochs=2", "model.hidden=[4]", "local.epochs=3"
    )
    first, held = experiment.state.server["model"], experiment.partition.train
    body, head = ["1.weight", "1.bias"], ["3.weight", "3.bias"]
    state = play(experiment)[0].state
    bodies = []
    for client in range(5):
        who = np.array([client])
        for_head = chunk_plan(held, Work(2, 0, 10), 0, 1, who, turn=1).clients[0]
        for_body = chunk_plan(held, Work(3, 0, 10), 0, 1, who).clients[0]
        fitted = sgd(experiment, first, for_head, head)
        ended = sgd(experiment, fitted, for_body, body)
        for name in head:
            torch.testing.assert_close(state.bank.rows[client][name], fitted[name])
        bodies.append(ended)
    for name in body:
        mean = torch.stack([ended[name] for ended in bodies]).mean(0)
        torch.testing.assert_close(state.server["model"][name], mean, rtol=1e-4, atol=1e-6)


def test_both_parts_of_the_work_are_counted(federation, play):
    options = ("model.hidden=[4]", "local.steps=3")
    event = play(federation("algorithm=fedrep", "algorithm.head_epochs=2", *options))[0]
    for row in event.clients:
        assert row["steps"] == 2 * -(-row["examples"] // 10) + 3


def test_the_head_works_in_steps_too(federation, play):
    options = ("algorithm=fedrep", "model.hidden=[4]", "local.steps=3")
    for words in ([], ["algorithm.head_epochs=0"]):
        for row in play(federation(*options, "algorithm.head_steps=4", *words))[0].clients:
            assert row["steps"] == 4 + 3


@pytest.mark.parametrize("epochs", [2, 10])
def test_epochs_and_steps_of_the_head_are_not_both_taken(epochs, federation):
    told = f"head_epochs={epochs} has no effect beside algorithm.head_steps=4; give one of them"
    with pytest.raises(ConfigError, match=told):
        federation("algorithm=fedrep", "algorithm.head_steps=4", f"algorithm.head_epochs={epochs}")


def test_the_papers_ten_epochs_where_nothing_is_said(federation, play):
    event = play(federation("algorithm=fedrep", "model.hidden=[4]", "local.steps=3"))[0]
    for row in event.clients:
        assert row["steps"] == 10 * -(-row["examples"] // 10) + 3


def test_a_model_that_is_all_head_is_refused_in_words_that_count(federation):
    with pytest.raises(ConfigError, match=r"its last linear layer \(algorithm.head=1\)"):
        federation("algorithm=fedrep", "model=logistic")
    with pytest.raises(ConfigError, match="its last 2 linear layers"):
        federation("algorithm=fedrep", "algorithm.head=2", "model.hidden=[4]")
