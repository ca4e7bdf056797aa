import pytest
import torch

from fedrun.core.option import ConfigError

# One point each, so w = b = u and both have the gradient 2 (2 u - y); two steps of lr 0.1 a round.
#
# Round 1, no drift. A (y = 1): gradients -2, -1.2; u = 0.32; own control -1.6, their mean.
#                    B (y = 3): gradients -6, -3.6; u = 0.96; own control -4.8.
#                    Model 0.64; control -3.2.
# Round 2. A: drift -3.2 + 1.6 = -1.6; gradients 0.56, 0.976; u = 0.64 + 0.104 + 0.0624 = 0.8064;
#             own control 0.768.
#          B: drift +1.6; gradients -3.44, -2.704; u = 0.64 + 0.184 + 0.1104 = 0.9344;
#             own control -3.072.
#          Model 0.8704; control -1.152.
POINTS = [[(1, 1)], [(1, 3)]]
OPTIONS = ("algorithm=scaffold", "local.steps=2")


def numbers(tree):
    return [leaf.item() for leaf in tree.values()]


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_two_rounds_by_hand(engine, line, federation, play):
    events = play(federation(*line(POINTS), *OPTIONS, "rounds=2", f"engine={engine}"))
    expected = [(0.64, -3.2, -1.6, -4.8), (0.8704, -1.152, 0.768, -3.072)]
    for event, (model, control, own_a, own_b) in zip(events, expected, strict=True):
        assert numbers(event.state.server["model"]) == pytest.approx([model] * 2, rel=1e-5)
        assert numbers(event.state.server["control"]) == pytest.approx([control] * 2, rel=1e-5)
        assert numbers(event.state.bank.rows[0]["control"]) == pytest.approx([own_a] * 2, rel=1e-5)
        assert numbers(event.state.bank.rows[1]["control"]) == pytest.approx([own_b] * 2, rel=1e-5)


def test_only_the_cohort_moves_its_control(line, federation, play, same):
    experiment = federation(
        *line([[(1, y)] for y in range(1, 6)]), *OPTIONS, "rounds=6", "clients.per_round=2"
    )
    before = experiment.state
    for event in play(experiment):
        cohort = {row["client"] for row in event.clients}
        assert len(cohort) == 2
        for client in range(5):
            if client not in cohort:
                assert same(event.state.bank.take([client]), before.bank.take([client])), (
                    "a client that was not there moved its control"
                )
        # The server's control moves by the cohort's share of all clients.
        moved = sum(
            event.state.bank.take([k])["control"]["1.bias"].item()
            - before.bank.take([k])["control"]["1.bias"].item()
            for k in cohort
        )
        drift = event.state.server["control"]["1.bias"] - before.server["control"]["1.bias"]
        assert drift.item() == pytest.approx(moved / 5, rel=1e-4, abs=1e-6)
        before = event.state


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_control_is_a_mean_of_gradients_also_with_momentum(momentum, line, federation, play):
    # At a point whose gradient does not change (lr next to nothing) the control is that gradient.
    options = (f"local.momentum={momentum}", "local.lr=0.000001", "local.steps=7")
    event = play(federation(*line([[(1, 3)]]), "algorithm=scaffold", *options))[0]
    assert event.state.server["control"]["1.bias"].item() == pytest.approx(-6.0, rel=1e-3)


@pytest.mark.parametrize("engine", ["eager", "stack"])
def test_it_reaches_the_pooled_optimum_where_fedavg_does_not(engine, line, train):
    # Slopes that disagree: local steps drift apart, and FedAvg stops beside the least squares line.
    points = [[(1, 1), (3, 1)], [(-1, 2), (0.5, -2)]]
    x = torch.tensor([[p[0], 1.0] for part in points for p in part])
    y = torch.tensor([p[1] for part in points for p in part]).float()
    optimum = torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze()
    gap = {}
    for name in ("fedavg", "scaffold"):
        model = train(*line(points), f"algorithm={name}", "local.steps=10", "rounds=150",
                      "evaluate.every=0", f"engine={engine}")  # fmt: skip
        found = torch.stack([leaf.squeeze() for leaf in model.values()])
        gap[name] = (found - optimum).norm().item()
    assert gap["scaffold"] < 1e-3
    assert gap["fedavg"] > 0.1


def test_it_costs_twice_the_traffic(federation, play):
    bytes_of = {
        name: play(federation(f"algorithm={name}", "model.hidden=[4]"))[0].metrics
        for name in ("fedavg", "scaffold")
    }
    for key in ("comm/up_bytes", "comm/down_bytes"):
        assert bytes_of["scaffold"][key] == 2 * bytes_of["fedavg"][key]


def test_adam_is_refused(federation):
    with pytest.raises(
        ConfigError, match=r"scaffold .* does not work with local=adam; take local=sgd"
    ):
        federation("algorithm=scaffold", "local=adam")


def niid_bench(rounds, steps, momentum, lr=0.1):
    """Their loops on A (y = 1, once) and B (y = 3, twice): model and controls after each round."""
    x, c, own, path = 0.0, 0.0, [0.0, 0.0], []
    for _ in range(rounds):
        ends, renewed = [], []
        for k, y in enumerate((1, 3)):
            w, v = x, 0.0
            for _ in range(steps):
                v = momentum * v + 2 * (2 * w - y)
                w -= lr * v
                w -= lr * (c - own[k])
            ends.append(w)
            renewed.append(own[k] - c + (x - w) / (steps * lr))
        c += sum(new - old for new, old in zip(renewed, own, strict=True)) / 2
        own, x = renewed, (ends[0] + 2 * ends[1]) / 3
        path.append((x, c, *own))
    return path


