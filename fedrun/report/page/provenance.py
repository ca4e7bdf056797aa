"""Where the numbers come from: each run's status and hashes, what the manifests share, and the
commands and configs that make the same runs again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrun.core.option import RunError
from fedrun.experiment.files import read_json
from fedrun.experiment.sweep_record import FILE as SWEEP
from fedrun.report.collect_run import Record, flat
from fedrun.report.page.content import Content, Method
from fedrun.report.page.privacy import is_private
from fedrun.report.table_layout import number_of

OF_A_RUN = ("status", "command", "started", "ended", "config", "model", "audit", "seal", "files",
            "resumed", "error", "schema")  # fmt: skip
# Of private runs: no guarantee covers how long they took, and what the clients hold.
CLOCK, HELD = ("started", "ended"), ("data.train", "partition.sha256")
HASH = re.compile("[0-9a-f]{64}")
MOST_TEXT = 20_000  # letters of a config, should it hold data
MOST_VALUES = 4


@dataclass(frozen=True)
class Ran:
    """A run's line in the table."""

    name: str
    group: str
    look: int | None
    seed: str
    status: str
    value: str
    number: float | None
    rounds: str
    ended: str
    seconds: str
    config: str
    model: str
    resumed: int


@dataclass(frozen=True)
class Text:
    """A config file, whole; `run`: whose it is."""

    name: str
    look: int | None
    run: str
    text: str
    others: str


def ran(content: Content) -> list[Ran]:
    values = {
        run.record.path: run.numbers.get("value")
        for method in content.methods
        if method.group
        for run in method.group.runs
    }
    return [
        _ran(record, method, values.get(record.path), content)
        for method in content.methods
        for record in method.records
    ]


def _ran(record: Record, method: Method, value: float | None, content: Content) -> Ran:
    found = content.comparison
    shown = "-" if value is None or found is None else number_of(found)(value)
    summary = summary_of(record.path)
    seconds = summary.get("time/seconds")
    # When clients were here or not shows in the clock, which no guarantee covers.
    private = is_private(record)
    clock = isinstance(seconds, int | float) and not private
    done = summary.get("rounds")
    return Ran(
        short_path(record.path), method.name, method.look, record.text("seed"), record.status,
        shown, value, str(done) if isinstance(done, int) else "-",
        "-" if private else str(record.manifest.get("ended", "-"))[:10],
        f"{seconds:.1f}" if clock else "-",
        _hash(record.manifest.get("config")), str(record.manifest.get("model", "-"))[:12],
        resumed if isinstance(resumed := record.manifest.get("resumed"), int) else 0,
    )  # fmt: skip


def short_path(path: Path) -> str:
    """Folder and name: where else the runs lie is nobody's business."""
    return "/".join(path.resolve().parts[-2:])


def summary_of(run: Path) -> dict[str, Any]:
    if not (run / "summary.json").is_file():
        return {}
    try:
        return read_json(run / "summary.json")
    except RunError:  # told with the privacy statement and by `fedrun audit`; here it is a dash
        return {}


def _hash(found: Any) -> str:
    return str(found.get("sha256", "-"))[:12] if isinstance(found, Mapping) else "-"


def manifest_facts(content: Content) -> list[tuple[str, list[str]]]:
    """Every key of the manifests that is not of a single run, with the values that it has."""
    records = content.records
    values: dict[str, dict[str, None]] = {}
    own = set(OF_A_RUN) - ({"started", "ended", "config", "model"} if len(records) == 1 else set())
    for record in records:
        untold: tuple[str, ...] = ()
        if is_private(record):
            untold = CLOCK if content.asked.held else CLOCK + HELD
        for key, value in flat({k: v for k, v in record.manifest.items() if k not in own}):
            if key not in untold and value not in ("", None, {}, []):
                values.setdefault(key, {})[str(value)] = None
    for found in values.values():
        if len(found) > 1 and all(HASH.fullmatch(text) for text in found):
            shown = dict.fromkeys(text[:12] for text in found)
            found.clear()
            found.update(shown)
    return [
        (key, [*list(found)[:MOST_VALUES], *[f"and {len(found) - MOST_VALUES} more"]]
         if len(found) > MOST_VALUES else list(found))
        for key, found in values.items()
    ]  # fmt: skip


def commands(content: Content, places: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Of the sweeps that made the runs, and of each run."""
    sweeps = []
    for place in places:
        if (place / SWEEP).is_file():
            words = read_json(place / SWEEP).get("command")
            if isinstance(words, list):
                sweeps.append(shlex.join(["fedrun", "sweep", *map(str, words)]))
    runs = [str(record.manifest.get("command", "")) for record in content.records]
    return sweeps, [command for command in dict.fromkeys(runs) if command]


def configs(content: Content) -> list[Text]:
    """One config file of each group, as it lies in the run directory."""
    return [_text(method) for method in content.methods]


def _text(method: Method) -> Text:
    record = method.records[0]
    try:
        text = (record.path / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        text = f"# cannot be read: {error.strerror or error}"
    if len(text) > MOST_TEXT:
        text = f"{text[:MOST_TEXT]}\n# cut here: {len(text):,} letters in all\n"
    seeds = [other.text("seed") for other in method.records[1:]]
    return Text(method.name, method.look, short_path(record.path), text, ", ".join(seeds))
