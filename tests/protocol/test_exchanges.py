"""Rounds with a first exchange, servers that are shown every update, and clients that are slow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.algorithm import Survey
from fedrun.core.chain import weigh
from fedrun.core.federation import System
from fedrun.core.tree import Tree
from fedrun.protocol.synchronous import synchronous

# Every client has one point (1, y): one step of lr 0.1 moves w and b from zero to 0.2 y each.


def having(experiment, **changes):
    """The same federation with another algorithm."""
    federation = experiment.federation
    federation = replace(federation, algorithm=replace(federation.algorithm, **changes))
    return replace(experiment, federation=federation, protocol=synchronous(federation))


def surveyed(experiment, poison=()):
    """Clients send their numbers first, weighed by 1 + number; the model becomes their mean."""

    def survey(clients, message):
        assert "survey" not in message
        value = clients.number.float()
        for number in poison:
            value[clients.number == number] = float("nan")
        return Survey(Tree(value=value), 1 + clients.number.float())

    plain = experiment.federation.algorithm

    def client_update(clients, message):
        reply = plain.client_update(clients, message)
        value = message["survey"]["value"].view(-1, 1, 1)
        model = reply.update["model"].map(lambda leaf: torch.zeros_like(leaf) + value.view(
            -1, *[1] * (leaf.ndim - 1)))  # fmt: skip
        return replace(reply, update=Tree(model=model))

    return having(experiment, survey=survey, client_update=client_update)


@pytest.mark.parametrize("options", [(), ("engine.chunk=1",), ("engine.chunk=2",)])
def test_the_mean_of_a_first_exchange_reaches_everybody(options, line, federation, play):
    experiment = federation(*line([[(1, 1)], [(1, 2)], [(1, 6)]]), *options)
    plain = play(experiment)[0]
    event = play(surveyed(experiment))[0]
    mean = (1 * 0 + 2 * 1 + 3 * 2) / 6
    values = [leaf.item() for leaf in event.state.server["model"].values()]
    assert values == pytest.approx([mean, mean])
    assert event.state.up_bytes == plain.state.up_bytes + 3 * 4
    assert event.state.down_bytes == plain.state.down_bytes + 3 * 4


def test_a_survey_that_is_not_finite_is_left_out(line, federation, play):
    experiment = federation(*line([[(1, 1)], [(1, 2)], [(1, 6)]]))
    event = play(surveyed(experiment, poison=[2]))[0]
    mean = (1 * 0 + 2 * 1) / 3
    assert next(event.state.server["model"].leaves()).item() == pytest.approx(mean)


def test_a_round_without_a_single_survey_moves_nothing(line, federation):
    experiment = surveyed(federation(*line([[(1, 1)], [(1, 2)]])), poison=[0, 1])
    from fedrun.experiment.evaluation import open_crew

    with open_crew(experiment) as crew:
        state, record = experiment.protocol.start(experiment.state, crew)()
    assert [row["status"] for row in record.clients] == ["rejected"] * 2
    assert all((leaf == 0).all() for leaf in state.server["model"].values())


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_a_server_may_be_shown_each_update(chunk, line, federation, play):
    points = [[(1, 1)], [(1, 2), (1, 2)], [(1, 6)], [(1, 9)], [(1, -1)]]
    experiment = federation(*line(points), f"engine.chunk={chunk}", "local.lr=1.0")
    plain, seen = experiment.federation.algorithm, {}

    def client_update(clients, message):
        reply = plain.client_update(clients, message)
        reply.update["model"]["1.bias"][clients.number == 3] = float("nan")
        return reply

    def server_update(state, updates, round):
        seen["bias"] = updates["model"]["1.bias"].flatten().tolist()
        seen["weight"], seen["clients"] = round.weight.tolist(), round.clients.tolist()
        return state

    federation_each = replace(experiment.federation, chain=[])
    experiment = replace(experiment, federation=federation_each)
    changes = {"client_update": client_update, "server_update": server_update}
    play(having(experiment, needs="each", **changes))
    assert seen["bias"] == pytest.approx([2, 4, 12, -2])
    assert seen["weight"] == [1, 2, 1, 1]
    assert seen["clients"] == [0, 1, 2, 4]  # the fourth one's update was not finite


def test_build_leaves_updates_unweighed_where_each_is_needed(federation):
    assert list(federation("algorithm=fedavg").federation.chain) == [weigh]
    assert list(federation("algorithm=afl").federation.chain) == []


SLOW = ("system=stragglers", "system.share=0.4", "local.epochs=4", "rounds=6")


def test_stragglers_are_dropped(federation, play):
    events = play(federation(*SLOW))
    for event in events:
        status = [row["status"] for row in event.clients]
        assert sorted(status) == ["dropped"] * 2 + ["ok"] * 3, event.clients
        assert event.metrics["clients/dropped"] == 2
        assert event.metrics["clients/ok"] == 3
        assert [row["client"] for row in event.clients] == list(range(5))
    assert len({tuple(row["status"] for row in event.clients) for event in events}) > 1


def test_or_what_they_did_counts(federation, play):
    whole = {row["client"]: row["steps"] for row in play(federation("local.epochs=4"))[0].clients}
    for event in play(federation(*SLOW, "system.late=partial")):
        for row in event.clients:
            epochs = 4 * row["steps"] / whole[row["client"]]
            assert epochs == int(epochs)
            assert (row["status"] == "straggled") == (1 <= epochs <= 3)
        assert sum(row["status"] == "straggled" for row in event.clients) == 2
        assert event.metrics["clients/dropped"] == 0


def test_methods_with_one_seed_have_the_same_stragglers(federation, play):
    found = []
    for options in (("algorithm=fedavg",), ("algorithm=fedprox", "engine=eager")):
        found.append([row["status"] for row in play(federation(*SLOW, *options))[0].clients])
    assert found[0] == found[1]


def test_a_round_whose_whole_cohort_is_dropped_moves_nothing(federation, play, same):
    # A share that always drops everybody is refused; a system of one's own may come to it.
    experiment = federation("rounds=2")
    idle = System(lambda round, cohort: np.zeros(len(cohort), np.int64))
    slow = replace(experiment.federation, system=idle)
    experiment = replace(experiment, federation=slow, protocol=synchronous(slow))
    for event in play(experiment):
        assert {row["status"] for row in event.clients} == {"dropped"}
        assert same(event.state.server["model"], experiment.state.server["model"])
        assert event.state.up_bytes == 0


def test_uneven_work_is_drawn_between_its_bounds(federation, play):
    once = {row["client"]: row["steps"] for row in play(federation())[0].clients}
    epochs = [
        row["steps"] / once[row["client"]]
        for event in play(federation("system=uneven", "rounds=12"))
        for row in event.clients
    ]
    assert set(epochs) == {2, 3, 4, 5}


def test_slow_clients_give_the_same_bits_for_any_chunk_and_worker(train, same):
    options = (*SLOW, "system.late=partial", "model.hidden=[8]", "engine=eager", "engine.chunk=2")
    assert same(train(*options, "engine.workers=1"), train(*options, "engine.workers=2"))
