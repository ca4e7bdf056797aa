"""A setting that has lost is left; one that may win, or that another baseline needs, never."""

import json
from pathlib import Path

import pytest

from fedrun.experiment.batch import Job
from fedrun.experiment.compose import config_hash
from fedrun.report.baseline import read
from fedrun.report.race import Race
from fedrun.report.reproduction import Plan, plan

BASELINE = """
data: wine
rounds: 20
expect:
  metric: test/accuracy
  protocol: PROTOCOL
  value: 5
  band: [null, 9]
  seeds: SEEDS
  tune: {local.lr: [0.1, 0.2, 0.4]}
  source: nowhere
  cost: 1
"""


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    known: dict[str, Job] = {}

    def make(name: str, protocol: str = "rounds_to 0.9", seeds: str = "[0]") -> Plan:
        file = tmp_path / f"{name}.yaml"
        file.write_text(BASELINE.replace("PROTOCOL", protocol).replace("SEEDS", seeds))
        return plan(read(str(file)), [], known)

    return make


def write(job: Job, accuracies: list[float | None], status: str = "running") -> Job:
    """A run directory with this course of the accuracy, where it was measured."""
    job.path.mkdir(parents=True, exist_ok=True)
    said = {"status": status, "config": {"sha256": config_hash(job.composed.values)}}
    (job.path / "manifest.json").write_text(json.dumps(said))
    lines = [{"round": at} | ({} if value is None else {"test/accuracy": value})
             for at, value in enumerate(accuracies, 1)]  # fmt: skip
    (job.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return job


def test_lost_with_the_round_in_which_another_one_was_there(plans):
    made = plans("one")
    (first,), (second,), (third,) = made.own.jobs
    race = Race([made])
    write(second, [0.5] * 9)
    assert not race.lost(second), "nobody has finished"
    write(first, [0.1, 0.2, 0.3, 0.8, 1.0], "finished")  # crosses 0.9 at 4.5
    write(second, [0.5] * 4)
    assert not race.lost(second), "it may cross at 4.2"
    assert race.lost(write(second, [0.5] * 5))
    assert not race.lost(third), "it has not begun"
    assert not race.lost(write(third, [0.1] * 4 + [None] * 3)), "measured in round 4 last"
    assert race.lost(write(third, [0.1] * 4 + [None] * 3 + [0.2]))


def test_one_that_was_there_earlier_goes_on_to_its_end(plans):
    made = plans("one")
    (first,), (second,), _ = made.own.jobs
    write(first, [0.1] * 5 + [0.95], "finished")
    assert not Race([made]).lost(write(second, [0.1, 0.95] + [0.1] * 9))


def test_one_that_ended_in_vain_beats_nobody(plans):
    made = plans("one")
    (first,), (second,), _ = made.own.jobs
    write(first, [0.1] * 3, "finished")
    assert not Race([made]).lost(write(second, [0.1] * 9))
    write(first, [0.1, 0.95], "interrupted")
    assert not Race([made]).lost(second), "no figure counts before the run has ended"


def test_seeds_are_averaged(plans):
    made = plans("one", seeds="[0, 1]")
    first, second, _ = made.own.jobs
    write(first[0], [0.9] * 4, "finished")  # 1
    write(first[1], [0.0] * 8 + [0.9], "finished")  # 9: a mean of 5
    write(second[0], [0.0] * 5 + [0.9], "finished")  # 6
    race = Race([made])
    assert not race.lost(write(second[1], [0.0] * 3)), "at least 4.5"
    assert race.lost(write(second[1], [0.0] * 4))
    write(first[1], [0.0] * 9, "finished")
    assert not Race([made]).lost(second[1]), "a seed that did not get there gives no mean"


def test_other_protocols_and_shared_runs(plans):
    early, late = plans("early", "first_to 0.5"), plans("late", "first_to 0.9")
    assert early.own.jobs == late.own.jobs, "one config, one run"
    (first,), (second,), _ = early.own.jobs
    write(first, [0.1, 0.6] + [0.7] * 18, "finished")
    write(second, [0.1] * 15)
    assert Race([early]).lost(second)
    assert not Race([early, late]).lost(second), "it may get to 0.9, where the first did not"
    assert not Race([plans("last", "last")]).lost(second)
