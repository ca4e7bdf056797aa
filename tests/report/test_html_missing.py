"""Pages of runs that lack something: unfinished, failed, damaged, never scored, or private."""

import re
from pathlib import Path

import pytest

STATEMENT = {
    "unit": "client", "relation": "add_remove", "delta": 1e-5, "trust": "trust words",
    "epsilon": 3.25, "accountant": "pld", "version": "v1", "bounds": {"pld": 3.25, "rdp": 4.0},
    "real": False, "rng": "seeded", "leaky": False, "releases": 3, "repeated": 1,
    "caveats": ["first caveat", "second caveat"],
}  # fmt: skip


def test_an_evaluation_of_an_older_model_or_none_is_not_shown_but_told(
    tmp_path, made_run, read, furnish, evaluation
):
    furnish(made_run(tmp_path / "a", [0.5, 0.6], seed=0), **{"evaluation.json": None})
    old = {**evaluation, "model": "another"}
    furnish(made_run(tmp_path / "b", [0.5, 0.6], seed=1), **{"evaluation.json": old})
    _, _, found = read(tmp_path)
    assert "2 finished runs have no evaluation.json" in found.texts["spread"]
    assert "confusion" not in found.rows
    assert f"fedrun report {tmp_path} --evaluate" in found.texts["confusion"]


def test_without_evaluation_the_spread_is_that_of_the_metrics(tmp_path, made_run, read):
    more = {f"client/accuracy_{part}": [0.1, value]
            for part, value in (("mean", 0.5), ("worst10", 0.25), ("best10", 0.75))}  # fmt: skip
    made_run(tmp_path / "a", [0.5, 0.6], more=more)
    _, html, found = read(tmp_path)
    assert "the means of the worst and the best tenth" in found.texts["spread"]
    assert html.count('class="diamond"') == 1


def test_a_failed_run_alone_says_why(tmp_path, made_run, read):
    made_run(tmp_path / "a", [], status="failed", config={"rounds": 9},
             manifest={"error": "RunError: round 1: diverged"})  # fmt: skip
    content, _, found = read(tmp_path / "a")
    assert content.comparison is None
    assert "failed after round 0 of 9: RunError: round 1: diverged" in found.texts[""]
    assert "No figure was measured in these runs yet." in found.texts["results"]


def test_an_unscored_run_shows_its_training(tmp_path, made_run, read):
    made_run(tmp_path / "a", [None, None], status="interrupted",
             more={"train/loss": [2.0, 1.0]})  # fmt: skip
    content, html, found = read(tmp_path / "a")
    assert content.comparison.metric == "train/loss"
    assert "train/loss by round" in html
    assert "interrupted after round 2 of 2" in found.texts[""]


def test_what_is_not_counted_is_listed_with_its_reason(two: Path, made_run, read, furnish):
    made_run(two / "cut", [0.1], status="interrupted", config={"rounds": 8})
    made_run(two / "bad", [0.1], seed=9)
    (two / "bad" / "config.yaml").write_text("a: [")
    other = made_run(two / "other", [None, None], more={"personal/accuracy": [0.1, 0.2]})
    furnish(other, **{"summary.json": {"rounds": 2, "best": {}}})
    _, _, found = read(two)
    others = {row[0]: row[1:] for row in found.rows["runs"] if len(row) == 3}
    assert others[f"{two.name}/cut"] == ["interrupted", "round 1 of 8"]
    assert others[f"{two.name}/bad"][0] == "damaged"
    assert others[f"{two.name}/other"] == ["finished", "see the notes"]
    assert "test/accuracy was not measured" in found.texts["results"]
    assert "1 unfinished run is left out" in found.texts["results"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("partition.json", "{"), ("partition.json", '{"clients": "two", "classes": ["a"]}'),
        ("partition.json", '{"rule": "x", "clients": 2, "classes": ["a"], "train": [[1]]}'),
        ("evaluation.json", "[]"), ("evaluation.json", '{"schema": 1, "global": {"values": 3}}'),
        ("evaluation.json", '{"schema": 1, "model": "2", "global": {"values": ["x"]}}'),
        ("evaluation.json", '{"schema": 1, "model": "2", "classes": ["a"],'
                            ' "global": {"confusion": [[1, 2]]}}'),
        ("evaluation.json", '{"schema": 1, "model": "2", "global": {"values": [NaN]}}'),
    ],
)  # fmt: skip
def test_damaged_files_cost_their_picture_and_no_more(two: Path, file: str, content: str, read):
    (two / "fedavg0" / file).write_text(content)
    _, _, found = read(two)
    assert f"{two / 'fedavg0' / file} is damaged" in found.texts["results"]
    assert found.rows["results"][1][1] == "0.6100"


