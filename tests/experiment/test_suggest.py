"""Hints: what papers and other frameworks call a thing, then what is spelt alike."""

from __future__ import annotations

from typing import Any

import pytest

from fedrun.core.option import ConfigError
from fedrun.experiment import choices, factory, suggest, synonym
from fedrun.experiment.bind import bind, bind_all
from fedrun.experiment.compose import compose
from fedrun.experiment.settings import read_settings


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("data=fmnist", ["fashion_mnist"]),
        ("data=FashionMNIST", ["fashion_mnist"]),
        ("data=cifar", ["cifar10", "cifar100"]),
        ("data=csv", ["table"]),
        ("partition=label_skew", ["dirichlet", "classes"]),
        ("partition=quantity", ["quantity_dirichlet"]),
        ("partition=pathological", ["shards"]),
        ("partition=lda", ["dirichlet"]),
        ("partition=noise", ["feature_noise"]),
        ("partition=homo", ["iid"]),
        ("partition=iid_balanced", ["iid"]),
        ("partition=iid-diff-quantity", ["quantity_dirichlet"]),
        ("partition=noniid", ["dirichlet", "shards"]),
        ("partition=noniid-labeldir", ["dirichlet"]),
        ("algorithm=fedopt", ["fedadam", "fedyogi", "fedadagrad"]),
        ("algorithm=fedavg_ft", ["finetune"]),
        ("algorithm=qffl", ["qfedavg"]),
        ("algorithm=q_ffl", ["qfedavg"]),
        ("algorithm=perfedavg", ["per_fedavg"]),
        ("algorithm=lgfedavg", ["lg_fedavg"]),
        ("algorithm=local", ["local_only"]),
        ("algorithm=SCAFFOLD", ["scaffold"]),
        ("algorithm=dp_fedavg", ["privacy=central"]),
        ("model=2nn", ["mlp"]),
        ("model=lenet5", ["lenet"]),
        ("model=resnet", ["resnet18"]),
        ("model=lstm", ["char_lstm"]),
        # not listed: what is spelt alike, as ever
        ("algorithm=fedporx", ["fedprox"]),
        ("partition=dirichlet_balancd", ["dirichlet_balanced"]),
        ("data=fmnst", ["femnist"]),
    ],
)
def test_choices(said: str, meant: list[str]) -> None:
    group, _, name = said.partition("=")
    with pytest.raises(ConfigError) as error:
        factory.check_choice(group, name)
    hint = f"did you mean {' or '.join(map(repr, meant))}?"
    assert str(error.value).startswith(f"{said} is not known; {hint} (choices: ")


def test_a_choice_that_nothing_is_like() -> None:
    with pytest.raises(ConfigError, match=r"^model=xyz is not known \(choices: char_lstm, "):
        factory.check_choice("model", "xyz")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("algorithm=fedbuff", "one file adds a method: README.md, 'Add your own algorithm' ("),
        ("algorithm=FedMD", "one file adds a method: README.md, 'Add your own algorithm' ("),
        ("data=sent140", "one file adds a set: fedrun/data/README.md, 'Adding a set' (choices: "),
    ],
)
def test_what_is_known_and_not_offered_has_no_look_alike(said: str, told: str) -> None:
    group, _, name = said.partition("=")
    with pytest.raises(ConfigError) as error:
        factory.check_choice(group, name)
    assert str(error.value).startswith(f"{said} is not offered yet; {told}")


def test_what_is_not_offered_is_no_choice_and_has_no_other_name_here() -> None:
    top = choices.PACKAGE.parent
    for group, (how, names) in synonym.NOT_OFFERED.items():
        taken = {*choices.choices(group), *words(synonym.CHOICES[group])}
        assert not set(map(synonym.plain, taken)) & set(map(synonym.plain, names.split()))
        file, _, section = how.partition(": ")[2].partition(", ")
        assert f"\n## {section.strip(chr(39))}\n" in (top / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("algorithm=ifca algorithm.k=2", ["clusters"]),
        ("algorithm=fedprox algorithm.lambda=1", ["mu"]),
        ("algorithm=ditto algorithm.lambda=1", ["lam"]),
        ("algorithm=ditto algorithm.mu=1", ["lam"]),
        ("partition.beta=0.5", ["alpha"]),
        ("partition=classes partition.k=2", ["classes_per_client"]),
        ("partition=shards partition.k=2", ["shards_per_client"]),
        ("partition=iid partition.n_clients=2", ["clients.count"]),
        ("local.optimizer=adam", ["local=sgd", "local=adam"]),
        ("local.batch=2", ["batch_size"]),
        ("local.learning_rate=2", ["lr"]),
        ("model.units=2", ["hidden"]),
        ("privacy=central privacy.epsilon=2", ["target_epsilon"]),
        ("clients.fraction=0.1", ["clients.per_round"]),
        ("num_rounds=2", ["rounds"]),
        ("epochs=2", ["local.epochs"]),
        ("B=2", ["local.batch_size"]),
        ("dataset=mnist", ["data"]),
        ("method=fedavg", ["algorithm"]),
        # not listed
        ("local.momentun=1", ["momentum"]),
        ("rouds=1", ["rounds"]),
    ],
)
def test_keys(words: str, meant: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        compose("train", words.split())
    assert str(error.value).endswith(f"; did you mean {' or '.join(map(repr, meant))}?")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("algorithm=fedprox algorithm.lambda=1", "did you mean 'mu'?"),
        ("algorithm=fedavg algorithm.lambda=1", "no option 'lambda' (options: weights)"),
        (
            "algorithm=fedavg algorithm.mu=1",
            "no option 'mu'; algorithm=fednova, fedprox, moon have",
        ),
        ("partition=iid partition.beta=1", "no option 'beta' (options: none)"),
    ],
)
def test_only_what_the_choice_has_is_named(words: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose("train", words.split())
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "algorithm.weights=size",
            "algorithm.weights='size' is not known; did you mean 'examples'?",
        ),
        ("algorithm.weights=equal", "did you mean 'uniform'? (accepted: examples, uniform"),
        ("algorithm.weights=unifrom", "did you mean 'uniform'?"),
        ("algorithm.weights=xyz", "algorithm.weights='xyz' is not known (accepted: "),
        ("local.schedule=inverse_time", "did you mean 'inverse'?"),
        ("model.hidden=200", "model.hidden=200 is not a list; in brackets it is: [200] (accepted"),
    ],
)
def test_values(words: str, told: str) -> None:
    config = compose("train", words.split())
    group = words.partition(".")[0]
    with pytest.raises(ConfigError) as error:
        bind(group, config.values[group])
    assert told in str(error.value)


