"""What a figure may be called, before anything is trained."""

import json
from pathlib import Path

import pytest

import fedrun
from fedrun.core.option import ConfigError
from fedrun.experiment.measurable import check_metric, measurable

SMALL = ["data=wine", "model=logistic", "clients.count=4", "rounds=1", "engine=eager"]


@pytest.mark.parametrize(
    "more",
    [
        ["algorithm=ditto", "clients.unseen=[1]"],
        ["data=diabetes", "partition=iid"],
        ["privacy=adaptive_clip", "clients.sampling=poisson", "clients.per_round=2"],
    ],
)
def test_what_runs_measure_is_known(tmp_path: Path, more: list[str]) -> None:
    run = fedrun.train("train", [*SMALL, *more, f"run.dir={tmp_path / 'run'}"])
    (line,) = [json.loads(text) for text in (run.path / "metrics.jsonl").read_text().splitlines()]
    found = {name for name in line if "/" in name}
    assert "test/loss" in found
    assert found <= set(measurable())


@pytest.mark.parametrize(
    "metric",
    [None, "test/r2", "client/accuracy@Long Beach", "personal/loss@a@b", "privacy/epsilon"],
)
def test_figures(metric: str | None) -> None:
    check_metric(metric, [{"protocol": "synchronous"}])


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("test/acuracy", "--metric test/acuracy is no figure that is measured; "
                         "did you mean 'test/accuracy'?"),
        ("accuracy", "did you mean 'test/accuracy'?"),
        ("test/accuracy@x", "did you mean 'test/accuracy'?"),
        ("client/accuracy@", "did you mean"),
        ("zzz", "known: test/loss, test/accuracy, "),
    ],
)  # fmt: skip
def test_others(metric: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_metric(metric, [{"protocol": "synchronous"}])
    assert said in str(error.value)


def test_a_protocol_of_ones_own_measures_what_it_likes() -> None:
    check_metric("mine/figure", iter([{"protocol": "synchronous"}, {"protocol": "mine:mine"}]))
