import pytest

from fedrun.core.option import ConfigError

# One point each, so w = b = u with the gradient 2 (2 u - y); two steps of lr 0.1, lambda 1.
#
# Round 1, both from 0. A (y = 1), global: 0.2, 0.32. Own: 0.2; 0.2 + 0.12 - 0.1 * 0.2 = 0.3.
#                       B (y = 3): 0.6, 0.96; own 0.6; 0.6 + 0.36 - 0.06 = 0.9.  x = 0.64.
# Round 2, anchor 0.64. A, own: 0.3 + 0.08 + 0.034 = 0.414; 0.414 + 0.0344 + 0.0226 = 0.471.
#                       B, own: 0.9 + 0.24 - 0.026 = 1.114; 1.114 + 0.1544 - 0.0474 = 1.221.
POINTS = [[(1, 1)], [(1, 3)]]
OPTIONS = ("algorithm=ditto", "algorithm.lam=1", "local.steps=2", "rounds=2")


def numbers(tree):
    return [leaf.item() for leaf in tree.values()]


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_two_rounds_by_hand(engine, line, federation, play):
    events = play(federation(*line(POINTS), *OPTIONS, f"engine={engine}"))
    assert numbers(events[0].state.server["model"]) == pytest.approx([0.64] * 2)
    for event, own in zip(events, [(0.3, 0.9), (0.471, 1.221)], strict=True):
        for client in range(2):
            found = numbers(event.state.bank.rows[client]["model"])
            assert found == pytest.approx([own[client]] * 2)


def test_the_own_model_can_work_longer(line, federation, play):
    options = ("algorithm=ditto", "algorithm.lam=0", "algorithm.epochs=3", "rounds=1")
    state = play(federation(*line(POINTS), *options))[0].state
    assert numbers(state.server["model"]) == pytest.approx([0.4] * 2)
    # 0.2, 0.32, 0.392
    assert numbers(state.bank.rows[0]["model"]) == pytest.approx([0.392] * 2)


def test_the_own_model_may_be_given_steps(line, federation, play):
    options = ("algorithm=ditto", "algorithm.lam=0", "algorithm.steps=3", "rounds=1")
    state = play(federation(*line(POINTS), *options))[0].state
    assert numbers(state.server["model"]) == pytest.approx([0.4] * 2)
    assert numbers(state.bank.rows[0]["model"]) == pytest.approx([0.392] * 2)
    with pytest.raises(ConfigError, match=r"algorithm\.epochs=2 has no effect beside"):
        federation(*options, "algorithm.epochs=2")


def test_a_strong_pull_keeps_the_own_models_at_the_global_one(federation, play):
    def apart(lam):
        experiment = federation("algorithm=ditto", f"algorithm.lam={lam}", "model.hidden=[4]",
                                "rounds=3", "local.epochs=2", "local.lr=0.05")  # fmt: skip
        before, last = (event.state for event in play(experiment)[-2:])
        # To the global model that they were pulled to, which is the one before.
        return sum(
            (last.bank.rows[k]["model"][name] - leaf).square().sum().item()
            for k in range(5)
            for name, leaf in before.server["model"].items()
        )

    assert apart(15) < apart(1) < apart(0)


def test_it_sends_no_more_than_fedavg(federation, play):
    up = {
        name: play(federation(f"algorithm={name}", "model.hidden=[4]"))[0].metrics["comm/up_bytes"]
        for name in ("fedavg", "ditto")
    }
    assert up["ditto"] == up["fedavg"]


def test_both_models_have_running_statistics_of_their_own(batch_norm, play, same):
    # Without a pull the own model is `local_only`'s, and the global one FedAvg's, statistics too.
    options = ("rounds=3", "clients.per_round=3", "clients.unseen=0.2")
    ditto, alone, average = (
        play(batch_norm(f"algorithm={name}", *options))[-1]
        for name in ("ditto", "local_only", "fedavg")
    )
    assert same(ditto.state.server, average.state.server)
    assert not same(ditto.state.bank.to_tree(), alone.state.bank.to_tree())
    ditto = play(batch_norm("algorithm=ditto", "algorithm.lam=0", *options))[-1]
    assert same(ditto.state.server, average.state.server)
    assert same(ditto.state.bank.to_tree(), alone.state.bank.to_tree())
    for name, value in alone.metrics.items():
        if name.startswith(("personal/", "unseen/")):
            assert ditto.metrics[name] == value
