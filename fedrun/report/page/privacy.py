"""The privacy statement: every claim with all of its caveats, and runs that claim nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fedrun.core.bound import upwards
from fedrun.core.option import RunError
from fedrun.experiment.files import read_json
from fedrun.report.collect_run import ABSENT, Record
from fedrun.report.comparison import told
from fedrun.report.page.content import Content
from fedrun.report.privacy_words import guarantee, why_not


@dataclass(frozen=True)
class Statement:
    """What some runs claim; `whom`: the groups; `lines`: the claim in words."""

    whom: list[str]
    runs: int
    claim: str
    facts: list[tuple[str, str]]
    no_guarantee: str
    caveats: list[str]


@dataclass(frozen=True)
class Privacy:
    statements: list[Statement]
    without: int  # runs that claim nothing
    withheld: int  # private runs whose holdings and clients are not shown


def is_private(record: Record) -> bool:
    """Whether a run claims a guarantee, or may: then only what it released is shown."""
    return record.text("privacy") not in (ABSENT, "none", "null")


def privacy(content: Content, why: dict[str, list[Path]]) -> Privacy:
    """Equal statements once, with the groups that they are of; `why` takes what is damaged."""
    found: dict[str, Statement] = {}
    without = 0
    for method in content.methods:
        for record in method.records:
            if not is_private(record):
                without += 1
                continue
            one = told(record.path, why, partial(statement, record))
            if one is None:
                continue
            key = repr(one)
            known = found.get(key, replace(one, runs=0))
            whom = list(dict.fromkeys([*known.whom, method.name]))
            found[key] = replace(known, whom=whom, runs=known.runs + 1)
    statements = list(found.values())
    withheld = 0 if content.asked.held else sum(one.runs for one in statements)
    return Privacy(statements, without, withheld)


def statement(record: Record) -> Statement:
    """A finished run's own words; of another what is known so far."""
    found = told_by(record.path)
    if found is None:
        claim = claim_of(record.path)
        words = f"privacy={record.text('privacy')}: no statement yet, the run is {record.status}"
        facts = [("trusted", str(claim["trust"]))] if "trust" in claim else []
        return Statement([], 1, words, facts, "", _texts(claim.get("caveats")))
    try:
        return _finished(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        file = record.path / "summary.json"
        raise RunError(f"{file} is damaged: its privacy statement lacks {error}") from error


def _finished(found: Mapping[str, Any]) -> Statement:
    facts = [("trusted", str(found["trust"]))]
    facts += [
        (f"by {name}", upwards(value) if isinstance(value, int | float) else str(value))
        for name, value in found.get("bounds", {}).items()
    ]
    facts.append(("releases", _releases(found)))
    if "simulated" in found:
        larger = {**found, **found["simulated"]}
        facts.append(("simulated", f"{guarantee(larger)}, {larger['meaning']}"))
    reasons = "" if found["real"] else why_not(found)
    return Statement([], 1, guarantee(found), facts, reasons, _texts(found.get("caveats")))


def told_by(run: Path) -> Mapping[str, Any] | None:
    if not (run / "summary.json").is_file():
        return None
    found = read_json(run / "summary.json").get("privacy")
    return found if isinstance(found, dict) else None


def claim_of(run: Path) -> Mapping[str, Any]:
    if not (run / "privacy.json").is_file():
        return {}
    found = read_json(run / "privacy.json").get("claim")
    return found if isinstance(found, dict) else {}


def _releases(found: Mapping[str, Any]) -> str:
    again = f", and {found['repeated']:,} repeated" if found["repeated"] else ""
    return f"{found['releases']:,}{again}"


def _texts(found: Any) -> list[str]:
    return [str(text) for text in found] if isinstance(found, list) else []
