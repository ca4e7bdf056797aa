"""When training ends early, when it is evaluated, and that a diverged model is no result."""

from types import SimpleNamespace

import pytest

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.evaluation import open_crew
from fedrun.experiment.loop import check_stop, rounds, stop_reason
from fedrun.experiment.settings import Stop

ACCURACY, LOSS = "test/accuracy", "test/loss"


def history(metric: str, *values: float | None) -> list[dict[str, float]]:
    return [{} if value is None else {metric: value} for value in values]


@pytest.mark.parametrize(
    ("metric", "value", "patience", "values", "reason"),
    [
        (ACCURACY, 0.9, None, [0.5, 0.89], None),
        (ACCURACY, 0.9, None, [0.5, 0.9], "test/accuracy reached 0.9"),
        (LOSS, 0.2, None, [0.5, 0.21], None),
        (LOSS, 0.2, None, [0.5, 0.2], "test/loss reached 0.2"),
        ("test/mae", 0.2, None, [0.3], None),
        ("test/r2", 0.2, None, [0.3], "test/r2 reached 0.2"),
        (ACCURACY, None, 2, [0.5, 0.6, 0.6], None),
        (ACCURACY, None, 2, [0.5, 0.6, 0.6, 0.6],
         "test/accuracy has not improved in 2 measurements"),
        (ACCURACY, None, 2, [0.5, 0.6, None, None, None, 0.5], None),
        (ACCURACY, None, 1, [0.6, 0.5], "test/accuracy has not improved in 1 measurements"),
        (LOSS, None, 2, [0.5, 0.6, 0.4, 0.5], None),
        (LOSS, None, 2, [0.4, 0.6, 0.5], "test/loss has not improved in 2 measurements"),
        (ACCURACY, 0.9, 2, [0.95], "test/accuracy reached 0.9"),
        (ACCURACY, 0.9, 2, [], None),
        (ACCURACY, 0.0, None, [0.0], "test/accuracy reached 0"),
        (None, None, None, [0.1] * 9, None),
    ],
)  # fmt: skip
def test_the_reason_to_stop(metric, value, patience, values, reason) -> None:
    stop = Stop(metric=metric, value=value, patience=patience)
    assert stop_reason(stop, history(metric or ACCURACY, *values)) == reason


def test_a_goal_must_be_measured(federation) -> None:
    for goal in ("test/r2", "train/losss", "comm/up_bytes"):
        with pytest.raises(ConfigError, match="is not measured in this run; known: train/loss"):
            check_stop(federation(f"stop.metric={goal}", "stop.value=1"))
    with pytest.raises(ConfigError, match=r"evaluate\.every=0"):
        check_stop(federation("stop.metric=test/loss", "stop.value=1", "evaluate.every=0"))
    check_stop(federation("stop.metric=train/loss", "stop.value=1", "evaluate.every=0"))
    regression = ["data=diabetes", "partition=iid", "stop.value=1"]
    check_stop(federation(*regression, "stop.metric=test/r2"))
    with pytest.raises(ConfigError, match="test/accuracy is not measured"):
        check_stop(federation(*regression, "stop.metric=test/accuracy"))


def test_every_checkable_goal_is_really_measured(federation, play) -> None:
    for words in ([], ["data=diabetes", "partition=iid", "local.lr=0.001"]):
        measured = play(federation(*words))[0].metrics
        with pytest.raises(ConfigError) as told:
            check_stop(federation(*words, "stop.metric=x", "stop.value=1"))
        assert set(str(told.value).partition("known: ")[2].split(", ")) <= measured.keys()


def test_the_last_round_is_always_evaluated(federation, play) -> None:
    events = play(federation("rounds=5", "evaluate.every=2"))
    assert [ACCURACY in event.metrics for event in events] == [False, True, False, True, True]
    events = play(
        federation("rounds=5", "evaluate.every=0", "stop.metric=train/loss", "stop.value=9")
    )
    assert len(events) == 1
    assert ACCURACY in events[0].metrics
    assert events[0].stopped == "train/loss reached 9"


def test_a_round_without_any_finite_update(federation, play) -> None:
    with pytest.raises(RunError, match="round 1: no client's update is finite"):
        play(federation("local.lr=1e38", "local.epochs=3"))
    # a cohort of one may be one bad client, and the round goes on; but not for ever
    one = ["clients.per_round=1", "local.lr=1e38", "local.epochs=3"]
    with pytest.raises(RunError, match="round 3: no client's update is finite"):
        play(federation(*one, "rounds=9"))
    with pytest.raises(RunError, match="round 2: no client's update is finite"):
        play(federation(*one, "rounds=2"))


def test_a_model_that_is_not_finite_ends_the_run(federation, play) -> None:
    with pytest.raises(RunError, match=r"round 1: .*not finite"):
        play(federation("server.lr=1e38", "local.lr=10"))


def test_training_stops_with_its_history_known(federation) -> None:
    from fedrun.experiment.loop import rounds

    experiment = federation("rounds=9", "stop.metric=test/accuracy", "stop.value=0.5")
    past = [{"round": 1, ACCURACY: 0.7}]
    assert list(rounds(experiment, experiment.state, past, SimpleNamespace())) == []


def test_m26_a_round_whose_model_is_refused_is_paid_for(federation):
    """That it is not finite tells of its release."""
    paid = []

    def spend(round, clients):
        paid.append(round)
        return {}

    experiment = federation("privacy=central", "model.hidden=[3]", "engine=eager", "server.lr=1e39")
    with open_crew(experiment) as crew, pytest.raises(RunError, match="not finite"):
        list(rounds(experiment, experiment.state, [], crew, spend))
    assert paid == [1]
