"""`fedrun budget`: epsilon before anything runs."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fedrun.core.privacy import Claim, Event, Sampling

PLAIN = "sampling_rate=0.01 noise_multiplier=1.1 rounds=1000 delta=1e-5"


@pytest.fixture
def answer(fedrun):
    return lambda words: json.loads(fedrun(f"budget --json {words}").out)


def test_the_published_setting(answer):
    said = answer(PLAIN)
    assert said["epsilon"]["pld"] == pytest.approx(1.5154, abs=2e-3)
    assert said["epsilon"]["rdp"] == pytest.approx(1.7118, abs=1e-4)
    assert said["best"] == {"accountant": "pld", "epsilon": said["epsilon"]["pld"]}
    assert said["sampling"] == {
        "scheme": "poisson", "rate": 0.01, "population": None, "cohort": None
    }  # fmt: skip
    assert (said["delta"], said["relation"], said["rounds"]) == (1e-5, "add_remove", 1000)
    assert said["noise_multiplier"] == 1.1
    assert said["accountants"]["pld"].startswith("dp-accounting 0.6")
    assert said["warnings"] == []


def test_the_same_as_a_table(fedrun):
    out = fedrun(f"budget {PLAIN}").out
    assert out.startswith("epsilon <= 1.5154 with delta 1e-05\n")
    assert "one participant is there or not (add_remove)" in out
    assert "1.7118" in out
    assert "warning" not in out


def test_what_is_shown_is_never_below_the_bound(fedrun, answer):
    words = "noise_multiplier=3 rounds=10 sampling=full delta=1e-5"
    shown = float(fedrun(f"budget {words}").out.split()[2])
    assert 0 <= shown - answer(words)["best"]["epsilon"] <= 1e-4


def test_population_and_cohort_give_rate_delta_and_warnings(answer):
    said = answer("population=3400 cohort=100 noise_multiplier=1 rounds=1500 parameters=200000")
    assert said["sampling"]["rate"] == 100 / 3400
    assert said["delta"] == pytest.approx(0.1 / 3400)
    noisy, little = said["warnings"]
    assert "4.47 times as long" in noisy
    assert "cohort of 448" in noisy
    assert "too small for its noise" in little


def test_m23_delta_against_the_population(answer):
    said = answer("population=1000 cohort=10 noise_multiplier=9 rounds=3 delta=1e-3")
    assert "delta 0.001 is above" in said["warnings"][0]


def test_the_noise_for_an_epsilon(fedrun, answer):
    words = "sampling_rate=0.1 rounds=100 delta=1e-5 target_epsilon=1"
    said = answer(words)
    assert said["noise_multiplier"] == pytest.approx(3.9417, rel=1e-3)
    assert 1 - 1e-3 <= said["best"]["epsilon"] <= 1
    shown = fedrun(f"budget {words}").out.splitlines()[1].split()[2]
    assert float(shown) >= said["noise_multiplier"]


@pytest.mark.parametrize(
    ("words", "relation", "names"),
    [
        ("sampling=fixed population=100 cohort=10 noise_multiplier=4", "replace_one", {"rdp"}),
        ("sampling=full noise_multiplier=9", "zero_out", {"pld", "rdp", "exact"}),
        (
            "sampling=shuffled population=100 cohort=10 noise_multiplier=4",
            "zero_out",
            {"pld", "rdp", "exact"},
        ),
        (
            "mechanism=tree restart=10 population=100 cohort=10 noise_multiplier=9",
            "zero_out",
            {"pld", "rdp", "exact"},
        ),
        (
            "mechanism=banded bands=10 population=100 cohort=10 noise_multiplier=9",
            "zero_out",
            {"pld", "rdp", "exact"},
        ),
        ("mechanism=laplace noise_multiplier=20", "zero_out", {"pld", "rdp", "pure"}),
        (
            "mechanism=randomized_response epsilon=0.1 classes=4",
            "replace_one",
            {"pld", "rdp", "pure"},
        ),
    ],
)
def test_every_sampling_and_mechanism(answer, fedrun, words, relation, names):
    said = answer(f"{words} rounds=20 delta=1e-4")
    assert said["relation"] == relation
    assert set(said["epsilon"]) == names
    assert fedrun(f"budget {words} rounds=20 delta=1e-4").out


def test_no_noise_is_said_so(answer, fedrun):
    words = "sampling_rate=0.1 noise_multiplier=0 rounds=3 delta=1e-5"
    said = answer(words)
    assert said["best"]["epsilon"] == "infinite"
    assert "nothing is protected" in said["warnings"][0]
    assert fedrun(f"budget {words}").out.startswith("epsilon <= infinite")


def test_tables(answer, fedrun):
    words = "population=1000 cohort=50 noise_multiplier=8 rounds=50 parameters=100"
    cohorts = answer(f"--table cohort {words}")["table"]["rows"]
    assert [row["cohort"] for row in cohorts] == [2, 5, 10, 20, 50, 100, 200, 500, 1000]
    spent = [row["best"] for row in cohorts]
    assert spent == sorted(spent)
    noises = answer(f"--table noise {words}")["table"]["rows"]
    assert [row["best"] for row in noises] == sorted((row["best"] for row in noises), reverse=True)
    assert noises[4]["best"] == answer(words)["best"]["epsilon"]
    assert "noise / update" in fedrun(f"budget --table cohort {words}").out


def test_the_noise_over_targets(answer):
    words = "sampling=full noise_multiplier=1 rounds=5 delta=1e-5"
    targets = answer(f"--table epsilon {words}")["table"]["rows"]
    assert [row["target_epsilon"] for row in targets] == [0.5, 1, 2, 4, 8, 16]
    assert all(row["best"] <= row["target_epsilon"] for row in targets)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("samplig_rate=0.1 noise_multiplier=1", "did you mean 'sampling_rate'?"),
        ("sampling_rate=1.5 noise_multiplier=1", "above 0 and at most 1"),
        (f"{PLAIN} rounds=3", "rounds= is given twice"),
        ("sampling_rate=0.1 noise_multiplier=1 rounds=2.5", "a whole number at least 1"),
        ("sampling_rate=0.1 noise_multiplier=1 rounds=3 delta=1", "below 1"),
        ("sampling_rate=0.1 noise_multiplier=nan rounds=3", "noise_multiplier=nan"),
        ("sampling_rate=0.1 noise_multiplier=1 delta=1e-5", "rounds= is missing"),
        ("sampling_rate=0.1 noise_multiplier=1 rounds=3", "delta= is missing"),
        ("sampling_rate=0.1 rounds=3 delta=1e-5", "noise_multiplier= is missing"),
        (f"{PLAIN} target_epsilon=1", "give one"),
        ("noise_multiplier=1 rounds=3 delta=1e-5", "sampling_rate= is missing"),
        ("cohort=5 noise_multiplier=1 rounds=3 delta=1e-5", "population="),
        ("cohort=50 population=9 noise_multiplier=1 rounds=3", "more than population=9"),
        (f"{PLAIN} cohort=5", "give one"),
        (f"{PLAIN} sampling=poison", "did you mean 'poisson'?"),
        (f"{PLAIN} sampling=fixed", "needs population= and cohort="),
        (f"{PLAIN} relation=replace_one", "take add_remove or zero_out"),
        (f"{PLAIN} restart=5", "belongs to mechanism=tree"),
        (f"{PLAIN} mechanism=randomized_response epsilon=1", "has no effect"),
        (f"{PLAIN} privacy=central", "belongs to a config"),
        (f"{PLAIN} --table cohort", "not a bare sampling_rate="),
        ("mechanism=randomized_response epsilon=1 rounds=2 delta=0.1 --table noise", "varied"),
        ("mechanism=banded bands=3 population=10 cohort=5 rounds=9 noise_multiplier=3", "1 to 2"),
        ("sampling_rate noise_multiplier=1", "write sampling_rate=VALUE"),
    ],
)
def test_mistakes_are_told_in_a_line(fedrun, words, said):
    result = fedrun(f"budget {words}", 2)
    assert said in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""


def a_plan(**others):
    sampling = Sampling(scheme="poisson", population=500, cohort=50)
    event = Event(sampling=sampling, noise_multiplier=2.0)
    claim = Claim(unit="client", relation="add_remove", delta=1e-5, trust="the server is trusted")
    plan = {"claim": claim, "accounts": [[(event, 30)]], "simulated": None, "parameters": 40}
    return SimpleNamespace(**(plan | others))


@pytest.fixture
def config(monkeypatch):
    """config(plan): what any config would spend."""
    from fedrun.experiment import forecast

    def put(plan):
        monkeypatch.setattr(forecast, "forecast", lambda values: plan)

    return put


def test_a_config(answer, fedrun, config):
    config(a_plan())
    said = answer("rounds=30")
    plain = answer("population=500 cohort=50 noise_multiplier=2 rounds=30 delta=1e-5")
    assert said["epsilon"] == plain["epsilon"]
    assert said["trust"] == "the server is trusted"
    assert said["parameters"] == 40
    assert "one client is there or not" in fedrun("budget").out


def test_a_real_config(answer):
    said = answer("privacy=central clients.sampling=poisson clients.per_round=0.5 rounds=3")
    plain = answer("population=10 cohort=5 noise_multiplier=1 rounds=3 delta=1e-5")
    assert said["epsilon"] == plain["epsilon"]
    assert said["parameters"] == 55_210
    assert said["unit"] == "client"


def test_the_client_that_spends_most_is_told(answer, config):
    sampling = Sampling(scheme="poisson", population=100, cohort=10)
    few, many = ([(Event(sampling=sampling, noise_multiplier=z), 9)] for z in (3.0, 1.0))
    config(a_plan(accounts=[few, [], many]))
    assert answer("")["noise_multiplier"] == 1.0


def test_a_simulated_federation_has_a_number_of_its_own(answer, config):
    larger = Sampling(scheme="poisson", population=10**6, cohort=1000)
    config(a_plan(simulated=[(Event(sampling=larger, noise_multiplier=4.0), 30)]))
    said = answer("")
    assert said["simulated"]["best"]["epsilon"] < said["best"]["epsilon"]
    assert "this run's own is" in said["warnings"][-1]


def test_a_config_without_privacy_has_no_budget(fedrun, config):
    config(a_plan(claim=None))
    assert "promises no privacy" in fedrun("budget", 2).err


@pytest.mark.slow
def test_the_noise_that_a_config_needs(answer, config):
    config(a_plan())
    said = answer("target_epsilon=2")
    assert said["target_epsilon"] == 2
    assert 1.99 < said["best"]["epsilon"] <= 2


def test_tab_and_help_do_not_wait_for_torch():
    code = (
        "import sys, fedrun.cli.budget, fedrun.cli.budget_view, fedrun.cli.budget_table;"
        "import fedrun.accounting; sys.exit(bool({'torch', 'dp_accounting'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tab_offers_the_numbers():
    from fedrun.cli.budget import complete_numbers

    assert "noise_multiplier=" in complete_numbers("noi")
    assert "rounds=" in complete_numbers("rou")
