"""The ledger: every release is in it before anybody sees it, over kills and resumes."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache

import pytest

from fedrun.accounting import running_epsilon
from fedrun.accounting.gaussian import gaussian_epsilon
from fedrun.core.option import ConfigError, RunError
from fedrun.core.privacy import Event
from fedrun.experiment import directory, files, spending
from fedrun.experiment.audit import verify
from fedrun.experiment.checkpoint import load_checkpoint, newest_checkpoint
from fedrun.experiment.compose import compose
from fedrun.experiment.run import Nobody, resume, train
from fedrun.experiment.spending import Spending

SMALL = ["data=blobs", "data.examples=100", "data.features=4", "data.classes=2", "model=logistic",
         "clients.count=5", "engine=eager", "rounds=6", "checkpoint.every=2",
         "evaluate.every=0"]  # fmt: skip
COINS = ["clients.sampling=poisson", "clients.per_round=0.5"]
KINDS = {
    "central": ["privacy=central", *COINS],
    "adaptive_clip": ["privacy=adaptive_clip", *COINS],
    "dp_ftrl": ["privacy=dp_ftrl", "clients.sampling=cyclic", "clients.per_round=1"],
    "banded_mf": ["privacy=banded_mf", "clients.sampling=cyclic", "clients.per_round=1"],
    "local": ["privacy=local", "clients.per_round=2"],
    "labels": ["privacy=local", "privacy.mechanism=randomized_response", "privacy.epsilon=2"],
    "example": ["privacy=example", "clients.per_round=2"],
}


class Killed(BaseException):
    """As SIGKILL: nobody catches it, nothing more is written."""


@cache
def composed(options):
    return compose("train", [*SMALL, *options])


def config(path, *options):
    """Composed once: only the place is another."""
    found = composed(options)
    return replace(found, values={**found.values, "run": {"root": "runs", "dir": str(path)}})


def run(path, *options):
    return train(config(path, *options), Nobody())


def ledger(path):
    return json.loads((path / "privacy.json").read_text())


def lines(path):
    found = []
    for text in (path / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        found.append({name: value for name, value in line.items() if name[:5] != "time/"})
    return found


def statement(path):
    return json.loads((path / "summary.json").read_text())["privacy"]


def paid(path):
    """How many releases the ledger knows of; those before round 1 are not counted."""
    found = ledger(path)
    assert found["round"] <= len(found["cohorts"])
    return len(found["cohorts"])


def killing_at(monkeypatch, instant):
    """Every write of a run counts; the one of this number does not happen, nor any later one."""
    seen = iter(range(1, 10**6))

    def counted(write):
        def instead(*args, **options):
            if next(seen) >= instant:
                raise Killed
            return write(*args, **options)

        return instead

    for module, name in ((directory, "append"), (directory, "write_json"),
                         (directory, "write_bytes"), (spending, "write_json"),
                         (directory, "save_checkpoint")):  # fmt: skip
        monkeypatch.setattr(module, name, counted(getattr(files, name, None) or
                                                  getattr(module, name)))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_m26_m16_releases_are_the_rounds_that_were_shown(kind, tmp_path):
    path = run(tmp_path / "run", *KINDS[kind])
    shown, found, told = lines(path), ledger(path), statement(path)
    assert paid(path) == len(shown) == told["releases"] == found["round"] == 6
    if found["everybody"] and kind != "labels":
        assert [entry["count"] for entry in found["everybody"]] == [6]
    epsilons = [line["privacy/epsilon"] for line in shown]
    assert epsilons == sorted(epsilons)
    assert told["epsilon"] <= epsilons[-1] * (1 + 1e-6)
    for name in ("privacy.json", "summary.json"):
        text = (path / name).read_text()
        assert "NaN" not in text
        assert "Infinity" not in text


@pytest.mark.parametrize("kind", ["central", "dp_ftrl", "labels", "local"])
def test_m26_no_noise_has_no_number_and_no_json_that_is_none(kind, tmp_path):
    noise = [] if kind == "labels" else ["privacy.noise_multiplier=0"]
    path = run(tmp_path / "run", *KINDS[kind], *noise)
    if noise:
        assert statement(path)["epsilon"] == "infinite"
        assert not any("privacy/epsilon" in line for line in lines(path))
    for file in path.glob("*.json*"):
        assert "NaN" not in file.read_text()
        assert "Infinity" not in file.read_text()


@pytest.mark.parametrize(
    ("kind", "rng"),
    [
        ("central", "seeded"),
        ("central", "secure"),
        pytest.param("local", "secure", marks=pytest.mark.slow),
    ],
)
def test_m16_killed_at_any_instant_what_was_shown_is_paid(kind, rng, tmp_path, monkeypatch):
    options = [*KINDS[kind], f"privacy.rng={rng}", "rounds=3"]
    straight = run(tmp_path / "straight", *options)
    draw, again = random.Random(kind + rng), 0
    # the eighth write is in round 1, paid for and before any checkpoint
    for trial, instant in enumerate([8, *draw.sample(range(6, 20), 3)]):
        path = tmp_path / f"run{trial}"
        with monkeypatch.context() as patch:
            killing_at(patch, instant)
            with contextlib.suppress(Killed):
                run(path, *options)
        if not path.exists():
            continue
        assert paid(path) >= len(lines(path))
        spent = paid(path)
        with monkeypatch.context() as patch:
            killing_at(patch, draw.randint(1, 12))
            with contextlib.suppress(Killed):
                resume(path, [], Nobody())
        assert paid(path) >= max(spent, len(lines(path)))
        spent = paid(path)
        resume(path, [], Nobody())
        if rng == "seeded":
            assert lines(path) == lines(straight)
            model = "model.safetensors"
            assert (path / model).read_bytes() == (straight / model).read_bytes()
            assert {**ledger(path), "repeated": 0} == ledger(straight)
            again += ledger(path)["repeated"]
        else:
            assert paid(path) >= max(spent, 3)
            assert ledger(path)["repeated"] == 0
            again += paid(path) - 3
            least = lines(straight)[-1]["privacy/epsilon"]
            found = lines(path)[-1]["privacy/epsilon"]
            if kind == "central":
                assert found > least if paid(path) > 3 else found == least
    assert again > 0


def broken_off(path, *options, rounds):
    """A run that was killed when so many rounds were charged, and not one checkpoint later."""
    with pytest.MonkeyPatch.context() as patch:
        charge = Spending.charge

        def until(self, round, rows):
            found = charge(self, round, rows)
            if round == rounds:
                raise Killed
            return found

        patch.setattr(Spending, "charge", until)
        with pytest.raises(Killed):
            run(path, *options)
    return path


@pytest.mark.parametrize(
    ("kind", "straight", "twice"),
    # of a client: two trees of three levels in place of one of four, which has its two turns in
    # one node and moves that by 2; and the whole of the matrix mechanism once more
    [("dp_ftrl", 10 / 25, 6 / 25), ("banded_mf", 1, 2)],
)
def test_m16_secure_rounds_that_are_done_again_are_paid_again(kind, straight, twice, tmp_path):
    options = [*KINDS[kind], "privacy.rng=secure", "rounds=8", "checkpoint.every=3"]
    whole = run(tmp_path / "whole", *options)
    path = broken_off(tmp_path / "run", *options, rounds=5)
    resume(path, [], Nobody())
    # five before, and the rounds 4 to 8 afterwards, as a stretch of their own
    assert [entry["count"] for entry in ledger(path)["everybody"]] == [5, 5]
    for found, square in ((whole, straight), (path, twice)):
        expected = gaussian_epsilon(square**-0.5, 1e-5)
        assert statement(found)["epsilon"] == pytest.approx(expected, rel=1e-3)
    assert statement(path)["releases"] == 10


def test_m16_turns_of_two_stretches_do_not_fill_one_pass(tmp_path):
    """Ten clients in turn, killed after round 5, gone on from round 4: whoever had its turn in
    round 4 had it twice, though ten releases are one pass."""
    options = ["privacy=central", "clients.count=10", "clients.sampling=cyclic",
               "clients.per_round=1", "privacy.rng=secure", "rounds=8",
               "checkpoint.every=3"]  # fmt: skip
    once = statement(run(tmp_path / "straight", *options))["epsilon"]
    path = broken_off(tmp_path / "run", *options, rounds=5)
    resume(path, [], Nobody())
    assert once == pytest.approx(gaussian_epsilon(1.0, 1e-5), rel=1e-3)
    assert statement(path)["epsilon"] == pytest.approx(gaussian_epsilon(0.5**0.5, 1e-5), rel=1e-3)


def test_m16_a_tree_that_goes_on_with_new_entropy_is_a_new_tree(tmp_path):
    options = [*KINDS["dp_ftrl"], "privacy.rng=secure", "rounds=8", "checkpoint.every=3"]
    path = broken_off(tmp_path / "run", *options, rounds=5)
    resume(path, [], Nobody())
    tree, _ = load_checkpoint(newest_checkpoint(path / "checkpoints"))
    state = tree["channel"]["0"]
    assert state["planted"] == 3
    assert list(state["nodes"]) == ["2", "0"]  # of five releases


def test_m26_seeded_rounds_that_were_shown_stay_paid_where_the_run_ends_before_them(tmp_path):
    options = [*KINDS["central"], "rounds=8", "checkpoint.every=3"]
    path = broken_off(tmp_path / "run", *options, rounds=6)
    resume(path, ["rounds=4"], Nobody())
    assert len(lines(path)) == 4
    assert paid(path) == 6
    assert statement(path)["releases"] == 6
    resume(path, ["rounds=8"], Nobody())
    assert statement(path)["releases"] == 8
    straight = run(tmp_path / "straight", *options)
    assert statement(path)["epsilon"] == statement(straight)["epsilon"]
    assert lines(path) == lines(straight)


def test_m26_early_stop_pays_for_what_was_released_and_no_more(tmp_path):
    path = run(tmp_path / "run", *KINDS["central"], "rounds=50", "evaluate.every=1",
               "stop.metric=test/accuracy", "stop.value=0.0")  # fmt: skip
    assert len(lines(path)) == paid(path) == statement(path)["releases"] == 1


def test_rounds_that_are_added_are_paid_on_top(tmp_path):
    whole = run(tmp_path / "whole", *KINDS["central"], "rounds=6")
    path = run(tmp_path / "run", *KINDS["central"], "rounds=3")
    resume(path, ["rounds=6"], Nobody())
    assert {**ledger(path)} == ledger(whole)
    assert lines(path) == lines(whole)


@pytest.mark.parametrize(
    ("options", "why"),
    [(["privacy.noise_multiplier=null", "privacy.target_epsilon=4"], "privacy.target_epsilon"),
     (KINDS["banded_mf"], "privacy=banded_mf")],
)  # fmt: skip
def test_m26_noise_that_was_made_for_so_many_rounds_takes_no_other_number(options, why, tmp_path):
    path = run(tmp_path / "run", *KINDS["central"], "rounds=3", *options)
    with pytest.raises(ConfigError, match=f"{why} made the noise for 3 of them"):
        resume(path, ["rounds=6"], Nobody())


@pytest.mark.parametrize(
    ("kind", "who"),
    [("central", 2), ("local", 5), pytest.param("example", 5, marks=pytest.mark.slow)],
)
def test_no_round_tells_more_than_the_target_that_the_noise_was_made_for(kind, who, tmp_path):
    target = ["privacy.noise_multiplier=null", "privacy.target_epsilon=4"]
    path = run(tmp_path / "run", *KINDS[kind], *target, f"clients.per_round={who}", "rounds=41")
    told = [line["privacy/epsilon"] for line in lines(path)]
    assert told == sorted(told)
    assert 3.9 < told[-1] <= 4
    assert 3.9 < statement(path)["epsilon"] <= 4
    assert verify(path).holds


@pytest.mark.slow
def test_noise_of_a_larger_federation_has_a_target_of_its_own(tmp_path):
    target = ["privacy.noise_multiplier=null", "privacy.target_epsilon=1", "rounds=2"]
    larger = ["privacy.simulated_cohort=1000", "privacy.simulated_population=10000"]
    (last,) = lines(run(tmp_path / "run", *KINDS["central"], *target, *larger))[1:]
    assert last["privacy/epsilon"] > 100
    assert last["privacy/epsilon_simulated"] == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Runs whose checkpoint is of round 4 and whose ledger is of round 5."""
    place = tmp_path_factory.mktemp("broken")
    for rng in ("seeded", "secure"):
        broken_off(place / rng, *KINDS["central"], f"privacy.rng={rng}", rounds=5)
    return place


