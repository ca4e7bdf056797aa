"""Which runs are found, and what is read of them."""

import json
import os
import re
from pathlib import Path

import pytest

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment import config_file
from fedrun.experiment.sweep_record import write_sweep
from fedrun.report.collect import collect
from fedrun.report.collect_lines import read_columns
from fedrun.report.collect_run import blocks, read_config, read_record, read_records
from fedrun.report.comparison_measure import Question, read_at


def names(found) -> list[str]:
    return [run.name for run in found.runs]


def test_runs_folders_and_both(tmp_path: Path, made_run):
    one = made_run(tmp_path / "a" / "one", [0.5])
    made_run(tmp_path / "a" / "deep" / "er" / "two", [0.5])
    made_run(tmp_path / "b" / "three", [0.5])
    (tmp_path / "a" / "empty").mkdir()
    made_run(tmp_path / "a" / ".four.new", [0.5])  # half-made: not there yet
    assert names(collect([tmp_path / "a"])) == ["two", "one"]
    assert names(collect([one])) == ["one"]
    assert names(collect([one, tmp_path])) == ["one", "two", "three"]  # each once


def test_links_inside_a_folder_are_not_followed_but_a_named_one_is(tmp_path: Path, made_run):
    made_run(tmp_path / "there" / "one", [0.5])
    made_run(tmp_path / "here" / "two", [0.5])
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    assert names(collect([tmp_path / "here"])) == ["two"]
    assert names(collect([tmp_path / "here" / "link"])) == ["one"]


def test_a_sweep_names_runs_that_lie_elsewhere(tmp_path: Path, made_run):
    paths = [
        made_run(tmp_path / "runs" / "x" / "one", [0.5]),
        made_run(tmp_path / "runs" / "x" / "two", [0.5]),
        made_run(tmp_path / "sweep" / "cells" / "three", [0.5]),
        tmp_path / "runs" / "x" / "not_yet",
        tmp_path / "runs" / "x" / "impossible",
    ]
    statuses = ["finished", "finished", "finished", "waiting", "failed"]
    cells = [
        {"overrides": ["seed=0"], "path": path, "config": "0", "status": status}
        for path, status in zip(paths, statuses, strict=True)
    ]
    write_sweep(tmp_path / "sweep", ["algorithm=fedavg"], cells)
    found = collect([tmp_path / "sweep"])
    assert sorted(names(found)) == ["one", "three", "two"]
    words = f"{tmp_path / 'sweep'}: 2 of 5 cells have no run (1 waiting, 1 failed)"
    assert found.notes == [words]
    assert names(collect([tmp_path / "sweep" / "sweep.json"])) == names(found)


def test_a_sweep_that_is_damaged(tmp_path: Path):
    (tmp_path / "sweep.json").write_text('{"schema": 1, "cells": 3}')
    with pytest.raises(RunError, match=r"sweep\.json is damaged"):
        collect([tmp_path])


def test_places_without_runs(tmp_path: Path, made_run):
    with pytest.raises(ConfigError, match="no runs found in"):
        collect([tmp_path])
    with pytest.raises(ConfigError, match="is not there"):
        collect([tmp_path / "nowhere"])
    run = made_run(tmp_path / "one", [0.5])
    with pytest.raises(ConfigError, match="is a file"):
        collect([run / "metrics.jsonl"])


def test_a_config_is_read_in_blocks_as_in_one(tmp_path: Path):
    text = (
        "# a comment\nrounds: 3\nname: null\nlocal:\n  name: sgd\n  lr: 0.1\n\n"
        'model: {name: mlp,\n  hidden: [2, 3]}\nlist:\n- 1\n- 2\ntext: "a\\nb: c"\n'
    )
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert "".join(blocks(text)) == text
    assert read_config(file) == config_file.read(file)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1\n", "a: 1\na: 2\n? b\n", "a: ${oc.env:X}\n"])
def test_a_config_that_is_none(tmp_path: Path, text: str):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(tmp_path / "config.yaml")


def test_one_client_and_all_clients_are_told_apart(tmp_path: Path, made_run):
    one = made_run(tmp_path / "one", [0.5], config={"clients": {"per_round": 1}})
    every = made_run(tmp_path / "all", [0.5], config={"clients": {"per_round": 1.0}})
    texts = [read_record(run).text("clients.per_round") for run in (one, every)]
    assert texts == ["1", "1.0"]
    assert read_record(one).text("no.such.key") == "-"
    assert read_record(one).text("algorithm") == "fedavg"


def test_unfinished_and_damaged_runs_are_left_out_with_a_word(tmp_path: Path, made_run):
    paths = [
        made_run(tmp_path / "a", [0.5]),
        made_run(tmp_path / "b", [0.5], status="running"),
        made_run(tmp_path / "c", [0.5], status="failed"),
        made_run(tmp_path / "d", [0.5], status="failed"),
        made_run(tmp_path / "e", [0.5]),
    ]
    (paths[4] / "manifest.json").write_text("{")
    records, notes = read_records(paths, unfinished=False)
    assert [record.path.name for record in records] == ["a"]
    assert "e/manifest.json is damaged" in notes[0]
    assert notes[1].startswith("3 unfinished runs are left out")
    assert notes[1].endswith("(1 running, 2 failed)")
    records, notes = read_records(paths, unfinished=True)
    assert len(records) == 4
    assert "counted as far as they came" in notes[1]
    with pytest.raises(ConfigError, match="there is no finished run"):
        read_records(paths[1:3], unfinished=False)


