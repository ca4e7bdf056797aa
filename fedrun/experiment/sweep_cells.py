"""The cells of a sweep as its files tell of them, whoever made them and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from fedrun.core.option import RunError
from fedrun.experiment import config_file
from fedrun.experiment.files import read_json
from fedrun.experiment.lock import is_in_use
from fedrun.experiment.manifest import read_manifest


def cell_of(noted: dict[str, Any]) -> dict[str, Any]:
    """title, path, set (what the sweep has put there, by key), status, reason, rounds, figures."""
    path, words = noted["path"], noted["overrides"]
    status, reason = state_of(path, noted)
    cell = {
        "title": " ".join(words) or path.name, "path": path, "set": values(path, words),
        "status": status, "reason": reason, "rounds": 0, "figures": {},
    }  # fmt: skip
    if status == "finished":
        summary = read_json(path / "summary.json")
        figures = summary["final"] | {"time/seconds": summary["time/seconds"]}
        cell["figures"] = {name: value for name, value in figures.items() if "/" in name}
        cell["rounds"] = int(summary["rounds"])
    elif seen := lines(path):
        cell["rounds"] = int(seen[-1]["round"])
    return cell


def row(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell as one flat row."""
    return {
        "cell": cell["title"], **cell["set"], "status": cell["status"], "rounds": cell["rounds"],
        "reason": cell["reason"], **cell["figures"], "run": str(cell["path"]),
    }  # fmt: skip


def state_of(path: Path, noted: dict[str, Any]) -> tuple[str, str | None]:
    """A run's own manifest is the truth; what it cannot know stands in `sweep.json`."""
    status, reason = noted["status"], noted.get("reason")
    if not (path / "manifest.json").is_file():
        return ("failed" if status == "failed" else "waiting"), reason
    manifest = read_manifest(path)
    found = str(manifest["status"])
    if found == "finished":
        return found, None
    unknown = "it tells no reason"
    if found == "failed":
        return found, str(manifest.get("error", reason or unknown))
    if found == "running" and is_in_use(path):
        return found, None
    if status == "pruned" or (status == "failed" and found != "interrupted"):
        return status, reason or unknown
    return "interrupted", None


def values(path: Path, words: list[str]) -> dict[str, Any]:
    """What the words have set, as the run's config has it; where there is none, as they say."""
    file, found = path / "config.yaml", {}
    config = config_file.read(file) if file.is_file() else None
    for word in words:
        key = word.lstrip("+").partition("=")[0]
        if key == "config" or config is None:
            found[key] = plain(word)
        else:
            found[key] = value(config, key)
    return found


def plain(word: str) -> Any:
    """The value that Hydra reads in a word; the text itself where it reads none."""
    try:
        parsed = OverridesParser.create().parse_override(word).value()
    except HydraException:
        return word.partition("=")[2]
    return parsed if isinstance(parsed, bool | int | float | str | None) else str(parsed)


def value(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node["name"] if isinstance(node, dict) and "name" in node else node


def lines(path: Path) -> list[dict[str, Any]]:
    """The rounds of a run that may be being written: an unfinished last line is left out."""
    file = path / "metrics.jsonl"
    if not file.is_file():
        return []
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}") from error
