"""What holds for every mechanism and every method that it is let together with.

Every method takes a stand: it trains under a mechanism, or it is refused in one sentence. The
tables say which; where they do not name a method, its record says it. Whoever trains is then held
to the two laws on which every epsilon rests: a client moves the exact sum by no more than the clip
norm, and nothing but the noised sum goes on.
"""

from dataclasses import replace
from functools import cache
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedrun.core import chain
from fedrun.core.chain import Context, Packets, Total
from fedrun.core.federation import Job
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree, row, stack
from fedrun.experiment.choices import choices
from fedrun.experiment.loop import plain_metrics
from fedrun.privacy._grid import grid_scale, num_parameters
from fedrun.protocol.synchronous import synchronous

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
COINS = ("clients.sampling=poisson", "clients.per_round=0.5")
TURNS = ("clients.sampling=cyclic", "clients.per_round=2")
SUMS = {  # where the server sees a noised sum
    "central": ("privacy=central", *COINS),
    "adaptive_clip": ("privacy=adaptive_clip", *COINS),
    "dp_ftrl": ("privacy=dp_ftrl", *TURNS),
    "banded_mf": ("privacy=banded_mf", *TURNS),
}

EACH, DIVIDES, TWICE = (
    "must see each client's update",
    "divides by numbers",
    "asks the clients twice",
)
NOTHING, READS = "sends nothing that", "uses losses or gradients over clients' data"
STATISTICS = "running statistics"
UPDATES = {
    "fedlin": TWICE, "mime": TWICE, "local_only": NOTHING,
    "fednova": DIVIDES, "ifca": DIVIDES, "qfedavg": DIVIDES,
}  # fmt: skip
REFUSED = {
    "central": {**UPDATES, "afl": EACH, "cfl": EACH},
    "dp_ftrl": {**UPDATES, "afl": EACH, "cfl": EACH},
    "local": UPDATES,
    "example": {
        "fedlin": TWICE, "mime": TWICE,
        **dict.fromkeys(("afl", "apfl", "fedlc", "fedntd", "ifca", "mimelite", "moon",
                         "per_fedavg", "qfedavg"), READS),
    },
}  # fmt: skip
TRAINS = (  # where no table above refuses them
    "ditto", "fedadagrad", "fedadam", "fedadmm", "fedavg", "fedavgm", "fedbabu", "fedbn", "feddyn",
    "fedper", "fedprox", "fedrep", "fedsgd", "fedyogi", "finetune", "lg_fedavg", "pfedme",
    "scaffold",
)  # fmt: skip
STATED = {*TRAINS, *REFUSED["central"], *REFUSED["example"]}  # others: by what their record says
ALLOWED = [name for name in choices("algorithm") if name not in REFUSED["central"]]
CASES = [("central", name) for name in ALLOWED]
CASES += [(name, method) for name in SUMS for method in ("fedavg", "scaffold") if name != "central"]


def model_for(algorithm, normalised):
    """Overrides: FedBN needs running statistics, and keeps them at the clients."""
    more = [normalised, "local.batch_size=20"] if algorithm == "fedbn" else []
    return [*TINY[bool(more) :], *more]


@pytest.fixture(scope="module")
def from_record(federation, normalised):
    """from_record(privacy, algorithm) -> why its record has it refused, or None where it trains."""

    @cache
    def made(algorithm):
        return federation(*model_for(algorithm, normalised), f"algorithm={algorithm}")

    def why(privacy, algorithm):
        experiment = made(algorithm)
        method, buffers = experiment.federation.algorithm, experiment.task.buffers
        sums, noised = privacy != "example", privacy not in ("example", "local")
        silent = not list(method.message(experiment.state.server).leaves())
        return next((reason for reason, holds in (
            (NOTHING, sums and silent),
            (STATISTICS, buffers and not (sums and method.keeps_buffers)),
            (TWICE, method.survey is not None),
            (READS, not sums and method.reads_data),
            (EACH, noised and method.needs == "each"),
            (DIVIDES, sums and method.divides),
        ) if holds), None)  # fmt: skip

    return why


@pytest.fixture(scope="module")
def stand(from_record):
    """stand(privacy, algorithm) -> the words that it is refused with, or None where it trains."""

    def why(privacy, algorithm):
        if algorithm not in STATED:
            return from_record(privacy, algorithm)
        if privacy == "example" and algorithm == "fedbn":
            return STATISTICS
        return REFUSED.get(privacy, REFUSED["central"]).get(algorithm)

    return why


