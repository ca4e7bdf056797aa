import numpy as np
import pytest
import torch

from fedrun.algorithm.cfl import halved
from fedrun.core.option import ConfigError
from fedrun.experiment.checkpoint import load_checkpoint, save_checkpoint

# x = 0, so only the bias b learns, with the gradient 2 (b - y); one step of lr 0.1 a round. Two
# want -1 and two want 1: their mean is 0, each update 0.2 long.
#
# Round 1: too early, b stays at 0. Round 2: cut, -0.2 and 0.2. Round 3: -0.36 and 0.36.
POINTS = [[(0, 1)], [(0, -1)], [(0, 1)], [(0, -1)]]
OPTIONS = ("algorithm=cfl", "algorithm.eps1=0.05", "algorithm.eps2=0.1", "algorithm.wait=1")


def biases(server):
    return [model["1.bias"].item() for model in server["models"].values()]


@pytest.mark.parametrize("chunk", [1, 3, 4])
@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_three_rounds_by_hand(engine, chunk, line, federation, play):
    options = (*OPTIONS, "rounds=3", f"engine={engine}", f"engine.chunk={chunk}")
    events = play(federation(*line(POINTS), *options))
    expected = [([0], [0] * 4), ([0.2, -0.2], [0, 1, 0, 1]), ([0.36, -0.36], [0, 1, 0, 1])]
    for event, (found, cluster) in zip(events, expected, strict=True):
        server = event.state.server
        assert biases(server) == pytest.approx(found, abs=1e-6)
        assert server["cluster"].tolist() == cluster
        assert server["model"]["1.bias"].item() == pytest.approx(found[0], abs=1e-6)
    trained_in = [[row["cluster"] for row in event.clients] for event in events]
    assert trained_in == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize(
    "option",
    ["algorithm.eps2=0.21", "algorithm.smallest=5", "algorithm.wait=3", "algorithm.eps1=0"],
)
def test_what_keeps_a_cluster_whole(option, line, federation, play):
    event = play(federation(*line(POINTS), *OPTIONS, option, "rounds=3"))[-1]
    assert event.state.server["cluster"].tolist() == [0] * 4


def test_a_mean_that_still_moves_keeps_it_whole(line, federation, play):
    # Three want 1 and one -1: the mean update is 0.1.
    points = [[(0, 1)], [(0, 1)], [(0, 1)], [(0, -1)]]
    for eps1, clusters in ((0.07, 1), (0.15, 2)):
        options = (*OPTIONS, f"algorithm.eps1={eps1}", "rounds=2")
        server = play(federation(*line(points), *options))[-1].state.server
        assert len(server["models"]) == clusters


@pytest.mark.parametrize(("weights", "first"), [("examples", 1 / 2), ("uniform", 0.0)])
def test_clients_of_a_cluster_count_by_their_examples(weights, first, line, federation, play):
    points = [[(0, 1)] * 3, [(0, -1)]]
    options = ("algorithm=cfl", f"algorithm.weights={weights}")
    event = play(federation(*line(points), *options))[0]
    assert event.state.server["model"]["1.bias"].item() == pytest.approx(0.2 * first, abs=1e-6)


def test_uncut_it_is_fedavg(train):
    options = ("model.hidden=[8]", "rounds=3", "server.momentum=0.5")
    found = train("algorithm=cfl", "algorithm.eps1=0", *options)
    for name, leaf in train("algorithm=fedavg", *options).items():
        torch.testing.assert_close(found[name], leaf, rtol=1e-5, atol=1e-6)


def test_linkages_by_hand():
    # Directions of 0, 35, 75 and 118 degrees: the widest gap is the last, and in complete linkage
    # 75 and 118 are nearer to each other than 75 is to 0.
    angle = torch.tensor([0.0, 35, 75, 118]).deg2rad()
    ways = torch.stack([angle.cos(), angle.sin()], 1) * torch.tensor([[1.0], [5], [0.1], [2]])
    assert halved(ways, "complete").tolist() == [True, True, False, False]
    assert halved(ways, "single").tolist() == [True, True, True, False]


SWAPPED = ("data=blobs", "data.examples=600", "data.features=20", "data.classes=4",
           "clients.count=9", "model=logistic", "local.epochs=2", "algorithm=cfl",
           "algorithm.wait=5", "algorithm.eps1=0.3", "algorithm.eps2=0.4", "rounds=25",
           "evaluate.every=0")  # fmt: skip


def test_swapped_labels_are_told_apart(federation, play):
    experiment = federation(*SWAPPED, "partition=label_swap", "partition.groups=3")
    event = play(experiment)[-1]
    cluster, groups = event.state.server["cluster"].numpy(), experiment.partition.groups
    assert len(np.unique(cluster)) == 3
    for group in range(3):
        assert len(np.unique(cluster[groups == group])) == 1
    assert event.metrics["personal/accuracy"] > 0.95
    assert event.metrics["test/accuracy"] < 0.8  # of the largest cluster's model


def test_clients_that_are_alike_stay_together(federation, play):
    event = play(federation(*SWAPPED, "partition=iid"))[-1]
    assert (event.state.server["cluster"] == 0).all()


def test_cuts_survive_a_checkpoint(federation, play, same, tmp_path):
    options = (*SWAPPED, "partition=label_swap", "partition.groups=3", "server.momentum=0.1")
    straight = play(federation(*options))
    counts = [len(event.state.server["models"]) for event in straight]
    half = counts.index(2)
    assert counts[-1] == 3
    path = save_checkpoint(tmp_path / "checkpoints", straight[half].state.to_tree(), {}, 1)
    again = federation(*options)
    rest = play(again, again.state.restored(load_checkpoint(path)[0]))
    for one, other in zip(straight[half + 1 :], rest, strict=True):
        assert same(one.state.to_tree(), other.state.to_tree())
        assert one.clients == other.clients


def test_those_who_never_take_part_choose_the_model_that_fits(federation, play):
    experiment = federation(*SWAPPED, "partition=label_swap", "partition.groups=3",
                            "clients.unseen=0.3")  # fmt: skip
    event = play(experiment)[-1]
    hidden = np.setdiff1d(np.arange(9), experiment.seen)
    assert (event.state.server["cluster"].numpy()[hidden] == -1).all()
    assert event.metrics["unseen/accuracy"] > 0.9


def test_a_cluster_with_a_missing_update_is_not_cut(line, federation, play):
    options = (*OPTIONS, "algorithm.eps1=0.1", "system=stragglers", "system.share=0.25",
               "local.epochs=2", "rounds=4")  # fmt: skip
    event = play(federation(*line(POINTS), *options))[-1]
    assert event.metrics["clients/dropped"] == 1
    assert (event.state.server["cluster"] == 0).all()


def test_a_part_of_the_clients_is_refused(federation):
    message = r"algorithm=cfl needs every client .* it 2 of 5; set clients.per_round=1.0"
    with pytest.raises(ConfigError, match=message):
        federation("algorithm=cfl", "clients.per_round=2")
