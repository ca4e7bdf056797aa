"""`fedrun reproduce` on published numbers of our own making."""

import json
import re
from pathlib import Path

import pytest

from fedrun.core.option import RunError
from fedrun.experiment import batch
from fedrun.experiment import run as training
from fedrun.report.baseline import find, shipped

BASE = """
data: wine
model: logistic
clients: {count: 5}
rounds: 2
local: {lr: 0.02}
expect: {metric: test/accuracy, protocol: last, seeds: [0, 1], cost: 0.1, source: 'a table'}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs for all tests here: what one has run another finds."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def write(folder: Path):
    (folder / "_base.yaml").write_text(BASE)

    def file(name: str, expect: str, more: str = "") -> str:
        (folder / f"{name}.yaml").write_text(
            f"defaults: [_base.yaml]\n{more}\nexpect: {{{expect}}}\n"
        )
        return f"{name}.yaml"

    return file


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process: PyTorch is imported once. The processes have their own tests."""

    def run(jobs, processes, watcher, lost):
        failures = {}
        for job in (job for job in jobs if not job.finished and job.path not in failures):
            watcher.started(job)
            try:
                if job.status is None:
                    training.train(job.composed, training.Nobody())
                else:
                    training.resume(job.path, [], training.Nobody())
            except RunError as error:
                failures[job.path] = str(error)
            watcher.ended(job, failures.get(job.path))
        return failures

    monkeypatch.setattr(batch, "run", run)


def row(out: str, name: str) -> str:
    return next(line for line in out.splitlines() if line.startswith(name))


@pytest.mark.slow
def test_within_outside_and_not_run_again(fedrun, write, runs: Path, monkeypatch) -> None:
    good = write("good", "value: 0.4, band: [0.2, 1]")
    bad = write("bad", "value: 0.1, band: [0, 0.2], miss: 'the number is made up'")
    answer = fedrun(f"reproduce {good} run.root={runs} --jobs 2")
    assert "test/accuracy, last round" in answer.out
    assert re.search(r"good +0\.4 +\d\.\d{4}, 0\.\d{4} \(2\) +0\.2 to 1  within", answer.out)
    assert "2/2 good/" in answer.err
    assert len(list(runs.glob("good/*-????????"))) == 2
    monkeypatch.setattr(batch.Local, "start", None)  # nothing may be started from here on
    # Another name for the same config: a run is its config.
    answer = fedrun(f"reproduce {bad} {good} run.root={runs}", code=1)
    assert row(answer.out, "bad").endswith("0 to 0.2  OUTSIDE")
    assert row(answer.out, "good").endswith("within")
    assert "bad: known: the number is made up" in answer.out
    again = fedrun(f"reproduce {bad} {good} run.root={runs} --json", code=1)
    assert "2 runs are finished already" in again.err
    results = {each["name"]: each for each in json.loads(again.out)}
    assert [results[name]["verdict"] for name in ("bad", "good")] == ["OUTSIDE", "within"]
    values = results["good"]["values"]
    lines = [run / "metrics.jsonl" for run in sorted(runs.glob("good/*-????????"))]
    last = [json.loads(text.read_text().splitlines()[-1])["test/accuracy"] for text in lines]
    assert sorted(values) == sorted(last)
    assert results["good"]["mean"] == pytest.approx(sum(last) / 2)
    assert len(set(values)) == 2
    kept = json.loads((runs / "reproduce/good.json").read_text())
    assert kept == results["good"]
    assert row(fedrun("reproduce").out, "heart_fedavg").endswith("not run")


@pytest.mark.usefixtures("here")
def test_the_best_setting_counts_and_a_diverged_one_never(fedrun, write, runs: Path) -> None:
    tuned = write("tuned", "value: 0.9, band: [0.2, 1], seeds: [0], tune: {local.lr: [1e38, 0.1]}")
    answer = fedrun(f"reproduce {tuned} run.root={runs}")
    assert row(answer.out, "tuned").endswith("within")
    assert "tuned: local.lr=0.1, the best of local.lr [1e+38, 0.1]" in answer.out
    # An override of what is tuned leaves one setting; here all there is has failed.
    answer = fedrun(f"reproduce {tuned} run.root={runs} local.lr=1e38", code=1)
    assert row(answer.out, "tuned").endswith("failed")
    assert "the best of" not in answer.out
    assert "diverged" in answer.out


