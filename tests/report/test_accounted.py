"""A published epsilon that is computed: what its file may say, and what comes out."""

from pathlib import Path

import pytest

from fedrun.core.option import ConfigError
from fedrun.report.accounted import Accounting, compute
from fedrun.report.baseline import find, read
from fedrun.report.reproduction import conclude, plan

ABADI = "sampling_rate: 0.01, noise_multiplier: 4, rounds: 10000, delta: 1.0e-05"


def text(accounting: str = ABADI, more: str = "", body: str = "") -> str:
    said = f"accounting: {{{accounting}}}, value: 1.26, band: [1.255, 1.265], source: a table{more}"
    return f"{body}expect: {{{said}}}\n"


@pytest.fixture
def mine(tmp_path: Path):
    def write(content: str) -> str:
        (tmp_path / "mine.yaml").write_text(content)
        return str(tmp_path / "mine.yaml")

    return write


def setting(**more) -> Accounting:
    usual = {
        "sampling_rate": 0.01, "cohort": None, "population": None, "noise_multiplier": 4.0,
        "rounds": 10000, "delta": 1e-5, "accountant": "rdp", "conversion": "classic",
        "orders": "all",
    }  # fmt: skip
    return Accounting(**usual | more)


@pytest.mark.parametrize(
    ("more", "epsilon"),
    [  # by two public accountants
        ({}, 1.2586),
        ({"conversion": "today"}, 1.0355),
        ({"accountant": "pld", "conversion": "today"}, 0.9470),
        ({"noise_multiplier": 1.3, "sampling_rate": 0.004, "rounds": 3750}, 1.1597),
    ],
)
def test_the_way_stands_beside_the_number(more, epsilon):
    assert compute(setting(**more)) == pytest.approx(epsilon, abs=6e-5)


def test_whole_orders_and_a_cohort_of_a_population():
    users = {"sampling_rate": None, "cohort": 5000, "population": 763430, "delta": 1e-9}
    made = {**users, "noise_multiplier": 1.0, "rounds": 5000}
    assert compute(setting(**made, orders="whole")) == pytest.approx(4.6338, abs=6e-5)
    assert compute(setting(**made)) == pytest.approx(4.5919, abs=6e-5)


def test_it_takes_no_runs(mine):
    found = read(mine(text()))
    assert (found.runs, found.minutes, found.expect.metric) == (0, 0, "privacy/epsilon")
    planned = plan(found, ["seed=3", "data.root=/nowhere"], {})
    assert planned.jobs == []
    result = conclude(planned, {})
    assert (result.judged.verdict, result.minutes, result.changed) == ("within", None, [])
    assert result.judged.mean == pytest.approx(1.2586, abs=6e-5)
    assert result.versions["dp-accounting"].startswith("0.6")
    off = read(mine(text().replace("[1.255, 1.265]", "[1.2, 1.25]").replace("1.26", "1.22")))
    assert conclude(plan(off, [], {}), {}).judged.verdict == "OUTSIDE"


def test_no_runs_take_no_overrides(mine):
    with pytest.raises(ConfigError, match="rounds=3 has no effect on mine, which is computed"):
        plan(read(mine(text())), ["rounds=3"], {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("expect: {accounting: 3, value: 1, band: [1, 2], source: x}\n", "is a set of keys, such"),
        (text(ABADI.replace("rounds: 10000, ", "")), "expect.accounting.rounds is missing"),
        (text(ABADI.replace("rounds", "steps")), "no option 'expect.accounting.steps'"),
        (text(ABADI.replace("0.01", "1.5")), "accounting.sampling_rate=1.5 is out of range"),
        (text(ABADI.replace("multiplier: 4", "multiplier: 0")), "noise_multiplier=0 is out of"),
        (text(ABADI.replace("1.0e-05", "1")), "expect.accounting.delta=1 is out of range"),
        (text(f"{ABADI}, accountant: gdp"), "expect.accounting.accountant='gdp' is not known"),
        (text(f"{ABADI}, accountant: pld, conversion: classic"), "belong to accountant=rdp"),
        (text(f"{ABADI}, accountant: pld, orders: whole"), "belong to accountant=rdp"),
        (text(f"{ABADI}, cohort: 3"), ".cohort and .population belong together"),
        (text(f"{ABADI}, cohort: 3, population: 9"), "one of them"),
        (text(ABADI.replace("sampling_rate: 0.01, ", "")), "one of them"),
        (text(ABADI.replace("sampling_rate: 0.01", "cohort: 9, population: 3")), "more than"),
        (text(more=", seeds: [0]"), "expect.seeds has no effect beside expect.accounting"),
        (text(more=", minus: other"), "expect.minus has no effect beside expect.accounting"),
        (text(more=", tune: {local.lr: [1]}"), "expect.tune has no effect beside"),
        (text(more=", metric: test/accuracy"), "gives privacy/epsilon; leave expect.metric out"),
        (text(more=", vallue: 3"), "no option 'expect.vallue'"),
        (text(body="rounds: 3\n"), "rounds has no effect beside expect.accounting"),
        (text(body="data: wine\n"), "data has no effect beside expect.accounting"),
        (text().replace("[1.255, 1.265]", "null"), "band=null is for what is measured only"),
    ],
)
def test_mistakes(mine, content, words):
    file = mine(content)
    with pytest.raises(ConfigError) as error:
        read(file)
    assert words in str(error.value)
    assert str(error.value).startswith(file)
    assert str(error.value).count("\n") <= 1


def test_nothing_is_compared_with_it(mine, tmp_path):
    mine(text())
    (tmp_path / "other.yaml").write_text(
        "data: wine\nexpect: {metric: privacy/epsilon, protocol: last, seeds: [0], cost: 1, "
        "value: 1, band: [0, 1], source: x, minus: mine}\n"
    )
    with pytest.raises(ConfigError, match="mine is computed and has no runs to compare with"):
        _ = read(str(tmp_path / "other.yaml")).other


SHIPPED = [found for found in find(["privacy_*"]) if found.accounting]


@pytest.mark.parametrize("baseline", SHIPPED, ids=lambda found: found.name)
def test_a_published_epsilon_comes_out(baseline):
    """They take no runs: so they are always tested."""
    assert conclude(plan(baseline, [], {}), {}).judged.verdict == "within"


def test_ten_are_shipped():
    assert len(SHIPPED) == 10
