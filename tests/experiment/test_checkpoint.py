"""A checkpoint gives back exactly what was put in, or says that it cannot."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import RunError
from fedrun.core.tree import Tree
from fedrun.experiment import checkpoint
from fedrun.experiment.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint


def state(round: int = 1) -> Tree:
    model = Tree({"z.weight": torch.tensor([[1.5, -0.0], [2.0, 1e-40]]), "a.bias": torch.zeros(0)})
    return Tree(
        round=round,
        server=Tree(model=model, optimizer=Tree(), step=torch.tensor(3)),
        bank=Tree(clients=torch.tensor([1, 5]), rows=Tree(c=torch.ones(2, 2))),
        lr=0.1,
    )


def test_what_comes_back_is_what_was_saved(tmp_path: Path, same) -> None:
    saved = save_checkpoint(tmp_path / "c", state(12), {"lengths": {"a": 3}}, keep=2)
    assert saved == tmp_path / "c" / "round_000012"
    tree, facts = load_checkpoint(saved)
    assert same(tree, state(12))
    assert list(tree["server"]["model"]) == ["z.weight", "a.bias"]  # the order of the parameters
    assert torch.signbit(tree["server"]["model"]["z.weight"])[0, 1]
    assert facts["lengths"] == {"a": 3}
    assert (tmp_path / "c" / "latest").read_text() == "round_000012\n"


@given(st.lists(st.floats(width=32), max_size=8), st.integers(), st.floats(allow_nan=False))
def test_all_numbers_come_back(
    tmp_path_factory, values: list[float], count: int, lr: float
) -> None:
    folder = tmp_path_factory.mktemp("c")
    tree = Tree(round=0, x=torch.tensor(values), count=count, lr=lr)
    if abs(lr) == float("inf"):
        with pytest.raises(ValueError, match="JSON"):
            save_checkpoint(folder, tree, {}, keep=1)
        return
    back, _ = load_checkpoint(save_checkpoint(folder, tree, {}, keep=1))
    assert back["x"].numpy().tobytes() == tree["x"].numpy().tobytes()
    assert (back["count"], back["lr"]) == (count, lr)


def test_views_are_saved_as_what_they_show(tmp_path: Path) -> None:
    rows = torch.arange(12.0).view(3, 4)
    tree = Tree(round=0, column=rows[:, 1], same=rows.expand(2, 3, 4)[1], transposed=rows.T)
    back, _ = load_checkpoint(save_checkpoint(tmp_path / "c", tree, {}, keep=1))
    for name in ("column", "same", "transposed"):
        assert torch.equal(back[name], tree[name])


def test_the_newest_are_kept(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "c") is None
    for number in (9, 10, 99, 1_000_000):
        save_checkpoint(tmp_path / "c", state(number), {}, keep=2)
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["latest", "round_000099", "round_1000000"]
    assert newest_checkpoint(tmp_path / "c") == tmp_path / "c" / "round_1000000"
    for other in ("round_12", "round_2000000.part", ".round_3000000.part", "round_x"):
        (tmp_path / "c" / other).mkdir()
    assert newest_checkpoint(tmp_path / "c") == tmp_path / "c" / "round_1000000"


@pytest.mark.parametrize("call", range(4))
def test_a_full_disk_leaves_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, same
) -> None:
    save_checkpoint(tmp_path / "c", state(1), {}, keep=2)
    calls = iter(range(99))
    real = os.fsync

    def fail(handle: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "c", state(2), {}, keep=2)
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "c").iterdir() if path.name.startswith(".")]
    newest = newest_checkpoint(tmp_path / "c")
    assert newest is not None
    assert same(load_checkpoint(newest)[0], state(int(newest.name[-1])))


def test_damage_is_named_with_its_mend(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    for number in (999_999, 1_000_000):
        save_checkpoint(folder, state(number), {}, keep=2)
    newest = folder / "round_1000000"
    for content in (b"[]", b"5", b"{}", b"", b"\xff", b'{"sha256": "x"}'):
        (newest / "checkpoint.json").write_bytes(content)
        with pytest.raises(
            RunError, match="Delete that folder and resume, to go on from round_999999"
        ):
            load_checkpoint(newest)
    (folder / "round_999999" / "state.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match="begin again from round 0"):
        load_checkpoint(folder / "round_999999")


def test_another_version_is_told_from_damage(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", 2)
    saved = save_checkpoint(tmp_path / "c", state(), {}, keep=1)
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"another version of fedrun \(schema 2\)"):
        load_checkpoint(saved)


def test_nothing_in_it_can_run_code(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "c", state(), {}, keep=1)
    assert {file.name for file in saved.iterdir()} == {"state.safetensors", "checkpoint.json"}
    json.loads((saved / "checkpoint.json").read_text())
    header = (saved / "state.safetensors").read_bytes()
    json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
