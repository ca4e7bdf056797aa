"""Where personalised methods become each other, and that their own models are what is scored."""

import json

import numpy as np
import pytest
import torch

from fedrun.core.buffers import model_of
from fedrun.core.federation import Job, clients_of
from fedrun.core.measure import score
from fedrun.core.option import ConfigError
from fedrun.core.task import Examples
from fedrun.core.tree import expand, row
from fedrun.experiment.choices import choices
from fedrun.experiment.evaluation import evaluate

ENGINES = choices("engine")
SMALL = ("model.hidden=[8]", "rounds=3", "clients.per_round=3", "local.batch_size=7")
WEIGHTS = "algorithm.weights=examples"
HEAD = ("3.weight", "3.bias")

# The model that a client uses, by its state (s) and the message (m), where nothing is trained.
OWN = {
    "local_only": lambda s, m: s["model"],
    "fedper": lambda s, m: m["model"] | s,
    "fedrep": lambda s, m: m["model"] | s,
    "lg_fedavg": lambda s, m: m["model"] | s,
    "ditto": lambda s, m: s["model"],
    "pfedme": lambda s, m: s["model"],
    "apfl": lambda s, m: {n: 0.5 * s["model"][n] + 0.5 * m["model"][n] for n in m["model"]},
}
TRAINED = ("finetune", "fedbabu", "per_fedavg")
EVERY = [*OWN, *TRAINED]
NO_GLOBAL = ("local_only", "fedper", "fedrep", "lg_fedavg", "per_fedavg")


def kept(state):
    """The model that each client keeps."""
    return [row(state.bank.take([k])["model"], 0) for k in range(5)]


