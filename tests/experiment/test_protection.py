"""What is refused beside a guarantee, in one sentence, and what is not written beside one."""

import json

import numpy as np
import pytest
import torch

from fedrun.core.chain import Context, Packets
from fedrun.core.option import ConfigError
from fedrun.core.tree import Tree
from fedrun.experiment.compose import compose
from fedrun.experiment.run import Nobody, resume, train
from fedrun.privacy._grid import grid_scale

TINY = ("model.hidden=[3]", "engine=eager", "evaluate.every=0")
COINS = ("clients.sampling=poisson", "clients.per_round=0.5")
TURNS = ("clients.sampling=cyclic", "clients.per_round=2")
CENTRAL = ("privacy=central",)

REFUSED = [
    ("m05 weights", (*CENTRAL, "algorithm.weights=examples"), "move the sum by all that it holds"),
    ("m05 local weights", ("privacy=local", "algorithm.weights=examples"), "tells what each"),
    ("survey", (*CENTRAL, "algorithm=mime"), "asks the clients twice"),
    ("each", (*CENTRAL, "algorithm=cfl"), "must see each client's update"),
    ("m01 by size", (*CENTRAL, "clients.sampling=size", "clients.per_round=2"),
     "clients.sampling=size.*no theorem"),
    ("m01 by size, locally", ("privacy=local", "clients.sampling=size", "clients.per_round=2"),
     "clients.sampling=size"),
    ("m01 m25 fixed", (*CENTRAL, "clients.per_round=2", "privacy.relation=add_remove"),
     "replace_one only"),
    ("m25 poisson", (*CENTRAL, *COINS, "privacy.relation=replace_one"), "proved by no theorem"),
    ("m01 m25 cyclic", (*CENTRAL, *TURNS, "privacy.relation=add_remove"), "add_remove"),
    ("m01 tree of coins", ("privacy=dp_ftrl", *COINS), "take cyclic or shuffled"),
    ("m01 tree of lots", ("privacy=dp_ftrl", "clients.per_round=2"), "take cyclic or shuffled"),
    ("m01 bands of coins", ("privacy=banded_mf", *COINS), "take cyclic or shuffled"),
    ("m01 bands of shuffles", ("privacy=banded_mf", "clients.sampling=shuffled",
     "clients.per_round=2"), "accepted: 1 band; take cyclic"),
    ("too many bands", ("privacy=banded_mf", *TURNS, "privacy.bands=3"), "1 to 2 bands"),
    ("no clip", (*CENTRAL, "privacy.clip_norm=inf"), "no noise can hide what is not bounded"),
    ("both", (*CENTRAL, "privacy.target_epsilon=1"), "both say how much noise"),
    ("neither", (*CENTRAL, "privacy.noise_multiplier=null"), "are both null"),
    ("m23 delta 1", (*CENTRAL, "privacy.delta=1"), "privacy.delta"),
    ("m23 delta 0", (*CENTRAL, "privacy.delta=0"), "privacy.delta"),
    ("m23 delta", (*CENTRAL, "privacy.delta=1.5"), "privacy.delta"),
    ("no rounds", (*CENTRAL, "rounds=0", "privacy.noise_multiplier=null",
     "privacy.target_epsilon=1"), "rounds=0"),
    ("m05 capped", (*CENTRAL, "privacy.weights=capped"), "needs privacy.weight_cap"),
    ("cap", (*CENTRAL, "privacy.weight_cap=9"), "weight_cap=9 has no effect"),
    ("mean", (*CENTRAL, "privacy.mean_weight=0.5"), "mean_weight=0.5 has no effect"),
    ("m05 capped of those who count alike", (*CENTRAL, "algorithm=scaffold",
     "privacy.weights=capped", "privacy.weight_cap=9"), "counts clients alike"),
    ("m05 capped and uniform", (*CENTRAL, "algorithm.weights=uniform", "privacy.weights=capped",
     "privacy.weight_cap=9"), "counts clients alike"),
    ("capped without a clip", (*CENTRAL, "privacy.weights=capped", "privacy.weight_cap=9",
     "privacy.clip_norm=inf", "privacy.noise_multiplier=0"), "has no effect"),
    ("half of a simulation", (*CENTRAL, *COINS, "privacy.simulated_cohort=9"), "belong together"),
    ("a smaller simulation", (*CENTRAL, *COINS, "privacy.simulated_cohort=1",
     "privacy.simulated_population=10"), "needs no simulating"),
    ("m25 a simulation", (*CENTRAL, "clients.per_round=2", "privacy.relation=replace_one",
     "privacy.simulated_cohort=9", "privacy.simulated_population=99"), "no theorem covers"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "why"), [case[1:] for case in REFUSED],
                         ids=[case[0] for case in REFUSED])  # fmt: skip
def test_refused_in_one_sentence(options, why, federation):
    with pytest.raises(ConfigError, match=why) as told:
        federation(*TINY, *options)
    text = str(told.value)
    assert "\n" not in text
    assert len(text) < 260


