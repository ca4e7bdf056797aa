"""Checkpoints against their own seals, and the logs against the newest of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fedrun.core.option import RunError
from fedrun.experiment.audit_found import Check, Found, agreed
from fedrun.experiment.audit_rows import rows_check
from fedrun.experiment.checkpoint import NAME, load_checkpoint, newest_checkpoint
from fedrun.experiment.directory import LOGS
from fedrun.experiment.files import json_line, sha256


def checkpoint_checks(run: Found) -> Iterator[Check]:
    """Every checkpoint as it was written, the name of the newest, and what clients keep."""
    folder = run.path / "checkpoints"
    paths = sorted(path for path in folder.glob("round_*") if NAME.fullmatch(path.name))
    if not paths:
        none = "one is written at the end" if run.finished else "none is written yet"
        yield Check("checkpoints", "missing" if run.finished else "not yet", none)
        return
    for path in paths:
        name = f"checkpoints/{path.name}"
        try:
            tree, _ = load_checkpoint(path)
        except (RunError, KeyError, TypeError, ValueError) as error:
            yield Check(name, "altered", str(error).partition("\n")[0])
            continue
        text = json.loads((path / "checkpoint.json").read_bytes())
        as_written = (json.dumps(text, indent=2) + "\n").encode()
        right = (path / "checkpoint.json").read_bytes() == as_written
        right = right and path.name == f"round_{tree['round']:06d}"
        yield agreed(name, right, "its tensors and facts, against its own checksums")
        if path == paths[-1] and "records" in tree.get("bank", {}):
            yield rows_check(run, folder, tree["bank"])
    latest = run.content("checkpoints/latest")
    if latest is None and not run.finished:
        yield Check("checkpoints/latest", "not yet", "a kill came between the two")
    else:
        right = latest == f"{paths[-1].name}\n".encode() or (
            not run.finished and latest in [f"{path.name}\n".encode() for path in paths]
        )
        yield agreed("checkpoints/latest", right, "the name of the newest")


def log_checks(run: Found) -> Iterator[Check]:
    """Each log begins with the bytes that the newest checkpoint saw; that of a finished run ends
    there, but for what was written after it."""
    newest = newest_checkpoint(run.path / "checkpoints")
    if newest is None:
        return
    try:
        _, facts = load_checkpoint(newest)
        lengths, hashes, last = facts["lengths"], facts["logs"], facts["last"]
        rest = {name: int(lengths[name]) for name in LOGS}
    except (RunError, KeyError, TypeError, ValueError):
        return  # told already
    for name in LOGS:
        content = run.content(name)
        if content is None:
            yield Check(name, "missing", f"{newest.name} saw {rest[name]} bytes of it")
            continue
        begin, after = content[: rest[name]], content[rest[name] :]
        right = (len(begin), sha256(begin)) == (rest[name], hashes[name])
        if name == "metrics.jsonl":
            right = right and follows(after, last, run)
        elif name == "clients.jsonl":
            right = right and not (run.finished and after)
        yield agreed(name, right, f"its first {rest[name]} bytes, against {newest.name}")


def follows(after: bytes, last: dict[str, Any] | None, run: Found) -> bool:
    """Whether the metrics go on with the line that the checkpoint noted, and end with it."""
    line = b"" if last is None else json_line(last)
    if run.finished:
        return after == line
    return after[: len(line)] == line[: len(after)]  # resuming cuts it off and writes it again
