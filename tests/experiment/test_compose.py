"""From `config=NAME key=value ...` to plain values: order, choices, repeats and error texts."""
# ruff: noqa: E501  (an error text stands on one line)

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, layer
from fedrun.experiment.compose import _bases, compose, config_hash, dump
from fedrun.experiment.resolve import resolved

FILES = {
    "train.yaml": """
        defaults:
          - _self_
          - data: digits
          - local: sgd
          - algorithm: fedavg
        rounds: 20
        seed: 0
        name: null
        clients: {count: 10, per_round: 1.0}
        run: {root: runs}
    """,
    "data/digits.yaml": "name: digits",
    "data/blobs.yaml": "name: blobs\nrows: 5\nshape: [2, 3]",
    "data/owned.yaml": "# @package _global_\ndata: {name: owned}\nclients: {count: null}",
    "local/sgd.yaml": "name: sgd\nlr: 0.1\nepochs: 1\nmomentum: 0.0",
    "local/adam.yaml": "name: adam\nlr: 0.001\nepochs: 1\nbeta: 1.0e-05",
    "algorithm/fedavg.yaml": "name: fedavg",
    "algorithm/fedprox.yaml": "name: fedprox\nmu: 0.01",
    "algorithm/fedsgd.yaml": "# @package _global_\nalgorithm: {name: fedsgd}\nlocal: {epochs: 7}",
    "example/clinics.yaml": """
        # fedrun train config=example/clinics
        rounds: 5
        data: blobs
        local: {name: adam, lr: 0.002}
        algorithm: {name: fedprox, mu: 0.3}
        clients: {count: 5}
    """,
    "example/hydra_form.yaml": """
        # @package _global_
        defaults:
          - /example/clinics
          - override /algorithm: fedavg
        rounds: 6
    """,
    "example/two.yaml": "defaults: [example/one]",
    "example/one.yaml": "defaults: [example/two]",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch) -> Path:
    """A small set of configs, so that these tests do not hang on what is shipped."""
    top = tmp_path / "configs"
    for name, text in FILES.items():
        write(top / name, text)
    monkeypatch.setattr(choices, "folder", lambda: top)
    monkeypatch.chdir(tmp_path)
    return top


