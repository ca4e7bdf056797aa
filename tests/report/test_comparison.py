"""Groups, their numbers, and what is said of runs that do not fit."""

from pathlib import Path

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.report.collect import collect
from fedrun.report.collect_run import read_records
from fedrun.report.comparison import Comparison, compare
from fedrun.report.comparison_groups import differing_keys, label, natural
from fedrun.report.comparison_measure import Question, read_at, worst_of
from fedrun.report.comparison_pair import asked, automatic, named


def comparison(folder: Path, metric: str | None = None, at: str = "last", *, target=None,
               by=(), sort=None, unfinished=False) -> Comparison:  # fmt: skip
    records, _ = read_records(collect([folder]).runs, unfinished)
    return compare(records, Question(metric, read_at(at), target), by, sort)


@pytest.fixture
def three(tmp_path: Path, made_run) -> Path:
    """FedAvg, and FedProx with two strengths, over three seeds each."""
    for seed in range(3):
        made_run(tmp_path / f"avg{seed}", [0.5, 0.7, 0.6 + seed / 10], seed=seed)
        for at, mu in enumerate((0.1, 1)):
            made_run(
                tmp_path / f"prox{mu}_{seed}", [0.4, 0.8, 0.6 + at / 10 + seed / 20],
                seed=seed, config={"algorithm": {"name": "fedprox", "mu": mu}},
            )  # fmt: skip
    return tmp_path


def test_seeds_are_repetitions_and_choices_tell_groups_apart(three: Path):
    found = comparison(three)
    assert [group.name for group in found.groups] == [
        "fedavg", "fedprox algorithm.mu=0.1", "fedprox algorithm.mu=1",
    ]  # fmt: skip
    assert found.grouping.keys == ["algorithm", "algorithm.mu"]
    assert [group.seeds for group in found.groups] == [[0, 1, 2]] * 3
    assert (found.metric, found.over, found.notes) == ("test/accuracy", "seeds", [])


@pytest.mark.parametrize(
    ("at", "values"),
    [
        ("last", [0.6, 0.7, 0.8]),
        ("best", [0.7, 0.7, 0.8]),
        ("mean_last:2", [0.65, 0.7, 0.75]),
        ("round:2", [0.7, 0.7, 0.7]),
        ("first_to:0.65", [2, 2, 2]),
        ("rounds_to:0.6", [1.5, 1.5, 1.5]),
    ],
)
def test_figures_by_hand(three: Path, at: str, values: list[float]):
    group = comparison(three, at=at).groups[0]
    figure = group.figures["value"]
    assert [run.numbers["value"] for run in group.runs] == pytest.approx(values)
    assert figure.mean == pytest.approx(np.mean(values))
    assert figure.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)


def test_costs_are_of_the_figures_round(tmp_path: Path, made_run):
    more = {"system/seconds": [1.5, 3.0, 4.5], "privacy/epsilon": [0.1, 0.2, 0.3],
            "client/accuracy_worst10": [0.1, 0.3, 0.2]}  # fmt: skip
    made_run(tmp_path / "a", [0.5, 0.9, 0.7], more=more)

    def numbers(at: str, target: float | None = None):
        return comparison(tmp_path, at=at, target=target).groups[0].runs[0].numbers

    assert numbers("last") == {"value": 0.7, "round": 3, "bytes": 1200, "seconds": 4.5,
                               "worst10": 0.2, "epsilon": 0.3}  # fmt: skip
    assert numbers("best") == {"value": 0.9, "round": 2, "bytes": 800, "seconds": 3.0,
                               "worst10": 0.3, "epsilon": 0.2}  # fmt: skip
    # The crossing lies between rounds 1 and 2: what it cost was paid by the end of round 2.
    crossing = numbers("rounds_to:0.7")
    assert (crossing["round"], crossing["bytes"], crossing["worst10"]) == (1.5, 800, 0.3)
    assert numbers("mean_last:2")["worst10"] == pytest.approx(0.25)
    found = numbers("last", target=0.6)
    assert (found["target_rounds"], found["target_bytes"], found["target_seconds"]) == (2, 800, 3.0)
    assert found["bytes"] == 1200
    missed = numbers("last", target=0.95)
    assert (missed["target_rounds"], missed["target_bytes"]) == (None, None)


def test_what_is_scored_less_often_is_of_the_newest_score(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5, None, 0.6, None])
    figure = comparison(tmp_path).groups[0].runs[0].numbers
    assert (figure["value"], figure["round"], figure["bytes"]) == (0.6, 3, 1200)


def test_a_target_that_some_seeds_miss_has_no_mean(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5, 0.9], seed=0)
    made_run(tmp_path / "b", [0.5, 0.6], seed=1)
    group = comparison(tmp_path, at="first_to:0.8").groups[0]
    assert (group.figures["value"], group.reached["value"]) == (None, 1)
    assert comparison(tmp_path, target=0.8).groups[0].reached["target_rounds"] == 1


