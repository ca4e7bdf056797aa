"""What Weights & Biases' own files hold, read without the service that wrote them."""

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("wandb", reason="pip install 'fedrun[wandb]'")

import wandb as tool
from wandb.proto import wandb_internal_pb2 as proto

from fedrun.core.option import ConfigError
from fedrun.core.tracker import Tracked
from fedrun.tracker import wandb as adapter
from fedrun.tracker.wandb import wandb

TOLD = "tracker=wandb"
BLOCK = 32768  # bytes, of LevelDB's log format, behind seven bytes of its own


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing is to appear."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return place


def records(run: Path) -> list[Any]:
    tool.teardown()  # its service, which writes at its leisure, ends when all is written
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    return list(read(file.read_bytes()))


def read(data: bytes) -> Iterator[Any]:
    assert data[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record = proto.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def history(found: list[Any]) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for record in found:
        if record.WhichOneof("record_type") == "history":
            row = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            step = row.pop("_step")
            assert step not in rows, "a round is there twice"
            rows[step] = {name: value for name, value in row.items() if name[0] != "_"}
    return rows


def of_kind(found: list[Any], kind: str) -> list[Any]:
    return [getattr(r, kind) for r in found if r.WhichOneof("record_type") == kind]


@pytest.mark.slow
def test_every_figure_is_there_offline_and_nothing_beside_the_run(
    train, resume, rows, capfd, home: Path
) -> None:
    path = train(TOLD, "engine=eager", "algorithm=fedprox", "tracker.wandb.tags=[a,b]")
    found = records(path)
    assert history(found) == rows(path)
    (run,) = of_kind(found, "run")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["algorithm"]["name"] == "fedprox"
    assert config["fedrun"]["parameters"] == 42
    assert (run.project, run.run_group, list(run.tags)) == ("fedrun", "train", ["a", "b"])
    assert run.display_name == f"train/{path.name}"
    assert not run.host
    assert not run.git.remote_url
    for gathered in ("environment", "stats", "files", "output_raw"):
        assert not of_kind(found, gathered)
    (artifact,) = of_kind(found, "artifact") or [r.request.log_artifact.artifact for r in found
                                                 if r.request.HasField("log_artifact")]  # fmt: skip
    assert [entry.path for entry in artifact.manifest.contents] == ["model.safetensors"]
    (ended,) = of_kind(found, "exit")
    assert ended.exit_code == 0
    assert capfd.readouterr() == ("", "")
    assert not [file for file in home.rglob("*") if file.is_file()]

    resume(path, "rounds=4")  # the old folder is replaced by one with all of the history
    again = records(path)
    assert history(again) == rows(path)
    assert list(history(again)) == [1, 2, 3, 4]
    assert of_kind(again, "run")[0].run_id == run.run_id


@pytest.mark.slow
def test_what_a_kill_leaves_is_replaced(train, resume, rows, folder: Path) -> None:
    words = [
        "data=wine", "model=logistic", "engine=eager", "clients.count=5", "rounds=1000000",
        "checkpoint.every=20", TOLD, "run.dir=run",
    ]  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "fedrun", "train", *words]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout
    for line in process.stdout:
        if line.startswith(b"round 70/"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(history(records(folder / "run"))) > 0
    before = len(rows(folder / "run"))

    class Ending:
        def started(self, *told: Any) -> None: ...
        def round(self, event: Any) -> None:
            if event.state.round > before + 10:
                raise KeyboardInterrupt

    from fedrun.experiment import run as runs

    with pytest.raises(KeyboardInterrupt):
        runs.resume(folder / "run", [], Ending())
    assert history(records(folder / "run")) == rows(folder / "run")
    assert of_kind(records(folder / "run"), "exit")[0].exit_code == 130


def tracked(folder: Path, rounds: int) -> Tracked:
    return Tracked(
        key="abc", name="a/b", group="a", folder=folder, root=folder, config={}, facts={},
        started=1e9, history=[{"round": n} for n in range(1, rounds + 1)],
    )  # fmt: skip


@pytest.mark.parametrize(("resumed", "step", "known"), [(False, 0, 0), (True, 16, 15)])
def test_online_goes_on_after_what_the_service_has(
    tmp_path: Path, monkeypatch, resumed: bool, step: int, known: int
) -> None:
    """W&B's service is not at hand: the library's own functions are replaced."""
    asked: dict[str, Any] = {}

    def init(**words: Any) -> Any:
        asked.update(words)
        return SimpleNamespace(step=step, resumed=resumed, log=print, finish=print)

    stand_in = SimpleNamespace(
        init=init, Settings=lambda **words: words, login=lambda prompt, verify: True
    )
    monkeypatch.setattr(adapter, "library", lambda name: stand_in)
    session = wandb(mode="online", project="p", group="g").start(tracked(tmp_path, 10))
    assert session.known == known
    assert (asked["id"], asked["resume"], asked["mode"]) == ("abc", "allow", "online")
    assert (asked["project"], asked["group"]) == ("p", "g")
    assert "WANDB_CACHE_DIR" not in os.environ


def test_online_without_an_account_is_refused_before_the_run(train, folder: Path, capfd) -> None:
    with pytest.raises(ConfigError, match=r"mode=online needs an account: 'wandb login'"):
        train(TOLD, "tracker.wandb.mode=online")
    assert not list(folder.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_odd_figures_and_names(tmp_path: Path) -> None:
    session = wandb(model=False).start(tracked(tmp_path, 0))
    odd = {"client/accuracy@a.b/ü": 1.0, "nan": float("nan"), "inf": float("inf"), "int": 2**40 + 1}
    session.log(odd, 1, 1e9)
    session.artifact(tmp_path / "nowhere")
    session.finish("failed")
    row = history(records(tmp_path))[1]
    assert row.pop("nan") != row.get("nan")
    assert row == {"client/accuracy@a.b/ü": 1.0, "inf": float("inf"), "int": 2**40 + 1}
