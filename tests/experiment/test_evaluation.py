"""Clients' own models, clients that never take part, and test sets of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.bank import Bank
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.experiment.evaluation import OwnJobs, evaluate, measured, unseen
from fedrun.protocol.synchronous import synchronous


def personalised(experiment):
    """Each client's own model is the global one with a bias of its number on class 0."""
    federation = experiment.federation
    plain = federation.algorithm

    def personal(clients, message):
        model = message["model"].map(torch.clone)
        model["1.bias"][:, 0] += 100.0 * clients.state["own"]
        return model

    def client_update(clients, message):
        reply = plain.client_update(clients, message)
        return replace(reply, state=Tree(own=torch.ones(len(clients.number))))

    algorithm = replace(plain, personal=personal, client_update=client_update,
                        client_init=lambda params: Tree(own=torch.tensor(0.0)))  # fmt: skip
    federation = replace(federation, algorithm=algorithm)
    bank = replace(experiment.state.bank, fresh=Tree(own=torch.tensor(0.0)))
    return replace(
        experiment,
        federation=federation,
        protocol=synchronous(federation),
        state=replace(experiment.state, bank=bank),
    )


SMALL = ("model=logistic", "clients.count=6")


def test_own_models_are_scored_on_own_shares(federation, play):
    experiment = personalised(federation(*SMALL, "clients.per_round=2"))
    event = play(experiment)[0]
    took_part = {row["client"] for row in event.clients}
    shares, test = experiment.partition.test, experiment.dataset.test
    model = event.state.server["model"]
    x, y = torch.from_numpy(test.x), torch.from_numpy(test.y)
    right = []
    for client in shares.holders:
        rows = shares[client]
        outputs = x[rows].flatten(1) @ model["1.weight"].T + model["1.bias"]
        outputs[:, 0] += 100.0 * (client in took_part)
        right.append((outputs.argmax(1) == y[rows]).double().mean().item())
    assert event.metrics["personal/accuracy_mean"] == pytest.approx(np.mean(right))
    assert event.metrics["personal/accuracy_worst10"] == pytest.approx(min(right))
    sizes = shares.sizes[shares.holders]
    assert event.metrics["personal/accuracy"] == pytest.approx(np.average(right, weights=sizes))
    assert event.metrics["personal/accuracy_mean"] != event.metrics["client/accuracy_mean"]


def test_unseen_clients_never_take_part_and_are_scored_apart(federation, play):
    experiment = federation(*SMALL, "clients.unseen=0.3", "rounds=4", "clients.per_round=2")
    hidden = unseen(experiment)
    assert len(hidden) == 2
    assert len(experiment.seen) == 4
    for event in play(experiment):
        assert not {row["client"] for row in event.clients} & set(hidden.tolist())
        rows = np.concatenate([experiment.partition.test[client] for client in hidden])
        test, model = experiment.dataset.test, event.state.server["model"]
        outputs = torch.from_numpy(test.x[rows]).flatten(1) @ model["1.weight"].T + model["1.bias"]
        right = (outputs.argmax(1).numpy() == test.y[rows]).mean()
        assert event.metrics["unseen/accuracy"] == pytest.approx(right)
    names = [name for name in event.metrics if name.startswith(("test/", "client/", "unseen/"))]
    assert sorted(names) == sorted(measured(experiment))


def test_unseen_clients_take_part_once_before_their_own_models_are_scored(federation, play):
    experiment = personalised(federation(*SMALL, "clients.unseen=0.3"))
    event = play(experiment)[0]
    test, shares = experiment.dataset.test, experiment.partition.test
    rows = np.concatenate([shares[client] for client in unseen(experiment)])
    assert event.metrics["unseen/accuracy"] == pytest.approx((test.y[rows] == 0).mean())
    assert event.state.bank.take(unseen(experiment).tolist())["own"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("chunk", [1, 4])
def test_any_number_of_workers_gives_the_same_figures(chunk, federation, play):
    found = []
    for workers in (1, 2):
        options = (*SMALL, "clients.unseen=0.3", f"engine.chunk={chunk}")
        experiment = personalised(federation(*options, f"engine.workers={workers}"))
        event = play(experiment)[0]
        found.append({k: v for k, v in event.metrics.items() if not k.startswith("time/")})
    assert found[0] == found[1]
    assert found[0].items() >= evaluate(experiment, event.state).items()


def test_everybody_unseen_is_refused(federation):
    with pytest.raises(ConfigError, match=r"clients\.unseen=0\.99 of 6 clients leaves nobody"):
        federation(*SMALL, "clients.unseen=0.99")


def test_clients_may_keep_test_rows_of_their_own(federation, play):
    whole = federation(*SMALL)
    experiment = federation(*SMALL, "clients.test_fraction=0.25")
    before, partition = whole.partition.train, experiment.partition
    data = whole.dataset.train
    for client in range(6):
        count = round(0.25 * len(before[client]))
        assert len(partition.test[client]) == count
        kept = set(map(bytes, data.x[partition.train[client]]))
        own = set(map(bytes, experiment.dataset.test.x[partition.test[client]]))
        assert not kept & own
        assert kept | own == set(map(bytes, data.x[before[client]]))
    assert len(experiment.test) == len(partition.test.rows)
    assert partition.rule.endswith("own_tests/0.25@1")
    again = federation(*SMALL, "clients.test_fraction=0.25").partition
    assert again.fingerprint == partition.fingerprint
    play(experiment)


def test_a_single_row_stays_for_training(line, federation):
    experiment = federation(*line([[(1, 1)], [(1, 2), (1, 3)]]), "clients.test_fraction=0.9")
    assert experiment.partition.train.sizes.tolist() == [1, 1]
    assert experiment.partition.test.sizes.tolist() == [0, 1]


def test_cohorts_may_go_round(federation):
    experiment = federation(*SMALL, "clients.per_round=4", "clients.sampling=cyclic")
    cohorts = [experiment.federation.cohort(round).tolist() for round in (1, 2, 3, 4)]
    assert cohorts == [[0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5], [0, 1, 2, 3]]
    experiment = federation(*SMALL, "clients.per_round=2", "clients.sampling=shuffled")
    cohorts = [experiment.federation.cohort(round).tolist() for round in range(1, 10)]
    for begin in (0, 3, 6):
        assert sorted(np.concatenate(cohorts[begin : begin + 3])) == [0, 1, 2, 3, 4, 5]
    assert cohorts[:3] != cohorts[3:6] != cohorts[6:]
    with pytest.raises(ConfigError, match=r"sampling=cyclic has no effect"):
        federation(*SMALL, "clients.sampling=cyclic")


def test_unseen_clients_may_be_named(federation):
    assert federation(*SMALL, "clients.unseen=[1,4]").seen.tolist() == [0, 2, 3, 5]
    with pytest.raises(ConfigError, match="names client 6"):
        federation(*SMALL, "clients.unseen=[1,6]")
    with pytest.raises(ConfigError, match="leaves nobody"):
        federation(*SMALL, "clients.unseen=[0,1,2,3,4,5]")


def test_a_few_clients_with_names_have_a_figure_each(federation, play, tmp_path):
    lines = [f"{i % 7},{(i * i) % 5},{i % 2},{'north' if i < 40 else 'south'}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,sick,clinic", *lines]))
    table = ("data=table", f"data.path={tmp_path / 'table.csv'}", "data.target=sick",
             "data.client=clinic", "partition=natural", "clients.count=null")  # fmt: skip
    experiment = federation(*table, "model=logistic")
    metrics = play(experiment)[0].metrics
    both = [metrics["client/accuracy@north"], metrics["client/accuracy@south"]]
    assert metrics["client/accuracy_mean"] == pytest.approx(np.mean(both))
    assert metrics["client/accuracy_worst10"] == min(both)
    assert set(measured(experiment)) <= set(metrics)
    assert not any("@" in name for name in play(federation(*SMALL))[0].metrics)


