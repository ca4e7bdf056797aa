"""Every engine does what the reference engine does, for every method, model and local optimiser."""

import numpy as np
import pytest
import torch

from fedrun.core.option import ConfigError
from fedrun.core.plan import chunk_plan
from fedrun.core.tree import Tree, expand
from fedrun.experiment.choices import choices, chosen_by, holders

REFERENCE = "eager"
ENGINES = [name for name in choices("engine") if name != REFERENCE]
SMALL = {
    "mlp": ["model.hidden=[8]"],
    "cnn": ["data=digits", "clients.count=30", "clients.per_round=4",
            "model.channels=[2,3]", "model.units=8"],
    "char_lstm": ["data=markov_text", "data.clients=4", "data.symbols=5", "data.length=6",
                  "partition=natural", "model.hidden=6"],
    "transformer": ["data=markov_text", "data.clients=4", "data.symbols=5", "data.length=6",
                    "partition=natural", "model.width=8", "model.layers=1", "model.heads=2"],
    "lenet": ["data=digits", "clients.count=30", "clients.per_round=4",
              "model.padding=4", "model.channels=[2,3]", "model.units=[8,6]"],
    "cnn_femnist": ["data=digits", "clients.count=30", "clients.per_round=4",
                    "model.channels=[2,3]", "model.units=8"],
    "cnn1d": ["model.channels=[2,4]", "model.kernel=3", "model.units=8", "model.norm=group"],
    "resnet18": ["data=digits", "clients.count=150", "clients.per_round=3", "model.width=4"],
}  # fmt: skip
WORK = {
    "partial batches": {"local.batch_size": 7},
    "epochs": {"local.epochs": 3},
    "steps": {"local.steps": 5, "local.batch_size": 7},
    "weight decay": {"local.weight_decay": 0.1, "local.batch_size": 7},
    "clip": {"local.clip_norm": 0.1, "local.batch_size": 7},
    "momentum": {"local.momentum": 0.9, "local.batch_size": 7},
}


# What a method refuses, in words of its refusal; anything else that is refused is a failure.
REFUSES = {
    "scaffold": ("does not work with local=adam", "local.clip_norm"),
    "fednova": ("does not work with local=adam",),
    "fedsgd": ("takes one local step a round",),
    "qfedavg": ("does not work with local=adam",),
    "afl": ("needs every client in every round",),
    "cfl": ("needs every client in every round",),
    "mime": ("does not work with local=adam", "leave local.momentum"),
    "mimelite": ("does not work with local=adam", "leave local.momentum"),
    "moon": ("nothing before one",),
    "fedlc": ("are of kind tokens",),
    "fedbn": ("this model has none",),
}
# Adam divides a gradient by its own size: below epsilon, rounding alone would decide the step.
STEADY = {"adam": ["local.epsilon=0.0001"], "adam resnet18": ["local.epsilon=0.001"]}
# What an engine cannot train: PyTorch has no batched form of the LSTM.
CANNOT = {
    ("stack", "char_lstm"): "cannot train this model in lockstep (aten::",
    ("native", "transformer"): "engine=native trains a Sequential of",
    ("native", "cnn1d"): "engine=native trains a Sequential of",
    ("native", "resnet18"): "engine=native trains a Sequential of",
}


def overrides(algorithm, local, work):
    """The work as far as the method leaves it open; None if nothing is left or known."""
    fixed = chosen_by("algorithm", algorithm).get("local", {})
    options = {key.removeprefix("local."): value for key, value in work.items()}
    free = {key: value for key, value in options.items() if key not in fixed}
    if not free or any(local not in holders("local", key) for key in free):
        return None
    return [f"local.{key}={value}" for key, value in free.items()]


def assert_agree(engine, algorithm, federation, play, *options):
    options = [f"algorithm={algorithm}", *options]
    updates = {}
    for name in (REFERENCE, engine):
        try:
            experiment = federation(f"engine={name}", *options)
        except ConfigError as refused:
            known = [*REFUSES.get(algorithm, ()), *cannot(name, options)]
            if not any(words in str(refused) for words in known):
                raise
            pytest.skip(str(refused))
        start = models(experiment, experiment.state)
        end = models(experiment, play(experiment)[0].state)
        updates[name] = torch.cat([leaf.flatten() for leaf in (end - start).leaves()])
    length = updates[REFERENCE].norm()
    assert length > 0
    # An update is a difference of float32 models: it is known to half a unit of theirs at best.
    rounding = 2**-24 * torch.cat([leaf.flatten() for leaf in start.leaves()]).norm()
    assert (updates[engine] - updates[REFERENCE]).norm() <= 1e-5 * length + rounding