def test_places_and_processes_are_no_difference(tmp_path: Path, made_run):
    # data.root, name and engine.workers of these differ: see made_run
    made_run(tmp_path / "a", [0.5], seed=0)
    made_run(tmp_path / "b", [0.6], seed=1)
    found = comparison(tmp_path)
    assert ([group.name for group in found.groups], found.grouping.keys) == (["all runs"], [])
    assert found.groups[0].figures["value"].mean == pytest.approx(0.55)


def test_a_split_seed_that_follows_the_seed_is_no_difference(tmp_path: Path, made_run):
    for seed in (0, 1):
        made_run(tmp_path / str(seed), [0.5], seed=seed,
                 config={"data": {"name": "digits", "split_seed": seed}})  # fmt: skip
    assert len(comparison(tmp_path).groups) == 1
    made_run(tmp_path / "2", [0.5], seed=2,
             config={"data": {"name": "digits", "split_seed": 0}})  # fmt: skip
    assert comparison(tmp_path).grouping.keys == ["data.split_seed"]


def test_a_key_that_goes_with_another_is_said_not_shown(tmp_path: Path, made_run):
    for seed in (0, 1):
        made_run(tmp_path / f"a{seed}", [0.5], seed=seed, algorithm="fedavg", lr=0.1)
        made_run(tmp_path / f"b{seed}", [0.5], seed=seed, algorithm="scaffold", lr=0.05)
    found = comparison(tmp_path)
    assert found.grouping.shown == ["algorithm"]
    assert found.grouping.keys == ["algorithm", "local.lr"]
    assert found.notes == ["local.lr goes with algorithm: 0.1 (fedavg), 0.05 (scaffold)"]


def test_by_a_key_averages_over_the_others_and_says_so(three: Path):
    found = comparison(three, by=["algorithm"])
    assert [(group.name, len(group.runs)) for group in found.groups] == [
        ("fedavg", 3), ("fedprox", 6),
    ]  # fmt: skip
    assert found.over == "runs"
    assert (
        "averaged over algorithm.mu: -, 0.1, 1 (sd and interval hold its effect too)" in found.notes
    )
    by_seed = comparison(three, by=["seed"])
    assert [group.name for group in by_seed.groups] == ["seed=0", "seed=1", "seed=2"]
    with pytest.raises(ConfigError, match=r"no run has the key 'algoritm.mu'.*'algorithm.mu'"):
        comparison(three, by=["algoritm.mu"])


def test_the_same_config_and_seed_counts_once(tmp_path: Path, made_run):
    old = {"ended": "2026-11-20T00:00:00+00:00"}
    made_run(tmp_path / "old", [0.1], manifest=old)
    made_run(tmp_path / "new", [0.5])
    made_run(tmp_path / "other", [0.7], seed=1)
    found = comparison(tmp_path)
    assert found.groups[0].figures["value"].mean == pytest.approx(0.6)
    assert found.notes[0].startswith("1 run repeats another's config and seed, and is not counted")
    assert str(tmp_path / "new") in found.notes[0]


def test_different_data_are_warned_of(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5])
    made_run(tmp_path / "b", [0.5], seed=1, config={"data": {"name": "mnist"}})
    assert "warning: these runs are of different data sets: digits, mnist" in comparison(
        tmp_path).notes  # fmt: skip


def test_other_bytes_under_one_name_are_warned_of(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5])
    other = {"data": {"name": "digits", "sha256": "0ff"}}
    made_run(tmp_path / "b", [0.5], algorithm="fedprox", manifest=other)
    assert "warning: the data 'digits' of these runs are not the same bytes" in comparison(
        tmp_path).notes  # fmt: skip
    # Generated data follow the seed: there other bytes are right.
    made_run(tmp_path / "c" / "a", [0.5])
    made_run(tmp_path / "c" / "b", [0.5], seed=1, manifest=other)
    assert comparison(tmp_path / "c").notes == []


def test_metrics(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5])
    assert comparison(tmp_path, "test/loss").groups[0].figures["value"].mean == 0.5
    with pytest.raises(ConfigError) as error:
        comparison(tmp_path, "test/acuracy")
    assert "did you mean 'test/accuracy'?" in str(error.value)
    assert "measured: comm/up_bytes, comm/down_bytes, test/accuracy, test/loss" in str(error.value)
    # Where not all have an accuracy, the loss is what can be compared.
    run = made_run(tmp_path / "b", [0.5], algorithm="fedprox")
    (run / "metrics.jsonl").write_text('{"round": 1, "test/loss": 0.25}\n')
    assert comparison(tmp_path).metric == "test/loss"
    found = comparison(tmp_path, "test/accuracy")
    assert [group.name for group in found.groups] == ["all runs"]
    assert found.notes == [f"left out: {run}: test/accuracy was not measured"]