def write(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = text.strip("\n").splitlines()
    margin = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    file.write_text("\n".join(line[margin:] for line in lines) + "\n")
    return str(file)


def refused(config: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        compose(config, overrides)
    text = str(error.value)
    assert 1 <= len(text.splitlines()) <= 2
    return text


# what wins


@pytest.mark.usefixtures("house")
def test_the_base_alone():
    found = compose()
    assert found.values == {
        "rounds": 20, "seed": 0, "name": None, "clients": {"count": 10, "per_round": 1.0},
        "run": {"root": "runs"}, "data": {"name": "digits"},
        "local": {"name": "sgd", "lr": 0.1, "epochs": 1, "momentum": 0.0},
        "algorithm": {"name": "fedavg"},
    }  # fmt: skip
    assert found.choices == {"data": "digits", "local": "sgd", "algorithm": "fedavg"}
    assert found.command == []
    assert type(found.values["local"]) is dict


@pytest.mark.usefixtures("house")
def test_base_then_choice_then_file_then_command_line():
    found = compose("example/clinics", ["local.lr=0.5", "seed=3"])
    assert found.values["rounds"] == 5
    assert found.values["seed"] == 3
    assert found.values["clients"] == {"count": 5, "per_round": 1.0}
    assert found.values["data"] == {"name": "blobs", "rows": 5, "shape": [2, 3]}
    assert found.values["local"] == {"name": "adam", "lr": 0.5, "epochs": 1, "beta": 1e-5}
    assert found.values["algorithm"] == {"name": "fedprox", "mu": 0.3}
    assert found.command == ["config=example/clinics", "local.lr=0.5", "seed=3"]


@pytest.mark.usefixtures("house")
def test_a_choice_may_set_other_keys():
    assert compose("train", ["data=owned"]).values["clients"]["count"] is None
    assert compose("train", ["algorithm=fedsgd"]).values["local"]["epochs"] == 7
    assert compose("train", ["algorithm=fedsgd", "local.epochs=3"]).values["local"]["epochs"] == 3


@pytest.mark.usefixtures("house")
def test_another_choice_drops_the_options_of_the_files_choice():
    assert compose("example/clinics", ["local=sgd"]).values["local"] == {
        "name": "sgd", "lr": 0.1, "epochs": 1, "momentum": 0.0,
    }  # fmt: skip
    assert compose("example/clinics", ["local=adam"]).values["local"]["lr"] == 0.002


@pytest.mark.usefixtures("house")
def test_what_a_new_choice_sets_goes_before_the_file():
    found = compose("example/clinics", ["data=owned"])
    assert found.values["clients"] == {"count": None, "per_round": 1.0}


@pytest.mark.usefixtures("house")
def test_options_without_a_name_are_for_whatever_is_chosen(tmp_path):
    file = write(tmp_path / "mine.yaml", "local: {lr: 0.7}")
    assert compose(file).values["local"]["name"] == "sgd"
    assert compose(file).values["local"]["lr"] == 0.7
    assert compose(file, ["local=adam"]).values["local"]["lr"] == 0.7


@pytest.mark.usefixtures("house")
def test_hydras_own_form_and_starting_from_another_file():
    values = compose("example/hydra_form").values
    assert values["rounds"] == 6
    assert values["data"]["name"] == "blobs"
    assert values["algorithm"] == {"name": "fedavg"}  # without clinics' mu


@pytest.mark.usefixtures("house")
def test_a_file_starts_from_one_beside_it(tmp_path):
    write(tmp_path / "there" / "first.yaml", "rounds: 8\nseed: 8")
    file = write(tmp_path / "there" / "second.yaml", "defaults: [first.yaml]\nseed: 9")
    values = compose(file).values
    assert (values["rounds"], values["seed"]) == (8, 9)
    turned = write(tmp_path / "there" / "third.yaml", "defaults: [_self_, first.yaml]\nseed: 9")
    assert compose(turned).values["seed"] == 8


@pytest.mark.usefixtures("house")
def test_an_empty_file_is_the_base(tmp_path):
    assert compose(write(tmp_path / "empty.yaml", "")).values == compose().values


@pytest.mark.usefixtures("house")
def test_a_shipped_name_goes_before_a_folder_of_the_same_name(tmp_path):
    (tmp_path / "train").mkdir()
    assert compose("train").values["rounds"] == 20


@pytest.mark.usefixtures("house")
def test_a_path_needs_no_ending(tmp_path):
    write(tmp_path / "plain", "rounds: 2")
    assert compose("plain").values["rounds"] == 2


@pytest.mark.usefixtures("house")
def test_nothing_is_carried_from_one_call_to_the_next(tmp_path):
    file = write(tmp_path / "mine.yaml", "rounds: 2")
    assert compose(file).values["rounds"] == 2
    write(tmp_path / "mine.yaml", "seed: 4")
    assert compose(file).values["rounds"] == 20
    compose(file).values["clients"]["count"] = 99
    assert compose(file).values["clients"]["count"] == 10


@pytest.mark.usefixtures("house")
def test_a_hydra_of_the_callers_is_left_running(house):
    with hydra.initialize_config_dir(str(house), version_base=None):
        outer = GlobalHydra.instance().hydra
        assert compose().values["rounds"] == 20
        assert GlobalHydra.instance().hydra is outer
    compose()
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.usefixtures("house")
def test_nothing_is_left_in_hydras_store():
    compose("example/clinics")
    assert "config" not in ConfigStore.instance().repo


def test_a_file_whose_name_begins_with_a_line_is_no_choice(house):
    write(house / "algorithm" / "_shared.yaml", "name: _shared")
    assert choices.choices("algorithm") == ["fedavg", "fedprox", "fedsgd"]
    assert "algorithm=_shared is not known" in refused("train", "algorithm=_shared")


# references


@pytest.mark.usefixtures("house")
def test_references_are_replaced(tmp_path):
    file = write(tmp_path / "mine.yaml", "seed: ${rounds}\nname: r${rounds}-${local.lr}")
    values = compose(file, ["rounds=4"]).values
    assert values["seed"] == 4
    assert values["name"] == "r4-0.1"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=${round}", "there is no key 'round'; did you mean 'rounds'?"),
        ("seed=${clients}", "'clients' is not a single value"),
        ("seed=${seed}", "'seed' is not a single value that stands by itself"),
        ("name=${oc.env:FEDRUN_NO_SUCH_VARIABLE}", "a reference cannot be resolved: "),
        ("seed=???", "seed has no default: give seed=..."),
        ("name='\\${rounds}'", "text with '${' is not accepted"),
    ],
)
@pytest.mark.usefixtures("house")
def test_references_that_lead_nowhere(override, message):
    assert message in refused("train", override)