def test_only_whole_lines_are_read(tmp_path: Path, made_run):
    run = made_run(tmp_path / "one", [0.5, 0.6])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"round": 3, "test/accuracy": 0.')
    lines, known = read_columns(run, ["test/accuracy"])
    assert lines == [{"round": 1, "test/accuracy": 0.5}, {"round": 2, "test/accuracy": 0.6}]
    assert known == ["comm/up_bytes", "comm/down_bytes", "test/accuracy", "test/loss"]
    (run / "metrics.jsonl").write_text("")
    assert read_columns(run, ["test/accuracy"]) == ([], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"round": 1, "test/accuracy": NaN}', "is nan, no finite number"),
        ('{"round": 1, "test/accuracy": "0.5"}', "is '0.5', no finite number"),
        ('{"test/accuracy": 0.5}', "has no round"),
        ("[1]", "damaged at line 2"),
        ('{"round": 1', "damaged at line 2"),
        ('{"round": 1}, {"round": 2}', "damaged at line 2"),
    ],
)
def test_lines_that_are_damaged(tmp_path: Path, line: str, message: str, made_run):
    run = made_run(tmp_path / "one", [0.5])
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RunError, match=message):
        read_columns(run, ["test/accuracy"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_metrics_that_may_not_be_read(tmp_path: Path, made_run):
    run = made_run(tmp_path / "one", [0.5])
    (run / "metrics.jsonl").chmod(0)
    with pytest.raises(RunError, match="cannot be read"):
        read_columns(run, [])


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ([1, 2, 3, 4, 5], "is damaged: it ends at round 5 of 6"),
        ([], "is damaged: it ends at round 0 of 6"),
        ([1, 2, 3, 4, 5, 6, 7], "is damaged: it ends at round 7 of 6"),
        ([1, 1, 3, 4, 5, 6], "is damaged at line 2: it is of round 1, not of round 2"),
    ],
)
def test_a_finished_run_has_each_of_its_rounds_once(
    tmp_path: Path, rounds: list[int], message: str, made_run
):
    run = made_run(tmp_path / "one", [0.5] * 6)
    lines = [json.dumps({"round": at, "test/accuracy": 0.5}) + "\n" for at in rounds]
    (run / "metrics.jsonl").write_text("".join(lines))
    record = read_record(run)
    with pytest.raises(RunError, match=re.escape(f"metrics.jsonl {message}")):
        read_columns(run, ["test/accuracy"], record.rounds)


def test_a_torn_tail_is_the_end_of_an_unfinished_run_alone(tmp_path: Path, made_run):
    finished = made_run(tmp_path / "one", [0.5] * 6)
    running = made_run(tmp_path / "two", [0.5] * 6, status="running")
    for run in (finished, running):
        os.truncate(run / "metrics.jsonl", (run / "metrics.jsonl").stat().st_size - 20)
    assert len(read_columns(running, [], read_record(running).rounds)[0]) == 5
    with pytest.raises(RunError, match="it ends at round 5 of 6"):
        read_columns(finished, [], read_record(finished).rounds)
    longer = made_run(tmp_path / "three", [0.5])
    with (longer / "metrics.jsonl").open("a") as file:
        file.write('{"round": 2')
    with pytest.raises(RunError, match="half a line follows round 1"):
        read_columns(longer, [], read_record(longer).rounds)


def test_a_run_that_stopped_early_has_the_rounds_of_its_summary(tmp_path: Path, made_run):
    run = made_run(tmp_path / "one", [0.5] * 4, config={"rounds": 6})
    (run / "summary.json").write_text('{"rounds": 4}')
    assert len(read_columns(run, [], read_record(run).rounds)[0]) == 4
    (run / "summary.json").write_text('{"rounds": 5}')
    with pytest.raises(RunError, match="it ends at round 4 of 5"):
        read_columns(run, [], read_record(run).rounds)


def test_what_a_broken_run_lacks_is_named(tmp_path: Path, made_run):
    for at in range(7):
        run = made_run(tmp_path / "broken" / str(at), [0.5])
        (run / ("manifest.json" if at == 1 else "config.yaml")).unlink()
    with pytest.raises(ConfigError, match=r"broken/0 is damaged: config\.yaml is missing"):
        collect([tmp_path / "broken" / "0"])
    with pytest.raises(ConfigError, match=r"broken/1 is damaged: manifest\.json is missing"):
        collect([tmp_path / "broken"])
    made_run(tmp_path / "whole", [0.5])
    found = collect([tmp_path])
    assert names(found) == ["whole"]
    assert len(found.notes) == 6
    assert found.notes[-1] == "left out: 2 more damaged runs"


def test_a_target_is_a_finite_number():
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ConfigError, match=f"--target {number} is no finite number"):
            Question(None, read_at("last"), float(number))
