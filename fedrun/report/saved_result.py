"""The last verdict on a baseline, kept beside the runs: `<run.root>/reproduce/<name>.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrun.core.option import RunError
from fedrun.experiment import choices
from fedrun.experiment.files import read_json, write_json
from fedrun.report.baseline import FOLDER as SHIPPED
from fedrun.report.baseline import Baseline, shipped

if TYPE_CHECKING:
    from fedrun.report.reproduction import Result

FOLDER = "reproduce"


def plain(result: Result) -> dict[str, Any]:
    """A result as JSON has it."""
    baseline, expect, judged = result.baseline, result.baseline.expect, result.judged
    return {
        "name": baseline.name,
        "metric": expect.metric,
        "protocol": expect.protocol,
        **{key: name for key in ("minus", "over") if (name := getattr(expect, key))},
        "value": expect.value,
        "band": expect.band,
        **({"each": expect.each} if expect.each else {}),
        "source": expect.source,
        "miss": expect.miss,
        "note": expect.note,
        "seeds": result.seeds,
        "setting": result.setting,
        "overrides": result.changed,
        "values": judged.values,
        "mean": judged.mean,
        "sd": judged.sd,
        "verdict": judged.verdict,
        "words": judged.words,
        "minutes_a_run": result.minutes,
        "ended": result.ended,
        "versions": dict(result.versions),
        "baseline_sha256": baseline.digest,
    }


def save(result: Result, root: Path) -> None:
    """Keep it, unless overrides made another experiment of it."""
    if not result.changed:
        file = _file(root, result.baseline)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, plain(result))


def last(baseline: Baseline, root: Path) -> dict[str, Any] | None:
    """The kept result, with `stale` where the baseline's files say something else by now."""
    file = _file(root, baseline)
    if not file.is_file():
        return None
    try:
        found = read_json(file)
    except RunError as error:
        raise RunError(f"{file} cannot be read; delete it and reproduce again") from error
    return {**found, "stale": found.get("baseline_sha256") != baseline.digest}


def root_of(overrides: list[str]) -> Path:
    """The folder of all runs that a command line means."""
    given = [word.partition("=")[2] for word in overrides if word.startswith("run.root=")]
    return Path(given[-1] if given else choices.root()["run"]["root"]).expanduser()


def _file(root: Path, baseline: Baseline) -> Path:
    """A file of one's own does not take the place of the shipped one of that name."""
    name, folder = baseline.name, root / FOLDER
    if baseline.config != f"{SHIPPED}/{name}" and name in shipped():
        folder /= "own"
    return folder / f"{name}.json"
