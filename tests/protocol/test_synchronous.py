import json
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import rounds

# Every client has one point (1, y): one step of lr 0.1 moves w and b from zero to 0.2 y each.


def poisoned(experiment, client, value):
    """The same federation, in which the update of one client is spoiled."""
    from fedrun.protocol.synchronous import synchronous

    federation = experiment.federation

    def solver(plan):
        solve = federation.solver(plan)

        def spoiled(*args, **options):
            trained = solve(*args, **options)
            for index, one in enumerate(plan.clients):
                if one.client == client:
                    trained.params["1.bias"][index] = value
            return trained

        return spoiled

    return replace(experiment, protocol=synchronous(replace(federation, solver=solver)))


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_client_whose_update_is_not_finite_is_rejected(algorithm, value, line, federation, play):
    points = line([[(1, 1)], [(1, 2)], [(1, 6)]])
    experiment = federation(*points, f"algorithm={algorithm}", "algorithm.weights=uniform"
                            if algorithm == "fedavg" else "rounds=1")  # fmt: skip
    event = play(poisoned(experiment, 1, value))[0]
    assert [row["status"] for row in event.clients] == ["ok", "rejected", "ok"]
    # The round goes on with the mean of 0.2 and 1.2.
    assert [leaf.item() for leaf in event.state.server["model"].values()] == pytest.approx(
        [0.7] * 2
    )
    assert event.metrics["train/loss"] == pytest.approx((1 + 36) / 2)
    assert event.metrics["train/examples"] == 2
    assert 1 not in event.state.bank.rows
    assert "update_norm" not in event.clients[1]
    json.dumps([event.metrics, *event.clients], allow_nan=False)


def test_a_round_in_which_nobody_is_accepted_moves_nothing(line, federation):
    experiment = poisoned(federation(*line([[(1, 1)]]), "rounds=9"), 0, float("nan"))
    with open_crew(experiment) as crew:
        events = list(islice(rounds(experiment, experiment.state, [], crew), 2))
    assert [event.state.round for event in events] == [1, 2]
    assert all((leaf == 0).all() for leaf in events[-1].state.server["model"].values())
    assert "train/loss" not in events[0].metrics


def test_a_global_model_that_is_not_finite_names_the_round(line, federation, play):
    # Each client is finite, at 3e38; twice that, weighed and summed, is not.
    experiment = federation(*line([[(1, 1), (1, 1)], [(1, 1)]]))
    with pytest.raises(RunError, match=r"round 1: the global model is not finite any more"):
        play(poisoned(experiment, 0, 3e38))


def test_a_test_loss_that_is_not_finite_names_the_round(line, federation, play):
    experiment = federation(*line([[(1, 1e25)]]), "rounds=3")
    with pytest.raises(RunError, match=r"round 1: test/loss is not finite, the model has diverged"):
        play(experiment)


def test_a_training_loss_beyond_float32_is_left_out(line, federation, play):
    experiment = federation(*line([[(1, 1e25)]]), "rounds=2", "evaluate.every=0")
    with experiment.engine.open(experiment.protocol.chunk) as map_chunks:
        state, record = experiment.protocol.start(experiment.state, map_chunks)()
    assert state.server["model"]["1.bias"].isfinite().all()
    assert "train/loss" not in record.metrics
    json.dumps([record.metrics, *record.clients], allow_nan=False)


def test_traffic_adds_up_over_rounds(line, federation, play):
    experiment = federation(*line([[(1, k)] for k in range(5)]), "rounds=3", "clients.per_round=2")
    events = play(experiment)
    # Two float32 numbers for each of two clients a round.
    assert [event.metrics["comm/up_bytes"] for event in events] == [16, 32, 48]
    assert [event.metrics["comm/down_bytes"] for event in events] == [16, 32, 48]
    assert [(row["up_bytes"], row["down_bytes"]) for row in events[2].clients] == [(8, 8)] * 2
    assert [event.metrics["round"] for event in events] == [1, 2, 3]


def test_a_small_cohort_is_the_mean_of_those_who_were_there(line, federation, play):
    experiment = federation(*line([[(1, k)] for k in range(5)]), "clients.per_round=2")
    event = play(experiment)[0]
    there = [row["client"] for row in event.clients]
    assert event.state.server["model"]["1.bias"].item() == pytest.approx(0.2 * sum(there) / 2)
    assert torch.isfinite(event.state.server["model"]["1.weight"]).all()


def test_drawing_everybody_by_size_is_refused(line, federation):
    with pytest.raises(ConfigError, match=r"clients.sampling=size has no effect while all 2"):
        federation(*line([[(1, 1)], [(1, 2)]]), "clients.sampling=size")


def test_clients_can_be_drawn_by_size(line, federation, play):
    big, small = [(1, 1)] * 97, [(1, 0)]
    experiment = federation(*line([small, big, small, small]), "clients.per_round=1",
                            "clients.sampling=size", "rounds=30", "evaluate.every=0")  # fmt: skip
    there = [event.clients[0]["client"] for event in play(experiment)]
    assert there.count(1) >= 26  # 30 draws at chance 0.97: fewer has chance below 0.002


def owed(federation, cohorts, *options):
    """A federation whose cohorts are these, round by round, and that owes a release in each."""
    from fedrun.protocol.synchronous import synchronous

    experiment = federation("privacy=central", "model=logistic", "engine=eager", *options)
    one = replace(experiment.federation, cohort=lambda number: np.array(cohorts[number - 1], int))
    return replace(experiment, federation=one, protocol=synchronous(one))


def test_an_owed_round_moves_the_model_whoever_came(federation, play):
    experiment = owed(federation, [[], [1, 3], []], "rounds=3")
    events = play(experiment)
    assert [[row["client"] for row in event.clients] for event in events] == [[], [1, 3], []]
    models = [state.server["model"] for state in (experiment.state, *(e.state for e in events))]
    for before, after in pairwise(models):
        assert not any(torch.equal(leaf, after[name]) for name, leaf in before.items())
    assert [event.state.up_bytes for event in events] == [
        events[0].state.up_bytes * number for number in (1, 2, 3)
    ]
    assert not any(event.state.bank.rows for event in events)


def test_an_owed_round_tells_the_servers_rule_the_cohort_of_the_config(federation):
    told = []
    experiment = owed(federation, [[0, 1]], "clients.count=5", "algorithm=scaffold")
    method = experiment.federation.algorithm

    def server_update(state, mean, round):
        told.append(round)
        return method.server_update(state, mean, round)

    from fedrun.protocol.synchronous import synchronous

    watched = replace(method, server_update=server_update)
    protocol = synchronous(replace(experiment.federation, algorithm=watched))
    with open_crew(replace(experiment, protocol=protocol)) as crew:
        state, _ = protocol.start(experiment.state, crew)()
    (round,) = told
    assert (round.t, round.accepted, round.population) == (0, 5, 5)
    assert (len(round.clients), round.weight) == (0, None)
    assert sorted(state.bank.rows) == [0, 1]  # what clients keep is theirs


def test_a_stand_in_leaves_no_trace(federation, play):
    """Nobody came, and client 0 only showed what a packet looks like: it keeps nothing of it."""
    experiment = owed(federation, [[]], "algorithm=scaffold")
    state = play(experiment)[-1].state
    assert not state.bank.rows
    control = state.server["control"]
    assert all(leaf.any() for leaf in control.values())  # noise, and nothing else
