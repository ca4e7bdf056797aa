from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree

SMALL = ("model.hidden=[8]",)
# w = b = u, loss (2 u - y)^2. Models at u = 0, 2 and 50. A (y = 1) takes the first, B (y = 3) and
# C (y = 7, two points) the second, nobody the third. One step of lr 0.1 along 2 (2 u - y):
# A: 0 -> 0.2; B: 2 -> 1.8; C: 2 -> 2.6.
POINTS = [[(1, 1)], [(1, 3)], [(1, 7), (1, 7)]]


def at(*values, like):
    """Models by number whose parameters are all the same."""
    return Tree(
        (str(j), like.map(lambda leaf, u=u: torch.full_like(leaf, u))) for j, u in enumerate(values)
    )


def where(models):
    return [[leaf.item() for leaf in model.values()] for model in models.values()]


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
@pytest.mark.parametrize(("weights", "second"), [("uniform", 2.2), ("examples", 7 / 3)])
def test_a_round_by_hand(weights, second, engine, chunk, line, federation, play):
    options = ("model.init=null", "algorithm=ifca", "algorithm.clusters=3", f"engine={engine}",
               f"engine.chunk={chunk}", f"algorithm.weights={weights}")  # fmt: skip
    experiment = federation(*line(POINTS), *options)
    first = experiment.state
    models = at(0, 2, 50, like=first.server["model"])
    event = play(experiment, replace(first, server=Tree(first.server, models=models)))[0]
    expected = [0.2, second, 50]
    assert where(event.state.server["models"]) == [pytest.approx([u] * 2) for u in expected]
    largest = [leaf.item() for leaf in event.state.server["model"].values()]
    assert largest == pytest.approx([second] * 2)
    assert event.state.bank.take([0, 1, 2])["cluster"].tolist() == [0, 1, 1]
    assert [row["cluster"] for row in event.clients] == [0, 1, 1]


def test_the_rows_of_those_who_were_dropped_name_no_cluster(line, federation, play):
    options = ("model.init=null", "algorithm=ifca", "system=stragglers", "system.share=0.34",
               "local.epochs=2")  # fmt: skip
    rows = play(federation(*line(POINTS), *options))[0].clients
    assert sorted(row["status"] for row in rows) == ["dropped", "ok", "ok"]
    for row in rows:
        assert ("cluster" in row) == (row["status"] == "ok")


@pytest.mark.parametrize("options", [(), ("server.momentum=0.9", "server.lr=0.5")])
@pytest.mark.parametrize("weights", ["uniform", "examples"])
@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_one_cluster_is_fedavg(engine, weights, options, train, same):
    options = (*SMALL, "rounds=3", "clients.per_round=3", f"engine={engine}",
               f"algorithm.weights={weights}", *options)  # fmt: skip
    one = train("algorithm=ifca", "algorithm.clusters=1", *options)
    assert same(one, train("algorithm=fedavg", *options))


def test_the_models_start_apart_and_the_first_as_ever(federation, same):
    models = federation("algorithm=ifca", *SMALL).state.server["models"]
    assert len(models) == 4
    assert same(models["0"], federation("algorithm=fedavg", *SMALL).state.server["model"])
    for i in range(4):
        for j in range(i):
            assert not same(models[str(i)], models[str(j)])


def test_models_that_start_alike_are_refused(federation, line):
    with pytest.raises(ConfigError, match=r"always starts alike; leave model.init out"):
        federation(*line(POINTS), "algorithm=ifca")
    federation(*line(POINTS), "algorithm=ifca", "algorithm.clusters=1")


def purity(cluster, groups):
    """The fraction of clients that are in their cluster's most frequent group."""
    return sum(np.bincount(groups[cluster == c]).max() for c in np.unique(cluster)) / len(groups)


ROTATED = ("data=digits", "partition=rotation", "model.hidden=[32]", "clients.count=20",
           "local.epochs=3", "rounds=12", "evaluate.every=0")  # fmt: skip


@pytest.mark.parametrize("groups", [2, 4])
def test_rotated_images_are_told_apart(groups, federation, play):
    options = (*ROTATED, f"partition.groups={groups}")
    experiment = federation(*options, "algorithm=ifca", f"algorithm.clusters={groups}", "seed=1")
    event = play(experiment)[-1]
    cluster = event.state.bank.take(range(20))["cluster"].numpy()
    assert purity(cluster, experiment.partition.groups) == 1
    assert len(np.unique(cluster)) == groups
    single = play(federation(*options, "algorithm=fedavg", "seed=1"))[-1].metrics
    gain = event.metrics["personal/accuracy"] - single["test/accuracy"]
    assert gain > 0.02


def test_clients_that_never_took_part_choose_too(federation, play):
    experiment = federation(*ROTATED, "partition.groups=2", "algorithm=ifca", "seed=1",
                            "algorithm.clusters=2", "clients.unseen=0.2")  # fmt: skip
    metrics = play(experiment)[-1].metrics
    assert metrics["unseen/accuracy"] > 0.8
    assert metrics["personal/accuracy"] > 0.8
