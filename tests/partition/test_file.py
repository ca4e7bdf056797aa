import json

import numpy as np
import pytest

from fedrun.core.option import ConfigError
from fedrun.core.random import generator
from fedrun.experiment.build import hold
from fedrun.experiment.compose import compose
from fedrun.experiment.partition_file import export
from fedrun.partition.file import file

WORDS = ["data=wine", "clients.count=5"]


@pytest.fixture
def dataset(labelled):
    return labelled([0, 1, 0, 1, 0, 1], [0, 1, 1, 0])


@pytest.fixture
def exported(tmp_path):
    """export(words) -> path, what was held."""

    def make(*words):
        held = hold(compose("train", [*WORDS, *words]).values)
        export(tmp_path / "split.npz", held)
        return tmp_path / "split.npz", held

    return make


def read(path, dataset, count=None, **options):
    return file(dataset, count, generator(0, "partition"), path=str(path), **options)


def written(tmp_path, content):
    path = tmp_path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def repacked(path, **changes):
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **changes})
    return path


@pytest.mark.parametrize("rule", ["dirichlet", "iid", "classes"])
def test_what_was_written_is_read_with_its_rule_and_hash(exported, rule):
    path, held = exported(f"partition={rule}")
    partition = read(path, held.dataset)
    assert partition.fingerprint == held.partition.fingerprint
    assert partition.rule == held.partition.rule
    assert partition.names == tuple(map(str, range(5)))
    assert (partition.test.rows == held.partition.test.rows).all()
    assert read(path, held.dataset, 5, sha256=partition.fingerprint[:12])


def test_names_are_kept(tmp_path):
    held = hold(
        compose("train", ["data=markov_text", "data.clients=5", "partition=natural"]).values
    )
    export(tmp_path / "split.npz", held)
    partition = read(tmp_path / "split.npz", held.dataset)
    assert partition.names == held.partition.names
    assert partition.fingerprint == held.partition.fingerprint


def test_the_same_bytes_may_be_written_again_and_others_not(exported, tmp_path):
    path, _ = exported("partition=iid")
    before = path.read_bytes()
    exported("partition=iid")
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="is there already and holds something else"):
        exported("partition=iid", "seed=1")
    with pytest.raises(ConfigError, match=r"accepted is a file that ends in \.npz"):
        export(tmp_path / "split.txt", hold(compose("train", WORDS).values))
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        export(tmp_path / "no" / "split.npz", hold(compose("train", WORDS).values))


def test_a_rule_that_changes_the_data_is_no_file(tmp_path):
    held = hold(compose("train", ["partition=rotation"]).values)
    with pytest.raises(ConfigError, match="rotation/quarter_turns@1 changes the data itself"):
        export(tmp_path / "split.npz", held)


def test_own_test_rows_are_taken_again_and_not_written(exported, tmp_path):
    with pytest.raises(ConfigError, match=r"leave it out here, and give it beside partition=file"):
        exported("partition=iid", "clients.test_fraction=0.2")
    path, _ = exported("partition=iid")
    words = ("partition=file", f"partition.path={path}", "clients.count=null")
    drawn, again = (
        hold(compose("train", [*WORDS, *more, "clients.test_fraction=0.2"]).values).partition
        for more in (["partition=iid"], words)
    )
    assert again.fingerprint == drawn.fingerprint
    # A run's own files, whose test rows mean nothing for the data as they are.
    held = hold(compose("train", [*WORDS, "partition=iid"]).values)
    with np.load(path) as arrays:
        facts = json.loads(bytes(arrays["facts"]))
    facts["rule"] += " own_tests/0.2@1"
    facts["data"]["sha256"] = "0" * 64
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with pytest.raises(ConfigError, match=r"write it without clients\.test_fraction, and give"):
        read(repacked(path, facts=text), held.dataset)


def test_other_data_and_changed_rows_are_refused(exported, dataset):
    path, held = exported("partition=iid")
    with pytest.raises(ConfigError, match=r"made for other data: wine, .*142 .*\n.*toy"):
        read(path, dataset)
    rows = held.partition.train.rows.copy()
    rows[[0, -1]] = rows[[-1, 0]]
    with pytest.raises(ConfigError, match="is damaged: its rows have hash"):
        read(repacked(path, train_rows=rows), held.dataset)


