"""Curves by hand, and what must hold for every curve."""

import json
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError, RunError
from fedrun.report.figure import Figure, Protocol, figure, read_figure, read_protocol

# Falls back in round 3, so the best so far is 0.5, 0.7, 0.7, 0.9.
VALUES = [0.5, 0.7, 0.6, 0.9]


def lines(values, metric="test/accuracy", every=1):
    return [{"round": at * every, metric: value} for at, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("last", Figure(0.9, 4, 4)),
        ("best", Figure(0.9, 4, 4)),
        ("mean_last 2", Figure(0.75, 4, 4)),
        ("mean_last 4", Figure(0.675, 4, 4)),
        # From 0.7, the best so far after round 3, to 0.9: three quarters of the way.
        ("rounds_to 0.85", Figure(3.75, 3.75, 4)),
        ("rounds_to 0.6", Figure(1.5, 1.5, 4)),
        ("rounds_to 0.5", Figure(1.0, 1.0, 4)),
        ("rounds_to 0.1", Figure(1.0, 1.0, 4)),
        ("rounds_to 0.7", Figure(2.0, 2.0, 4)),
        ("rounds_to 0.91", Figure(None, 4, 4)),
        ("first_to 0.85", Figure(4.0, 4.0, 4)),
        ("first_to 0.6", Figure(2.0, 2.0, 4)),
        ("first_to 0.95", Figure(None, 4, 4)),
        ("round 3", Figure(0.6, 3, 4)),
    ],
)
def test_by_hand(protocol, expected):
    found = figure(lines(VALUES), "test/accuracy", read_protocol(protocol))
    assert found.value == (None if expected.value is None else pytest.approx(expected.value))
    assert (found.round, found.rounds) == (pytest.approx(expected.round), expected.rounds)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_no_number_is_neither_best_nor_reached(sign):
    metric = "test/accuracy" if sign > 0 else "test/loss"
    curve = lines([nan, sign * 0.5, nan, sign * 0.9], metric)
    assert figure(curve, metric, Protocol("best")) == Figure(sign * 0.9, 4, 4)
    assert figure(curve, metric, Protocol("first_to", sign * 0.7)).value == 4
    # From 0.5 in round 2 to 0.9 in round 4.
    assert figure(curve, metric, Protocol("rounds_to", sign * 0.7)).value == pytest.approx(3.0)
    assert figure(curve[:1], metric, Protocol("rounds_to", sign * 0.7)).value is None


def test_of_a_loss_less_is_better():
    curve = lines([2.0, 1.0, 1.5, 0.5], "test/loss")
    assert figure(curve, "test/loss", Protocol("best")).value == 0.5
    assert figure(curve, "test/loss", Protocol("rounds_to", 0.75)).value == pytest.approx(3.5)
    assert figure(curve, "test/loss", Protocol("first_to", 0.75)).value == 4


def test_rounds_without_a_score_count_as_rounds():
    curve = [{"round": at, "train/loss": 1.0} for at in range(1, 11)]
    curve[4]["test/accuracy"], curve[9]["test/accuracy"] = 0.4, 0.8
    assert figure(curve, "test/accuracy", Protocol("rounds_to", 0.6)).value == pytest.approx(7.5)
    assert figure(curve, "test/accuracy", Protocol("mean_last", 5)).value == 0.8
    assert figure(curve, "test/accuracy", Protocol("mean_last", 6)).value == pytest.approx(0.6)
    assert figure(curve[:9], "test/accuracy", Protocol("first_to", 0.6)) == Figure(None, 9, 9)
    with pytest.raises(RunError, match="nothing was scored in round 4, of 9 rounds"):
        figure(curve[:9], "test/accuracy", Protocol("round", 4))
    with pytest.raises(RunError, match="in the last 4 rounds"):
        figure(curve[:9], "test/accuracy", Protocol("mean_last", 4))


def test_too_few_rounds_for_the_mean():
    with pytest.raises(RunError, match="last 5 rounds cannot be had from 4 rounds"):
        figure(lines(VALUES), "test/accuracy", Protocol("mean_last", 5))


def test_a_metric_that_is_not_there():
    with pytest.raises(RunError, match=r"test/acc was not measured \(measured: test/accuracy\)"):
        figure(lines(VALUES), "test/acc", Protocol("last"))
    with pytest.raises(RunError, match="measured: nothing"):
        figure([], "test/acc", Protocol("last"))


def test_a_run_that_was_made_longer_is_read_as_it_was(tmp_path):
    text = "".join(json.dumps(line) + "\n" for line in lines(VALUES))
    (tmp_path / "metrics.jsonl").write_text(text)
    assert read_figure(tmp_path, "test/accuracy", Protocol("last")).value == 0.9
    assert read_figure(tmp_path, "test/accuracy", Protocol("last"), rounds=2).value == 0.7
    with pytest.raises(RunError, match=tmp_path.name):
        read_figure(tmp_path, "test/mae", Protocol("last"))


curves = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30)


@given(curves, st.floats(0.01, 1, allow_subnormal=False))
def test_the_interpolated_crossing_lies_within_the_round_before_the_first(values, target):
    first = figure(lines(values), "test/accuracy", Protocol("first_to", target)).value
    between = figure(lines(values), "test/accuracy", Protocol("rounds_to", target)).value
    if first is None:
        assert between is None
        assert max(values) < target
    else:
        assert between is not None
        assert max(first - 1, 1) <= between <= first


@given(curves, st.integers(1, 5))
def test_a_curve_that_is_scored_less_often_is_stretched(values, every):
    for kind in ("last", "best"):
        one = figure(lines(values), "test/accuracy", Protocol(kind))
        other = figure(lines(values, every=every), "test/accuracy", Protocol(kind))
        assert (other.value, other.round) == (one.value, one.round * every)


@pytest.mark.parametrize(
    "text",
    ["", "lst", "last 3", "best 1", "mean_last", "mean_last 0", "round 0",
     "round 1.5", "mean_last 1.5",
     "rounds_to", "rounds_to x", "rounds_to nan", "first_to inf"],
)  # fmt: skip
def test_protocols_that_are_none(text):
    with pytest.raises(ConfigError, match="accepted: last, best, mean_last K"):
        read_protocol(text)


def test_a_protocol_in_words():
    assert str(read_protocol("rounds_to 0.97")) == "rounds to 0.97 (best so far, interpolated)"
    assert str(read_protocol("mean_last 10")) == "mean of the last 10 rounds"
    assert str(read_protocol("best")) == "best round"
