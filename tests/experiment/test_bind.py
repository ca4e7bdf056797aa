"""A signature is a schema: what it accepts, converts and refuses, and in which words."""
# ruff: noqa: E501  (an error text stands on one line)

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import ConfigError, Count, Fraction, Size, above, at_least, between
from fedrun.experiment import accept, choices
from fedrun.experiment.bind import bind, bind_all, check, options_of
from fedrun.experiment.compose import compose
from fedrun.experiment.settings import Stop, read_settings

SHIPPED = [(group, choice) for group in choices.groups() for choice in choices.choices(group)]


def method(
    task,
    local: NotImported,  # noqa: F821 - what the program supplies need not be importable
    extra=5,
    *,
    mu: Annotated[float, at_least(0)] = 0.01,
    hidden: list[Count] = [200],  # noqa: B006 - never changed
    weights: Literal["examples", "uniform"] = "examples",
    clip: Annotated[float, above(0)] | None = None,
    on: bool = False,
    root: str = "here",
):
    """A method.

    mu: strength of the pull
        (0 is FedAvg)
    hidden: widths
    not_an_option: prose

    Prose: mu: and more.
    """
    return task, local, extra, mu, hidden, weights, clip, on, root


def of_a_dict(*, table: dict = {}):  # noqa: B006
    """A type that no config can give."""


def untyped(*, mu=1):
    """No type at all."""


def alone(secret, *, mu: float = 1.0):
    """Asks for something nobody has."""


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    module = ModuleType("a_plugin")
    for function in (method, of_a_dict, untyped, alone):
        setattr(module, function.__name__, function)
    module.number = 3
    monkeypatch.setitem(sys.modules, "a_plugin", module)


NODE = {
    "name": "a_plugin:method", "mu": 1, "hidden": [3], "weights": "uniform", "clip": None,
    "on": True, "root": "x",
}  # fmt: skip


def refused(node) -> str:
    with pytest.raises(ConfigError) as error:
        bind("algorithm", node)
    return str(error.value)


def test_a_call_gets_its_supplies_and_its_options():
    bound = bind("algorithm", NODE)
    assert bound.options["mu"] == 1.0
    assert type(bound.options["mu"]) is float
    assert bound.call(local=2, task=1, unasked=9) == (1, 2, 5, 1.0, [3], "uniform", None, True, "x")
    assert bound.call(local=2, task=1, extra=6)[2] == 6


A = "algorithm=a_plugin:method"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mu", "abc", "algorithm.mu='abc' is not a number (accepted: a number of at least 0)"),
        ("mu", True, "algorithm.mu=true is not a number (accepted: a number of at least 0)"),
        ("mu", None, "algorithm.mu=null is not a number (accepted: a number of at least 0)"),
        ("mu", -1, "algorithm.mu=-1 is out of range (accepted: a number of at least 0)"),
        ("mu", float("nan"), "algorithm.mu=nan is not a finite number (accepted: a number of at least 0)"),
        ("mu", float("inf"), "algorithm.mu=inf is not a finite number (accepted: a number of at least 0)"),
        ("mu", 10**400, "is not a finite number (accepted: a number of at least 0)"),
        ("clip", 0, "algorithm.clip=0 is out of range (accepted: a number above 0 or null)"),
        ("clip", "x", "algorithm.clip='x' is not a number (accepted: a number above 0 or null)"),
        ("hidden", 3, "algorithm.hidden=3 is not a list; in brackets it is: [3] (accepted: a list, each a whole number of at least 1)"),
        ("hidden", 0, "algorithm.hidden=0 is not a list (accepted: a list, each a whole number of at least 1)"),
        ("hidden", [3, 0], "algorithm.hidden[1]=0 is out of range (accepted: a list, each a whole number of at least 1)"),
        ("hidden", [3.0], "algorithm.hidden[0]=3.0 is not a whole number (accepted: a list, each a whole number of at least 1)"),
        ("weights", "unifrom", "algorithm.weights='unifrom' is not known; did you mean 'uniform'? (accepted: examples, uniform)"),
        ("on", "yes", "algorithm.on='yes' is not true or false (accepted: true or false)"),
        ("on", 1, "algorithm.on=1 is not true or false (accepted: true or false)"),
        ("root", 5, "algorithm.root=5 is not text; in quotes it is: \"'5'\" (accepted: text)"),
        ("muu", 1, f"{A} has no option 'muu'; did you mean 'mu'?"),
        ("task", 1, f"{A} has no option 'task' (options: mu, hidden, weights, clip, on, root)"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how_it_is_told(key, value, message):
    assert message in refused({**NODE, key: value})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"dropout": 0.25}, "model.dropout=0.25 is not a list; in brackets it is: [0.25,0.25] (accepted: a list of 2, each a number of at least 0 and below 1)"),
        ({"dropout": [0.25]}, "model.dropout=[0.25] is not a list of 2 (accepted: a list of 2, each"),
        ({"dropout": 1.5}, "model.dropout=1.5 is not a list (accepted: "),
        ({"dropout": [0.25, 1]}, "model.dropout[1]=1 is out of range (accepted: "),
        ({"channels": [6, 7, 8]}, "model.channels=[6,7,8] is not a list of 2 (accepted: a list of 2"),
    ],
)  # fmt: skip
def test_a_list_of_so_many(node, message):
    shipped = choices.node_of("model", "cnn_femnist")
    assert bind("model", {**shipped, "dropout": [0, 0.5]}).options["dropout"] == [0.0, 0.5]
    with pytest.raises(ConfigError) as error:
        bind("model", {**shipped, **node})
    assert message in str(error.value)