def test_the_hash_that_was_asked_for(exported):
    path, held = exported("partition=iid")
    for wrong in ("0" * 64, held.partition.fingerprint[:11], ""):
        with pytest.raises(ConfigError, match=r"partition\.sha256=.* has " + "[0-9a-f]{64}"):
            read(path, held.dataset, sha256=wrong)
    with pytest.raises(ConfigError, match=r"has 5 clients; leave clients.count out \(it is 4\)"):
        read(path, held.dataset, 4)


def test_lists_of_rows(dataset, tmp_path):
    path = written(tmp_path, {"b": [4, 0], "a": [1, 3]})
    partition = read(path, dataset)
    assert partition.names == ("b", "a")
    assert [partition.train[k].tolist() for k in (0, 1)] == [[0, 4], [1, 3]]
    # b trains on label 0 only, a on label 1: the test rows follow.
    assert [partition.test[k].tolist() for k in (0, 1)] == [[0, 3], [1, 2]]
    assert partition.rule == "file/rows@1"


def test_lists_of_training_and_test_rows(dataset, tmp_path):
    content = {"x": {"train": [0, 1], "test": [3]}, "y": {"train": [2], "test": []}}
    partition = read(written(tmp_path, content), dataset)
    assert [partition.test[k].tolist() for k in (0, 1)] == [[3], []]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [0, 1], "b": [1]}, "training row 1 is held twice, by clients 0 and 1"),
        ({"a": [0, 0]}, "training row 0 is held twice, by clients 0 and 0"),
        ({"a": [0, 6]}, "training row 6 is out of range; rows are 0 to 5"),
        ({"a": [-1]}, "training row -1 is out of range"),
        ({"a": [10**30]}, "client 'a' has a row number that is out of range"),
        ({"a": [1.0]}, "must be a list of whole numbers"),
        ({"a": [True]}, "must be a list of whole numbers"),
        ({"a": "01"}, "must be a list of whole numbers"),
        ({"a": {"train": [0], "tset": [1]}}, "or train and test rows"),
        ({"a": {"train": [0], "test": [1]}, "b": [1]}, "1 of 2 clients have test rows"),
        ({"a": {"train": [0], "test": [4]}}, "test row 4 is out of range; rows are 0 to 3"),
        ({}, "names no client"),
        ([[0]], "must hold {client"),
        ('{"a": [0], "a": [1]}', "'a' stands there twice"),
        ("{", "is no readable JSON file"),
        ("[" * 100_000, "is no readable JSON file"),
    ],
)
def test_a_bad_list_is_refused_in_words(dataset, tmp_path, content, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        read(written(tmp_path, content), dataset)
    assert len(str(refusal.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_rows": np.arange(9.0)}, "train_rows must be int64 row numbers"),
        ({"train_offsets": np.array([0, 2, 1, 142])}, "train_rows must be int64 row numbers"),
        ({"test_offsets": np.array([0, 36])}, "test rows of 1 clients, training rows of 5"),
        ({"train_rows": np.array([None] * 142)}, "is no readable npz file"),
        ({"facts": np.frombuffer(b"[1]", np.uint8)}, "must hold"),
        ({"facts": np.arange(3.0)}, "facts must be the bytes of a JSON text"),
        ({"groups": np.arange(4)}, "groups must be int64"),
    ],
)
def test_a_damaged_npz_file_is_refused_in_words(exported, changes, message):
    path, held = exported("partition=iid")
    with pytest.raises(ConfigError, match=message):
        read(repacked(path, **changes), held.dataset)


def test_files_that_are_not_there_or_something_else(dataset, tmp_path):
    draw = generator(0, "partition")
    with pytest.raises(ConfigError, match=r"needs partition\.path=FILE"):
        file(dataset, None, draw)
    with pytest.raises(ConfigError, match="there is no such file"):
        read(tmp_path / "no.npz", dataset)
    with pytest.raises(ConfigError, match=r"ends in \.npz or \.json"):
        read(tmp_path / "split.csv", dataset)
    (tmp_path / "text.npz").write_text("PK no zip")
    with pytest.raises(ConfigError, match="is no readable npz file"):
        read(tmp_path / "text.npz", dataset)
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    with pytest.raises(ConfigError, match="has no arrays train_rows"):
        read(tmp_path / "other.npz", dataset)
    with (tmp_path / "one.npz").open("wb") as stream:
        np.save(stream, np.arange(3))
    with pytest.raises(ConfigError, match="holds one array and is no partition"):
        read(tmp_path / "one.npz", dataset)