def models(experiment, state):
    """The global model, and what the clients keep where they use models of their own."""
    found = Tree(model=state.server["model"])
    if experiment.federation.algorithm.personal:
        found["kept"] = state.bank.take(range(len(experiment.partition)))
    return found


def cannot(engine, options):
    """The words in which this engine refuses the model of these options, if it does."""
    return [words for (who, model), words in CANNOT.items()
            if who == engine and f"model={model}" in options]  # fmt: skip


def random_like(tree, seed):
    draw = torch.Generator().manual_seed(seed)
    return tree.map(lambda leaf: torch.randn(leaf.shape, generator=draw))


# Methods that differ in what they ask of an engine go through everything; others in one way.
EVERYTHING = ("fedavg", "scaffold", "feddyn")
CASES = [
    pytest.param(algorithm, local, found, id=f"{algorithm}-{local}-{name}")
    for algorithm in choices("algorithm")
    for local in choices("local")
    for name, work in WORK.items()
    if algorithm in EVERYTHING or (local, name) == ("sgd", "partial batches")
    if (found := overrides(algorithm, local, work))
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("algorithm", "local", "work"), CASES)
def test_for_every_method_and_way_of_working(engine, algorithm, local, work, federation, play):
    assert_agree(engine, algorithm, federation, play, f"local={local}", *SMALL["mlp"], *work)


# What an engine is asked for are drift, anchor and mu: one method without and one with them.
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("algorithm", ["fedprox", pytest.param("fedavg", marks=pytest.mark.slow)])
@pytest.mark.parametrize("local", choices("local"))
def test_for_every_model(engine, model, algorithm, local, federation, play):
    options = [f"local={local}", "local.lr=0.01", f"model={model}", *SMALL.get(model, [])]
    options += STEADY.get(f"{local} {model}", STEADY.get(local, []))
    assert_agree(engine, algorithm, federation, play, *options)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize(
    "local",
    [
        local if local == "sgd" else pytest.param(local, marks=pytest.mark.slow)
        for local in choices("local")
    ],
)
def test_with_a_drift_and_an_anchor_for_each_client(engine, model, local, federation):
    updates = {}
    for name in (REFERENCE, engine):
        options = [f"local={local}", "local.lr=0.01", f"model={model}", *SMALL.get(model, [])]
        try:
            experiment = federation(f"engine={name}", *options)
        except ConfigError as refused:
            if not any(words in str(refused) for words in cannot(name, options)):
                raise
            pytest.skip(str(refused))
        held, work = experiment.partition.train, experiment.federation.work
        plan = chunk_plan(held, work, 0, 1, np.arange(3))
        start = expand(experiment.state.server["model"], 3)
        drift, anchor = random_like(start, 1), random_like(start, 2)
        solve = experiment.engine.solver(plan)
        plain = solve(start).params
        trained = solve(start, drift=drift, anchor=anchor, mu=0.5).params
        assert all((trained[key] != plain[key]).any() for key in trained)
        updates[name] = torch.cat([leaf.flatten() for leaf in (trained - start).values()])
    difference = updates[engine] - updates[REFERENCE]
    assert difference.norm() <= 1e-5 * updates[REFERENCE].norm()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("task", ["number", "binary"])
def test_for_every_kind_of_target(engine, task, federation, play):
    x = [[0.1 * i, (i * i) % 7] for i in range(23)]
    y = [i % 2 for i in range(23)]
    options = ["data=inline", f"data.x={x}", f"data.y={y}", f"data.task={task}", "partition=iid",
               "clients.count=4", "local.lr=0.01", "local.batch_size=4", *SMALL["mlp"]]  # fmt: skip
    assert_agree(engine, "fedavg", federation, play, *options)