def test_a_missing_option_is_told_with_what_it_accepts():
    node = {key: value for key, value in NODE.items() if key != "mu"}
    assert refused(node) == "algorithm.mu is missing (accepted: a number of at least 0)"


def test_several_mistakes_are_two_lines():
    lines = refused({**NODE, "mu": "a", "on": 3, "root": 5, "x": 1}).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("algorithm.mu='a'")
    assert lines[1].startswith("algorithm.on=3")
    assert lines[1].endswith("(and 2 more)")


def test_the_mistakes_of_several_groups_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        bind_all({"algorithm": {**NODE, "mu": "a"}, "local": {**NODE, "mu": "b"}})
    assert [line.split("=")[0] for line in str(error.value).splitlines()] == [
        "algorithm.mu", "local.mu",
    ]  # fmt: skip


def test_options_are_described_from_signature_and_docstring():
    found = options_of("algorithm", "a_plugin:method")
    assert list(found) == ["mu", "hidden", "weights", "clip", "on", "root"]
    mu = found["mu"]
    assert (mu.type, mu.accepted, mu.default) == ("float", "a number of at least 0", 0.01)
    assert mu.doc == "strength of the pull (0 is FedAvg)"
    assert found["hidden"].doc == "widths not_an_option: prose"
    assert found["hidden"].type == "list[int]"
    assert found["weights"].type == "examples | uniform"
    assert found["clip"].type == "float | null"
    assert found["root"].doc == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a_plugin:metod", "'metod' is not there; did you mean 'method'?"),
        ("a_plugin:number", "'number' is not a function"),
        ("a_plugin:", "is not of the form 'package.module:factory'"),
        ("a_plugin:of_a_dict", "option 'table' needs a type that a config can hold"),
        ("a_plugin:untyped", "option 'mu' needs a type that a config can hold"),
        ("no_such_module:x", "there is no module 'no_such_module'"),
        ("fedporx", "algorithm=fedporx is not known; did you mean 'fedprox'? (choices: "),
        ("_private", "algorithm=_private is not known"),
        ("../fedavg", "algorithm=../fedavg is not known"),
    ],
)
def test_a_factory_that_cannot_be_had(name, message):
    assert message in refused({"name": name})


def test_a_plugin_that_asks_for_more_than_there_is():
    with pytest.raises(
        ConfigError, match="asks for 'secret' before the '\\*'; a algorithm is given"
    ):
        bind("algorithm", {"name": "a_plugin:alone", "mu": 1.0}).call(task=1)


def test_a_shipped_factory_that_asks_for_more_is_our_bug():
    node = {"name": "fedprox", "mu": 1.0, "adapt": 0.0, "weights": "examples"}
    with pytest.raises(AssertionError, match="asks for 'server'"):
        bind("algorithm", node).call(task=1)


