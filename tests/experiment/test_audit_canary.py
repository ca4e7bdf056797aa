"""The empirical audit believes honest mechanisms and finds broken ones, in real training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrun.core.chain import Context, Total
from fedrun.core.option import ConfigError
from fedrun.core.privacy import Sampling
from fedrun.core.tree import Tree
from fedrun.experiment.audit_mechanism import audit
from fedrun.experiment.build import build
from fedrun.experiment.canary import Canaries, Directions, flat, released_into, unflat, watched
from fedrun.privacy._stream import streams
from fedrun.privacy.central import central

WORDS = [  # 650 parameters; an epsilon that 200 canaries can refute
    "data=digits", "model=logistic", "clients.count=20", "local.steps=1",
    "privacy.noise_multiplier=4", "privacy.clip_norm=0.5", "rounds=2",
]  # fmt: skip
CANARIES = 200


@pytest.fixture
def config(short_way):
    """config(*overrides) -> the plain values of a private federation."""
    return lambda *more: short_way(["privacy=central", *WORDS, *more])


def with_layer(change):
    """A federation whose privacy layer is another one, made from (layer, sampling)."""

    def changed(experiment):
        chain = [change(experiment.privacy.layer, experiment.privacy.event.sampling)]
        return replace(experiment, federation=replace(experiment.federation, chain=chain))

    return changed


def noise_of(multiplier):
    return lambda layer, sampling: (
        central(sampling, 2, 0, clip_norm=0.5, noise_multiplier=multiplier).layer
    )


def unclipped(layer, sampling):
    """Clients weigh up to 20 under the noise of those that weigh 1."""

    def encode(packets, told, context):
        sent = layer.encode(packets, told, context)
        return replace(sent, update=sent.update.map(lambda leaf: leaf * 20))

    return replace(layer, encode=encode)


def test_an_honest_run_is_consistent(config):
    found = audit(config(), CANARIES)
    assert found.verdict == "consistent"
    assert found.measured < found.claimed < found.most
    assert (found.canaries, found.rounds, found.unit) == (CANARIES, 2, "client")
    assert found.claimed == pytest.approx(1.3565, abs=1e-3)  # z = 4, two rounds, exact
    assert found.estimate == pytest.approx(found.claimed, rel=0.35)  # 200 canaries: +- 0.2


@pytest.mark.parametrize(
    "change",
    [noise_of(0.0), noise_of(4 / 20), unclipped],
    ids=["without_noise", "m12_noise_of_the_mean", "m05_broken_sensitivity"],
)
def test_a_broken_mechanism_is_found(config, change):
    found = audit(config(), CANARIES, change=with_layer(change))
    assert found.verdict == "violated"
    assert found.measured > found.claimed
    assert found.estimate > 3 * found.claimed


@pytest.mark.parametrize(
    "words",
    [
        ["clients.sampling=poisson", "clients.per_round=0.5"],
        ["clients.sampling=uniform", "clients.per_round=5"],
        ["clients.sampling=cyclic", "clients.per_round=5"],
        ["privacy.rng=secure"],
        ["engine.workers=2"],
        ["algorithm=scaffold"],
    ],
    ids=lambda words: words[0],
)
def test_every_way_of_drawing_is_audited(config, words):
    found = audit(config(*words), 60)
    assert found.verdict == "consistent"
    assert 0 < found.claimed < np.inf
    assert (found.estimate is None) == ("algorithm=scaffold" in words)


@pytest.mark.parametrize("name", ["adaptive_clip", "dp_ftrl"])
def test_other_mechanisms_keep_their_state(short_way, name):
    words = ["data=digits", "model=logistic", "clients.count=20", "local.steps=1", "rounds=3"]
    found = audit(short_way([f"privacy={name}", *words]), 60)
    assert found.verdict == "consistent"


def test_the_number_of_canaries_follows_from_the_model(config):
    assert audit(config("rounds=1")).canaries == 650


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["privacy=none", "rounds=1"], "privacy=none claims nothing"),
        (["privacy=central", "privacy.noise_multiplier=0"], "without noise claims no epsilon"),
    ],
)
def test_nothing_to_refute_is_said(short_way, words, why):
    with pytest.raises(ConfigError, match=why):
        audit(short_way([*words, "data=digits", "model=logistic"]), 10)


def test_too_many_canaries_for_the_memory():
    made = canaries(2**20, scheme="full")
    with pytest.raises(ConfigError, match="take at most 256"):
        Directions(made).in_space_of(Tree(w=torch.zeros(2**20)))


def canaries(number, scheme="poisson", relation="zero_out", cohort=10.0, seed=0):
    return Canaries(
        number=number,
        relation=relation,
        streams=streams("seeded", seed),
        clients=np.arange(40),
        cohort=lambda round: np.arange(10) + 10 * ((round - 1) % 4),
        first=50,
        sampling=Sampling(scheme=scheme, population=40, cohort=cohort),
    )


def test_canaries_are_drawn_as_clients_are():
    coins = canaries(4000).coins
    assert abs(coins.sum() - 2000) < 4 * np.sqrt(1000)
    drawn = [len(canaries(4000).drawn(round)) for round in (1, 2, 3)]
    assert all(abs(count - 1000) < 4 * np.sqrt(750) for count in drawn)
    assert len(set(drawn)) > 1
    assert len(canaries(30, scheme="full").drawn(1)) == 30
    in_turn = canaries(80, scheme="cyclic")  # canary k comes with client k mod 40
    assert in_turn.drawn(2).tolist() == [*range(10, 20), *range(50, 60)]
    assert in_turn.beside(2).tolist() == list(range(10, 20))


def test_of_a_fixed_cohort_clients_and_canaries_are_drawn_together(config):
    experiment = build(config("clients.sampling=uniform", "clients.per_round=5"))
    made = released_into(experiment, 30)
    assert (made.sampling.population, made.sampling.cohort) == (50, 12)  # 5 * 50 / 20, cut off
    assert made.sampling.rate <= experiment.privacy.event.sampling.rate
    sizes = set()
    for round in range(1, 40):
        both = len(made.drawn(round)) + len(made.beside(round))
        assert both == 12
        sizes.add(len(made.beside(round)))
        assert made.beside(round).max() < 20
    assert len(sizes) > 3


@pytest.mark.parametrize(("number", "dimension"), [(30, 40), (5, 5000), (60, 40)])
def test_directions_are_units_and_apart(number, dimension):
    directions = Directions(canaries(number))
    directions.in_space_of(Tree(w=torch.zeros(dimension - 4), inner=Tree(b=torch.zeros(2, 2))))
    products = directions.vectors @ directions.vectors.T
    assert torch.allclose(products.diag(), torch.ones(number), atol=1e-5)
    rest = products - torch.eye(number)
    assert rest.abs().max() < (1e-5 if number == 30 else 0.8 if number == 60 else 0.08)


def test_an_update_is_flattened_and_back():
    tree = Tree(b=torch.arange(4.0).view(2, 2), a=Tree(c=torch.tensor([9.0])))
    back = unflat(flat(tree)[None], tree)
    assert flat(tree).tolist() == [9.0, 0.0, 1.0, 2.0, 3.0]
    assert torch.equal(back["b"][0], tree["b"])
    assert torch.equal(back["a"]["c"][0], tree["a"]["c"])


@pytest.mark.parametrize(("relation", "sign"), [("zero_out", 0.0), ("replace_one", -1.0)])
def test_one_canary_moves_the_sum_by_the_clip_norm(relation, sign):
    """Those that are in are seen at clip norm / cohort; the others not at all, or backwards."""
    made = canaries(20, scheme="full", relation=relation, cohort=40.0)
    directions = Directions(made)
    sampling = Sampling(scheme="full", population=40, cohort=40)
    inner = central(sampling, 1, 0, clip_norm=0.5, noise_multiplier=0.0).layer
    layer = watched(inner, made, directions)
    total = Total(Tree(w=torch.zeros(500, dtype=torch.int64)), torch.tensor(40.0))
    where = Context(1, np.empty(0, np.int64))
    _, state = layer.decode(total, layer.init(), where)
    expected = torch.from_numpy(np.where(made.coins, 1.0, sign)) * 0.5 / 40
    assert torch.allclose(state["seen"], expected, atol=0.5 / 40 * 2e-3)
    _, again = layer.decode(total, state, where)
    assert torch.allclose(again["seen"], 2 * expected, atol=0.5 / 40 * 4e-3)


def test_a_mechanism_without_streams_is_told_what_it_lacks(short_way, tmp_path, monkeypatch):
    (tmp_path / "open_noise.py").write_text(
        "from dataclasses import replace\n"
        "from fedrun.privacy.central import central\n\n\n"
        "def noise(sampling, rounds, seed):\n"
        '    """Central noise that does not say where it comes from."""\n'
        "    return replace(central(sampling, rounds, seed), streams=None)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"open_noise:noise names no streams of secret"):
        audit(short_way(["privacy=open_noise:noise", "data=digits", "model=logistic"]), 10)
