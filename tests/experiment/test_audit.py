"""Whatever is edited in a run directory is found, and an untouched one is believed."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.audit import verify
from fedrun.experiment.compose import compose
from fedrun.experiment.files import json_line, sealed, sha256
from fedrun.experiment.ledger import START, link
from fedrun.experiment.run import Nobody, resume, train

SMALL = ["data=wine", "model=logistic", "clients.count=5", "rounds=3", "checkpoint.every=1"]
KINDS = {
    "plain": [],
    "kept": ["algorithm=scaffold", "clients.per_round=3"],  # clients keep states on the disk
    "private": ["privacy=central", "clients.count=8"],
}


def made(path: Path, *more: str) -> Path:
    return train(compose("train", [*SMALL, *more, f"run.dir={path}"]), Nobody())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: made(folder / name, *words) for name, words in KINDS.items()}


@pytest.fixture
def copy(runs, tmp_path: Path):
    """copy(kind) -> a run of one's own."""
    return lambda kind: Path(shutil.copytree(runs[kind], tmp_path / kind))


def broken(run: Path) -> list[str]:
    return [check.what for check in verify(run).checks if not check.holds]


def files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")


def lines(run: Path, name: str) -> list[bytes]:
    return (run / name).read_bytes().splitlines(keepends=True)