def test_nobody_with_a_test_row_is_refused(federation):
    with pytest.raises(ConfigError, match=r"clients\.test_fraction=0\.001 leaves no client a test"):
        federation(*SMALL, "clients.test_fraction=0.001")


WINDOWS = ("data=text", "data.length=8", "partition=natural", "model=char_lstm",
           "model.hidden=4")  # fmt: skip


@pytest.mark.parametrize(("stride", "refused"), [(7, True), (8, False)])
def test_windows_that_overlap_are_not_drawn_for_tests(stride, refused, federation, tmp_path):
    (tmp_path / "a.txt").write_text("what is said here is said again, " * 20)
    words = (*WINDOWS, f"data.path={tmp_path}", f"data.stride={stride}", "clients.count=null")
    federation(*words)
    if not refused:
        federation(*words, "clients.test_fraction=0.25")
        return
    with pytest.raises(ConfigError, match=r"those of data=text overlap; leave it out: the data's"):
        federation(*words, "clients.test_fraction=0.25")


@pytest.mark.parametrize("rows", [(), ("clients.test_fraction=0.25",)])
def test_the_objective_is_that_of_the_clients_who_take_part(federation, play, rows):
    words = (*SMALL, *rows, "clients.unseen=[0,3]", "rounds=2", "evaluate.objective=true")
    experiment = federation(*words)
    event = play(experiment)[-1]
    held = experiment.partition.train
    mine = np.concatenate([held[client] for client in (1, 2, 4, 5)])
    train, model = experiment.dataset.train, event.state.server["model"]
    outputs = torch.from_numpy(train.x[mine]).flatten(1) @ model["1.weight"].T + model["1.bias"]
    y = torch.from_numpy(train.y[mine])
    loss = torch.nn.functional.cross_entropy(outputs, y)
    right = (outputs.argmax(1) == y).double().mean()
    assert event.metrics["objective/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert event.metrics["objective/accuracy"] == pytest.approx(right.item())
    assert {"objective/loss", "objective/accuracy"} < set(measured(experiment))
    assert not any(name.startswith("objective/") for name in measured(federation(*SMALL)))


def test_the_objective_is_not_told_beside_a_guarantee_and_needs_a_global_model(federation):
    words = (*SMALL, "evaluate.objective=true")
    with pytest.raises(ConfigError, match=r"training rows, without the noise that privacy=central"):
        federation(*words, "privacy=central", "rounds=2")
    federation(*words, "privacy=central", "privacy.leaky_diagnostics=true", "rounds=2")
    with pytest.raises(ConfigError, match="has no effect with algorithm=local_only"):
        federation(*words, "algorithm=local_only")


def test_noise_that_is_left_out_of_a_test_set_needs_one_that_is_not_their_own(federation):
    words = ("data=digits", "partition=feature_noise", "clients.test_fraction=0.2")
    with pytest.raises(ConfigError, match=r"partition\.test=clean has no effect beside clients"):
        federation(*words, "partition.test=clean")
    federation(*words, "partition.test=own")


def test_states_are_read_when_a_job_is_asked_for(federation, monkeypatch):
    experiment = personalised(federation(*SMALL, "clients.unseen=[0,3]", "engine.chunk=2"))
    taken = []
    take = Bank.take

    def counted(bank, clients):
        taken.append(list(clients))
        return take(bank, clients)

    monkeypatch.setattr(Bank, "take", counted)
    jobs = OwnJobs(experiment, experiment.state)
    assert not taken
    assert [job.unseen for job in jobs] == [False, False, True]
    assert taken == [[1, 2], [4, 5], [0, 3]]