@pytest.mark.usefixtures("house")
def test_references_cannot_grow_without_bound(tmp_path):
    file = write(tmp_path / "long.yaml", f"name: {'${run.root}' * 200}\nrun: {{root: {'x' * 100}}}")
    assert "over 10,000 characters" in refused(file)
    many = ", ".join(["'${run.root}'"] * 150)
    file = write(
        tmp_path / "wide.yaml", f"clients: {{count: [{many}]}}\nrun: {{root: {'x' * 9000}}}"
    )
    assert "over 1 MiB of text" in refused(file)


# a run's own config repeats the run


def repeats(tmp_path: Path, *overrides: str) -> None:
    first = compose("train", overrides)
    saved = write(tmp_path / "saved" / "config.yaml", dump(first.values))
    again = compose(saved)
    assert again.values == first.values
    assert dump(again.values) == dump(first.values)
    assert config_hash(again.values) == config_hash(first.values)
    changed = compose(saved, ["seed=77"]).values
    assert changed == {**first.values, "seed": 77}


@pytest.mark.parametrize(
    "overrides",
    [
        [], ["algorithm=fedprox", "algorithm.mu=0.3"], ["algorithm=fedsgd"], ["data=owned"],
        ["algorithm=fedsgd", "local=adam", "local.epochs=2", "local.beta=1e-8"],
        ["data=blobs", "data.shape=[9]", "clients.per_round=1"], ["data=blobs", "data.shape=[]"],
        ["data=owned", "clients.count=4"], ["name='1e-3'"], ["name='yes'"], ["name=' a: b # c'"],
    ],
)  # fmt: skip
@pytest.mark.usefixtures("house")
def test_a_saved_config_repeats_the_run(tmp_path, overrides):
    repeats(tmp_path, *overrides)


EACH = {group: choices.choices(group) for group in choices.groups()}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(max(map(len, EACH.values()))))
def test_a_saved_config_repeats_the_run_for_every_shipped_choice(tmp_path, number):
    """Some of each group together: each is met, and nothing here asks what goes together."""
    chosen = {group: names[number % len(names)] for group, names in EACH.items()}
    overrides = [f"{group}={name}" for group, name in chosen.items()]
    first = compose("train", overrides)
    assert first.choices == chosen
    saved = write(tmp_path / "config.yaml", dump(first.values))
    assert compose(saved).values == first.values


NAMES = [name for name in choices.config_names() if not name.startswith("baseline/")]


@pytest.mark.parametrize("name", [*NAMES, "baseline/heart_pooled", "baseline/fedavg_mnist_2nn_iid"])
def test_every_shipped_config_composes_and_repeats(tmp_path, name):
    first = compose(name)
    saved = write(tmp_path / "config.yaml", dump(first.values))
    assert compose(saved).values == first.values


@pytest.mark.usefixtures("house")
def test_a_saved_config_with_another_choice_is_a_run_of_that_choice(tmp_path):
    saved = write(tmp_path / "config.yaml", dump(compose("train", ["algorithm=fedprox"]).values))
    assert compose(saved, ["algorithm=fedavg"]).values["algorithm"] == {"name": "fedavg"}
    values = compose(saved, ["algorithm=fedsgd"]).values
    assert values["algorithm"] == {"name": "fedsgd"}
    assert values["local"]["epochs"] == 7


# plugins


PLUGIN = """
from fedrun.core.option import Annotated, Count, at_least

def mine(task, *, mu: Annotated[float, at_least(0)] = 0.5, widths: list[Count] = [3], must: int):
    return task, mu, widths, must
"""


