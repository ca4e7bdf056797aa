import io

import numpy as np
import pytest
from rich.console import Console

from fedrun.cli.partition_view import _bounds, label_skew, show
from fedrun.core.dataset import Dataset, Spec
from fedrun.core.partition import Ragged, partition
from fedrun.core.random import generator
from fedrun.partition.iid import iid
from fedrun.partition.natural import natural
from fedrun.partition.shards import shards


def shown(dataset, made, width=80, encoding="utf-8"):
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, errors="strict") as file:
        show(Console(file=file, width=width), dataset, made, 7)
        file.flush()
        return raw.getvalue().decode(encoding)


def test_a_small_split_by_hand(labelled):
    dataset = labelled([0, 0, 0, 0, 1, 1], [0, 0, 1])
    made = partition("hand@1", dataset, [np.array([0, 1, 2, 3]), np.array([4, 5])])
    text = shown(dataset, made)
    lines = [line.split() for line in text.splitlines()]
    assert ["0", "4", "2", "1", "█·"] in lines
    assert ["1", "2", "1", "1", "·█"] in lines
    assert ["0", "███···"] in lines
    assert ["1", "···▒▒▒"] in lines
    assert "hand@1, seed 7" in text
    assert "smallest 2, median 3, largest 4" in text
    assert "0.500 (mean total-variation" in text
    assert made.fingerprint in text
    assert f"{made.fingerprint[:12]} " in text


def test_a_single_example_is_never_shown_as_none(labelled):
    dataset = labelled([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    text = shown(dataset, partition("hand@1", dataset, [np.arange(10)]))
    assert "\n0 ███\n1 ░░░\n" in text
    assert " █▁ " in text


def test_label_skew_by_hand():
    # The whole is (4/6, 2/6). Client 0 (1, 0) is 1/3 away, client 1 (0, 1) is 2/3 away.
    label = np.array([0, 0, 0, 0, 1, 1])
    assert label_skew(Ragged.of([np.arange(4), np.array([4, 5])]), label) == pytest.approx(0.5)
    assert label_skew(Ragged.of([np.array([0, 1, 4]), np.array([2, 3, 5])]), label) == 0


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_thousand_clients_fit_the_terminal_and_the_rest_is_named(labelled, width):
    dataset = labelled(np.arange(5000) % 10, np.arange(100) % 10)
    made = shards(dataset, 1000, generator(0, "partition"))
    text = shown(dataset, made, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert len(text.splitlines()) < 60
    assert "first 20 of 1,000 clients" in text
    assert "980 clients more, left out here" in text
    assert f"first {width - 2} of 1,000 clients" in text
    assert f"; {1000 - len(set(made.test.owner))} clients without any" in text


def test_many_classes_are_grouped(labelled):
    dataset = labelled(np.arange(620) % 62)
    text = shown(dataset, iid(dataset, 5, generator(0, "partition")))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "a mark per 3 labels" in text
    assert "60 to 61 " in text


def test_numbers_show_sizes_only(labelled):
    dataset = labelled([0.5] * 7, [1.0], kind="number")
    text = shown(dataset, iid(dataset, 2, generator(0, "partition")))
    assert "smallest 3, median 3.5, largest 4" in text
    assert "label" not in text


def test_sequences_show_sizes_only(labelled):
    dataset = labelled([[1, 2]] * 7, [[2, 2]], kind="tokens")
    text = shown(dataset, iid(dataset, 2, generator(0, "partition")))
    assert "smallest 3, median 3.5, largest 4" in text
    assert "label" not in text


def test_a_terminal_with_ascii_only(labelled):
    dataset = labelled(np.arange(40) % 4)
    assert "#" in shown(dataset, iid(dataset, 4, generator(0, "partition")), encoding="ascii")


def test_names_are_text_and_not_markup(labelled):
    dataset = labelled([0, 1], owner=[0, 1], names=["[bold]", "hamlet/KING CLAUDIUS, a long name"])
    text = shown(dataset, natural(dataset, None, generator(0, "partition")))
    assert text.count("[bold]") == 2
    assert "hamlet/KING CLAUDIU…" in text


def test_a_label_that_breaks_the_line_is_spelled_out(labelled):
    toy = labelled([0, 1])
    dataset = Dataset("text", Spec((1,), 2, "classes", ("\n", "a")), toy.train, toy.test)
    text = shown(dataset, iid(dataset, 1, generator(0, "partition")))
    assert "\n'\\n' ███" in text
    assert "\n   a ███" in text


def test_levels_that_no_count_reaches_are_left_out():
    assert _bounds(2, 4) == {0: (0, 0), 2: (1, 1), 4: (2, 2)}
    assert _bounds(100, 4)[3] == (51, 75)
