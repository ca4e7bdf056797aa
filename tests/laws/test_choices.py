"""What holds for every file of a component folder and every shipped config."""

import ast
import re

import pytest

from fedrun.experiment.bind import bind_all, options_of
from fedrun.experiment.build import GROUPS, build
from fedrun.experiment.choices import (
    PACKAGE,
    choices,
    config_names,
    doc,
    folder,
    groups,
    node_of,
    where,
)
from fedrun.experiment.compose import compose
from fedrun.experiment.config_file import package_of
from fedrun.experiment.settings import read_settings
from fedrun.experiment.signature import NEEDED

EVERY = [(group, choice) for group in groups() for choice in choices(group)]
FILES = {"root", "path"}  # options of data sets that must be on disk or fetched


def modules(group):
    return sorted(f.stem for f in (PACKAGE / group).glob("*.py") if not f.stem.startswith("_"))


def test_the_groups_of_the_contents_page_are_those_that_are_built():
    assert sorted(groups()) == sorted(GROUPS)


@pytest.mark.parametrize("group", groups())
def test_every_module_has_a_config_and_the_other_way_round(group):
    assert choices(group) == modules(group)


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_the_config_says_what_the_signature_says(group, choice):
    node = node_of(group, choice)
    assert next(iter(node)) == "name"
    assert node.pop("name") == choice
    options = options_of(group, choice)
    assert list(node) == list(options)
    for name, option in options.items():
        expected = "???" if option.default is NEEDED else option.default
        assert (node[name], type(node[name])) == (expected, type(expected)), name


@pytest.mark.parametrize(("group", "choice"), EVERY)
def test_everything_is_told(group, choice):
    assert doc(group, choice).endswith((".", "...")), "the docstring opens with a sentence"
    for name, option in options_of(group, choice).items():
        assert option.doc, f"{name} has no line in the docstring"
    lines = (folder() / group / f"{choice}.yaml").read_text().splitlines()
    command = lines[1] if package_of(folder() / group / f"{choice}.yaml") else lines[0]
    assert re.match(rf"# fedrun \w+ .*\b{group}={choice}\b", command)
    package = package_of(folder() / group / f"{choice}.yaml")
    assert package in (None, "_global_", where(group, choice))


@pytest.mark.parametrize("algorithm", choices("algorithm"))
def test_an_algorithm_opens_with_its_citation(algorithm):
    text = ast.get_docstring(ast.parse((PACKAGE / "algorithm" / f"{algorithm}.py").read_text()))
    assert text is not None
    citation = text.partition("|")[0]
    assert re.search(r"\b(19|20)\d\d\b", citation), "no year"
    assert re.search(r'"[^"]{10,}"', citation), "no title"


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith("baseline/") else name
        for name in config_names()
    ],
)
def test_every_shipped_config_builds(config):
    values = compose(config).values
    read_settings(values)
    bind_all({group: values[group] for group in GROUPS})
    if FILES.isdisjoint(values["data"]):
        build(values)


@pytest.mark.parametrize(("group", "choice"), [c for c in EVERY if c[0] != "data"])
def test_every_choice_builds_with_the_others_default(group, choice, tmp_path, short_way):
    split = tmp_path / "split.json"
    split.write_text('{"a": [0, 1], "b": [2]}')
    data = {
        "cnn": ["data=digits"],
        "cnn_femnist": ["data=digits"],
        "lenet": ["data=digits", "model.padding=4"],
        "resnet18": ["data=digits"],
        "char_lstm": ["data=markov_text", "data.clients=5", "partition=natural"],
        "transformer": ["data=markov_text", "data.clients=5", "partition=natural"],
        "natural": ["data=synthetic", "data.devices=5"],
        "natural_dealt": ["data=synthetic"],
        "rotation": ["data=digits"],
        "file": ["data=blobs", f"partition.path={split}"],
        "fedbn": ["data=digits", "model=resnet18", "model.norm=batch", "model.width=4"],
    }.get(choice, ["data=blobs"])
    more = ["local.batch_size=0"] if choice == "fedsgd" else []
    build(short_way([*data, f"{group}={choice}", *more]))
