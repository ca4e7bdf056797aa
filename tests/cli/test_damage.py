"""A byte that changed on the disk is noticed, and the words say how to mend it."""

import json
import random
import shutil
from pathlib import Path

import pytest

MORE = ["algorithm=scaffold", "checkpoint.keep=2", "rounds=4"]


@pytest.fixture(scope="module")
def original(fedrun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fedrun.small(tmp_path_factory.mktemp("damage") / "original", *MORE)


@pytest.fixture
def whole(original: Path, tmp_path: Path) -> Path:
    """A finished run that nobody disturbed."""
    return shutil.copytree(original, tmp_path / "whole")


@pytest.fixture
def unfinished(whole: Path, tmp_path: Path) -> Path:
    """The same run as it lies when the process was killed after round 3: checkpoints 2 and 3."""
    path = shutil.copytree(whole, tmp_path / "unfinished")
    newest, older = path / "checkpoints" / "round_000004", path / "checkpoints" / "round_000003"
    assert sorted(p.name for p in (path / "checkpoints").glob("round_*")) == [
        older.name,
        newest.name,
    ]
    for name in ("model.safetensors", "summary.json"):
        (path / name).unlink()
    facts = json.loads((path / "manifest.json").read_text())
    for key in ("model", "audit", "ended"):
        del facts[key]
    (path / "manifest.json").write_text(json.dumps({**facts, "status": "running"}))
    return path


def flip(file: Path, position: int = -1, mask: int = 0xFF) -> None:
    content = bytearray(file.read_bytes())
    content[position if position >= 0 else len(content) // 2] ^= mask
    file.write_bytes(content)


def told(answer, *words: str) -> None:
    assert answer.err.startswith("fedrun: ")
    assert answer.err.count("\n") <= 2, answer.err
    for word in words:
        assert word in answer.err, answer.err


@pytest.mark.parametrize("part", ["state.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_named_deleted_and_forgotten(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes, part: str
) -> None:
    newest = unfinished / "checkpoints" / "round_000004"
    flip(newest / part)
    before = (unfinished / "metrics.jsonl").read_bytes()
    told(fedrun(["resume", str(unfinished)], 1), str(newest), part, "Delete that folder",
         "go on from round_000003")  # fmt: skip
    told(fedrun(["evaluate", str(unfinished)], 1), str(newest))
    assert (unfinished / "metrics.jsonl").read_bytes() == before
    shutil.rmtree(newest)
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)


def test_without_any_checkpoint_a_run_begins_again(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes
) -> None:
    for path in (unfinished / "checkpoints").glob("round_*"):
        flip(path / "checkpoint.json")
    for rest in ("go on from round_000003", "begin again from round 0"):
        answer = fedrun(["resume", str(unfinished)], 1)
        told(answer, rest)
        shutil.rmtree(answer.err.split(" ")[1])  # the folder that the line names
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)


def test_a_part_that_is_missing_or_cut(fedrun, unfinished: Path) -> None:
    newest = unfinished / "checkpoints" / "round_000004"
    content = (newest / "state.safetensors").read_bytes()
    (newest / "state.safetensors").write_bytes(content[:-1])
    told(fedrun(["resume", str(unfinished)], 1), str(newest), "state.safetensors")
    (newest / "state.safetensors").unlink()
    told(fedrun(["resume", str(unfinished)], 1), str(newest), "state.safetensors")


def test_every_flipped_bit_of_a_checkpoint_is_noticed(unfinished: Path) -> None:
    from fedrun.core.option import RunError
    from fedrun.experiment.checkpoint import load_checkpoint

    newest = unfinished / "checkpoints" / "round_000004"
    draw = random.Random(0)
    for part in ("state.safetensors", "checkpoint.json"):
        size = (newest / part).stat().st_size
        for position in [0, size - 2, *draw.sample(range(size - 1), 200)]:
            mask = 1 << draw.randrange(8)
            flip(newest / part, position, mask)
            with pytest.raises(RunError):
                load_checkpoint(newest)
            flip(newest / part, position, mask)
    load_checkpoint(newest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clients.rows", "clients.index"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damaged_states_of_clients(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes, name: str, damage: str
) -> None:
    folder = unfinished / "checkpoints"
    shutil.rmtree(folder / "round_000004")
    file = folder / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[:10])
    else:
        file.write_bytes(bytes(byte ^ 1 for byte in content))
    told(fedrun(["resume", str(unfinished)], 1), str(file), f"delete {folder} and resume")
    file.write_bytes(content)
    again = shutil.copytree(unfinished, unfinished.with_name("again"))
    fedrun(["resume", "-q", str(again)])
    assert_same_bytes(again, whole)
    shutil.rmtree(folder)
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)


