import pytest
import torch

# One point each, so w = b = u with the gradient 2 (2 u - y); one step of lr 0.1 a round, alpha 1.
#
# Round 1. A (y = 1): 0.2; B (y = 3): 0.6. Mean way 0.4; moved 0.4; model 0 + 0.4 + 0.4.
# Round 2. A: 1.2 + 0.2 at 0.8: 0.66, moved 0.06. B: -2.8 + 0.6: 1.02, moved 0.82.
#          Mean way 0.04; moved 0.44; model 0.8 + 0.04 + 0.44.
POINTS = [[(1, 1)], [(1, 3)]]
OPTIONS = ("algorithm=feddyn", "algorithm.alpha=1", "rounds=2")


def numbers(tree):
    return [leaf.item() for leaf in tree.values()]


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_two_rounds_by_hand(engine, line, federation, play):
    events = play(federation(*line(POINTS), *OPTIONS, f"engine={engine}"))
    expected = [(0.8, 0.4, 0.2, 0.6), (1.28, 0.44, 0.06, 0.82)]
    for event, (model, moved, own_a, own_b) in zip(events, expected, strict=True):
        assert numbers(event.state.server["model"]) == pytest.approx([model] * 2)
        assert numbers(event.state.server["moved"]) == pytest.approx([moved] * 2)
        assert numbers(event.state.bank.rows[0]["moved"]) == pytest.approx([own_a] * 2)
        assert numbers(event.state.bank.rows[1]["moved"]) == pytest.approx([own_b] * 2)


def test_the_average_is_evaluated_and_the_cloud_is_trained(line, federation, play):
    options = (*line(POINTS), *OPTIONS, "algorithm.evaluated=average")
    events = play(federation(*options))
    for event, (mean, cloud) in zip(events, [(0.4, 0.8), (0.84, 1.28)], strict=True):
        assert numbers(event.state.server["model"]) == pytest.approx([mean] * 2)
        assert numbers(event.state.server["cloud"]) == pytest.approx([cloud] * 2)


def test_the_paper_writes_it_with_h(line, federation, play):
    # h = -alpha * moved, and g_k = -alpha * moved of k: algorithm 1, lines 6 to 12.
    events = play(federation(*line(POINTS), *OPTIONS, "algorithm.alpha=0.5", "rounds=3"))
    theta, h, g = 0.0, 0.0, [0.0, 0.0]
    for event in events:
        ends = []
        for k, y in enumerate((1, 3)):
            ends.append(theta - 0.1 * (2 * (2 * theta - y) - g[k]))
            g[k] -= 0.5 * (ends[k] - theta)
        h -= 0.5 / 2 * sum(end - theta for end in ends)
        theta = sum(ends) / 2 - h / 0.5
        assert numbers(event.state.server["model"]) == pytest.approx([theta] * 2, rel=1e-5)


def test_those_who_stay_away_keep_theirs_and_are_counted(line, federation, play, same):
    experiment = federation(
        *line([[(1, y)] for y in range(1, 6)]), "algorithm=feddyn", "rounds=6",
        "clients.per_round=2",
    )  # fmt: skip
    before = experiment.state
    for event in play(experiment):
        cohort = {row["client"] for row in event.clients}
        for client in set(range(5)) - cohort:
            assert same(event.state.bank.take([client]), before.bank.take([client]))
        kept = event.state.bank.take(range(5))["moved"]["1.bias"]
        moved = event.state.server["moved"]["1.bias"]
        torch.testing.assert_close(moved, kept.mean(0), rtol=1e-5, atol=1e-7)
        before = event.state


def test_a_step_that_does_not_average(line, train):
    # server.lr scales the whole way: 0.5 * (0.4 + 0.4).
    model = train(*line(POINTS), *OPTIONS, "rounds=1", "server.lr=0.5")
    assert numbers(model) == pytest.approx([0.4] * 2)


def test_it_sends_no_more_than_fedavg(federation, play):
    bytes_of = {
        name: play(federation(f"algorithm={name}", "model.hidden=[4]"))[0].metrics
        for name in ("fedavg", "feddyn")
    }
    for key in ("comm/up_bytes", "comm/down_bytes"):
        assert bytes_of["feddyn"][key] == bytes_of["fedavg"][key]


def test_alpha_goes_down_with_the_examples(line, federation, play):
    # A holds one point, B three of its own; alpha 1 belongs to two: 2 for A, 2 / 3 for B.
    # Round 1: 0.2 and 0.6, moved alike. Mean way 0.4; model 0.8.
    # Round 2. A: 1.2 + 2 * 0.2 at 0.8: 0.8 - 0.1 * 1.6 = 0.64. B: -2.8 + 0.4: 1.04.
    # The pull is nothing at the anchor, so a second step shows it. One more step each:
    # A: 0.64 - 0.1 * (0.56 + 0.4 - 2 * 0.16) = 0.576.
    # B: 1.04 - 0.1 * (-1.84 + 0.4 + 2 / 3 * 0.24) = 1.168.
    points = [[(1, 1)], [(1, 3)] * 3]
    own = ("algorithm=feddyn", "algorithm.alpha=1", "algorithm.alpha_examples=2")
    before = play(federation(*line(points), *own))[-1]
    assert numbers(before.state.server["model"]) == pytest.approx([0.8] * 2)
    longer = federation(*line(points), *own, "local.steps=2", "rounds=2")
    after = play(longer, before.state)[0].state.bank.rows
    for client, end in enumerate((0.576, 1.168)):
        moved = (0.2, 0.6)[client] + end - 0.8
        assert numbers(after[client]["moved"]) == pytest.approx([moved] * 2, rel=1e-5)


def test_with_equally_many_examples_there_is_one_alpha(federation, play):
    options = ("algorithm=feddyn", "algorithm.alpha=0.5", "model.hidden=[4]", "partition=iid",
               "engine=eager", "rounds=3")  # fmt: skip
    one, own = (
        play(federation(*options, *more))[-1] for more in ((), ("algorithm.alpha_examples=24",))
    )
    for name, leaf in one.state.server["model"].items():
        torch.testing.assert_close(own.state.server["model"][name], leaf, rtol=1e-4, atol=1e-6)
    assert own.metrics["train/loss"] == pytest.approx(one.metrics["train/loss"], rel=1e-4)


def test_all_clients_last_models_are_evaluated(federation, play):
    options = ("algorithm=feddyn", "model.hidden=[4]", "rounds=4", "clients.per_round=2")
    cloud = play(federation(*options))
    experiment = federation(*options, "algorithm.evaluated=all")
    for event, other in zip(play(experiment), cloud, strict=True):
        last = event.state.bank.take(range(5))["last"]
        for name, leaf in event.state.server["model"].items():
            torch.testing.assert_close(leaf, last[name].mean(0), rtol=1e-5, atol=1e-6)
            trained = event.state.server["cloud"][name]
            assert torch.equal(trained, other.state.server["model"][name])
    # A client that never came counts with the first weights.
    unseen = set(range(5)) - {row["client"] for row in play(experiment)[0].clients}
    kept = play(experiment)[0].state.bank.take([min(unseen)])["last"]
    for name, leaf in experiment.state.server["model"].items():
        assert torch.equal(kept[name][0], leaf)