def without(name):
    return lambda found: {key: value for key, value in found.items() if key != name}


@pytest.mark.parametrize("rng", ["seeded", "secure"])
@pytest.mark.parametrize(
    "change",
    [
        lambda found: None,
        lambda found: [],
        without("round"),
        without("everybody"),
        without("cohorts"),
        lambda found: {**found, "cohorts": found["cohorts"][:1], "round": 1},
        lambda found: {**found, "cohorts": [], "round": 0, "everybody": []},
        lambda found: {**found, "everybody": []},
        lambda found: {
            **found,
            "everybody": [{**found["everybody"][0], "count": count} for count in (8, -3)],
        },
        lambda found: {**found, "everybody": [{**found["everybody"][0], "event": {}}]},
        lambda found: {**found, "cohorts": "many"},
    ],
)
def test_m16_a_ledger_that_was_changed_is_refused(change, rng, broken):
    path = broken / rng
    before = (path / "privacy.json").read_bytes()
    (path / "privacy.json").write_text(json.dumps(change(json.loads(before))))
    with pytest.raises(RunError, match=r"privacy\.json"):
        resume(path, [], Nobody())
    (path / "privacy.json").write_bytes(before)


@pytest.mark.parametrize("rng", ["seeded", "secure"])
def test_m16_a_ledger_that_is_missing_or_damaged_is_refused(rng, broken, tmp_path):
    path = shutil.copytree(broken / rng, tmp_path / "run")
    before = ledger(path)
    for content in ("", "{", "\x00"):
        (path / "privacy.json").write_text(content)
        with pytest.raises(RunError, match=r"privacy\.json"):
            resume(path, [], Nobody())
    (path / "privacy.json").unlink()
    with pytest.raises(RunError, match=r"privacy\.json is missing") as told:
        resume(path, [], Nobody())
    assert str(told.value).count("\n") == 1
    (path / "privacy.json").write_text(json.dumps(before))
    resume(path, [], Nobody())
    assert paid(path) == (6 if rng == "seeded" else 7)