@pytest.mark.parametrize("algorithm", sorted(STATED))
@pytest.mark.parametrize("privacy", REFUSED)
def test_the_records_of_the_stated_say_what_the_tables_say(privacy, algorithm, stand, from_record):
    assert from_record(privacy, algorithm) == stand(privacy, algorithm)


STANDS = [(privacy, name) for privacy in REFUSED for name in choices("algorithm")
          if privacy != "dp_ftrl" or name in REFUSED[privacy]]  # fmt: skip


@pytest.mark.parametrize(("privacy", "algorithm"), STANDS)
def test_every_method_takes_a_stand(privacy, algorithm, normalised, federation, play, stand):
    def made():
        return federation(
            f"privacy={privacy}", *model_for(algorithm, normalised), f"algorithm={algorithm}"
        )

    if why := stand(privacy, algorithm):
        with pytest.raises(ConfigError, match=why) as told:
            made()
        assert str(told.value).count("\n") == 0
        assert f"privacy={privacy}" in str(told.value)
    else:
        state = play(made())[-1].state
        assert state.round == 1
        assert all(leaf.isfinite().all() for leaf in state.server["model"].values())


def told_to(experiment):
    federation, state = experiment.federation, experiment.state
    message = federation.algorithm.message(state.server)
    words = chain.told(federation.chain, state.channel)
    return Tree(message, channel=words) if words else message


WILD = [1e30, -1e30, float("nan"), float("inf"), -float("inf"), 1e-40, 5e-324, 0.0, 1.0, 3e38]
SENT = st.tuples(
    st.sampled_from(WILD) | st.floats(width=32),  # what stands everywhere
    st.sampled_from(WILD) | st.floats(width=64),  # and in one place
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64]),
    st.sampled_from([0.0, 1.0, 1e30, float("inf"), float("nan"), -1.0]),
)


def spoil(leaf, sent):
    everywhere, one, dtype, _ = sent
    whole = torch.full(leaf.shape, everywhere, dtype=torch.float64)
    whole.view(len(leaf), -1)[:, 0] = one
    if not dtype.is_floating_point:
        whole = whole.nan_to_num(0, 1e15, -1e15).clamp(-1e15, 1e15)
    return whole.to(dtype)


def length(update):
    leaves = [leaf.double().flatten() for leaf in update.leaves()]
    return float(torch.cat(leaves).norm())


@pytest.mark.parametrize(("privacy", "algorithm"), CASES)
def test_m05_m11_whatever_a_client_sends_moves_the_sum_by_no_more_than_the_clip(
    privacy, algorithm, normalised, federation, stand
):
    if stand(privacy, algorithm):
        pytest.skip("refused, as the first law wants it")
    experiment = federation(
        *SUMS[privacy], *model_for(algorithm, normalised), f"algorithm={algorithm}"
    )
    clip_norm = 0.1 if privacy == "adaptive_clip" else 1.0
    real, words = reply_of(experiment)
    most = floor(clip_norm * grid_scale(clip_norm, num_parameters(real)))

    def total(who, sent):
        each = [real.map(lambda leaf, one=one: spoil(leaf, one)) for one in sent]
        if len({one[2] for one in sent}) > 1:
            each = [update.map(Tensor.double) for update in each]
        packets = Packets(stack([row(update, 0) for update in each]),
                          torch.tensor([one[3] for one in sent]))  # fmt: skip
        context = Context(1, np.array(who))
        return chain.total(
            chain.encode(experiment.federation.chain, packets, words, context)
        ).update

    @settings(max_examples=10, deadline=None)
    @given(st.tuples(SENT, SENT, SENT))
    def whatever(sent):
        alone = total([1], sent[1:2])
        moved = total([0, 1, 2], sent) - total([0, 2], [sent[0], sent[2]])
        assert not any(leaf.is_floating_point() for leaf in moved.leaves())
        assert all((leaf == 0).all() for leaf in (moved - alone).leaves())
        if privacy == "adaptive_clip":
            assert moved["bits"].tolist() in ([0, 0], [1, 0], [0, 1])
            moved = moved["update"]
        assert length(moved) <= most

    whatever()


