"""Where one method becomes another, and what a federation of one is."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fedrun.core.plan import chunk_plan
from fedrun.core.tree import Tree, expand
from fedrun.experiment.choices import choices, chosen_by, holders

ENGINES = choices("engine")
SMALL = ("model.hidden=[8]",)


# Without its pull FedNova still divides by the number of steps.
PULLED = [name for name in holders("algorithm", "mu") if name != "fednova"]


def no_pull(algorithm):
    return [f"algorithm.mu={0}"] if algorithm in holders("algorithm", "mu") else []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("local", choices("local"))
@pytest.mark.parametrize("algorithm", PULLED)
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


# With one client these are plain SGD; a method with a pull or a server of its own is not.
PLAIN = ("fedavg", "fednova", "fedprox", "fedsgd", "scaffold")


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


@pytest.mark.parametrize(
    "algorithm",
    [
        name if name in ("fedavg", "scaffold") else pytest.param(name, marks=pytest.mark.slow)
        for name in choices("algorithm")
    ],
)
def test_a_cohort_of_all_is_everybody(algorithm, small, federation, play, same):
    def learnt(*options):
        experiment = federation(f"algorithm={algorithm}", *small(algorithm), "rounds=2", *options)
        state = play(experiment)[-1].state
        return Tree(server=state.server, bank=state.bank.to_tree())

    everybody = learnt()
    assert same(learnt("clients.per_round=5"), everybody)
    whole = ("afl", "cfl")  # they refuse a cohort of some
    if not chosen_by("algorithm", algorithm).get("local") and algorithm not in whole:
        assert not same(learnt("clients.per_round=3"), everybody)


EVERY = [(algorithm, "auto") for algorithm in choices("algorithm")]
EVERY += [("scaffold", engine) for engine in ENGINES if engine != "auto"]


@pytest.mark.parametrize(("algorithm", "engine"), EVERY)
def test_the_number_of_workers_changes_no_bit(algorithm, engine, small, federation, play, same):
    server = () if "defaults" in chosen_by("algorithm", algorithm) else ("server.momentum=0.9",)
    options = (f"algorithm={algorithm}", f"engine={engine}", *small(algorithm, engine),
               "rounds=2", "engine.chunk=2", *server)  # fmt: skip
    alone, several = (play(federation(*options, f"engine.workers={workers}")) for workers in (1, 2))
    for one, other in zip(alone, several, strict=True):
        assert same(one.state.server, other.state.server)
        assert same(one.state.bank.to_tree(), other.state.bank.to_tree())
        assert one.clients == other.clients
        figures = [{k: v for k, v in e.metrics.items() if k[:5] != "time/"} for e in (one, other)]
        assert figures[0] == figures[1]


def close(left, right, **tolerance):
    for name, leaf in left.items():
        torch.testing.assert_close(leaf, right[name], **tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [(), ("algorithm.mu=0.5",), ("local.momentum=0.9",)])
def test_fednova_with_equal_steps_is_fedavg_or_fedprox(options, engine, train, same):
    # With a pull the norm is not the number of steps, and tau_eff=norm undoes it.
    options = (*SMALL, f"engine={engine}", "rounds=3", "local.steps=5", *options)
    nova = train("algorithm=fednova", "algorithm.tau_eff=norm", *options)
    plain = "fedprox" if "algorithm.mu=0.5" in options else "fedavg"
    close(nova, train(f"algorithm={plain}", *options), rtol=1e-4, atol=1e-6)
    unequal = [option for option in options if option != "local.steps=5"]
    other = train(f"algorithm={plain}", *unequal)
    found = train("algorithm=fednova", "algorithm.tau_eff=norm", *unequal)
    assert not all(torch.allclose(found[name], leaf, atol=1e-3) for name, leaf in other.items())


@pytest.mark.parametrize(("algorithm", "fixed"), [("fedavg", 0.8669), ("fednova", 0.3944)])
def test_where_unequal_steps_lead(algorithm, fixed, line, train):
    # F_k = (b - e_k)^2 with e = 0, 1 and 1 and 10 steps of lr 0.05, which is 0.1 on half of it:
    # FedAvg ends at 0.6513 / (0.1 + 0.6513), FedNova at 0.06513 / (0.1 + 0.06513).
    clients = [[(0, 0)], [(0, 1)] * 10]
    work = ("local.batch_size=1", "local.lr=0.05", "rounds=80", "evaluate.every=0")
    model = train(*line(clients), f"algorithm={algorithm}", "algorithm.weights=uniform", *work)
    assert model["1.bias"].item() == pytest.approx(fixed, abs=1e-4)
    assert model["1.weight"].item() == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per_round", [5, 3])
def test_without_regulariser_feddyn_trains_as_fedavg(per_round, engine, federation, play):
    options = (*SMALL, f"engine={engine}", f"clients.per_round={per_round}")
    dyn = federation("algorithm=feddyn", "algorithm.alpha=1e-12", *options)
    plain = federation("algorithm=fedavg", "algorithm.weights=uniform", *options)
    start = dyn.state.server["model"]
    way = play(plain)[0].state.server["model"] - start
    # Not FedAvg: h / alpha does not vanish with alpha. The server goes the share of those who came
    # once more.
    cloud = play(dyn)[0].state.server["model"]
    close(cloud - start, (1 + per_round / 5) * way, rtol=1e-4, atol=1e-6)
    averaged = federation("algorithm=feddyn", "algorithm.evaluated=average",
                          "algorithm.alpha=1e-12", *options)  # fmt: skip
    close(play(averaged)[0].state.server["model"] - start, way, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_fedadmm_with_everybody_is_feddyn(engine, train, same):
    options = (*SMALL, f"engine={engine}", "rounds=3", "local.epochs=2")
    admm = train("algorithm=fedadmm", "algorithm.rho=0.1", *options)
    close(admm, train("algorithm=feddyn", "algorithm.alpha=0.1", *options), rtol=1e-4, atol=1e-5)
    other = train("algorithm=feddyn", "algorithm.alpha=0.5", *options)
    assert not all(torch.allclose(admm[name], leaf, atol=1e-3) for name, leaf in other.items())


@pytest.mark.parametrize("variant", ["paper", "keras", "flamby"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_step_of_server_adam(engine, variant, federation, play):
    options = (*SMALL, f"engine={engine}")
    adam = federation("algorithm=fedadam", f"server.variant={variant}", "server.lr=0.1", *options)
    start = adam.state.server["model"]
    delta = play(federation("algorithm=fedavg", *options))[0].state.server["model"] - start
    beta2, tau, first = {
        "paper": (0.99, 1e-3, 1e-6), "keras": (0.999, 1e-7, 0.0), "flamby": (0.999, 1e-8, 0.0)
    }[variant]  # fmt: skip
    lr = 0.1 * ((1 - beta2) ** 0.5 / 0.1 if variant == "keras" else 1)
    for name, leaf in play(adam)[0].state.server["model"].items():
        moved = delta[name].double()
        root = (beta2 * first + (1 - beta2) * moved**2).sqrt() + tau
        expected = start[name].double() + lr * 0.1 * moved / root
        # Where nothing moved by more than rounding, the sign of the step is rounding's too.
        sure = moved.abs() > 1e-5
        torch.testing.assert_close(leaf.double()[sure], expected[sure], rtol=1e-3, atol=1e-4)


CONVEX = ("data.examples=100", "data.spread=3", "clients.count=4", "partition=shards",
          "partition.shards_per_client=1", "model=logistic", "local.batch_size=0",
          "local.steps=10", "local.weight_decay=0.1", "evaluate.every=0")  # fmt: skip


def gap(experiment, model):
    """How far the model is from the optimum of the pooled data, and the length of that."""
    data, module = experiment.dataset.train, copy.deepcopy(experiment.task.module).double()
    x, y = torch.from_numpy(data.x).double(), torch.from_numpy(data.y)
    params = list(module.parameters())
    optimizer = torch.optim.LBFGS(params, max_iter=500, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-10, tolerance_change=1e-14)  # fmt: skip

    def closure():
        optimizer.zero_grad()
        pull = sum(p.square().sum() for p in params)
        loss = F.cross_entropy(module(x), y) + 0.1 / 2 * pull
        loss.backward()
        return loss

    optimizer.step(closure)
    optimum = torch.cat([p.detach().flatten() for p in params])
    found = torch.cat([model[name].double().flatten() for name, _ in module.named_parameters()])
    return ((found - optimum).norm() / optimum.norm()).item()


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("scaffold", ()),
        pytest.param("scaffold", ("algorithm.option=1",), marks=pytest.mark.slow),
        pytest.param("fedlin", (), marks=pytest.mark.slow),
        pytest.param("mime", ("algorithm.beta=0.5",), marks=pytest.mark.slow),
        ("feddyn", ("algorithm.alpha=0.3",)),
        pytest.param("fedadmm", ("algorithm.rho=0.3",), marks=pytest.mark.slow),
        pytest.param(
            "fedadmm", ("algorithm.rho=0.3", "algorithm.start=local"), marks=pytest.mark.slow
        ),
    ],
)
def test_it_reaches_the_pooled_optimum_where_fedavg_does_not(algorithm, options, federation, play):
    def ends(*more):
        experiment = federation(*CONVEX, "rounds=150", "local.lr=0.1", *more)
        assert len(set(experiment.partition.train.sizes.tolist())) == 1
        return gap(experiment, play(experiment)[-1].state.server["model"])

    assert ends("algorithm=fedavg") > 0.05
    assert ends(f"algorithm={algorithm}", *options) < 1e-3
