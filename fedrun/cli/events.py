"""What happens in a run as JSON lines on stdout, and nothing else there.

    started      path, name and choices of the federation, rounds, and the round it goes on after
    round        the row of metrics.jsonl
    finished     path, summary (that of summary.json); `trained` is false where it was found done
    interrupted  path (null before there is one), the last round, and the command that goes on
    failed       the same, and the reason, which stderr has too

The last line is always one of the last three; but for a mistake in the words or the config, which
is told on stderr alone (exit status 2). Other code that prints, prints on stderr.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from fedrun.cli.errors import unshown
from fedrun.cli.progress import Watching, target
from fedrun.core.option import ConfigError
from fedrun.experiment.build import Experiment
from fedrun.experiment.files import read_json
from fedrun.experiment.loop import Event


class Events(Watching):
    """Writes an object a line, each flushed: whoever reads them is never behind."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    def begin(self, experiment: Experiment) -> None:
        federation, claim = experiment.federation, experiment.privacy.claim
        self.emit(
            "started",
            path=str(self.path),
            rounds=self.rounds,
            round=self.first,
            data=experiment.dataset.name,
            partition=experiment.partition.rule,
            clients=len(experiment.partition),
            clients_per_round=federation.cohort_size,
            examples=len(experiment.dataset.train),
            parameters=sum(p.numel() for p in experiment.task.module.parameters()),
            engine=experiment.engine.name,
            **({"target_epsilon": target(self.path)} if claim and self.path else {}),
        )

    def show(self, event: Event) -> None:
        self.emit("round", **event.metrics)

    def where(self) -> dict[str, Any]:
        """Where it ended early, and how to go on."""
        if self.path is None:
            return {"path": None}
        command = shlex.join(["fedrun", "resume", str(self.path)])
        return {"path": str(self.path), "round": len(self.history), "resume": command}

    def emit(self, kind: str, **more: Any) -> None:
        try:
            print(
                json.dumps({"event": kind, **more}, allow_nan=False), file=self.stream, flush=True
            )
        except OSError as error:
            over = kind in ("finished", "failed")
            raise unshown(self.stream, error, "" if over else self.how_to_resume()) from None


@contextmanager
def watching() -> Iterator[Events]:
    """The events of what is run inside; what else is printed there goes to stderr."""
    events = Events(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield events
    except ConfigError:
        raise
    except KeyboardInterrupt:
        events.emit("interrupted", **events.where())
        raise
    except Exception as error:  # told, and raised again: a bug of ours shows its traceback
        reason = str(error) or type(error).__name__
        events.emit("failed", **events.where(), reason=reason)
        raise


def finished(path: Path, events: Events) -> None:
    trained = events.path is not None
    summary = read_json(path / "summary.json")
    events.emit("finished", path=str(path), trained=trained, summary=summary)