def change(path: Path, **facts: object) -> None:
    """Edit a JSON file as it would have been written."""
    content = json.loads(path.read_text()) | facts
    path.write_text(json.dumps(content, indent=2) + "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_an_untouched_run_holds(runs, kind):
    report = verify(runs[kind])
    assert report.holds, broken(runs[kind])
    assert report.head == json.loads((runs[kind] / "manifest.json").read_text())["audit"]
    assert all(check.verdict == "ok" for check in report.checks)
    named = " ".join(check.what for check in report.checks)
    assert ("privacy.json" in named) == (kind == "private")
    assert ("clients.rows" in named) == (kind == "kept")


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_that_is_gone_is_missed(copy, kind):
    run = copy(kind)
    for path in files(run):
        content = path.read_bytes()
        path.unlink()
        assert broken(run), path
        path.write_bytes(content)
    assert not broken(run)


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_each_file_that_is_cut_or_grown_is_found(copy, kind):
    run = copy(kind)
    for path in files(run):
        content = path.read_bytes()
        for other in (content[:-1], content[: len(content) // 2], content + b"\n", content * 2):
            path.write_bytes(other)
            assert broken(run), (path, len(other))
        path.write_bytes(content)
    assert not broken(run)


@pytest.mark.parametrize("kind", ["plain", "kept"])
def test_every_edited_byte_is_found(runs, kind):
    """100 draws of a file, a place in it, and another byte for that place."""
    run = runs[kind]
    contents = {path: path.read_bytes() for path in files(run)}

    @settings(max_examples=100, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def edit(data) -> None:
        path = data.draw(st.sampled_from([path for path in contents if contents[path]]))
        place = data.draw(st.integers(0, len(contents[path]) - 1))
        edited = bytearray(contents[path])
        edited[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(edited)
        try:
            assert broken(run), (path.relative_to(run), place)
        finally:
            path.write_bytes(contents[path])

    edit()


@pytest.mark.parametrize("name", ["privacy.json", "summary.json", "metrics.jsonl", "manifest.json"])
def test_every_digit_of_a_private_run_counts(copy, name):
    run = copy("private")
    content = (run / name).read_bytes()
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    for place in digits[:: max(1, len(digits) // 4)]:
        edited = bytearray(content)
        edited[place] = ord("1") if content[place] != ord("1") else ord("2")
        (run / name).write_bytes(edited)
        assert broken(run), content[place - 20 : place + 5]


def test_the_first_bad_line_of_the_ledger_is_named(copy):
    run = copy("plain")
    records = lines(run, "audit.jsonl")
    for edited, number in (
        (records[:1] + records[2:], 2),  # removed
        ([*records[:3], records[2], *records[3:]], 4),  # inserted
        ([records[1], records[0], *records[2:]], 1),  # swapped
        ([*records[:2], records[2].replace(b'"round": 2', b'"round": 3'), *records[3:]], 3),
        ([records[0].replace(b'": "', b'":  "', 1), *records[1:]], 1),  # a blank alone
    ):
        (run / "audit.jsonl").write_bytes(b"".join(edited))
        why = next(c.why for c in verify(run).checks if c.what == "audit.jsonl: chain")
        assert why == f"line {number} does not follow from those before it"


def test_a_ledger_that_ends_early_or_was_written_anew(copy):
    run = copy("plain")
    records = lines(run, "audit.jsonl")
    (run / "audit.jsonl").write_bytes(b"".join(records[:-1]))
    assert "audit.jsonl: head" in broken(run)

    chain, forged = START, []
    for line in records:  # each record as it was, but for one client, and hashed again
        record = {key: value for key, value in json.loads(line).items() if key != "hash"}
        if record.get("round") == 2:
            record["clients"] = record["clients"][:-1]
        linked = link(chain, record)
        chain = linked["hash"]
        forged.append(json_line(linked))
    (run / "audit.jsonl").write_bytes(b"".join(forged))
    found = broken(run)
    assert {"audit.jsonl: head", "audit.jsonl", "clients.jsonl: ledger"} <= set(found)
    assert "audit.jsonl: chain" not in found


def test_a_swapped_model_is_found(copy, runs):
    run = copy("plain")
    shutil.copy(runs["kept"] / "model.safetensors", run / "model.safetensors")
    assert broken(run) == ["model.safetensors"]


def test_an_edited_figure_of_the_summary_is_named(copy):
    run = copy("plain")
    summary = json.loads((run / "summary.json").read_text())
    best = {**summary["best"], "test/accuracy": {"value": 0.999, "round": 3}}
    change(run / "summary.json", best=best)
    report = verify(run)
    why = next(check.why for check in report.checks if check.what == "summary.json")
    assert why == "best: not what follows from metrics.jsonl"


@pytest.mark.parametrize(
    ("name", "found"),
    [("summary.json", "summary.json"), ("metrics.jsonl", "metrics.jsonl"),
     ("config.yaml", "config.yaml"), ("partition.json", "partition.json")],
)  # fmt: skip
def test_a_manifest_that_was_made_to_fit_does_not_help(copy, name, found):
    """Who edits a file, its hash in the manifest, and the seal, is found by the other files."""
    run = copy("plain")
    text = (run / name).read_text()
    edits = {
        "summary.json": ('"rounds": 3', '"rounds": 4'),
        "metrics.jsonl": ('"round": 2', '"round": 5'),
        "config.yaml": ("rounds: 3", "rounds: 4"),
        "partition.json": ('"clients": 5', '"clients": 6'),
    }
    assert edits[name][0] in text
    (run / name).write_text(text.replace(*edits[name], 1))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"][name] = sha256((run / name).read_bytes())
    change(run / "manifest.json", **sealed(manifest))
    assert found in broken(run)


def test_a_manifest_without_a_seal_or_hashes_is_not_believed(copy):
    run = copy("plain")
    manifest = json.loads((run / "manifest.json").read_text())
    bare = {key: value for key, value in manifest.items() if key != "seal"}
    (run / "manifest.json").write_text(json.dumps(bare, indent=2) + "\n")
    assert broken(run) == ["manifest.json"]
    none = sealed({**manifest, "files": {}})
    (run / "manifest.json").write_text(json.dumps(none, indent=2) + "\n")
    assert broken(run) == ["every byte"]


def test_m26_an_epsilon_of_other_releases_is_found(copy):
    run = copy("private")
    ledger = json.loads((run / "privacy.json").read_text())
    ledger["everybody"][0]["count"] -= 1
    ledger["cohorts"] = ledger["cohorts"][:-1]
    change(run / "privacy.json", **ledger)
    found = broken(run)
    assert {"privacy.json: checkpoint", "privacy.json: releases", "summary.json: privacy"} <= set(
        found
    )


def test_a_smaller_epsilon_in_the_summary_is_found(copy):
    run = copy("private")
    summary = json.loads((run / "summary.json").read_text())
    change(run / "summary.json", privacy={**summary["privacy"], "epsilon": 1.0})
    assert "summary.json: privacy" in broken(run)
    text = (run / "metrics.jsonl").read_text()
    epsilon = json.loads(text.splitlines()[0])["privacy/epsilon"]
    (run / "metrics.jsonl").write_text(text.replace(repr(epsilon), repr(epsilon / 2)))
    assert "metrics.jsonl: privacy/epsilon" in broken(run)


def test_less_noise_in_the_ledger_than_the_epsilon_is_of(copy):
    run = copy("private")
    ledger = json.loads((run / "privacy.json").read_text())
    ledger["everybody"][0]["event"]["noise_multiplier"] = 0.5
    change(run / "privacy.json", **ledger)
    assert {"summary.json: privacy", "metrics.jsonl: privacy/epsilon"} <= set(broken(run))


@pytest.fixture
def stopped(tmp_path: Path):
    """stopped(at, *words) -> a run that was interrupted after so many rounds."""

    class Impatient(Nobody):
        def __init__(self, at: int) -> None:
            self.at = at

        def round(self, event) -> None:
            if event.state.round == self.at:
                raise KeyboardInterrupt

    def begin(at: int, *words: str) -> Path:
        path = tmp_path / "stopped"
        composed = compose("train", [*SMALL, "rounds=6", *words, f"run.dir={path}"])
        with pytest.raises(KeyboardInterrupt):
            train(composed, Impatient(at))
        return path

    return begin


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], KINDS["kept"], KINDS["private"]])
def test_an_unfinished_run_is_looked_at_as_far_as_it_is(stopped, words):
    run = stopped(3, *words)
    report = verify(run)
    assert report.status == "interrupted"
    assert report.holds, broken(run)
    assert {check.what for check in report.checks if check.verdict == "not yet"} == {
        "audit.jsonl: head", "model.safetensors", "summary.json"
    }  # fmt: skip
    metrics = lines(run, "metrics.jsonl")
    (run / "metrics.jsonl").write_bytes(b"".join([metrics[0], metrics[2]]))
    assert {"metrics.jsonl", "metrics.jsonl: rounds"} <= set(broken(run))
    (run / "metrics.jsonl").write_bytes(b"".join(metrics))

    resume(run, [], Nobody())
    assert verify(run).status == "finished"
    assert not broken(run)
    resume(run, ["rounds=8"], Nobody())
    assert not broken(run)


def test_what_a_kill_tears_is_no_alarm(stopped):
    """Lines behind the last checkpoint, the last of them half written, and rows of nobody."""
    run = stopped(3, *KINDS["kept"], "checkpoint.every=2")
    newest = run / "checkpoints" / "round_000003"
    shutil.rmtree(newest)
    (run / "checkpoints" / "latest").write_text("round_000002\n")
    change_status = json.loads((run / "manifest.json").read_text())
    change_status["status"] = "running"
    (run / "manifest.json").write_text(json.dumps(sealed(change_status), indent=2) + "\n")
    assert not broken(run)
    for name in ("metrics.jsonl", "clients.jsonl", "audit.jsonl"):
        with (run / name).open("ab") as file:
            file.write(b'{"round": 4, "cl')
    with (run / "checkpoints" / "clients.rows").open("ab") as file:
        file.write(bytes(100))
    with (run / "checkpoints" / "clients.index").open("ab") as file:
        file.write(bytes(30))
    assert not broken(run)
    resume(run, [], Nobody())
    assert not broken(run)


def test_a_run_of_no_round(tmp_path: Path):
    run = made(tmp_path / "none", "rounds=0")
    assert not broken(run)
    change(run / "summary.json", rounds=1)
    assert "summary.json" in broken(run)


def test_what_is_no_run(tmp_path: Path):
    for path in (tmp_path, tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(ConfigError, match="run directory"):
            verify(path)


@pytest.mark.parametrize("rng", ["seeded", "secure"])
def test_labels_that_are_answered_once_are_no_release_of_each_round(tmp_path: Path, rng):
    choice = ["privacy=local", "privacy.mechanism=randomized_response", "privacy.epsilon=1"]
    run = made(tmp_path / "run", *choice, f"privacy.rng={rng}")
    assert broken(run) == []
    resume(run, ["rounds=4"], Nobody())  # in secure mode the answers are drawn, and paid, again
    assert broken(run) == []
    ledger = json.loads((run / "privacy.json").read_text())
    ledger["everybody"][0]["count"] += 1
    change(run / "privacy.json", **ledger)
    assert "summary.json: privacy" in broken(run)


@pytest.mark.parametrize("rng", ["seeded", "secure"])
def test_a_run_does_not_go_on_from_a_ledger_with_other_noise(tmp_path: Path, rng):
    run = made(tmp_path / "run", "privacy=central", "clients.count=8", f"privacy.rng={rng}")
    ledger = json.loads((run / "privacy.json").read_text())
    ledger["everybody"][0]["event"]["noise_multiplier"] = 9.0
    change(run / "privacy.json", **ledger)
    with pytest.raises(RunError, match="not the ledger of this run"):
        resume(run, ["rounds=4"], Nobody())