@pytest.fixture
def plugin(house, tmp_path, monkeypatch) -> str:
    (tmp_path / "some_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "some_plugin:mine"
    sys.modules.pop("some_plugin", None)


def test_a_users_factory_gets_the_same_treatment(tmp_path, plugin):
    found = compose("train", [f"algorithm={plugin}", "algorithm.mu=0.3", "algorithm.must=2"])
    assert found.values["algorithm"] == {"name": plugin, "mu": 0.3, "widths": [3], "must": 2}
    assert found.choices["algorithm"] == plugin
    saved = write(tmp_path / "config.yaml", dump(found.values))
    assert compose(saved).values == found.values
    assert compose(saved, ["algorithm.must=3"]).values["algorithm"]["must"] == 3
    assert compose(saved, ["algorithm=fedprox"]).values["algorithm"] == {
        "name": "fedprox",
        "mu": 0.01,
    }
    assert "algorithm.must has no default" in refused("train", f"algorithm={plugin}")
    text = refused("train", f"algorithm={plugin}", "algorithm.muu=1", "algorithm.must=1")
    assert text == f"algorithm={plugin} has no option 'muu'; did you mean 'mu'?"


# the words of a mistake


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algoritm.mu=1", "no option 'algoritm.mu'; did you mean 'algorithm.mu'?"),
        ("algoritm=fedprox", "no option 'algoritm'; did you mean 'algorithm'?"),
        ("rouds=3", "no option 'rouds'; did you mean 'rounds'?"),
        ("lr=3", "no option 'lr'; did you mean 'local.lr'?"),
        ("clients.cout=3", "no option 'clients.cout'; did you mean 'clients.count'?"),
        ("rounds.x=3", "no option 'rounds.x'; did you mean 'rounds'?"),
        ("qqq=3", "no option 'qqq'; see 'fedrun show'"),
        ("local.momentun=3", "local=sgd has no option 'momentun'; did you mean 'momentum'?"),
        ("algorithm.mu=3", "algorithm=fedavg has no option 'mu'; algorithm=fedprox has it"),
        ("algorithm.lr=3", "algorithm=fedavg has no option 'lr'; did you mean 'local.lr'?"),
        ("local.qqq=3", "local=sgd has no option 'qqq' (options: lr, epochs, momentum)"),
        ("algorithm=fedporx", "algorithm=fedporx is not known; did you mean 'fedprox'? (choices: fedavg, fedprox, fedsgd)"),
        ("algorithm=7", "algorithm=7 is not known (choices: fedavg, fedprox, fedsgd)"),
        ("algorithm=", "algorithm= is not known (choices: fedavg, fedprox, fedsgd)"),
        ("algorithm=null", "algorithm=null: algorithm takes the name of a choice (choices: fedavg, fedprox, fedsgd)"),
        ("algorithm={name: fedprox}", "algorithm takes the name of a choice"),
        ("algorithm=[fedprox]", "algorithm takes the name of a choice"),
        ("algorithm=${data}", "algorithm takes a name as it stands"),
        ("algorithm.name=fedprox", "algorithm.name=fedprox: choose with algorithm=NAME"),
        ("+algorithm=fedprox", "a group has one choice; write algorithm=fedprox"),
        ("~algorithm", "~algorithm: every group needs a choice"),
        ("algorithm@local=fedprox", "'@' has no meaning here"),
        ("local.lr=0.1,0.01", "local.lr=0.1,0.01 is several values, and this command takes one"),
        ("seed=range(3)", "seed=range(3) is several values"),
        ("rounds", "'rounds' is not key=value, such as rounds=10"),
        ("=3", "'=3' is not key=value"),
        ("data.shape=[1", "'data.shape=[1' cannot be read: "),
        ("rounds=f(1)", "'rounds=f(1)' cannot be read: Unknown function 'f'"),
        ("a b=1", "'a b=1' cannot be read: "),
        ("seed=" + "9" * 5000, "cannot be read: too long"),
        ("seed=" + "[" * 3000, "cannot be read: "),
        ("+rounds=3", "+rounds=3: rounds is there already; write rounds=3"),
        ("~local.momentun", "local=sgd has no option 'momentun'; did you mean 'momentum'?"),
        ("hydra.run.dir=x", "Hydra's own settings have no effect here"),
        ("hydra/launcher=x", "Hydra's own settings have no effect here"),
        ("+local._target_=os.system", "'_target_' is not accepted"),
        ("+local.x={a: [{_target_: os.system}]}", "'_target_' is not accepted"),
        ("config=example/clinics", "one config=NAME is taken"),
        ("+config=file_0", "one config=NAME is taken"),
        ("clients={1: 2}", "clients={1: 2} does not fit: Key '1' is not in struct"),
        ("+new={1: 2}", "new: a key is a word, not 1"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("house")
def test_a_mistake_on_the_command_line(override, message):
    assert message in refused("train", override)


@pytest.mark.usefixtures("house")
def test_two_mistakes_are_two_lines():
    assert refused("train", "rouds=1", "sed=2", "seed=3").splitlines() == [
        "no option 'rouds'; did you mean 'rounds'?",
        "no option 'sed'; did you mean 'seed'?",
    ]


@pytest.mark.usefixtures("house")
def test_a_value_that_cannot_be_merged_is_named():
    assert "data.shape={a: 1} does not fit: " in refused("train", "data=blobs", "data.shape={a: 1}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("example/clincs", "config=example/clincs is not known; did you mean 'example/clinics'?"),
        ("clinics", "config=clinics is not known; did you mean 'example/clinics'?"),
        ("algorithm/fedprox", "config=algorithm/fedprox is not known"),
        ("nope", "config=nope is not known (configs: example/clinics, "),
        ("nope", "train; `fedrun reproduce` lists the baselines)"),
        ("../configs/train", "FOLDER"),
        ("none.yaml", "config=none.yaml: there is no such file"),
        ("configs", "config=configs is a folder"),
        ("example/one", "starts from itself"),
    ],
)
@pytest.mark.usefixtures("house")
def test_a_config_that_cannot_be_had(config, message):
    assert message.replace("FOLDER", "is not known") in refused(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rouds: 1", "mine.yaml: no option 'rouds'; did you mean 'rounds'?"),
        ("algoritm: fedprox", "mine.yaml: no option 'algoritm'; did you mean 'algorithm'?"),
        ("local.lr: 1", "mine.yaml: write 'local: {lr: ...}' in place of 'local.lr'"),
        ("algorithm: fedporx", "algorithm=fedporx is not known; did you mean 'fedprox'?"),
        ("algorithm: null", "mine.yaml: algorithm takes the name of a choice"),
        ("algorithm: {name: null, mu: 1}", "mine.yaml: algorithm takes the name of a choice"),
        ("algorithm: [fedprox]", "mine.yaml: algorithm takes the name of a choice"),
        ("algorithm: true", "mine.yaml: algorithm takes the name of a choice"),
        ("clients: [1]", "mine.yaml: clients is a set of keys; write 'clients: {count: ...}'"),
        ("hydra: {run: x}", "mine.yaml: no option 'hydra'"),
        ("# @package local\nlr: 3", "mine.yaml: '# @package local' is not accepted"),
        ("defaults: fedprox", "mine.yaml: 'defaults' is a list"),
        ("defaults: [3]", "mine.yaml: 3 in 'defaults' is not known"),
        ("defaults: [{}]", "mine.yaml: {} in 'defaults' is not known"),
        ("defaults: [{overide /algorithm: fedprox}]", "is not known; did you mean 'override'?"),
        ("defaults: [{override /algoritm: fedprox}]", "no option 'algoritm'; did you mean 'algorithm'?"),
        ("defaults: [{override /algorithm: null}]", "'override /algorithm' takes one name"),
        ("defaults: [{/algorithm: fedprox}]", "'/algorithm' in 'defaults' is not known"),
        ("defaults: [{override /algorithm: fedprox}]\nalgorithm: fedavg", "algorithm is chosen twice: fedprox and fedavg"),
        ("defaults: [example/clincs]", "mine.yaml: config=example/clincs is not known; did you mean"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("house")
def test_a_mistake_in_a_file(tmp_path, text, message):
    assert message in refused(write(tmp_path / "mine.yaml", text))


# what there is to choose from


@pytest.mark.usefixtures("house")
def test_the_choices():
    assert choices.groups() == ("data", "local", "algorithm")
    assert choices.choices("algorithm") == ["fedavg", "fedprox", "fedsgd"]
    assert choices.config_names() == [
        "example/clinics", "example/hydra_form", "example/one", "example/two", "train",
    ]  # fmt: skip
    assert choices.holders("local", "beta") == ["adam"]
    assert choices.keys(compose().values) == [
        "rounds", "seed", "name", "clients.count", "clients.per_round", "run.root",
        "local.lr", "local.epochs", "local.momentum",
    ]  # fmt: skip


def test_the_one_line_doc_of_a_choice():
    assert choices.doc("algorithm", "fedprox").startswith("FedAvg whose clients are pulled back")
    assert choices.doc("algorithm", "nothing") == ""


def test_layers_merge_by_key():
    lower = layer.Layer(
        {"local": "sgd"}, {"local": {"lr": 1, "epochs": 2}, "clients": {"count": 3}}
    )
    same = layer.over(layer.Layer({"local": "sgd"}, {"local": {"lr": 5}}), lower)
    assert same.body == {"local": {"lr": 5, "epochs": 2}, "clients": {"count": 3}}
    other = layer.over(layer.Layer({"local": "adam"}, {"local": {"lr": 5}}), lower)
    assert other == layer.Layer({"local": "adam"}, {"local": {"lr": 5}, "clients": {"count": 3}})


def test_composing_is_quick_and_needs_no_torch():
    script = (
        "import sys; from fedrun.experiment import choices; from fedrun.experiment.compose import compose;"
        "compose('train', ['algorithm=fedprox']); choices.doc('algorithm', 'fedprox');"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(choices.PACKAGE.parent)},
    )  # fmt: skip
    assert done.stdout.strip() == "False"
    first = []
    for seed in range(5):
        _bases.clear()
        first.append(_seconds(f"seed={seed}"))
    assert min(first) < 0.25  # 0.05 on an idle machine
    assert min(_seconds(f"seed={seed}") for seed in range(5)) < min(first) / 4  # 0.003


def _seconds(*overrides: str) -> float:
    start = time.perf_counter()
    compose("train", overrides)
    return time.perf_counter() - start


LAID_OVER = [
    [],
    ["seed=3", "local.lr=0.5", "model.hidden=[8,8]"],
    ["seed=4", "rounds='${seed}'", "device=auto"],
    ["clients.unseen=[1,2]", "clients.per_round=0.5", "name='x y'", "stop.metric=null"],
    ["+extra=1", "seed=5", "++extra=2"],
    ["~evaluate.every", "seed=5"],
    ["rounds=${seed}", "seed=6", "seed=7"],
    ["algorithm=fedprox", "algorithm.mu=0.5", "data=breast_cancer", "clients={count:7}"],
]


@pytest.mark.parametrize("words", LAID_OVER)
def test_laid_over_what_is_kept_it_is_what_hydra_composes(words):
    compose("train", words)  # from now on what Hydra makes of the choices is kept
    with hydra.initialize_config_dir(str(choices.folder()), version_base=None):
        assert compose("train", words).values == resolved(hydra.compose("train", words))


def test_a_file_that_was_edited_and_values_that_were_changed_are_no_longer_what_is_kept(house):
    file = house / "mine.yaml"
    for rate in (0.5, 0.25):
        write(file, f"local: {{lr: {rate}}}\ndata: blobs")
        found = compose(str(file), ["seed=1"]).values
        assert (found["local"]["lr"], found["data"]["shape"]) == (rate, [2, 3])
        found["data"]["shape"].append(4)


def test_a_choice_that_was_edited_is_read_again(house):
    for size in (2, 3):
        write(house / "data/blobs.yaml", f"name: blobs\nshape: [{size}]")
        os.utime(house / "data/blobs.yaml", ns=(size, size))
        assert compose("train", ["data=blobs"]).values["data"]["shape"] == [size]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["rounds=3", "local.lr=1e-3", "model.hidden=[8,4]", "clients.per_round=0.5", "name=a-b"],
        ["algorithm=fedsgd", "local.lr=0.5"],
        ["algorithm=fedadam", "server.lr=0.1", "stop.metric=null"],
        ["data=inline", "data.x=[[1.5],[-2]]", "data.y=[0,1]", "clients.unseen=[0]"],
        ["data=table", "data.path='a b.csv'", "engine.workers=2"],
    ],
)
def test_the_tests_own_short_way_gives_the_same_values(overrides, short_way):
    assert short_way(overrides) == compose("train", overrides).values


@pytest.mark.parametrize("number", [1, 3, 6, 10, 15])
def test_and_of_choices_in_several_groups(short_way, number):
    overrides = [f"{group}={names[-number % len(names)]}" for group, names in EACH.items()]
    overrides = [*overrides[number % 3 :: 2], "rounds=3", "local.lr=0.5", "clients.count=7"]
    assert short_way(overrides) == compose("train", overrides).values
