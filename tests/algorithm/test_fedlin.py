import pytest

from fedrun.core.option import ConfigError

# One point each, so w = b = u and both have the gradient 2 (2 u - y): corrected, all clients take
# the steps of plain gradient descent on the mean: 0 -> 0.4 (gradient -4) -> 0.64 (-2.4), then
# 0.784 and 0.8704.
POINTS = [[(1, 1)], [(1, 3)]]
ENGINES = pytest.mark.parametrize("engine", ["eager", "stack", "native"])


@ENGINES
def test_two_rounds_by_hand(engine, line, federation, play):
    options = ("algorithm=fedlin", "local.steps=2", "rounds=2", f"engine={engine}")
    events = play(federation(*line(POINTS), *options))
    for event, model in zip(events, (0.64, 0.8704), strict=True):
        found = [leaf.item() for leaf in event.state.server["model"].values()]
        assert found == pytest.approx([model] * 2)


@pytest.mark.slow
@ENGINES
@pytest.mark.parametrize("pace", [("own", 0.05), ("shared", 0.3)])
@pytest.mark.parametrize(("weights", "optimum"), [("uniform", 0.5), ("examples", 10 / 11)])
def test_unequal_steps_lead_to_the_optimum(weights, optimum, pace, engine, line, train):
    # (b - 0)^2 with one step a round and (b - 1)^2 with ten, where FedAvg ends at 0.8669.
    clients = [[(0, 0)], [(0, 1)] * 10]
    options = ("local.batch_size=1", f"algorithm.pace={pace[0]}", f"local.lr={pace[1]}",
               "rounds=80", "evaluate.every=0", f"algorithm.weights={weights}",
               f"engine={engine}")  # fmt: skip
    model = train(*line(clients), "algorithm=fedlin", *options)
    assert model["1.bias"].item() == pytest.approx(optimum, abs=1e-5)


def test_a_client_alone_is_fedavg(train):
    options = ("model.hidden=[8]", "partition=iid", "clients.count=1", "rounds=2")
    found = train("algorithm=fedlin", *options)
    for name, leaf in train("algorithm=fedavg", *options).items():
        assert found[name].flatten().tolist() == pytest.approx(
            leaf.flatten().tolist(), rel=1e-4, abs=1e-6
        )


def test_it_costs_twice_the_traffic(federation, play):
    bytes_of = {
        name: play(federation(f"algorithm={name}", "model.hidden=[4]"))[0].metrics
        for name in ("fedavg", "fedlin")
    }
    for key in ("comm/up_bytes", "comm/down_bytes"):
        assert bytes_of["fedlin"][key] == 2 * bytes_of["fedavg"][key]


@ENGINES
def test_a_shared_pace_by_hand(engine, line, federation, play):
    # A (b - 0)^2 with one step of 0.1, B (b - 1)^2 with two of 0.05; g = -1 at b = 0. A: 0.1.
    # B: corrected by 2 - 1: 0.05, then -1.9 + 1 = -0.9: 0.095. Round 2 from 0.0975.
    options = ("local.batch_size=1", "algorithm=fedlin", "algorithm.pace=shared", "rounds=2",
               f"engine={engine}")  # fmt: skip
    events = play(federation(*line([[(0, 0)], [(0, 1)] * 2]), *options))
    expected = [0.0975]
    b = expected[0]
    g = (2 * b + 2 * (b - 1)) / 2
    first = b - 0.05 * g
    second = first - 0.05 * (2 * (first - b) + g)
    expected.append((b - 0.1 * g + second) / 2)
    for event, model in zip(events, expected, strict=True):
        assert event.state.server["model"]["1.bias"].item() == pytest.approx(model)
    loss = (0 + 1 + (0.05 - 1) ** 2) / 3  # measured before each step, as it is
    assert events[0].metrics["train/loss"] == pytest.approx(loss)


@pytest.mark.parametrize("option", ["local=adam", "local.weight_decay=0.1", "local.clip_norm=1"])
def test_a_shared_pace_is_that_of_plain_sgd(option, federation):
    with pytest.raises(ConfigError, match=r"or take algorithm.pace=own"):
        federation("algorithm=fedlin", "algorithm.pace=shared", option)
    federation("algorithm=fedlin", option)
