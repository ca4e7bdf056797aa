import pytest

from fedrun.core.option import ConfigError

# One point each, so w = b = u with the gradient g(u) = 2 (2 u - y); two steps of lr 0.1; alpha 0.5.
#
# A (y = 1): w: 0, 0.2, 0.32. v: 0 -> 0 - 0.1 * 0.5 * g(0) = 0.1; the mixture is then 0.15, and
#   v = 0.1 - 0.05 * 2 (0.3 - 1) = 0.17.  B (y = 3) is thrice that; w averages to 0.64.
POINTS = [[(1, 1)], [(1, 3)]]
OPTIONS = ("algorithm=apfl", "local.steps=2")


def numbers(tree):
    return [leaf.item() for leaf in tree.values()]


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
def test_a_round_by_hand(engine, line, federation, play):
    event = play(federation(*line(POINTS), *OPTIONS, f"engine={engine}"))[0]
    assert numbers(event.state.server["model"]) == pytest.approx([0.64] * 2)
    for client, own in enumerate((0.17, 0.51)):
        kept = event.state.bank.rows[client]
        assert numbers(kept["model"]) == pytest.approx([own] * 2)
        assert kept["alpha"].item() == 0.5


def test_alpha_adapts_once_a_round(line, federation, play):
    # In the first round both models are the same, and so is alpha. Then A has v = 0.17 and
    # w = 0.64: at 0.405 the slope of alpha is 2 (v - w) g = 2 * -0.47 * -0.38; B: v = 0.51, at
    # 0.575: 2 * -0.13 * -3.7.
    one, two = play(federation(*line(POINTS), *OPTIONS, "algorithm.alpha_lr=0.1", "rounds=2"))
    assert [one.state.bank.rows[k]["alpha"].item() for k in range(2)] == [0.5, 0.5]
    expected = [0.5 - 0.1 * 2 * 0.47 * 0.38, 0.5 - 0.1 * 2 * 0.13 * 3.7]
    found = [two.state.bank.rows[k]["alpha"].item() for k in range(2)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert [row["alpha"] for row in two.clients] == found


@pytest.mark.parametrize("alpha_lr", [1000, 3])
def test_alpha_stays_a_fraction(alpha_lr, line, federation, play):
    events = play(federation(*line(POINTS), *OPTIONS, f"algorithm.alpha_lr={alpha_lr}", "rounds=4"))
    for event in events:
        assert all(0 <= event.state.bank.rows[k]["alpha"].item() <= 1 for k in range(2))


def test_the_recorded_loss_is_the_global_models(federation, play):
    options = ("model.hidden=[4]", "rounds=2", "algorithm.weights=uniform")
    for ours, theirs in zip(
        play(federation("algorithm=apfl", *options)),
        play(federation("algorithm=fedavg", *options)),
        strict=True,
    ):
        for name in ("train/loss", "train/accuracy"):
            assert ours.metrics[name] == pytest.approx(theirs.metrics[name], rel=1e-5)


def test_clipping_is_refused(federation):
    with pytest.raises(ConfigError, match=r"algorithm=apfl .*clip_norm=1 would clip as one"):
        federation("algorithm=apfl", "local.clip_norm=1")


def test_both_models_have_running_statistics_of_their_own(batch_norm, play, same):
    options = ("rounds=2", "algorithm.weights=uniform")
    state = play(batch_norm("algorithm=apfl", *options))[-1].state
    average = play(batch_norm("algorithm=fedavg", *options))[-1].state
    for part in ("model", "buffers"):
        for name, leaf in state.server[part].items():
            assert leaf.allclose(average.server[part][name], atol=1e-5), name
    kept = [state.bank.rows[k]["buffers"]["2.running_mean"] for k in range(5)]
    assert not kept[0].allclose(kept[1])
    assert not kept[0].allclose(state.server["buffers"]["2.running_mean"])