def close(left, right):
    assert left.keys() == right.keys()
    for name, leaf in left.items():
        torch.testing.assert_close(leaf, right[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_ditto_without_pull_is_training_alone_beside_fedavg(engine, federation, play, same):
    options = (*SMALL, f"engine={engine}")
    alone, average, ditto, pulled = (
        play(federation(*text.split(), *options))[-1].state
        for text in ("algorithm=local_only", "algorithm=fedavg",
                     "algorithm=ditto algorithm.lam=0", "algorithm=ditto")
    )  # fmt: skip
    assert same(ditto.bank.to_tree(), alone.bank.to_tree())
    assert same(ditto.server, average.server)
    assert same(pulled.server, average.server)
    assert not same(pulled.bank.to_tree(), alone.bank.to_tree())


@pytest.mark.parametrize("engine", ENGINES)
def test_fedper_without_a_head_is_fedavg(engine, federation, play, same):
    options = (*SMALL, f"engine={engine}", "server.momentum=0.9")
    per = play(federation("algorithm=fedper", "algorithm.head=0", *options))[-1]
    average = play(federation("algorithm=fedavg", *options))[-1]
    assert same(per.state.to_tree(), average.state.to_tree())
    assert per.metrics["test/accuracy"] == average.metrics["test/accuracy"]
    assert per.metrics["personal/accuracy"] == average.metrics["test/accuracy"]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_apfl_between_the_global_model_and_training_alone(alpha, federation, play):
    options = (*SMALL, "engine=eager")
    apfl = federation("algorithm=apfl", f"algorithm.alpha={alpha}", WEIGHTS, *options)
    state = play(apfl)[-1].state
    average = play(federation("algorithm=fedavg", *options))[-1].state
    alone = play(federation("algorithm=local_only", *options))[-1].state
    close(state.server["model"], average.server["model"])  # whatever alpha is
    clients = clients_of(apfl.federation, Job(3, np.arange(5), state.bank.take(range(5))))
    algorithm = apfl.federation.algorithm
    own = algorithm.personal(clients, expand(algorithm.message(state.server), 5))
    for client, model in enumerate(kept(alone)):
        if alpha == 1:
            close(row(own, client), model)
        elif alpha == 0:
            close(row(own, client), state.server["model"])
        else:
            assert not row(own, client)["1.weight"].allclose(model["1.weight"], atol=1e-3)


def test_fedrep_without_epochs_for_the_head_trains_as_fedbabu(federation, play, same):
    rep, babu = (
        play(federation(*text.split(), WEIGHTS, *SMALL))[-1].state
        for text in ("algorithm=fedrep algorithm.head_epochs=0", "algorithm=fedbabu")
    )
    assert same(rep.server["model"], babu.server["model"])
    first = federation("algorithm=fedrep", *SMALL).state
    assert all(same(head, first.bank.take([0])) for head in map(rep.bank.take, [[0], [3]]))


def test_fedrep_with_next_to_no_body_step_fits_the_heads_alone(federation, play):
    # One body for all that does not move: the heads are logistic regressions on its features.
    options = ("algorithm=fedrep", "algorithm.head_epochs=3", "server.lr=1e-30", *SMALL)
    experiment = federation(*options, "rounds=1", "clients.per_round=5")
    state = play(experiment)[-1].state
    first = experiment.state.server["model"]
    close(state.server["model"], first)
    for client in range(5):
        rows = torch.from_numpy(experiment.partition.train[client])
        data = experiment.dataset.train
        mine = Examples(torch.from_numpy(data.x)[rows], torch.from_numpy(data.y)[rows])
        before, after = (
            score(experiment.task, model, mine).loss.mean()
            for model in (first, first | state.bank.take([client]).map(lambda leaf: leaf[0]))
        )
        assert after < before


@pytest.mark.parametrize(
    ("algorithm", "frozen"), [("fedper", HEAD), ("fedrep", HEAD), ("fedbabu", HEAD),
                              ("lg_fedavg", ("1.weight", "1.bias"))],
)  # fmt: skip
@pytest.mark.parametrize("engine", ENGINES)
def test_the_servers_other_part_is_untouched(algorithm, frozen, engine, federation, play):
    server = ("server.momentum=0.9", "server.lr=0.7")
    experiment = federation(f"algorithm={algorithm}", f"engine={engine}", *server, *SMALL)
    first = experiment.state.server["model"]
    last = play(experiment)[-1].state.server["model"]
    assert list(last) == list(first)
    for name, leaf in last.items():
        assert leaf.equal(first[name]) == (name in frozen), name


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_own_models_are_scored_on_the_own_shares(algorithm, federation, play):
    experiment = federation(f"algorithm={algorithm}", *SMALL, "clients.unseen=0.2",
                            "data.examples=400", "evaluate.every=0")  # fmt: skip
    last = play(experiment)[-1]
    state, tests = last.state, experiment.partition.test
    never = (set(range(5)) - set(experiment.seen.tolist())).pop()
    right, losses, counts = {}, {}, {}
    for client in range(5):
        job = Job(3, np.array([client]), state.bank.take([client]))
        clients = clients_of(experiment.federation, job)
        message = expand(experiment.federation.algorithm.message(state.server), 1)
        kept = job.state
        if client == never:
            kept = experiment.federation.algorithm.client_update(clients, message).state
        if algorithm in OWN:
            model = OWN[algorithm](row(kept, 0), row(message, 0))
        else:
            model = row(experiment.federation.algorithm.personal(clients, message), 0)
        module = experiment.task.load(model).eval()
        x = torch.from_numpy(experiment.dataset.test.x[tests[client]])
        y = torch.from_numpy(experiment.dataset.test.y[tests[client]])
        with torch.no_grad():
            outputs = module(x)
        right[client] = (outputs.argmax(1) == y).double().mean().item()
        losses[client] = torch.nn.functional.cross_entropy(outputs, y).item()
        counts[client] = len(y)
    seen = experiment.seen.tolist()
    total = sum(counts[k] for k in seen)
    accuracy = sum(right[k] * counts[k] for k in seen) / total
    loss = sum(losses[k] * counts[k] for k in seen) / total
    assert last.metrics["personal/accuracy"] == pytest.approx(accuracy)
    assert last.metrics["personal/loss"] == pytest.approx(loss, rel=1e-5)
    assert last.metrics["personal/accuracy_worst10"] == pytest.approx(min(right[k] for k in seen))
    assert last.metrics["unseen/accuracy"] == pytest.approx(right[never])
    assert last.metrics["unseen/loss"] == pytest.approx(losses[never], rel=1e-5)
    assert never not in state.bank.rows
    assert ("test/accuracy" in last.metrics) == (algorithm not in NO_GLOBAL)


@pytest.mark.parametrize(
    "algorithm", [*(pytest.param(name, marks=pytest.mark.slow) for name in EVERY), "fedbn"]
)
def test_scoring_changes_nothing_and_repeats_itself(algorithm, batch_norm, play, same):
    # With batch normalisation, so that running statistics are looked at too.
    options = (f"algorithm={algorithm}", "rounds=2", "clients.per_round=3", "clients.unseen=0.2")
    experiment = batch_norm(*options)
    last = play(experiment)[-1]
    figures = {n: v for n, v in last.metrics.items() if n.startswith(("personal/", "unseen/"))}
    assert figures
    again = evaluate(experiment, last.state)
    assert {name: again[name] for name in figures} == figures
    quiet = play(batch_norm(*options, "evaluate.every=0"))[-1].state
    assert same(quiet.to_tree(), last.state.to_tree())


@pytest.mark.parametrize("algorithm", ["finetune", "ditto", "pfedme", "apfl", "per_fedavg"])
def test_other_statistics_of_the_whole_model_still_travel(algorithm, batch_norm, play):
    experiment = batch_norm(f"algorithm={algorithm}")
    first, last = experiment.state, play(experiment)[-1].state
    for name, leaf in model_of(first.server).items():
        if name != "1.bias":  # which the normalisation takes out again
            assert not leaf.equal(model_of(last.server)[name]), name


@pytest.fixture
def strangers(tmp_path):
    """LEAF's files where other users are tested than those who train."""
    draw = np.random.default_rng(0)
    for half, users in (("train", "abc"), ("test", "de")):
        x = draw.normal(size=(6, 6)).tolist()
        data = {user: {"x": x, "y": [0, 1, 2] * 2} for user in users}
        (tmp_path / half).mkdir()
        content = {"users": list(users), "num_samples": [6] * len(users), "user_data": data}
        (tmp_path / half / "all.json").write_text(json.dumps(content))
    return ("data=leaf", f"data.root={tmp_path}", "partition=natural", "clients.count=null")


@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_where_nobody_has_a_test_row_own_models_are_not_promised(
    algorithm, strangers, federation, play, small
):
    words = (*strangers, f"algorithm={algorithm}", *small(algorithm))
    with_tests = federation(*words, "clients.test_fraction=0.5")
    if with_tests.federation.algorithm.personal:
        assert "personal/accuracy" in play(with_tests)[-1].metrics
        with pytest.raises(ConfigError, match="test rows, and no client has one"):
            federation(*words)
    else:
        assert "test/accuracy" in play(federation(*words))[-1].metrics


@pytest.mark.parametrize(
    "algorithm", ["local_only", "fedper", "fedrep", "finetune", "ditto", "apfl"]
)
def test_on_clients_that_disagree_it_beats_the_global_model(algorithm, federation, play):
    # Two groups whose labels are exchanged: no model is right for both.
    rows = [(k, s * (1 + i / 8)) for k in range(4) for i in range(8) for s in (-1, 1)]
    x = [[value, 1] for _, value in rows]
    y = [int((value > 0) == (k < 2)) for k, value in rows]
    options = ("data=inline", f"data.x={x}", f"data.y={y}", "data.task=classes",
               f"data.client={[k for k, _ in rows]}", "partition=natural",
               "clients.test_fraction=0.5")  # fmt: skip
    last = play(
        federation(*options, f"algorithm={algorithm}", "model.hidden=[8]", "rounds=15",
                   "local.epochs=3", "local.batch_size=4", "evaluate.every=0")
    )[-1]  # fmt: skip
    assert last.metrics["personal/accuracy"] > 0.9
