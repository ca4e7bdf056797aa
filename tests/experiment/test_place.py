"""Where a run lives: the same config in the same folder, and never outside of it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.experiment.compose import compose, config_hash
from fedrun.experiment.place import LONGEST, run_path, safe, summary


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "default"),
        (["algorithm=fedprox", "algorithm.mu=0.1", "rounds=50"], "fedprox_mu0.1_rounds50"),
        (["run.root=/tmp", "name=x"], "default"),
        (["data.path=../secret/a.csv", "data=table"], "table"),
        (["model.hidden=[64,32]"], "hidden-64-32"),
        (["+a.b=1", "~c"], "b1_c"),
        (["algorithm=my.module:method"], "my.module-method"),
        (["local.lr=1e-3"], "lr1e-3"),
        (["local.lr=1e+30"], "lr1e30"),
        (["local.lr=0.1", "seed=1", "++local.lr=0.2"], "lr0.2_seed1"),
    ],
)
def test_the_overrides_as_a_name(overrides: list[str], name: str) -> None:
    assert summary(overrides) == name


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_overrides_give_one_plain_folder_name(overrides: list[str]) -> None:
    name = summary(overrides)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name)
    assert len(name) <= LONGEST
    assert name not in (".", "..")


@given(st.text())
def test_safe_text_stays_in_its_folder(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", safe(text))
    assert (Path("/runs") / safe(text)).parent == Path("/runs")
    assert safe(text) not in (".", "..")


def test_the_path_of_a_run() -> None:
    composed = compose("train", ["rounds=7"])
    digest = config_hash(composed.values)
    assert run_path(composed) == Path("runs/train") / f"rounds7-{digest[:8]}"
    moved = compose("train", ["rounds=7", "run.root=/x", "name=mine"])
    assert run_path(moved) == Path("/x/mine") / f"rounds7-{digest[:8]}"
    assert run_path(compose("train", ["rounds=7", "run.dir=here"])) == Path("here")
    assert run_path(compose("example/clinics", [])).parts[:2] == ("runs", "clinics")


def test_the_order_of_overrides_does_not_change_the_hash() -> None:
    one = run_path(compose("train", ["rounds=7", "seed=3"]))
    other = run_path(compose("train", ["seed=3", "rounds=7"]))
    assert one.name[-8:] == other.name[-8:]
    assert run_path(compose("train", ["rounds=7", "seed=4"])).name[-8:] != one.name[-8:]
