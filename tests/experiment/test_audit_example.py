"""The audit of DP-SGD believes honest steps and finds broken ones, in real training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.accounting import worst_bounds
from fedrun.core.dataset import Spec
from fedrun.core.option import ConfigError
from fedrun.core.plan import ChunkPlan
from fedrun.core.privacy import Event, Sampling
from fedrun.experiment.audit_example import trained
from fedrun.experiment.audit_mechanism import audit
from fedrun.experiment.build import build_from, hold
from fedrun.experiment.canary_example import (
    ExampleCanaries,
    Exposed,
    dealt,
    exposed,
    inputs,
    lacking,
    targets,
    with_canaries,
)
from fedrun.experiment.forecast import own_accounts
from fedrun.experiment.observer import Observer, alike
from fedrun.experiment.spending import Spending
from fedrun.privacy._stream import streams

WORDS = [
    "privacy=example", "data=digits", "partition=iid", "model=logistic", "clients.count=20",
    "local.batch_size=16", "local.steps=2", "rounds=2", "privacy.noise_multiplier=2",
    "privacy.delta=1e-4",
]  # fmt: skip
CANARIES = 400


@pytest.fixture
def config(short_way):
    """config(*overrides) -> the plain values of a private federation."""
    return lambda *more: short_way([*WORDS, *more])


def with_steps(**change):
    """A federation whose clients take other private steps than it claims."""

    def changed(experiment):
        federation = experiment.federation
        steps = replace(federation.steps, **change)
        return replace(experiment, federation=replace(federation, steps=steps))

    return changed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_honest_steps_are_consistent(config, seed):
    found = audit(config(f"seed={seed}"), CANARIES)
    assert found.verdict == "consistent"
    assert found.measured < found.claimed < found.most
    assert (found.unit, found.relation, found.canaries) == ("example", "zero_out", CANARIES)
    assert found.estimate is None
    assert found.black_box <= found.claimed


def test_little_noise_is_seen_by_who_knows_all_else(config):
    """One full batch: an honest Gaussian mechanism, of which the observer sees a good part."""
    words = ["local.batch_size=0", "local.steps=1", "rounds=1", "privacy.noise_multiplier=1"]
    found = audit(config(*words), CANARIES)
    assert 1 < found.measured < found.claimed
    assert found.claimed == pytest.approx(3.8044, abs=1e-3)  # z = 1, delta 1e-4, exact


@pytest.mark.parametrize(
    "change",
    [{"noise_multiplier": 0.0}, {"clip_norm": 1000.0, "noise_multiplier": 2 / 1000}],
    ids=["without_noise", "without_clip"],
)
def test_broken_steps_are_found(config, change):
    found = audit(config(), CANARIES, change=with_steps(**change))
    assert found.verdict == "violated"
    assert found.measured > 1.5 * found.claimed


@pytest.mark.slow
def test_canaries_do_not_hide_one_another(config):
    """Where many stand close together, and nothing else hides them, nearly all are told apart."""
    words = ["model=mlp", "clients.count=10", "clients.per_round=5", "local.batch_size=64"]
    found = audit(config(*words), 300, change=with_steps(noise_multiplier=0.0))
    assert found.right > 0.95 * found.guesses


@pytest.mark.slow
def test_the_claim_is_the_ledgers(config):
    """Canaries take the place of examples, so nothing that the claim rests on changes; those who
    come less often than in every round lose less."""
    words = ["partition=dirichlet", "partition.alpha=0.5"]
    found = audit(config(*words), 20)
    values = config(*words)
    accounts = own_accounts(build_from(values, hold(values)))
    claimed = worst_bounds(accounts, 1e-4, "add_remove")[1][0].epsilon
    assert found.claimed == pytest.approx(claimed, rel=1e-9)
    assert audit(config(*words, "clients.per_round=3"), 20).claimed < claimed


def test_workers_see_the_same(config):
    alone, together = (audit(config(f"engine.workers={n}"), 60) for n in (1, 2))
    assert alone == together


LSTM = ["model=char_lstm", "model.hidden=8"]


@pytest.mark.parametrize(
    "words",
    [
        ["data=breast_cancer"],
        pytest.param(["data=diabetes"], marks=pytest.mark.slow),
        pytest.param(["data=markov_text", *LSTM, "rounds=1"], marks=pytest.mark.slow),
        ["algorithm=scaffold", "privacy.rng=secure"],
        pytest.param(["algorithm=fedper", "model=mlp"], marks=pytest.mark.slow),
        pytest.param(["local=adam", "clients.per_round=4"], marks=pytest.mark.slow),
        pytest.param(["system=stragglers"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_whatever_is_trained_is_audited(short_way, words):
    kept = [w for w in WORDS if w.partition("=")[0] not in {v.partition("=")[0] for v in words}]
    found = audit(short_way([*kept, *words, "clients.count=8"]), 24)
    assert found.verdict == "consistent"
    assert 0 < found.claimed < np.inf


@pytest.mark.parametrize(
    ("words", "number", "why"),
    [
        (["privacy.noise_multiplier=0"], 10, "without noise claims no epsilon"),
        ([], 10_000, "at most half of a client's examples"),
    ],
)
def test_what_cannot_be_audited_is_said(config, words, number, why):
    with pytest.raises(ConfigError, match=why):
        audit(config(*words), number)


def of_config(values, number):
    held = hold(values)
    honest = build_from(values, held)
    clients = exposed(honest)
    return held, honest, clients, dealt(honest, clients, number)


def test_who_is_out_leaves_no_trace(config):
    """Whatever stands in the rows of canaries that are out, every bit of training is the same."""
    values = config("privacy.noise_multiplier=1")
    held, honest, clients, canaries = of_config(values, 200)
    dataset = with_canaries(held.dataset, canaries, honest.privacy.streams)
    ends = []
    for rows in (canaries.rows[:0], canaries.rows[~canaries.coins], canaries.rows[canaries.coins]):
        x = dataset.train.x.copy()
        x[rows] += 3
        other = replace(dataset, train=replace(dataset.train, x=x))
        experiment = build_from(values, replace(held, dataset=other))
        observer = Observer(experiment, clients, canaries)
        spending = Spending(honest.privacy)
        state = trained(experiment, canaries, observer, spending, values, lambda *_: None)
        ends.append(torch.cat([leaf.flatten() for leaf in state.server["model"].leaves()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_canary_takes_the_place_of_an_example(config):
    held, honest, clients, canaries = of_config(config(), 300)
    assert len(np.unique(canaries.rows)) == 300
    owner = np.full(len(held.dataset.train), -1)
    owner[held.partition.train.rows] = held.partition.train.owner
    assert np.array_equal(owner[canaries.rows], clients.clients[canaries.place])
    many = np.bincount(owner[canaries.rows], minlength=20)
    assert np.array_equal(clients.room, clients.examples // 2)
    assert (many[clients.clients] <= clients.room).all()
    assert abs(canaries.coins.sum() - 150) < 4 * np.sqrt(75)
    dataset = with_canaries(held.dataset, canaries, honest.privacy.streams)
    new, old = (data.train.x.reshape(len(owner), -1) for data in (dataset, held.dataset))
    changed = (new != old).any(1)
    assert np.array_equal(np.flatnonzero(changed), np.sort(canaries.rows))
    assert set(np.abs(new[changed]).ravel()) == {old.max()}


def test_canaries_go_to_those_who_lose_most(config):
    held, _, clients, canaries = of_config(config("partition=dirichlet", "clients.per_round=5"), 6)
    assert (np.diff(clients.dues) <= 0).all()
    assert clients.times.sum() == 2 * 5
    least = clients.dues[canaries.place].min()
    assert least >= 0.9 * clients.dues[0] or canaries.place.max() == np.searchsorted(
        np.cumsum(clients.room), 6
    )
    q = 16 / np.maximum(16, held.partition.train.sizes[clients.clients])
    assert clients.dues == pytest.approx(q * np.sqrt(2 * clients.times))


def test_the_chance_to_be_drawn_is_that_of_the_coins():
    event = Event(sampling=Sampling(scheme="poisson", population=40, cohort=10), noise_multiplier=1)
    clients = Exposed(
        np.array([3]), np.array([40]), np.array([2]), np.array([3]), [event], parameters=2**26
    )
    canaries = ExampleCanaries(np.zeros(5, int), np.arange(5), np.ones(5, bool))
    assert canaries.chance(clients) == pytest.approx(1 - 0.75**6)
    assert clients.accounts == [[(event, 6)]]
    assert clients.room.tolist() == [2]  # two gradients of 2^26 numbers


def test_batches_lack_who_is_out():
    plan = ChunkPlan(
        1, np.array([4, 7]), np.array([0, 2, 3]), np.array([0, 2, 2]), np.array([2, 2, 5]),
        np.array([8, 9, 0, 9, 8]), expected=np.array([1.0, 2.0]),
    )  # fmt: skip
    out = np.zeros(10, bool)
    out[9] = True
    short = lacking(plan, out)
    batches = [short.rows[b:e].tolist() for b, e in zip(short.begin, short.end, strict=True)]
    assert batches == [[8], [], [0, 8]]
    assert [client.bounds.tolist() for client in short.clients] == [[0, 1, 1], [0, 2]]
    assert short.expected.tolist() == [1.0, 2.0]
    assert short.steps.tolist() == plan.steps.tolist()


def test_inputs_and_targets_fit_the_data():
    stream = streams("seeded", 0)("canary", 0, 1)
    spec = Spec((2, 3), 4, "classes", tuple("abcd"))
    data = np.array([[-5.0, 2.0]], np.float32)
    x = inputs(stream, spec, data, 50)
    assert x.shape == (50, 2, 3)
    assert set(x.ravel()) == {-5.0, 5.0}
    assert set(targets(stream, spec, data, 200)) == {0, 1, 2, 3}
    assert set(targets(stream, Spec((1,), 1, "binary", ("a", "b")), data, 50)) == {0, 1}
    numbers = targets(stream, Spec((1,), 2, "number"), data, 50)
    assert numbers.shape == (50, 2)
    assert numbers.dtype == np.float32
    tokens = Spec((7,), 5, "tokens", tuple("abcde"), vocabulary=5)
    assert inputs(stream, tokens, data, 9).max() < 5
    assert targets(stream, tokens, data, 9).shape == (9, 7)


def test_examples_are_grouped_by_class(config):
    dataset = hold(config()).dataset
    groups = alike(dataset, np.arange(100))
    assert sum(map(len, groups)) == 100
    assert all(len(np.unique(dataset.train.y[rows])) == 1 for rows in groups)
    assert len(groups) == 10
    assert alike(dataset, np.arange(0)) == []
