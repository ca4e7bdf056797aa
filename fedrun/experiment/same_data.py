"""Whether a run's data are still those that it began with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrun.core.option import RunError

if TYPE_CHECKING:
    from fedrun.experiment.build import Experiment, Holdings


def refuse_other_data(
    path: Path, manifest: Mapping[str, Any], found: Experiment | Holdings
) -> None:
    """Refuse what was read or dealt out differently than when the run at `path` began."""
    for name, now in (("data", found.dataset), ("partition", found.partition)):
        then = manifest[name]["sha256"]
        if now.fingerprint != then:
            raise RunError(
                f"the {name} of {path} came out different from when the run began "
                f"({now.fingerprint[:12]} instead of {then[:12]}); bring the old data back, or "
                f"train anew under another run.root"
            )


def touched_since(values: Mapping[str, Any], began: str) -> bool:
    """Whether a file that the options of data and partition name, or one in a folder that they
    name, was written, moved or replaced after the run began: nothing needs to be read where none
    was."""
    start = datetime.fromisoformat(began).timestamp()
    options = [*values["data"].items(), *values["partition"].items()]
    named = [value for key, value in options if key != "name" and isinstance(value, str)]
    places = (Path(value).expanduser() for value in named)
    return any(
        max(facts.st_mtime, facts.st_ctime) >= start for place in places for facts in _files(place)
    )


def _files(place: Path) -> Iterator[os.stat_result]:
    try:
        if place.is_file():
            yield place.stat()
        for folder, _, names in os.walk(place):
            for name in names:
                yield Path(folder, name).stat()
    except OSError:  # gone meanwhile, or not ours to see: there is nothing to compare with
        return
