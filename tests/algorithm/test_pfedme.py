import pytest

from fedrun.core.option import ConfigError

# One point each, so w = b = u with the gradient 2 (2 u - y); lr 0.1, lambda 2, eta 0.1, K = 2.
#
# A (y = 1), from 0.  r = 1: theta 0.2; 0.2 + 0.12 - 0.1 * 2 * 0.2 = 0.28; w = 0.2 * 0.28 = 0.056.
#   r = 2: from 0.28: 0.28 + 0.088 - 0.2 (0.28 - 0.056) = 0.3232;
#          0.3232 + 0.07072 - 0.2 (0.3232 - 0.056) = 0.34048; w = 0.056 + 0.2 * 0.28448 = 0.112896.
# B (y = 3) is thrice that. Their mean is twice it: 0.225792.
POINTS = [[(1, 1)], [(1, 3)]]
OPTIONS = ("algorithm=pfedme", "algorithm.lam=2", "algorithm.eta=0.1", "algorithm.local_rounds=2",
           "algorithm.inner_steps=2")  # fmt: skip


def numbers(tree):
    return [leaf.item() for leaf in tree.values()]


@pytest.mark.parametrize("engine", ["eager", "stack", "native"])
@pytest.mark.parametrize("beta", [1, 2, 0.5])
def test_a_round_by_hand(engine, beta, line, federation, play):
    experiment = federation(*line(POINTS), *OPTIONS, f"server.lr={beta}", f"engine={engine}")
    event = play(experiment)[0]
    assert numbers(event.state.server["model"]) == pytest.approx([beta * 0.225792] * 2)
    assert numbers(event.state.bank.rows[0]["model"]) == pytest.approx([0.34048] * 2)
    assert numbers(event.state.bank.rows[1]["model"]) == pytest.approx([1.02144] * 2)
    assert [row["steps"] for row in event.clients] == [4, 4]


def test_the_inner_steps_share_a_batch_and_the_local_rounds_do_not(line, federation, play):
    # With lambda next to nothing theta takes plain SGD steps: y = 1 or y = 3, one batch a round.
    options = ("algorithm.lam=1e-9", "algorithm.local_rounds=1", "local.batch_size=1")
    event = play(federation(*line([[(1, 1), (1, 3)]]), *OPTIONS, *options))[0]
    (own,) = set(numbers(event.state.bank.rows[0]["model"]))
    assert own == pytest.approx(0.32) or own == pytest.approx(0.96)
    many = play(
        federation(*line([[(1, 1), (1, 3)]]), *OPTIONS, *options, "algorithm.local_rounds=30",
                   "algorithm.inner_steps=1")
    )[0]  # fmt: skip
    # It swings about (1 + 3) / 4.
    assert 0.6 < numbers(many.state.bank.rows[0]["model"])[0] < 1.4


@pytest.mark.parametrize("option", ["local.epochs=2", "local.steps=3"])
def test_work_that_has_no_effect_is_refused(option, federation):
    with pytest.raises(ConfigError, match=rf"{option} has no effect with algorithm=pfedme"):
        federation("algorithm=pfedme", option)


def own_model(w, y):
    """theta after the two local rounds of OPTIONS from the global model u = w, for the point y."""
    theta, local = w, w
    for _ in range(2):
        for _ in range(2):
            theta -= 0.1 * (2 * (2 * theta - y) + 2 * (theta - local))
        local -= 0.2 * (local - theta)
    return theta


@pytest.mark.parametrize("scored", ["kept", "renewed"])
def test_the_own_models_that_are_scored(scored, line, federation, play):
    # Client 0 or 1 is away in round 1: its kept model is the first one, which is 0.
    options = (*OPTIONS, "clients.per_round=1", f"algorithm.scored={scored}")
    event = play(federation(*line(POINTS), *options))[0]
    (came,) = (row["client"] for row in event.clients)
    (u, _) = numbers(event.state.server["model"])
    assert u == pytest.approx((0.112896, 3 * 0.112896)[came])
    kept = [own_model(0, y) if came == k else 0 for k, y in enumerate((1, 3))]
    own = kept if scored == "kept" else [own_model(u, 1), own_model(u, 3)]
    for k, y in enumerate((1, 3)):
        expected = (2 * own[k] - y) ** 2
        assert event.metrics[f"personal/loss@{k}"] == pytest.approx(expected, rel=1e-4)
    for k in range(2):  # nothing is kept of what is only scored
        held = event.state.bank.take([k])["model"]
        assert [leaf.item() for leaf in held.values()] == pytest.approx([kept[k]] * 2, rel=1e-5)