@pytest.mark.parametrize("engine", ["eager", "stack"])
@pytest.mark.parametrize(
    ("momentum", "steps", "lr", "near"), [(0.0, 3, 0.1, 1e-5), (0.5, 400, 0.0001, 0.005)]
)
def test_niid_benchs_is_their_loop(momentum, steps, lr, near, engine, line, federation, play):
    options = (*line([[(1, 1)], [(1, 3), (1, 3)]]), "algorithm=scaffold", f"local.lr={lr}",
               "algorithm.variant=niid_bench", f"local.momentum={momentum}", "rounds=3",
               f"local.steps={steps}", f"engine={engine}")  # fmt: skip
    expected = niid_bench(3, steps, momentum, lr)
    for event, (model, control, *own) in zip(play(federation(*options)), expected, strict=True):
        assert numbers(event.state.server["model"]) == pytest.approx([model] * 2, rel=near)
        assert numbers(event.state.server["control"]) == pytest.approx([control] * 2, rel=near)
        for k in range(2):
            kept = event.state.bank.rows[k]["control"]
            assert numbers(kept) == pytest.approx([own[k]] * 2, rel=near)


def test_niid_benchs_controls_grow_with_the_momentum(line, federation, play):
    options = ("local.momentum=0.9", "local.lr=0.000001", "local.steps=400")
    found = {}
    for variant in ("paper", "niid_bench"):
        event = play(
            federation(*line([[(1, 3)]]), "algorithm=scaffold", f"algorithm.variant={variant}",
                       *options)
        )[0]  # fmt: skip
        found[variant] = event.state.server["control"]["1.bias"].item()
    growth = (400 - 0.9 * (1 - 0.9**400) / 0.1) / 0.1 / 400
    assert found["niid_bench"] == pytest.approx(found["paper"] * growth, rel=1e-3)
    assert growth > 9.7


def option_one(rounds, steps, lr=0.1):
    """Algorithm 1 with option I on A (y = 1) and B (y = 3): model and controls after each round."""
    x, c, own, path = 0.0, 0.0, [0.0, 0.0], []
    for _ in range(rounds):
        ends, renewed = [], [2 * (2 * x - y) for y in (1, 3)]
        for k, y in enumerate((1, 3)):
            w = x
            for _ in range(steps):
                w -= lr * (2 * (2 * w - y) - own[k] + c)
            ends.append(w)
        c += sum(new - old for new, old in zip(renewed, own, strict=True)) / 2
        own, x = renewed, sum(ends) / 2
        path.append((x, c, *own))
    return path


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_option_one_by_hand(engine, line, federation, play):
    options = (*OPTIONS, "algorithm.option=1", "rounds=3", f"engine={engine}")
    expected = option_one(3, 2)
    assert expected[0] == pytest.approx((0.64, -4, -2, -6))
    for event, (model, control, *own) in zip(
        play(federation(*line(POINTS), *options)), expected, strict=True
    ):
        assert numbers(event.state.server["model"]) == pytest.approx([model] * 2, rel=1e-5)
        assert numbers(event.state.server["control"]) == pytest.approx(
            [control] * 2, rel=1e-5, abs=1e-6
        )
        for k in range(2):
            kept = numbers(event.state.bank.rows[k]["control"])
            assert kept == pytest.approx([own[k]] * 2, rel=1e-5)


@pytest.mark.parametrize("local", [("local=adam",), ("local.clip_norm=0.5",)])
def test_option_one_takes_any_local_steps(local, line, federation, play):
    options = ("algorithm=scaffold", "algorithm.option=1", *local)
    event = play(federation(*line(POINTS), *options))[0]
    assert numbers(event.state.server["control"]) == pytest.approx([-4, -4])


def test_option_one_is_not_niid_benchs(federation):
    with pytest.raises(ConfigError, match=r"leave algorithm.option=1 out"):
        federation("algorithm=scaffold", "algorithm.option=1", "algorithm.variant=niid_bench")


def by_examples(rounds, steps, lr=0.1):
    """Algorithm 1 with option II on A (y = 1, once) and B (y = 3, twice), which count 1 to 2."""
    x, c, own, path = 0.0, 0.0, [0.0, 0.0], []
    for _ in range(rounds):
        ends, renewed = [], []
        for k, y in enumerate((1, 3)):
            w = x
            for _ in range(steps):
                w -= lr * (2 * (2 * w - y) - own[k] + c)
            ends.append(w)
            renewed.append(own[k] - c + (x - w) / (steps * lr))
        own, x = renewed, (ends[0] + 2 * ends[1]) / 3
        c = (own[0] + 2 * own[1]) / 3
        path.append((x, c, *own))
    return path


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_models_and_controls_count_by_examples(engine, line, federation, play):
    options = (*line([[(1, 1)], [(1, 3), (1, 3)]]), *OPTIONS, "algorithm.weights=examples",
               "rounds=3", f"engine={engine}")  # fmt: skip
    expected = by_examples(3, 2)
    for event, (model, control, *own) in zip(play(federation(*options)), expected, strict=True):
        assert numbers(event.state.server["model"]) == pytest.approx([model] * 2, rel=1e-5)
        assert numbers(event.state.server["control"]) == pytest.approx([control] * 2, rel=1e-5)
        for k in range(2):
            kept = numbers(event.state.bank.rows[k]["control"])
            assert kept == pytest.approx([own[k]] * 2, rel=1e-5)


def test_niid_bench_has_weights_of_its_own(federation):
    with pytest.raises(ConfigError, match=r"leave algorithm.weights out"):
        federation(
            "algorithm=scaffold", "algorithm.variant=niid_bench", "algorithm.weights=examples"
        )