def test_m17_each_client_has_an_account_and_the_worst_is_told(tmp_path):
    path = run(tmp_path / "run", *KINDS["local"], "rounds=5")
    found = ledger(path)
    assert found["everybody"] == []
    turns = {name: sum(entry["count"] for entry in own) for name, own in found["clients"].items()}
    assert sum(turns.values()) == 10
    event = Event.from_json(next(iter(found["clients"].values()))[0]["event"])
    worst = running_epsilon([(event, max(turns.values()))], 1e-5, "replace_one")
    assert lines(path)[-1]["privacy/epsilon"] == pytest.approx(worst)
    assert statement(path)["epsilon"] == pytest.approx(worst, rel=1e-3)


def test_m16_asking_for_epsilon_changes_nothing(federation):
    made = Spending(federation("privacy=central", *COINS).privacy)
    made.charge(1, [])
    before = json.dumps(made.to_json())
    first = made.epsilon(), made.statement()
    assert (made.epsilon(), made.statement()) == first
    assert json.dumps(made.to_json()) == before


def test_m22_a_round_that_nobody_came_to_is_charged(federation):
    made = Spending(federation("privacy=central", *COINS).privacy)
    figures = [made.charge(number, []) for number in (1, 2)]
    assert made.everybody == [(made.privacy.event, 2)]
    assert made.cohorts == [0, 0]
    assert 0 < figures[0]["privacy/epsilon"] < figures[1]["privacy/epsilon"]