def test_regression_has_no_confusion_and_says_so(tmp_path, made_run, read, furnish, partition):
    run = made_run(tmp_path / "a", [None, None],
                   more={"test/loss": [2.0, 1.0], "test/r2": [0.1, 0.5]})  # fmt: skip
    counts = {**partition, "classes": [], "train": [[5], [7], [4]]}
    part = {"figure": "loss", "values": [1.0, 2.0], "names": ["a", "b"], "sizes": [1, 1]}
    kept = {"schema": 1, "model": "2", "global": part}
    furnish(run, **{"partition.json": counts, "evaluation.json": kept})
    _, html, found = read(tmp_path)
    assert "There is none: the targets are no classes" in found.texts["confusion"]
    assert "Loss of the global model on each client" in found.texts["spread"]
    assert "Who holds how much" in html
    assert "test/r2 by round" in html


def test_a_privacy_statement_is_whole_and_clients_are_withheld(tmp_path, made_run, read, furnish):
    config = {"privacy": {"name": "central", "rng": "seeded"}}
    for seed in (0, 1):
        more = {"privacy/epsilon": [1.0, 2.0, 3.2]}
        run = made_run(tmp_path / str(seed), [0.1, 0.2, 0.3], seed=seed, config=config, more=more)
        told = {"rounds": 3, "best": {}, "time/seconds": 7.5, "privacy": STATEMENT}
        furnish(run, **{"summary.json": told})
    _, html, found = read(tmp_path)
    words = found.texts["privacy"]
    assert "epsilon <= 3.2500 at delta 1e-05 for each client (there or not; pld, v1)" in words
    for told in ("first caveat", "second caveat", "trust words", "No guarantee: privacy.rng=seeded",
                 "3, and 1 repeated", "by privacy budget spent (epsilon)"):  # fmt: skip
        assert told in words
    assert words.count("first caveat") == 1
    assert "not shown of 2 runs under privacy" in found.texts["clients"]
    assert 'class="held"' not in html
    assert html.count('class="dot"') == 2  # the runs, none of their clients
    assert "7.5" not in {cell for row in found.rows["runs"] for cell in row}  # the clock
    _, html, _ = read(tmp_path, show_clients=True)
    assert 'class="held"' in html
    assert html.count('class="dot"') == 2 + 6


def test_no_epsilon_of_a_page_is_below_the_truth(tmp_path, made_run, read, furnish):
    epsilon = 20.125023545908295
    told = {**STATEMENT, "epsilon": epsilon, "bounds": {"pld": epsilon}}
    more = {"privacy/epsilon": [1.0, epsilon]}
    for seed in (0, 1):
        run = made_run(tmp_path / str(seed), [0.1, 0.2], seed=seed, more=more,
                       config={"privacy": {"name": "central", "rng": "seeded"}})  # fmt: skip
        furnish(run, **{"summary.json": {"rounds": 2, "best": {}, "privacy": told}})
    _, html, found = read(tmp_path)
    assert "epsilon <= 20.1251 at delta" in found.texts["privacy"]
    assert "by pld" in found.texts["privacy"]
    assert "20.1251" in {cell for row in found.rows["results"] for cell in row}
    assert '"x":[[1.0,20.1251]]' in html  # what the pointer is told
    words = " ".join(found.texts.values())
    assert "20.1250" not in words
    assert not re.search(r"20\.1[23]?(?!\d)", words)


@pytest.mark.parametrize("name", ["none", "central"])
def test_a_private_runs_clock_and_holdings_are_in_no_manifest_fact(tmp_path, made_run, read, name):
    manifest = {"started": "2026-01-01T10:00:00+00:00", "ended": "2026-01-01T10:00:07+00:00",
                "data": {"name": "d", "sha256": "1", "train": 4711}}  # fmt: skip
    config = {"privacy": {"name": name}}
    made_run(tmp_path / "a", [0.1, 0.2], config=config, manifest=manifest)
    for held in (False, True):
        _, html, _ = read(tmp_path, show_clients=held)
        assert ("10:00:07" in html) is (name == "none")
        assert ("2026-01-01" in html) is (name == "none")
        assert ("4711" in html) is (name == "none" or held)


def test_an_unfinished_private_run_tells_what_is_known(tmp_path, made_run, read, furnish):
    run = made_run(tmp_path / "a", [0.1], status="interrupted", config={"privacy": {"name": "x"}})
    claim = {"trust": "trust words", "caveats": ["a caveat"]}
    furnish(run, **{"privacy.json": {"claim": claim}})
    _, _, found = read(tmp_path)
    assert "privacy=x: no statement yet, the run is interrupted" in found.texts["privacy"]
    assert "a caveat" in found.texts["privacy"]


def test_runs_without_privacy_are_said_to_be(two: Path, read):
    _, _, found = read(two)
    assert "These runs claim no privacy guarantee" in found.texts["privacy"]
