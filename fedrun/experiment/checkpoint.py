"""Checkpoints: everything that going on needs, as safetensors and JSON, whole or not there.

A checkpoint is a folder. It is written under a hidden name, flushed, and renamed into place; only
then does `latest` name it and are older ones removed. Its JSON part holds a SHA-256 of the tensors
and of itself, so a flipped bit is told from a good file.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from fedrun.core.option import RunError
from fedrun.core.tree import Tree, flatten, unflatten
from fedrun.experiment.files import sha256, sync_folder, write_bytes, write_json

SCHEMA = 1
NAME = re.compile(r"round_(\d{6,})")


def save_checkpoint(folder: Path, tree: Tree, facts: dict[str, Any], keep: int) -> Path:
    """Write `folder/round_NNNNNN` from the state's tree; keep the newest `keep` checkpoints."""
    folder.mkdir(exist_ok=True)
    target = folder / f"round_{tree['round']:06d}"
    beside = folder / f".{target.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        tensors, numbers = {}, {}
        for path, leaf in flatten(tree).items():
            if isinstance(leaf, torch.Tensor):
                tensors[path] = leaf.detach().cpu().contiguous().clone()
            else:
                numbers[path] = leaf
        content = save_tensors(tensors)
        write_bytes(beside / "state.safetensors", content)
        body = {
            "schema": SCHEMA,
            "state_sha256": sha256(content),
            "leaves": list(flatten(tree)),
            "numbers": numbers,
            **facts,
        }
        write_json(beside / "checkpoint.json", {**body, "sha256": _seal(body)})
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder)
    write_bytes(folder / "latest", (target.name + "\n").encode())
    drop_old(folder, keep)
    return target


def drop_old(folder: Path, keep: int) -> None:
    """Leave the newest `keep` checkpoints."""
    for old in _found(folder)[:-keep]:
        shutil.rmtree(old)


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest round, or None before the first one."""
    found = _found(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path) -> tuple[Tree, dict[str, Any]]:
    """The state's tree and the facts saved with it; a `RunError` when a byte is not as it was."""
    try:
        body = json.loads((path / "checkpoint.json").read_bytes())
        claimed = body.pop("sha256")
        content = (path / "state.safetensors").read_bytes()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise damaged(
            path, f"checkpoint.json or state.safetensors cannot be read ({error})"
        ) from error
    if _seal(body) != claimed:
        raise damaged(path, "checkpoint.json does not match its own checksum")
    if sha256(content) != body["state_sha256"]:
        raise damaged(path, "state.safetensors does not match its checksum")
    if body["schema"] != SCHEMA:
        raise RunError(f"{path} was written by another version of fedrun (schema {body['schema']})")
    leaves = {**body["numbers"], **load_tensors(content)}
    # safetensors sorts its names; the order of a model's parameters is part of the state
    return unflatten({path: leaves[path] for path in body["leaves"]}), body


def bank_ages(folder: Path) -> list[int]:
    """How many records of the clients' states each checkpoint refers to; none of one that cannot be
    read, which nobody can go on from either."""
    ages = []
    for path in _found(folder):
        with suppress(OSError, ValueError, LookupError, TypeError):
            body = json.loads((path / "checkpoint.json").read_bytes())
            ages.append(int(body["numbers"]["bank/records"]))
    return ages


def damaged(path: Path, why: str) -> RunError:
    found = _found(path.parent)
    older = found[: found.index(path)] if path in found else []
    rest = f"go on from {older[-1].name}" if older else "begin again from round 0"
    return RunError(f"{path} is damaged: {why}.\nDelete that folder and resume, to {rest}.")


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    rounds = {
        int(match[1]): path for path in folder.iterdir() if (match := NAME.fullmatch(path.name))
    }
    return [rounds[number] for number in sorted(rounds)]


def _seal(body: dict[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode())
