from math import sqrt

import pytest

from fedrun.core.option import ConfigError
from fedrun.core.schedule import Schedule, lr_schedule


def rates(*options):
    schedule = lr_schedule("local", 0.8, *options)
    return [schedule(t) for t in range(5)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("constant", 1.0, 1, 5), [0.8] * 5),
        (("exponential", 0.5, 1, 5), [0.8, 0.4, 0.2, 0.1, 0.05]),
        (("step", 0.5, 2, 5), [0.8, 0.8, 0.4, 0.4, 0.2]),
        (("inverse", 1.0, 1, 5), [0.8, 0.4, 0.8 / 3, 0.2, 0.16]),
        (("inverse", 0.5, 1, 5), [0.8, 0.8 / 1.5, 0.4, 0.32, 0.8 / 3]),
        (("inverse_sqrt", 1.0, 1, 5), [0.8, 0.8 / sqrt(2), 0.8 / sqrt(3), 0.4, 0.8 / sqrt(5)]),
        (("cosine", 1.0, 1, 4), [0.8, 0.4 * (1 + sqrt(0.5)), 0.4, 0.4 * (1 - sqrt(0.5)), 0.0]),
    ],
)
def test_by_hand(options, expected):
    assert rates(*options) == pytest.approx(expected)


def test_the_first_round_gets_the_whole_rate():
    for kind in ("constant", "exponential", "step", "inverse", "inverse_sqrt", "cosine"):
        assert Schedule(0.3, kind, 0.9, 2, 10)(0) == 0.3


def test_a_cosine_over_no_rounds_is_defined():
    assert Schedule(0.3, "cosine", rounds=0)(0) == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("constant", 0.5, 1, 5), r"server.decay=0.5 has no effect with server.schedule=constant"),
        (("cosine", 0.5, 1, 5), r"server.decay=0.5 has no effect with server.schedule=cosine"),
        (("step", 1.0, 2, 5), r"server.schedule=step changes nothing while server.decay=1"),
        (("exponential", 1.0, 1, 5), r"server.schedule=exponential changes nothing"),
        (("exponential", 0.5, 3, 5), r"server.decay_every=3 has no effect with server.schedule=ex"),
    ],
)
def test_an_option_without_effect_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        lr_schedule("server", 0.8, *options)


def test_rounds_use_the_rate_of_their_number(line, train):
    # One client at (1, 1): w and b both have the gradient 2 (w + b - 1), so that their sum s moves
    # by 4 lr (1 - s). With lr 0.1, then 0.05: 0 -> 0.4 -> 0.4 + 0.2 * 0.6 = 0.52, half of it each.
    model = train(*line([[(1, 1)]]), "rounds=2", "local.schedule=exponential", "local.decay=0.5")
    weight, bias = (leaf.item() for leaf in model.values())
    assert weight == pytest.approx(0.26)
    assert bias == pytest.approx(0.26)


def test_it_falls_after_the_rounds_of_a_list():
    # FedNova's authors: a tenth from half the rounds on, a hundredth from three quarters on.
    schedule = lr_schedule("local", 0.5, "step", 0.1, [2, 3], 4)
    assert [schedule(t) for t in range(5)] == pytest.approx([0.5, 0.5, 0.05, 0.005, 0.005])


@pytest.mark.parametrize("falls", [[], [3, 2], [2, 2]])
def test_a_list_that_is_in_no_order_is_refused(falls):
    with pytest.raises(ConfigError, match="is not a list of rounds"):
        lr_schedule("local", 0.5, "step", 0.1, falls, 4)