@pytest.mark.parametrize(("content", "message"), [
    ("raise RuntimeError('boom\\nsecond line')", "cannot be imported: RuntimeError: boom$"),
    ("import no_such_thing", "cannot be imported: No module named 'no_such_thing'$"),
    ("def f(:", "cannot be imported: SyntaxError: "),
])  # fmt: skip
def test_a_module_that_fails_on_import_says_so_in_one_line(tmp_path, monkeypatch, content, message):
    (tmp_path / "failing_plugin.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=message):
        bind("algorithm", {"name": "failing_plugin:f"})


def test_the_current_folder_is_looked_through(tmp_path, monkeypatch):
    (tmp_path / "local_plugin.py").write_text("def f(*, mu: float = 1.0): return mu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert bind("model", {"name": "local_plugin:f", "mu": 2}).call() == 2.0
    monkeypatch.delitem(sys.modules, "local_plugin")


def test_a_count_and_a_fraction_are_told_apart_by_their_type():
    kind = Count | Annotated[float, between(0, 1, open_low=True)]
    assert repr(accept.convert(kind, 1)) == "1"
    assert repr(accept.convert(kind, 1.0)) == "1.0"
    for wrong in (0, 0.0, 1.5, -1, True, "1"):
        with pytest.raises(accept.RefusedError):
            accept.convert(kind, wrong)


@given(st.floats() | st.integers() | st.booleans() | st.text("01.a") | st.none())
def test_a_fraction_accepts_exactly_the_numbers_from_0_to_1(value):
    good = type(value) in (int, float) and 0 <= value <= 1
    try:
        converted = accept.convert(Fraction, value)
    except accept.RefusedError:
        assert not good
    else:
        assert good
        assert converted == value
        assert type(converted) is float


@given(st.floats() | st.integers() | st.booleans() | st.text("01.a") | st.none())
def test_a_size_accepts_exactly_the_whole_numbers_from_0(value):
    good = type(value) is int and value >= 0
    try:
        assert accept.convert(Size, value) is value
    except accept.RefusedError:
        assert not good
    else:
        assert good


def test_check_serves_root_keys_too():
    def keys(*, count: Count, share: Fraction):
        """Two keys."""

    assert check("clients", keys, {"count": 3, "share": 1}) == {"count": 3, "share": 1.0}
    with pytest.raises(ConfigError, match="did you mean 'clients"):
        check("clients", keys, {"count": 3, "share": 1, "cout": 3})


# the shipped choices


@pytest.mark.parametrize(("group", "choice"), SHIPPED)
def test_every_file_says_what_its_factory_has_as_defaults(group, choice):
    options = {k: v for k, v in choices.node_of(group, choice).items() if k != "name"}
    assert choices.node_of(group, choice)["name"] == choice
    bound = bind(group, {"name": choice, **options})
    described = options_of(group, choice)
    for name, option in described.items():
        if option.default is not inspect.Parameter.empty:
            default = list(option.default) if isinstance(option.default, tuple) else option.default
            assert bound.options[name] == default, name
        assert option.doc, f"{group}/{choice} does not explain {name}"
    assert choices.doc(group, choice), "the factory's docstring has no first sentence"


# the root keys


def settings(**changed):
    return read_settings({**compose().values, **changed})


CLIENTS = {"count": None, "per_round": 1, "sampling": "uniform", "test_fraction": None, "unseen": 0}


def test_the_root_keys():
    found = settings(clients={**CLIENTS, "per_round": 2, "sampling": "size"})
    assert (found.rounds, found.seed, found.name, found.device) == (20, 0, None, "cpu")
    assert found.clients.count is None
    assert found.clients.per_round == 2
    assert found.run.root == "runs"
    assert found.stop == Stop(metric=None, value=None, patience=None)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rouds": 3}, "no option 'rouds'; did you mean 'rounds'?"),
        ({"algoritm": 3}, "no option 'algoritm'; did you mean 'algorithm'?"),
        ({"count": 3}, "no option 'count'; did you mean 'clients.count'?"),
        ({"clients": 3}, "clients is a set of keys; write one of clients.count, clients.per_round"),
        ({"clients": {"count": 0, "per_round": 1, "sampling": "size"}},
         "clients.count=0 is out of range (accepted: a whole number of at least 1 or null)"),
        ({"evaluate": {}}, "evaluate.every is missing (accepted: a whole number of at least 0)"),
        ({"algorithm": {"mu": 1}}, "algorithm has no name: choose one with algorithm=NAME (choices: "),
        ({"algorithm": None}, "algorithm has no name"),
        ({"run": {"root": "", "dir": None}}, "run.root='' is not accepted"),
        ({"run": {"root": "a", "dir": ""}}, "run.dir='' is not accepted"),
        ({"name": ".."}, "name='..' is not accepted"),
        ({"name": "a/b"}, "name='a/b' is not accepted"),
        ({"name": ""}, "name='' is not accepted"),
        ({"name": "x" * 65}, "is not accepted (accepted: 1 to 64 letters"),
        ({"stop": {"metric": None, "value": 0.5, "patience": None}}, "stop.value=0.5 has no effect without stop.metric"),
        ({"stop": {"metric": None, "value": None, "patience": 3}}, "stop.patience=3 has no effect without stop.metric"),
        ({"stop": {"metric": "test/loss", "value": None, "patience": None}}, "stop.metric=test/loss has no effect"),
    ],
)  # fmt: skip
def test_root_keys_that_are_refused(changed, message):
    with pytest.raises(ConfigError) as error:
        settings(**changed)
    assert message in str(error.value)


def test_a_root_key_that_was_removed_is_missing():
    values = compose().values
    del values["rounds"]
    with pytest.raises(ConfigError, match="rounds is missing"):
        read_settings(values)
    values = compose().values
    del values["clients"]
    with pytest.raises(ConfigError, match="clients is missing"):
        read_settings(values)