def reply_of(experiment):
    """What client 0 really sends in round 1, and what the layers have told it."""
    sent = {}
    layer = experiment.federation.chain[0]

    def watched(packets, words, context):
        sent.update(update=packets.update, words=words)
        return layer.encode(packets, words, context)

    watching = replace(experiment.federation, chain=[replace(layer, encode=watched)])
    job = Job(1, np.array([0]), experiment.state.bank.take([0]))
    synchronous(watching).chunk(told_to(experiment), job)
    words = Tree({"0": sent["words"]}) if sent["words"] else Tree()
    return sent["update"], words


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("privacy", [*SUMS, "local"])
def test_m11_one_whose_update_is_not_finite_counts_as_nothing(privacy, bad, federation, play):
    options = SUMS.get(privacy, ("privacy=local",))
    experiment = federation(*options, *TINY, "privacy.noise_multiplier=0", "rounds=2")
    method = experiment.federation.algorithm

    def poisoned(clients, message):
        reply = method.client_update(clients, message)
        return replace(reply, update=reply.update.map(lambda leaf: torch.full_like(leaf, bad)))

    spoilt = replace(experiment.federation, algorithm=replace(method, client_update=poisoned))
    job = Job(1, np.array([0, 1]), Tree())
    done = synchronous(spoilt).chunk(told_to(experiment), job)
    assert not any(leaf.any() for leaf in done.sent.update.leaves())
    assert done.ok.tolist() == [False, False]
    if privacy == "local":
        assert done.sent.weight == 2  # and is not missed, which would tell of it


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_the_clip_is_of_all_that_a_client_sends_together(algorithm, federation):
    experiment = federation("privacy=central", *TINY, f"algorithm={algorithm}")
    job = Job(1, np.array([0]), experiment.state.bank.take([0]))
    sent = {}
    layer = experiment.federation.chain[0]

    def watched(packets, words, context):
        sent["update"] = packets.update.map(lambda leaf: 100 * leaf)
        return layer.encode(replace(packets, update=sent["update"]), words, context)

    watching = replace(experiment.federation, chain=[replace(layer, encode=watched)])
    done = synchronous(watching).chunk(told_to(experiment), job)
    found, scale = done.sent.update, grid_scale(1.0, num_parameters(sent["update"]))
    assert set(found) == ({"model", "control"} if algorithm == "scaffold" else {"model"})
    # one factor for every tree of it, which gives the whole of it the norm 1
    assert length(found) / scale == pytest.approx(1, abs=2e-3)
    for name in found:
        share = length(row(sent["update"], 0)[name]) / length(sent["update"])
        assert length(found[name]) / scale == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize(("privacy", "algorithm"), CASES)
def test_nothing_but_the_sum_and_the_noise_goes_on(
    privacy, algorithm, normalised, federation, same, stand
):
    """The next message, all that is kept and all that is written are the same, whoever came and
    whatever they hold, where the sum is."""
    if stand(privacy, algorithm):
        pytest.skip("refused, as the first law wants it")
    experiment = federation(
        *SUMS[privacy], *model_for(algorithm, normalised), f"algorithm={algorithm}"
    )
    draw = torch.Generator().manual_seed(1)

    def sums(leaf):
        return torch.randint(-99, 99, leaf.shape, generator=draw, dtype=leaf.dtype)

    found, given_sum = [], []
    for cohort in ([0, 1], [2, 3, 4], [3], []):
        one = replace(
            experiment.federation, cohort=lambda _, who=cohort: np.array(who, int), chunk_size=1
        )
        protocol = synchronous(one)

        def crew(message, jobs, costs=None, work=protocol.chunk):
            for place, job in enumerate(jobs):
                done = work(message, job)
                given_sum[:] = given_sum or [done.sent.update.map(sums)]
                zeros = done.sent.update.map(torch.zeros_like)
                yield replace(done, sent=Total(zeros if place else given_sum[0], done.sent.weight))

        state, line = protocol.start(experiment.state, crew)()
        message = one.algorithm.message(state.server)
        figures = plain_metrics(experiment, state, line)
        found.append(Tree(server=state.server, message=message, channel=state.channel,
                          bytes=Tree(up=state.up_bytes, down=state.down_bytes),
                          told=figures))  # fmt: skip
    before = experiment.federation.algorithm.message(experiment.state.server)
    assert not same(found[0]["message"], before)
    for other in found[1:]:
        assert same(other, found[0])


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "ditto"])
@pytest.mark.parametrize("more", [(), ("clients.per_round=3",), ("system=stragglers",)])
def test_no_clip_and_no_noise_is_none_to_the_bit(algorithm, more, federation, play, same):
    options = (*TINY[:2], f"algorithm={algorithm}", "rounds=3", *more)
    nothing = ("privacy=central", "privacy.noise_multiplier=0", "privacy.clip_norm=inf")
    for one, other in zip(
        play(federation(*options)), play(federation(*options, *nothing)), strict=True
    ):
        assert same(one.state.to_tree(), other.state.to_tree())
        assert one.clients == other.clients
        assert untimed(one) == untimed(other)