@pytest.mark.parametrize("privacy", ["central", "adaptive_clip", "dp_ftrl", "local", "example"])
def test_m10_running_statistics_are_refused(privacy, batch_norm):
    with pytest.raises(ConfigError, match="batch normalisation") as told:
        batch_norm(f"privacy={privacy}")
    assert "group normalisation" in str(told.value)


@pytest.mark.parametrize("privacy", ["central", "local"])
def test_m10_running_statistics_that_stay_with_their_client_are_not(privacy, batch_norm, play):
    experiment = batch_norm(f"privacy={privacy}", "algorithm=fedbn")
    sent = experiment.federation.algorithm.message(experiment.state.server)
    assert "buffers" not in sent
    play(experiment)


def test_m05_capped_weights_by_hand(federation):
    options = (*TINY, *CENTRAL, "privacy.weights=capped", "privacy.weight_cap=20",
               "privacy.mean_weight=0.5", "privacy.noise_multiplier=0")  # fmt: skip
    experiment = federation(*options)
    layer, scale = experiment.federation.chain[0], grid_scale(1.0, 2)
    update = torch.tensor([[3.0, 4.0]] * 5)  # of norm 5: cut to (0.6, 0.8)
    examples = torch.tensor([5.0, 20.0, 21.0, 1e30, float("nan")])
    where = Context(1, np.arange(5))
    sent = layer.encode(Packets(Tree(model=update), examples), Tree(), where)
    found = sent.update["model"].double() / scale
    shares = torch.tensor([0.25, 1, 1, 1, 0])  # min(n / cap, 1)
    expected = shares[:, None].double() * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    assert (found.norm(dim=1) <= 1).all()  # the sensitivity stays the clip norm
    total = Tree(model=sent.update["model"].sum(0))
    from fedrun.core.chain import Total

    mean, _ = layer.decode(Total(total, torch.tensor(5.0)), Tree(), where)
    # divided by the public cohort of 5, each of weight 1/2 on average, whoever came
    torch.testing.assert_close(mean.update["model"].double(), expected.sum(0) / 2.5,
                               atol=1e-2, rtol=0)  # fmt: skip


LEAKS = ("train/", "clients/", "personal/")
SMALL = ["data=blobs", "data.examples=100", "data.features=4", "data.classes=2", "model=logistic",
         "clients.count=4", "engine=eager", "rounds=2"]  # fmt: skip
SHOWING = {
    "central": ["privacy=central", *COINS],
    "adaptive_clip": ["privacy=adaptive_clip", *COINS],
    "dp_ftrl": ["privacy=dp_ftrl", *TURNS],
    "banded_mf": ["privacy=banded_mf", *TURNS],
    "local": ["privacy=local"],
}


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("kind", SHOWING)
def test_m19_figures_without_noise_are_withheld_or_marked(kind, leaky, tmp_path):
    more = ["algorithm=finetune"] if kind == "central" else []
    more += ["privacy.leaky_diagnostics=true"] * leaky
    words = [*SMALL, *SHOWING[kind], *more, f"run.dir={tmp_path / 'run'}"]
    path = train(compose("train", words), Nobody())
    lines = [json.loads(text) for text in (path / "metrics.jsonl").read_text().splitlines()]
    told = json.loads((path / "summary.json").read_text())
    names = {name for line in lines for name in line} | set(told["final"]) | set(told)
    rows = (path / "clients.jsonl").read_text()
    found = {leak for leak in LEAKS for name in names if name.startswith(leak)}
    assert told["privacy"]["leaky"] is leaky
    assert any("leaky_diagnostics" in text for text in told["privacy"]["caveats"]) is leaky
    assert told["privacy"]["real"] is False
    if leaky:
        assert found >= {"train/", "clients/"}
        assert ("personal/" in found) is (kind == "central")
        assert rows
        assert all(line["privacy/leaky"] == 1 for line in lines)
    else:
        assert found == set()
        assert rows == ""
        assert not any("privacy/leaky" in line for line in lines)
        assert "time/examples_per_second" not in told


def test_m19_traffic_does_not_tell_who_came(federation, play):
    events = play(federation(*TINY, *CENTRAL, *COINS, "rounds=6"))
    assert len({len(event.clients) for event in events}) > 1
    up = np.diff([0, *(event.metrics["comm/up_bytes"] for event in events)])
    down = np.diff([0, *(event.metrics["comm/down_bytes"] for event in events)])
    assert len(set(up.tolist())) == len(set(down.tolist())) == 1
    assert up[0] > 0


def test_a_personal_method_under_a_guarantee_runs_to_its_end(tmp_path):
    words = [*SMALL, "model=mlp", "model.hidden=[3]", "algorithm=fedper", "privacy=central"]
    path = train(compose("train", [*words, f"run.dir={tmp_path / 'run'}"]), Nobody())
    told = json.loads((path / "summary.json").read_text())
    assert told["privacy"]["releases"] == 2
    resume(path, ["rounds=3"], Nobody())
    assert json.loads((path / "summary.json").read_text())["privacy"]["releases"] == 3