ALL = "0 is the whole local set (accepted: a whole number of at least 0)"
LIMIT = "its limit, one class a client, is partition=classes partition.classes_per_client=1 (accep"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("local.batch_size=inf", f"local.batch_size=inf is not a whole number; {ALL}"),
        ("local.batch_size=full", f"local.batch_size='full' is not a whole number; {ALL}"),
        ("local.batch_size=null", f"local.batch_size=null is not a whole number; {ALL}"),
        ("local=adam local.batch_size=-1", f"local.batch_size=-1 is out of range; {ALL}"),
        ("local.batch_size=few", "local.batch_size='few' is not a whole number (accepted: "),
        (
            "clients.per_round=0",
            "clients.per_round=0 is out of range; the papers' C=0 is one client: "
            "clients.per_round=1 (accepted: ",
        ),
        ("clients.per_round=-1", "clients.per_round=-1 is out of range (accepted: "),
        (
            "partition=dirichlet_prior partition.alpha=0",
            f"partition.alpha=0 is out of range; {LIMIT}",
        ),
        ("partition=dirichlet_client partition.alpha=0.0", f"0.0 is out of range; {LIMIT}"),
        ("partition=dirichlet partition.alpha=0", "alpha=0 is out of range (accepted: a number"),
    ],
)
def test_values_that_have_another_form_here(words: str, told: str) -> None:
    values = compose("train", words.split()).values
    with pytest.raises(ConfigError) as error:
        bind_and_read(values)
    assert told in str(error.value)


def bind_and_read(values: dict[str, Any]) -> None:
    bind_all(choices.nodes(values))
    read_settings(values)


def test_every_such_key_is_one() -> None:
    for key in synonym.MEANT:
        start, _, option = key.rpartition(".")
        group, chosen, name = start.partition("=")
        assert option in (choices.node_of(group, name) if chosen else choices.root()[group])


def test_the_table_names_what_there_is() -> None:
    values = compose("train", []).values
    keys = {*choices.keys(values), *choices.groups()}
    for tables, of in ((synonym.CHOICES, choices.choices), (synonym.OPTIONS, options)):
        for group, table in tables.items():
            for here in names(table):
                other, chosen, choice = here.partition("=")
                if chosen:
                    assert choice in choices.choices(other), here
                else:
                    assert here in ({*of(group), *keys} if "." in here else of(group)), here
    assert set(names(synonym.KEYS)) <= keys


def test_no_word_of_the_table_is_a_choice_or_key() -> None:
    for group, table in synonym.CHOICES.items():
        taken = set(map(synonym.plain, choices.choices(group)))
        assert not taken & set(map(synonym.plain, words(table)))
    assert not set(words(synonym.KEYS)) & set(choices.keys(choices.root()))


def test_the_table_is_looked_at_without_cases_and_dashes() -> None:
    assert synonym.called_here("a b: Two_Words", "two-words") == ["a", "b"]
    assert synonym.called_here("a b: two_words\nb c: twowords", "TwoWords") == ["a", "b", "c"]
    assert synonym.called_here("a: two_words", "two") == []
    assert suggest.nearest_choice("nowhere", "iid_x", ["iid"]) == ["iid"]


def options(group: str) -> set[str]:
    return {key for choice in choices.choices(group) for key in choices.node_of(group, choice)}


def names(table: str) -> list[str]:
    return [name for line in table.split("\n") for name in line.partition(":")[0].split()]


def words(table: str) -> list[str]:
    return [word for line in table.split("\n") for word in line.partition(":")[2].split()]
