"""Where one method becomes another, and what a federation of one is."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fedrun.core.plan import chunk_plan
from fedrun.core.tree import expand
from fedrun.experiment.choices import choices, chosen_by, holders

ENGINES = choices("engine")
SMALL = ("model.hidden=[8]",)


def no_pull(algorithm):
    return [f"algorithm.mu={0}"] if algorithm in holders("algorithm", "mu") else []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("local", choices("local"))
@pytest.mark.parametrize("algorithm", holders("algorithm", "mu"))
def test_without_pull_it_is_fedavg(algorithm, local, engine, train, same):
    options = (*SMALL, f"local={local}", f"engine={engine}", "rounds=2", "local.batch_size=7")
    without = train(f"algorithm={algorithm}", "algorithm.mu=0", *options)
    assert same(without, train("algorithm=fedavg", *options))
    assert not same(train(f"algorithm={algorithm}", "algorithm.mu=1", *options), without)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [(), ("local.momentum=0.9", "server.momentum=0.5")])
def test_the_first_round_of_scaffold_is_fedavg_with_equal_say(engine, options, train, same):
    options = (*SMALL, f"engine={engine}", "clients.per_round=3", *options)
    first = train("algorithm=scaffold", *options)
    assert same(first, train("algorithm=fedavg", "algorithm.weights=uniform", *options))
    second = train("algorithm=fedavg", "algorithm.weights=uniform", *options, "rounds=2")
    assert not same(train("algorithm=scaffold", *options, "rounds=2"), second)


@pytest.mark.parametrize("engine", ENGINES)
def test_server_lr_one_is_the_mean_of_the_models(engine, federation, play):
    experiment = federation(f"engine={engine}", *SMALL, "local.batch_size=7")
    held, work = experiment.partition.train, experiment.federation.work
    plan = chunk_plan(held, work, experiment.settings.seed, 1, np.arange(5))
    solve = experiment.engine.solver(plan)
    models = solve(expand(experiment.state.server["model"], 5)).params
    share = torch.from_numpy(held.sizes / held.sizes.sum()).float()
    for name, leaf in play(experiment)[0].state.server["model"].items():
        mean = torch.einsum("c,c...->...", share, models[name])
        torch.testing.assert_close(leaf, mean, rtol=1e-5, atol=1e-6)


# With one client these are plain SGD; a method with a pull of its own (FedDyn) is not.
PLAIN = ("fedavg", "fedprox", "fedsgd", "scaffold")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("algorithm", PLAIN)
def test_one_client_with_all_data_is_centralised_training(algorithm, engine, federation, play):
    experiment = federation(
        f"algorithm={algorithm}", *no_pull(algorithm), f"engine={engine}", *SMALL, "rounds=3",
        "partition=iid", "clients.count=1",
    )  # fmt: skip
    data, work = experiment.dataset.train, experiment.federation.work
    model = copy.deepcopy(experiment.task.module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    for t, event in enumerate(play(experiment), start=1):
        seed, held = experiment.settings.seed, experiment.partition.train
        plan = chunk_plan(held, work, seed, t, np.arange(1)).clients[0]
        for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x[plan.rows[a:b]]), y[plan.rows[a:b]]).backward()
            optimizer.step()
        for name, p in model.named_parameters():
            found = event.state.server["model"][name]
            torch.testing.assert_close(found, p.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_a_cohort_of_all_is_everybody(algorithm, train, same):
    everybody = train(f"algorithm={algorithm}", *SMALL, "rounds=2")
    counted = train(f"algorithm={algorithm}", *SMALL, "rounds=2", "clients.per_round=5")
    assert same(counted, everybody)
    if not chosen_by("algorithm", algorithm).get("local"):
        some = train(f"algorithm={algorithm}", *SMALL, "rounds=2", "clients.per_round=3")
        assert not same(some, everybody)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_the_number_of_workers_changes_no_bit(algorithm, engine, federation, play, same):
    options = (f"algorithm={algorithm}", f"engine={engine}", *SMALL, "rounds=2",
               "engine.chunk=2", "server.momentum=0.9")  # fmt: skip
    alone, several = (play(federation(*options, f"engine.workers={workers}")) for workers in (1, 2))
    for one, other in zip(alone, several, strict=True):
        assert same(one.state.server, other.state.server)
        assert same(one.state.bank.to_tree(), other.state.bank.to_tree())
        assert one.clients == other.clients
        figures = [{k: v for k, v in e.metrics.items() if k[:5] != "time/"} for e in (one, other)]
        assert figures[0] == figures[1]
