"""What an audit looks at, and what it says of each thing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["ok", "altered", "missing", "not yet"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `why` says what it was held against, or what is wrong."""

    what: str
    verdict: Verdict
    why: str

    @property
    def holds(self) -> bool:
        return self.verdict in ("ok", "not yet")


def unread(error: Exception) -> str:
    """Why a file that was changed cannot be read, in a few words."""
    missing = isinstance(error, KeyError)
    return f"no {error.args[0]!r} in it" if missing else str(error).partition("\n")[0][:80]


@dataclass
class Found:
    """A run directory, read once. What cannot be read is empty, and its own check says so."""

    path: Path
    manifest: dict[str, Any]
    contents: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return bool(self.manifest.get("status") == "finished")

    def content(self, name: str) -> bytes | None:
        if name not in self.contents:
            file = self.path / name
            self.contents[name] = file.read_bytes() if file.is_file() else None
        return self.contents[name]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The objects of a .jsonl file, up to its first line that is none."""
        found: list[dict[str, Any]] = []
        for line in (self.content(name) or b"").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not isinstance(record, dict):
                break
            found.append(record)
        return found

    def object(self, name: str) -> dict[str, Any]:
        """The JSON object of a file; a `ValueError` where it holds none."""
        content = json.loads(self.content(name) or b"")
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        return content


def agreed(what: str, right: bool, why: str) -> Check:
    return Check(what, "ok" if right else "altered", why if right else f"does not agree: {why}")