def test_runs_that_have_no_such_figure_are_left_out(tmp_path: Path, made_run):
    for at in range(4):
        run = made_run(tmp_path / str(at), [0.5] * (1 + at), config={"rounds": 9}, seed=at)
        (run / "summary.json").write_text(f'{{"rounds": {1 + at}}}')  # stopped early
    found = comparison(tmp_path, at="mean_last:4")
    assert len(found.groups[0].runs) == 1
    assert len(found.notes) == 3
    assert "cannot be had from 1 round" in found.notes[0]
    with pytest.raises(ConfigError, match="no run has a figure"):
        comparison(tmp_path, at="round:9")


def test_sort(three: Path):
    def order(sort: str, **more) -> list[str]:
        return [group.name.removeprefix("fedprox ") for group in
                comparison(three, sort=sort, **more).groups]  # fmt: skip

    weak, strong = "algorithm.mu=0.1", "algorithm.mu=1"
    assert order("value") == [strong, "fedavg", weak]
    assert order("-value") == [weak, "fedavg", strong]
    assert order("value", metric="test/loss") == order("value")
    assert order("-algorithm.mu") == [strong, weak, "fedavg"]
    assert order("test/accuracy") == order("value")
    assert order("value", at="first_to:0.75")[-1] == "fedavg"
    assert order("-value", at="first_to:0.75")[-1] == "fedavg"  # not reached by all
    with pytest.raises(ConfigError, match="--sort valu is no column; did you mean 'value'"):
        order("valu")


def test_unfinished_runs_count_as_far_as_they_came(tmp_path: Path, made_run):
    made_run(tmp_path / "a", [0.5, 0.6])
    made_run(tmp_path / "b", [0.7], seed=1, status="running", config={"rounds": 2})
    assert len(comparison(tmp_path).groups[0].runs) == 1
    assert comparison(tmp_path, unfinished=True).groups[0].figures["value"].mean == pytest.approx(
        0.65
    )


def test_a_pair_by_itself_and_one_that_is_asked_for(three: Path, tmp_path: Path, made_run):
    found = comparison(three)
    assert automatic(found) is None
    pair = asked(found, ("fedavg", "algorithm.mu=1"))
    assert pair.seeds == [0, 1, 2]
    differences = np.array([0.6, 0.7, 0.8]) - np.array([0.7, 0.75, 0.8])
    assert pair.result.difference.mean == pytest.approx(differences.mean())
    assert "caution: 3 seeds are few" in pair.cautions[0]
    assert "cannot give less than p = 0.25" in pair.cautions[1]
    assert named(found, "fedprox algorithm.mu=0.1").name == "fedprox algorithm.mu=0.1"
    with pytest.raises(ConfigError, match="fits 2 groups"):
        asked(found, ("fedavg", "fedprox"))
    with pytest.raises(ConfigError, match="are the same group"):
        asked(found, ("fedavg", "fedavg"))
    with pytest.raises(ConfigError, match="no group 'fedav'; did you mean 'fedavg'"):
        asked(found, ("fedav", "fedprox"))
    two = comparison(three, by=["algorithm"])
    mean = np.mean([[0.6, 0.65, 0.7], [0.7, 0.75, 0.8]], axis=0)
    both = automatic(two)
    assert both is not None
    assert both.result.difference.mean == pytest.approx(np.mean([0.6, 0.7, 0.8] - mean))


def test_pairs_need_seeds_in_common(tmp_path: Path, made_run):
    for seed in (0, 1):
        made_run(tmp_path / f"a{seed}", [0.5], seed=seed)
        made_run(tmp_path / f"b{seed}", [0.5], seed=seed + 1, algorithm="fedprox")
    found = comparison(tmp_path)
    assert automatic(found) is None
    assert "the groups have different seeds; n says how many" in found.notes
    with pytest.raises(ConfigError, match="share 1 seeds"):
        asked(found, ("fedavg", "fedprox"))


@pytest.mark.parametrize("at", ["lst", "mean_last:0", "round:", "round:1.5", "rounds_to", "best:2"])
def test_protocols_that_are_none(at: str):
    with pytest.raises(ConfigError, match=rf"--at {at} is not known \(accepted: last, best"):
        read_at(at)


def test_small_things():
    assert sorted(["10", "9", "-", "x", "0.5", "1e-3"], key=natural) == [
        "-", "1e-3", "0.5", "9", "10", "x",
    ]  # fmt: skip
    assert label({"algorithm": "fedavg", "partition": "iid"}) == "fedavg partition=iid"
    assert worst_of("unseen/accuracy") == "unseen/accuracy_worst10"
    assert differing_keys([]) == []