@pytest.mark.slow
def test_a_setting_that_has_lost_is_left_and_the_verdict_is_that_of_whole_runs(
    fedrun, write, runs: Path
) -> None:
    raced = write(
        "raced",
        "value: 3, band: [1, 9], protocol: rounds_to 0.9, seeds: [0], "
        "tune: {local.lr: [0.05, 1e-6]}",
        "rounds: 5000\nstop: {metric: test/accuracy, value: 0.9}",
    )
    answer = fedrun(f"reproduce {raced} run.root={runs}")
    assert re.search(
        r"2/2 raced/lr1e-06\S* left in round \d+: another setting took fewer", answer.err
    )
    assert "raced: local.lr=0.05, the best of local.lr [0.05, 1e-06]" in answer.out
    (lost,) = runs.glob("raced/lr1e-06*")
    made = batch.last_round(lost)
    assert 2 < made < 5000
    assert fedrun(f"reproduce {raced} run.root={runs}").out == answer.out
    assert batch.last_round(lost) == made, "nobody goes on with it"


@pytest.mark.slow
def test_a_setting_may_have_lost_before_each_of_its_seeds_has_begun(fedrun, write, folder) -> None:
    raced = write(
        "raced2",
        "value: 3, band: [1, 9], protocol: rounds_to 0.9, seeds: [0, 1], "
        "tune: {local.lr: [0.05, 1e-6]}",
        "rounds: 5000\nstop: {metric: test/accuracy, value: 0.9}",
    )
    answer = fedrun(f"reproduce {raced} --json")
    assert "left in round 0" in answer.err
    assert len(list((folder / "runs").glob("raced2/*"))) == 3
    (result,) = json.loads(answer.out)
    assert (result["verdict"], result["setting"]) == ("within", ["local.lr=0.05"])
    whole = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["round"]
             for run in (folder / "runs").glob("raced2/lr0.05*")]  # fmt: skip
    assert 0 < result["minutes_a_run"] < 1
    assert max(result["values"]) <= max(whole)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("file", "change", "why"),
    [
        ("metrics.jsonl", lambda text: text.splitlines(True)[0], "is not the one that the run"),
        pytest.param("metrics.jsonl", lambda text: text.replace("0.", "0.9", 1),
                     "is not the one that the run", marks=pytest.mark.slow),
        pytest.param("metrics.jsonl",
                     lambda text: text.replace('accuracy": 0', 'accuracy": null, "a": 0'),
                     "is None", marks=pytest.mark.slow),
        pytest.param("metrics.jsonl", lambda text: "{", "is damaged", marks=pytest.mark.slow),
        pytest.param("manifest.json",
                     lambda text: text.replace('"versions": {', '"versions": {"a": "b",'),
                     "does not match its own seal", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_run_that_was_changed_is_not_judged_and_takes_no_other_with_it(
    fedrun, write, folder: Path, file, change, why
) -> None:
    good = write("good", "value: 0.4, band: [0, 1], seeds: [0]")
    other = write("other", "value: 0.4, band: [0, 1], seeds: [1]")
    fedrun(f"reproduce {good}")
    (run,) = (folder / "runs/good").iterdir()
    text = (run / file).read_text()
    assert change(text) != text
    (run / file).write_text(change(text))
    answer = fedrun(f"reproduce {good} {other}", code=1)
    assert row(answer.out, "good").endswith("failed")
    assert why in answer.out
    assert row(answer.out, "other").endswith("within")


def test_what_is_wrong_is_said_before_anything_runs(fedrun, write, folder: Path) -> None:
    fine = "value: 0.4, band: [0, 1]"
    for name, expect, why in [
        ("word", f"{fine}, metric: test/acuracy", r"expect\.metric=test/acuracy is no figure"),
        ("late", f"{fine}, protocol: round 3", r"protocol=round 3 needs 3 rounds, and there are 2"),
        ("long", f"{fine}, protocol: mean_last 5", r"mean_last 5 needs 5 rounds"),
        ("self", f"{fine}, minus: self", r"minus or over=self is not accepted"),
        ("path", f"{fine}, minus: sub/other", r"minus or over=sub/other is not accepted"),
        ("luck", f"{fine}, tune: {{seed: [0, 1]}}", r"tune is not for seeds"),
    ]:
        assert re.search(why, fedrun(f"reproduce {write(name, expect)}", code=2).err), name
    good = write("good", fine)
    assert "the folder is not there" in fedrun(f"reproduce {good} --markdown no/x.md", code=2).err
    assert "accepted: one whole number" in fedrun(f"reproduce {good} seed=²", code=2).err
    assert "takes 0.2 minutes" in fedrun(f"reproduce {good} --under 0.1", code=2).err
    assert "an empty word" in fedrun(["reproduce", ""], code=2).err
    assert not (folder / "runs").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.slow
def test_a_file_of_a_shipped_name_has_a_verdict_of_its_own(fedrun, write, folder: Path) -> None:
    own = write("heart_fedavg", "value: 0.4, band: [0.99, 1], seeds: [0]")
    fedrun(f"reproduce {own}", code=1)
    assert json.loads((folder / "runs/reproduce/own/heart_fedavg.json").read_text())["mean"] < 0.99
    assert row(fedrun("reproduce").out, "heart_fedavg ").endswith("not run")


@pytest.mark.usefixtures("here")
def test_overrides_change_every_run_and_are_told(fedrun, write, runs: Path) -> None:
    far = write("far", "value: 4, band: [1, 5], protocol: rounds_to 1.5, seeds: [0]")
    words = f"reproduce {far} run.root={runs} rounds=1 data.root=/nowhere"
    answer = fedrun(words, code=1)
    assert row(answer.out, "far").endswith("(not reached in 1 round)")
    assert "with rounds=1: not the published setting, verdict not kept" in answer.out
    assert not (runs / "reproduce/far.json").exists()
    for word in ("seed=7", "++seed=7"):
        (found,) = json.loads(fedrun(f"reproduce {far} run.root={runs} {word} --json", code=1).out)
        assert found["seeds"] == [7]
        assert len(found["values"]) == 1


@pytest.mark.usefixtures("here")
def test_a_difference_is_taken_seed_by_seed(fedrun, write, folder: Path) -> None:
    runs = folder / "runs"
    write("slow", "value: 0.5, band: [0, 1]", "local: {lr: 0.0001}")
    faster = write("faster", "value: null, band: [0.01, null], each: [0, null], minus: slow")
    answer = fedrun(f"reproduce {faster} -j 2 --json --markdown table.md")
    (found,) = json.loads(answer.out)
    pairs = []
    for seed in (0, 1):
        ends = [next(runs.glob(f"{name}/seed{seed}-*")) / "metrics.jsonl" for name in
                ("faster", "slow")]  # fmt: skip
        lines = [json.loads(end.read_text().splitlines()[-1]) for end in ends]
        pairs.append(lines[0]["test/accuracy"] - lines[1]["test/accuracy"])
    assert found["values"] == pytest.approx(pairs)
    page = Path("table.md").read_text()
    assert "| `faster` | test/accuracy, last round - slow | - | " in page
    assert "1 of 1 directions within their bands" in page
    assert re.search(r"\d cores, .*torch \d", page)


@pytest.mark.usefixtures("here")
def test_a_curve_is_a_table_of_its_own(fedrun, write) -> None:
    own = "value: null, band: null, source: measured"
    names = [write(f"bend_eps{at}", own, f"local: {{lr: {lr}}}")
             for at, lr in (("8", 0.02), ("0.5", 1e-6), ("inf", 1e38))]  # fmt: skip
    names.append(write("judged_eps8", "value: 0.4, band: [0.2, 1]"))
    answer = fedrun(f"reproduce {' '.join(names)} --json --markdown page.md", code=1)
    found = {each["name"]: each for each in json.loads(answer.out)}
    verdicts = [each["verdict"] for each in found.values()]
    assert verdicts == ["measured", "measured", "failed", "within"]
    page = Path("page.md").read_text()
    assert "1 of 1 numbers within their bands" in page
    main, _, curve = page.partition("## Accuracy against epsilon")
    assert "bend" not in main
    assert "| `judged_eps8` |" in main
    assert "| figure | epsilon 0.5 | epsilon 8 | no noise | seeds |" in curve
    cells = [cell.strip() for cell in row(curve, "| `bend_eps*`").split("|")]
    means = [f"{found[f'bend_eps{at}']['mean']:.4f}" for at in ("0.5", "8")]
    assert [cell.partition(",")[0] for cell in cells[3:5]] == means
    assert means[0] != means[1]
    assert cells[5:7] == ["**failed**", "0 1"]
    assert "bend_epsinf" in curve, "why it failed"


def test_a_number_is_computed_without_a_run(fedrun, folder: Path) -> None:
    setting = "sampling_rate: 0.01, noise_multiplier: 4, rounds: 100, delta: 1.0e-05"
    said = f"accounting: {{{setting}}}, value: 0.99, band: [0.9, 1], source: x, note: of today"
    (folder / "mine.yaml").write_text(f"expect: {{{said}}}\n")
    answer = fedrun("reproduce mine.yaml seed=3 data.root=/nowhere --markdown page.md", code=1)
    assert "privacy/epsilon, computed by rdp, classic conversion" in answer.out
    assert re.search(r"^mine +0\.99 +0\.\d{4} +0\.9 to 1  OUTSIDE$", answer.out, re.MULTILINE)
    assert "mine: of today" in answer.out
    assert sorted(file.name for file in folder.iterdir()) == ["mine.yaml", "page.md", "runs"]
    kept = json.loads((folder / "runs/reproduce/mine.json").read_text())
    assert (kept["minutes_a_run"], kept["seeds"]) == (None, [])
    assert re.search(r"\| `mine` \| .*classic conversion \| 0.99 \|", Path("page.md").read_text())
    assert "rounds=3 has no effect on mine" in fedrun("reproduce mine.yaml rounds=3", code=2).err
    listed = json.loads(fedrun("reproduce --json --under 0.001").out)
    assert {each["accounting"]["accountant"] for each in listed if "accounting" in each} == {"rdp"}


def test_the_list(fedrun, write, runs: Path) -> None:
    out = fedrun("reproduce").out
    for name in shipped():
        assert re.search(rf"^{name} +\S.*  not run$", out, re.MULTILINE), name
    expects = [each.expect for each in find(["*"])]
    alone = sum(expect.band is None for expect in expects)
    numbers = sum(expect.value is not None for expect in expects)
    directions = len(expects) - alone - numbers
    assert f"{numbers} published numbers, {directions} directions, and {alone} figures that" in out
    assert not any(line.startswith("_") for line in out.splitlines())
    listed = json.loads(fedrun("reproduce --json --under 1").out)
    assert listed
    assert all(each["minutes"] < 1 and each["last"] is None for each in listed)


@pytest.mark.slow
def test_the_list_knows_the_last_verdict(fedrun, folder: Path) -> None:
    kept = folder / "runs/reproduce/heart_fedavg.json"
    kept.parent.mkdir(parents=True)
    facts = {"verdict": "OUTSIDE", "words": "OUTSIDE: 1 of 5 seeds", "ended": "2026-01-02T03:04"}
    kept.write_text(json.dumps({**facts, "baseline_sha256": "another"}))
    assert row(fedrun("reproduce").out, "heart_fedavg ").endswith("OUTSIDE, of an older config")
    digest = next(e for e in json.loads(fedrun("reproduce --json").out) if e["last"])
    assert digest["last"]["stale"] is True
    kept.write_text("{")
    answer = fedrun("reproduce", code=1)
    assert "heart_fedavg.json cannot be read; delete it" in answer.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reproduce heart_fedavgg", ["'heart_fedavgg'", "did you mean 'heart_fedavg'"]),
        ("reproduce 'zz*'", ["no baseline 'zz*'"]),
        ("reproduce nowhere.yaml", ["nowhere.yaml", "no such file"]),
        ("reproduce heart_fedavg local.lrr=1", ["'lrr'", "did you mean 'lr'?"]),
        ("reproduce heart_fedavg rounds=1,2", ["takes one"]),
        ("reproduce heart_fedavg seed=1,2", ["seed=1,2", "one whole number"]),
        ("reproduce heart_fedavg config=train", ["config=train", "each baseline's own"]),
        ("reproduce heart_fedavg run.dir=x", ["run.dir=x", "run.root=FOLDER"]),
        ("reproduce --markdown x.md", ["needs the names of baselines"]),
        ("reproduce train.yaml", ["train.yaml"]),
    ],
)
def test_mistakes(fedrun, folder: Path, line: str, words: list[str]) -> None:
    answer = fedrun(line, code=2)
    assert answer.out == ""
    assert answer.err.count("\n") <= 2
    for word in words:
        assert word in answer.err
    assert list(folder.iterdir()) == []


def test_tab_offers_baselines_and_keys(monkeypatch) -> None:
    from fedrun.cli.completion import complete_baseline

    monkeypatch.delenv("COMP_WORDS", raising=False)
    assert complete_baseline("heart_fedadam_m") == ["heart_fedadam_minus_fedavg"]
    assert "rounds=" in complete_baseline("rou")