def untimed(event):
    return {name: value for name, value in event.metrics.items() if name[:5] != "time/"}


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox", "fedavgm"])
def test_a_clip_that_nobody_reaches_changes_no_more_than_the_grid(algorithm, federation, play):
    options = (*TINY, f"algorithm={algorithm}", "algorithm.weights=uniform", "rounds=3")
    open_clip = ("privacy=central", "privacy.noise_multiplier=0", "privacy.clip_norm=64")
    plain, clipped = play(federation(*options))[-1], play(federation(*options, *open_clip))[-1]
    assert not any(row["clipped"] for row in clipped.clients)
    parameters = sum(leaf.numel() for leaf in plain.state.server["model"].values())
    step = 1 / grid_scale(64.0, parameters)
    first, last = plain.state.server["model"], clipped.state.server["model"]
    for name, leaf in first.items():
        # the mean of cut off numbers is off by less than a step, and three rounds add up
        torch.testing.assert_close(last[name], leaf, rtol=1e-4, atol=20 * step)
    assert clipped.metrics.keys().isdisjoint({"train/loss", "privacy/leaky"})
    near = play(federation(*options, *open_clip[:2], "privacy.clip_norm=0.01"))[-1]
    assert all(row["clipped"] for row in near.clients)


@pytest.mark.parametrize("privacy", [*SUMS, "local", "example"])
def test_workers_and_chunks_change_no_bit(privacy, federation, play, same):
    options = SUMS.get(privacy, (f"privacy={privacy}",))
    options = (*TINY[:2], *options, "rounds=3")
    alone = play(federation(*options))
    others = [("engine.workers=2", "engine.chunk=2")]
    if privacy in SUMS:  # sums of whole numbers do not even depend on how they are cut
        others += [("engine.chunk=1",), ("engine.chunk=5",)]
    else:
        alone = play(federation(*options, "engine.chunk=2"))
    for more in others:
        for one, other in zip(alone, play(federation(*options, *more)), strict=True):
            assert same(one.state.to_tree(), other.state.to_tree())
            assert untimed(one) == untimed(other)


@pytest.mark.parametrize("privacy", SUMS)
def test_the_noise_does_not_depend_on_the_engine(privacy, federation, play):
    ends = [
        play(federation(*SUMS[privacy], "model.hidden=[3]", f"engine={engine}", "rounds=2"))[-1]
        for engine in ("eager", "stack")
    ]
    models = [end.state.server["model"] for end in ends]
    for name, leaf in models[0].items():
        torch.testing.assert_close(leaf, models[1][name], rtol=1e-3, atol=1e-3)


def test_m27_a_client_is_in_a_round_once_or_not_at_all(federation):
    """By construction: a cohort is a set of client numbers, and a client of the partition is the
    participant whom the guarantee is about; whoever splits one person into several clients hides
    each of them, which no program can see."""
    for options in (COINS, TURNS, ("clients.per_round=3",)):
        cohort = federation("privacy=central", *TINY, *options).federation.cohort
        for number in range(1, 40):
            who = cohort(number).tolist()
            assert who == sorted(set(who))


def test_m24_nothing_but_the_clipped_update_leaves_a_client(federation, same):
    """By construction: weight decay, momentum and optimiser state are steps of local training, in
    front of the clip, and stay with the client; `Reply.update` alone is encoded."""
    options = ("local.momentum=0.9", "local.weight_decay=0.1")
    experiment = federation("privacy=central", *TINY, *options, "privacy.clip_norm=0.01")
    done = experiment.protocol.chunk(told_to(experiment), Job(1, np.array([0]), Tree()))
    assert set(done.sent.update) == {"model"}
    assert length(done.sent.update) <= 0.01 * grid_scale(
        0.01, num_parameters(done.sent.update.map(lambda leaf: leaf[None]))
    )
    assert done.state == Tree()
    sent = Packets(Tree(model=torch.ones(1, 4)), torch.ones(1))
    context = Context(1, np.array([0]))
    encoded = experiment.federation.chain[0].encode(sent, Tree(), context)
    assert encoded.weight.tolist() == [1.0]
