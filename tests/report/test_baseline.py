"""What a baseline's file may say; and what those that are shipped do say."""

import os
from pathlib import Path

import pytest

from fedrun.core.metric import evaluated, trained
from fedrun.core.option import ConfigError
from fedrun.experiment.compose import compose, config_hash
from fedrun.report.baseline import find, read, shipped
from fedrun.report.reproduction import placed
from fedrun.report.verdict import is_within

WHOLE = """
defaults: [_base.yaml]
local: {lr: 0.2}
expect: {value: 0.9, band: [0.8, null], source: 'by hand, row 1'}
"""
BASE = """
data: wine
model: logistic
rounds: 3
expect: {metric: test/accuracy, protocol: last, seeds: [0, 1], cost: 0.1, note: of the base}
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "_base.yaml").write_text(BASE)
    (tmp_path / "whole.yaml").write_text(WHOLE)
    return tmp_path


def refused(house: Path, text: str) -> str:
    (house / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read(str(house / "mine.yaml"))
    assert str(house / "mine.yaml") in str(error.value)
    return str(error.value)


def with_expect(**more: str) -> str:
    keys = {"value": "0.9", "band": "[0.8, 1]", "source": "a table", **more}
    said = ", ".join(f"{key}: {value}" for key, value in keys.items() if value)
    return f"defaults: [_base.yaml]\nexpect: {{{said}}}\n"


def test_a_file_builds_on_another(house):
    found = read(str(house / "whole.yaml"))
    assert (found.name, found.expect.metric, found.expect.seeds) == (
        "whole", "test/accuracy", [0, 1]
    )  # fmt: skip
    assert found.expect.band == [0.8, None]
    assert found.expect.note is None, "a note is about one file"
    assert (found.runs, found.minutes) == (2, pytest.approx(0.2))
    assert found.settings == [[]]


def test_what_is_expected_is_no_part_of_the_run(house):
    with_it = compose(str(house / "whole.yaml")).values
    (house / "bare.yaml").write_text("data: wine\nmodel: logistic\nrounds: 3\nlocal: {lr: 0.2}\n")
    bare = compose(str(house / "bare.yaml")).values
    assert with_it == bare
    assert config_hash(with_it) == config_hash(bare)
    assert "expect" not in with_it


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rounds: 3\n", "has no expect"),
        ("defaults: [whole.yaml]\n", "has no expect.value"),
        (with_expect(band=""), "has no expect.band"),
        (with_expect(source=""), "expect.source is missing"),
        (with_expect(vallue="1"), "no option 'expect.vallue'; did you mean 'expect.value'?"),
        (with_expect(metric="3"), "expect.metric=3 is not text"),
        (with_expect(protocol="lst"), "protocol='lst' is not known (accepted: last, best"),
        (with_expect(band="0.8"), "expect.band=0.8 is not a list"),
        (with_expect(band="[1, 0]"), "expect.band=[1.0,0.0] is not accepted (accepted: [low"),
        (with_expect(band="[1]"), "expect.band=[1.0] is not accepted"),
        (with_expect(band="[null, null]"), "is not accepted (accepted: [low, high]"),
        (with_expect(band="null"), "expect.band=null is for what is measured only, without value"),
        (with_expect(value="null", band="null", each="[0, 1]"), "without value and each"),
        (with_expect(each="[2, 1]"), "expect.each=[2.0,1.0] is not accepted"),
        (with_expect(seeds="[]"), "expect.seeds=[] is not accepted"),
        (with_expect(seeds="[1, 1]"), "expect.seeds=[1,1] is not accepted"),
        (with_expect(seeds="[-1]"), "expect.seeds[0]=-1 is out of range"),
        (with_expect(cost="0"), "expect.cost=0 is out of range"),
        (with_expect(minus="a", over="b"), "minus and expect.over are not taken together"),
        (with_expect(tune="3"), "expect.tune=3 is not accepted (such as {local.lr: [0.1, 0.2]})"),
        (with_expect(tune="{local.lr: []}"), "is not accepted (such as"),
        ("expect: 3\n", "expect is a set of keys"),
    ],
)  # fmt: skip
def test_mistakes(house, text, words):
    assert words in refused(house, text)


def test_what_is_tuned(house):
    text = with_expect(tune="{local.lr: [0.1, 0.2], model: [logistic, mlp], model.x: [[1, 2]]}")
    (house / "mine.yaml").write_text(text)
    found = read(str(house / "mine.yaml"))
    assert found.settings == [
        ["local.lr=0.1", "model=logistic", "model.x=[1,2]"],
        ["local.lr=0.1", "model=mlp", "model.x=[1,2]"],
        ["local.lr=0.2", "model=logistic", "model.x=[1,2]"],
        ["local.lr=0.2", "model=mlp", "model.x=[1,2]"],
    ]
    assert found.runs == 8


def test_the_one_that_is_compared_with(house):
    (house / "mine.yaml").write_text(with_expect(minus="_base", tune="{local.lr: [1, 2]}"))
    found = read(str(house / "mine.yaml"))
    assert found.other is not None
    assert (found.other.name, found.other.settings) == ("_base", [[]])
    assert found.other.expect.minus is None
    assert found.runs == 2 * 2 + 2
    (house / "lost.yaml").write_text(with_expect(over="nowhere"))
    with pytest.raises(ConfigError, match="nowhere is not known"):
        _ = read(str(house / "lost.yaml")).other


def test_an_old_verdict_is_told_from_a_new_one(house):
    def digest() -> str:
        return read(str(house / "mine.yaml")).digest

    (house / "other.yaml").write_text("defaults: [_base.yaml]\n")
    (house / "mine.yaml").write_text(with_expect(minus="other"))
    first = digest()
    assert digest() == first
    (house / "other.yaml").write_text("defaults: [_base.yaml]\nlocal: {lr: 0.3}\n")
    second = digest()
    (house / "_base.yaml").write_text(BASE.replace("rounds: 3", "rounds: 4"))
    third = digest()
    (house / "mine.yaml").write_text(with_expect(minus="other", value="0.95"))
    assert len({first, second, third, digest()}) == 4


def test_names_patterns_files_and_folders(house):
    assert [each.name for each in find(["heart_fedavg"])] == ["heart_fedavg"]
    hearts = {each.name for each in find(["heart_*", "heart_fedavg"])}
    assert {"heart_fedavg", "heart_fedprox", "heart_scaffold"} <= hearts
    assert hearts <= {name for name in shipped() if name.startswith("heart_")}
    assert [each.name for each in find([str(house)])] == ["whole"]
    assert [each.name for each in find([str(house / "whole.yaml")])] == ["whole"]
    assert len(find(["*"])) == len(shipped())
    with pytest.raises(ConfigError, match="no baseline 'heart_fedavgg'; did you mean 'heart_fed"):
        find(["heart_fedavgg"])
    with pytest.raises(ConfigError, match="no baseline 'zzz'; see: fedrun reproduce"):
        find(["zzz"])


def test_one_folder_may_hold_a_folder_for_each_data_set(house):
    (house / "mnist").mkdir()
    (mnist,), (heart,) = find(["fedavg_mnist_2nn_iid"]), find(["heart_fedavg"])
    words = [f"data.root={house}", "rounds=2"]
    assert placed(mnist, words) == [f"data.root={house}{os.sep}mnist", "rounds=2"]
    assert placed(heart, words) == words
    assert placed(read(str(house / "whole.yaml")), words) == ["rounds=2"], "wine has no files"


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_baseline_is_whole(name):
    (found,) = find([name])
    lines = found.file.read_text().splitlines()
    assert lines[0].startswith(f"# fedrun reproduce {name}")
    scored = [evaluated(has, objective=True, personal=True, unseen=True) for has in (True, False)]
    metric, _, one = found.expect.metric.partition("@")
    known = {"client/accuracy"} if one else {*trained(True), *scored[0], *scored[1]}
    assert metric in known or found.accounting
    if found.expect.band is None:
        assert found.expect.source.startswith("measured")
    elif found.expect.value is None:
        assert found.expect.source.startswith(("closed form", "direction"))
    else:
        assert is_within(found.expect.value, found.expect.band)
    assert found.other is None or found.other.config != found.config


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_what_a_shipped_baseline_tunes_and_stops_at_is_there(name):
    (found,) = find([name])
    values = compose(found.config).values
    for key in found.tune:
        node = values
        for part in key.split("."):
            node = node[part]
    stop = values["stop"]
    if found.protocol.counts_rounds and stop["metric"]:
        assert (stop["metric"], stop["value"]) == (found.expect.metric, found.protocol.number)