@pytest.mark.parametrize("kind", KINDS)
def test_m20_every_statement_says_what_is_not_accounted_for(kind, federation):
    told = Spending(federation(*SMALL, *KINDS[kind]).privacy).statement()
    assert "choosing among runs, or the best round of one, is not accounted for" in told["caveats"]
    assert any("seed" in text for text in told["caveats"])
    assert told["real"] is False


@pytest.mark.parametrize("kind", KINDS)
def test_only_secure_noise_without_leaks_is_called_real(kind, federation):
    def real(*options):
        made = Spending(federation(*SMALL, *KINDS[kind], *options).privacy)
        made.charge(1, [])
        return made.statement()["real"]

    assert real("privacy.rng=secure") is True
    assert real() is False
    if kind != "labels":
        assert real("privacy.rng=secure", "privacy.leaky_diagnostics=true") is False


@pytest.mark.slow
def test_a_simulated_federation_is_told_beside_the_run_itself(tmp_path):
    path = run(tmp_path / "run", *KINDS["central"], "privacy.simulated_cohort=500",
               "privacy.simulated_population=100000", "rounds=2")  # fmt: skip
    told = statement(path)
    assert told["simulated"]["epsilon"] < 3 < told["epsilon"]
    assert told["simulated"]["relation"] == "add_remove"
    assert told["events"][0]["noise_multiplier"] == pytest.approx(2.5 / 500)
    assert "not of this run" in told["simulated"]["meaning"]
    for line in lines(path):
        assert line["privacy/epsilon_simulated"] < 3
        assert line.get("privacy/epsilon", 1e9) > 3


FEDRUN = [sys.executable, "-m", "fedrun"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rng", ["seeded", "secure"])
def test_m16_killed_by_the_system_what_was_shown_is_paid(rng, tmp_path):
    options = [*SMALL, *KINDS["central"], f"privacy.rng={rng}", "rounds=400", "checkpoint.every=30"]
    straight, path = tmp_path / "straight", tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*FEDRUN, "train", "-q", *options, f"run.dir={straight}"], check=True,
                   env=environment)  # fmt: skip

    def shown():
        log = path / "metrics.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    words, draw, hits = ["train", "-q", *options, f"run.dir={path}"], random.Random(rng), 0
    for _ in range(6):
        process, enough = subprocess.Popen([*FEDRUN, *words], env=environment), draw.randint(5, 60)
        enough += shown()
        while process.poll() is None and shown() < enough:
            time.sleep(0.001)
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists():
            assert paid(path) >= len(lines(path))
            words = ["resume", str(path), "-q"]
    subprocess.run([*FEDRUN, *words], check=True, env=environment)
    assert hits
    assert len(lines(path)) == 400
    if rng == "seeded":
        assert lines(path) == lines(straight)
        assert {**ledger(path), "repeated": 0} == ledger(straight)
    else:
        assert paid(path) > 400
        assert statement(path)["epsilon"] > statement(straight)["epsilon"]
