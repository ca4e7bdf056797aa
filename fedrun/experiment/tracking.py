"""The trackers of a run: told what `metrics.jsonl` says, once its line is written.

This is the boundary to other people's libraries. Whatever one raises is told in one line on stderr,
and it is left out from then on: no tracker costs a run a round, its result or its exit status.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrun.core.option import ConfigError, RunError
from fedrun.core.tracker import Row, Session, Status, Tracked, Tracker, figures_of
from fedrun.experiment import choices
from fedrun.experiment.bind import bind_all, made
from fedrun.experiment.compose import Composed
from fedrun.experiment.files import read_metrics
from fedrun.experiment.lock import take_lock
from fedrun.experiment.tracked import ends, tracked

GROUP = "tracker"
Node = Mapping[str, Any]


class Tracking:
    """Tells every tracker of one run; one that fails is left out."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """ConfigError for a wrong option, and for a library that is not installed."""
        self.values = values
        # Clocks tell who came, and what a tool is told may leave the machine.
        self.untimed = values["privacy"]["name"] != "none"
        self.trackers = trackers(values)
        self.sessions: dict[str, Session] = {}
        self.told: dict[str, int] = {}  # rounds, by tracker
        self.history: Sequence[Row] = []
        self.ends: list[float] = []  # of the rounds of the history, as far as it was told

    def begin(self, path: Path, manifest: Mapping[str, Any], history: Sequence[Row]) -> None:
        """Open every tool, and tell it of the rounds that it does not know.

        history: rows that are written; the caller adds those that are written later.
        """
        if not self.trackers:
            return
        run = tracked(path, manifest, self.values, history)
        self.history, self.ends = history, ends(run.started, history)
        for name, tracker in self.trackers.items():
            self._guarded(name, "at the start", self._open, name, tracker, run)
        self.tell()

    def _open(self, name: str, tracker: Tracker, run: Tracked) -> None:
        self.sessions[name] = tracker.start(run)
        self.told[name] = self.sessions[name].known

    def tell(self) -> None:
        """Tell of the rounds that the history has more than before."""
        if self.sessions:
            self.ends += ends(self.ends[-1], self.history[len(self.ends) - 1 :])[1:]
        for name, session in list(self.sessions.items()):
            self._guarded(name, f"in round {len(self.history)}", self._catch_up, name, session)

    def _catch_up(self, name: str, session: Session) -> None:
        while self.told[name] < len(self.history):
            row = self.history[self.told[name]]
            self.told[name] += 1  # before the call: an interrupt in it makes no round come twice
            figures, at = figures_of(row), self.ends[self.told[name]]
            if self.untimed:
                figures = {key: figures[key] for key in figures if not key.startswith("time/")}
                at = self.ends[0]
            session.log(figures, int(row["round"]), at)

    def end(self, status: Status, model: Path) -> list[str]:
        """Hand over the model of a finished run, and close every tool; the names of those that were
        told of everything."""
        self.tell()  # an interrupt may have come between a round's line and its telling
        where = f"after round {len(self.history)}"
        if status == "finished":
            for name, session in list(self.sessions.items()):
                self._guarded(name, where, session.artifact, model)
        for name, session in list(self.sessions.items()):
            self._guarded(name, where, session.finish, status)
        whole = list(self.sessions)
        self.sessions.clear()
        return whole

    def _guarded(self, name: str, where: str, call: Callable[..., None], *told: Any) -> None:
        try:
            call(*told)
        except Exception as error:  # somebody else's library, which may fail in any way
            say(f"tracker={name} failed {where} and is left out: {reason(error)}")
            session = self.sessions.pop(name, None)
            if session and call != session.finish:
                self._let_go(session)

    def _let_go(self, session: Session) -> None:
        """Close what has failed, as far as it can be closed."""
        try:
            session.finish("failed")
        except Exception:  # it has failed: a second reason helps nobody
            return


def trackers(values: Mapping[str, Any]) -> dict[str, Tracker]:
    """Those that a config asks for, by name; their libraries are imported, and no more."""
    nodes = choices.nodes(values)
    bound = bind_all({where: nodes[where] for where in nodes if where.startswith(f"{GROUP}.")})
    return {each.name: made(each, Tracker) for each in bound.values()}


def tell_again(path: Path, manifest: Mapping[str, Any], tracking: Tracking) -> None:
    """Tell of a run that is finished already, from its own files."""
    if not tracking.trackers:
        return
    try:
        history = read_metrics(path)
        lock = take_lock(path)
    except (ConfigError, RunError, OSError) as error:
        say(f"{path} is finished, and no tracker was told of it: {reason(error)}")
        return
    with lock:
        tracking.begin(path, manifest, history)
        told = tracking.end("finished", path / "model.safetensors")
    if told:
        say(f"{path} is finished: told {', '.join(told)} of its {len(history)} rounds")


def reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def say(text: str) -> None:
    print(f"fedrun: {text}", file=sys.stderr, flush=True)


def pass_on(said: str, whose: str, warned: set[str]) -> None:
    """Say what a process has said of its trackers, once for each tracker of a sweep."""
    for line in said.splitlines():
        match = re.match(rf"fedrun: {GROUP}=(\S+) failed ", line)
        if match and match[1] not in warned:
            warned.add(match[1])
            say(f"{whose}: {line.removeprefix('fedrun: ')} (said once, whatever other cells say)")


def asked(composed: Composed) -> Node | None:
    """The trackers that a command names, by its words or its config file; None where it leaves an
    unfinished run those that it began with."""
    node: Node = composed.values[GROUP]
    return node if words(composed.overrides) or node != {"name": choices.NOBODY} else None


def words(overrides: Sequence[str]) -> list[str]:
    """Those arguments of a command line that are about trackers."""
    return [word for word in overrides if is_about_trackers(word)]


def is_about_trackers(word: str) -> bool:
    key = word.lstrip("+~").partition("=")[0]
    return key == GROUP or key.startswith(f"{GROUP}.")
