"""`fedrun audit` says what it looked at, and its exit status whether that holds."""

import json
import shutil
from pathlib import Path

import pytest

PRIVATE = (
    "data=digits model=logistic clients.count=20 local.steps=1 rounds=1 privacy=central "
    "privacy.noise_multiplier=3"
)


@pytest.fixture(scope="module")
def run(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fedrun.small(tmp_path_factory.mktemp("audit") / "run")


def test_an_untouched_run(fedrun, run: Path) -> None:
    out = fedrun(["audit", str(run)]).out
    assert "checks hold" in out
    head = json.loads((run / "manifest.json").read_text())["audit"]
    assert head in out
    for name in ("config.yaml", "partition.npz", "metrics.jsonl", "summary.json", "audit.jsonl"):
        assert name in out
    found = json.loads(fedrun(["audit", str(run), "--json"]).out)
    assert found["holds"] is True
    assert found["head"] == head
    assert {check["verdict"] for check in found["checks"]} == {"ok"}


def test_an_altered_run(fedrun, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    summary = copy / "summary.json"
    summary.write_text(summary.read_text().replace('"rounds": 3', '"rounds": 30'))
    answer = fedrun(["audit", str(copy)], 1)
    assert "rounds: not what follows from metrics.jsonl" in answer.out
    assert "2 of 20 checks do not hold" in answer.out
    found = json.loads(fedrun(["audit", str(copy), "--json"], 1).out)
    wrong = [check["what"] for check in found["checks"] if check["verdict"] == "altered"]
    assert wrong == ["summary.json", "every byte"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("audit .", "not a run directory"),
        ("audit nowhere", "no run directory"),
        ("audit", "takes one run directory, and 0 are given"),
        ("audit a b", "2 are given"),
        ("audit a --canaries 5", "--canaries has no effect without --privacy"),
        ("audit --privacy runs/x", "config=runs/x/config.yaml"),
        ("audit --privacy privacy=none", "claims nothing"),
        ("audit --privacy privacy.nois=1", "no option 'nois'"),
    ],
)
def test_mistakes(fedrun, words: str, text: str) -> None:
    answer = fedrun(words, 2)
    assert text in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_a_mechanism_is_measured_against_its_claim(fedrun) -> None:
    out = fedrun(f"audit --privacy --canaries 100 {PRIVATE}").out
    first = out.splitlines()[0]
    assert first.startswith("measured >= ")
    assert " | claimed <= 1.2711" in first
    assert first.endswith(" | consistent")
    assert "no bound" in out
    assert not Path("runs").exists()
    found = json.loads(fedrun(f"audit --privacy --json --canaries 100 {PRIVATE}").out)
    assert found["verdict"] == "consistent"
    assert found["canaries"] == 100
    low, high = (float(word.split("=")[1]) for word in first.split(" | ")[:2])
    assert low <= found["measured"]
    assert high >= found["claimed"]
    assert found["measured"] <= found["claimed"] == pytest.approx(1.2707, abs=1e-3)


def test_a_violated_claim_ends_with_1(fedrun, monkeypatch: pytest.MonkeyPatch) -> None:
    # the very fault that an audit is for: noise is asked for, and none is added
    monkeypatch.setattr("fedrun.privacy.central.noised", lambda total, std, stream: total)
    answer = fedrun(f"audit --privacy --canaries 150 {PRIVATE}", 1)
    assert answer.out.splitlines()[0].endswith(" | violated")


def test_canaries_that_can_refute_nothing_are_named(fedrun) -> None:
    out = fedrun(f"audit --privacy --canaries 10 {PRIVATE}").out
    assert "cannot refute this claim" in out