@pytest.mark.parametrize("content", [None, "round_999999\n", "../../etc\n", "a\nb", ""])
def test_latest_is_for_people_only(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes, content: str | None
) -> None:
    shutil.rmtree(unfinished / "checkpoints" / "round_000004")
    latest = unfinished / "checkpoints" / "latest"
    latest.unlink() if content is None else latest.write_text(content)
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)
    assert latest.read_text() == "round_000004\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.jsonl", "clients.jsonl", "audit.jsonl"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_logs(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes, name: str, damage: str
) -> None:
    log = unfinished / name
    if damage == "cut":
        log.write_bytes(log.read_bytes()[:100])
    elif damage == "flip":
        flip(log, 40, 1)
    else:
        log.unlink()
    told(fedrun(["resume", str(unfinished)], 1), str(log), "begin again from round 0")
    shutil.rmtree(unfinished / "checkpoints")
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)


def test_what_a_kill_leaves_behind_the_checkpoint_is_cut_off(
    fedrun, whole: Path, unfinished: Path, assert_same_bytes
) -> None:
    for name in ("metrics.jsonl", "clients.jsonl", "audit.jsonl"):
        with (unfinished / name).open("ab") as file:
            file.write(b'{"round": 5, "train/lo')
    (unfinished / "checkpoints" / ".round_000005.part").mkdir()
    (unfinished / "checkpoints" / ".round_000005.part" / "state.safetensors").write_bytes(b"half")
    fedrun(["resume", "-q", str(unfinished)])
    assert_same_bytes(unfinished, whole)


@pytest.mark.parametrize("damage", ["flip", "gone"])
def test_a_damaged_model_is_written_again(
    fedrun, whole: Path, tmp_path: Path, assert_same_bytes, damage: str
) -> None:
    path = shutil.copytree(whole, tmp_path / "copy")
    model = path / "model.safetensors"
    model.unlink() if damage == "gone" else flip(model)
    told(fedrun(["evaluate", str(path)], 1), str(model), f"fedrun resume {path}")
    fedrun(["resume", "-q", str(path)])
    assert_same_bytes(path, whole)
    fedrun(["evaluate", str(path)])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:50],
        lambda text: text.replace('"status"', '"statusses"'),
        lambda text: text.replace('"finished"', '"fimished"'),
        lambda text: text.replace('"sha256"', '"sha255"'),
        lambda text: text.replace('"model"', '"modem"'),
        lambda text: text.replace('"resumed"', '"resumer"'),
        lambda text: f"[{text}]",
        lambda text: "",
        lambda text: text.replace('"', "\x00", 1),
    ],
)
@pytest.mark.parametrize("command", ["train", "resume", "evaluate"])
def test_a_damaged_manifest(fedrun, whole: Path, change, command: str) -> None:
    file = whole / "manifest.json"
    changed = change(file.read_text())
    assert changed != file.read_text()
    file.write_text(changed)
    words = [command, str(whole)]
    if command == "train":
        words = ["train", f"config={whole / 'config.yaml'}", f"run.dir={whole}"]
    told(fedrun(words, 1), str(file), "damaged")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", ["", None, "{", "[1]\n"])
def test_a_finished_run_whose_figures_are_damaged(
    fedrun, whole: Path, name: str, content: str | None
) -> None:
    if (name, content) == ("metrics.jsonl", ""):
        return  # a run of no rounds looks so
    file = whole / name
    file.unlink() if content is None else file.write_text(content)
    again = ["train", f"config={whole / 'config.yaml'}", f"run.dir={whole}"]
    told(fedrun(again, 1), str(file), "Bring it back")
    shutil.rmtree(whole / "checkpoints")
    (whole / "model.safetensors").unlink()
    fedrun(["resume", str(whole)])
    fedrun(["evaluate", str(whole)])


def test_an_edited_config(fedrun, unfinished: Path) -> None:
    file = unfinished / "config.yaml"
    text = file.read_text()
    file.write_text(text.replace("rounds: 4", "rounds: 5"))
    for command in ("resume", "evaluate"):
        told(fedrun([command, str(unfinished)], 1), str(file), "was changed", "put it back")
    file.write_text(text.replace("rounds: 4", "rounds: [4"))
    told(fedrun(["resume", str(unfinished)], 2), str(file))
    file.unlink()
    told(fedrun(["resume", str(unfinished)], 1), "config.yaml is missing")
    file.write_text(f"# a comment changes nothing\n{text}")
    fedrun(["resume", "-q", str(unfinished)])


def test_other_data_under_the_same_name(fedrun, folder: Path) -> None:
    rows = "".join(f"{2 * i},{i % 7},{i % 3}\n" for i in range(60))
    (folder / "t.csv").write_text("a,b,label\n" + rows)
    words = ["data=table", "data.path=t.csv", "data.target=label"]
    path = fedrun.small(folder / "run", *words)
    (folder / "t.csv").write_text("a,b,label\n" + rows.replace("2,1,1", "2,2,1", 1))
    for command in (["resume", str(path), "rounds=5"], ["evaluate", str(path)]):
        told(fedrun(command, 1), "the data of", "came out different", "bring the old data back")
    fedrun.small(path, *words, code=1)
    fedrun(["evaluate", str(path), "data.path=t.csv"])  # when it is asked for by name
    (folder / "t.csv").write_text("a,b,label\n" + rows)
    fedrun.small(path, *words)
    fedrun(["evaluate", str(path)])
    fedrun(["resume", "-q", str(path), "rounds=5"])
