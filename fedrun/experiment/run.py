"""A run from beginning to end: start, go on, finish, or stop and say how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from fedrun.core.buffers import model_of
from fedrun.core.federation import State
from fedrun.core.option import ConfigError, RunError
from fedrun.core.tracker import Status
from fedrun.experiment import bind
from fedrun.experiment.build import Experiment, build, hold
from fedrun.experiment.compose import Composed, compose, config_hash, dump
from fedrun.experiment.directory import RunDirectory, read_manifest
from fedrun.experiment.evaluation import evaluate, open_crew
from fedrun.experiment.factory import is_plugin
from fedrun.experiment.interrupt import Interrupts
from fedrun.experiment.lock import in_use, is_in_use
from fedrun.experiment.loop import Event, check_stop, free, rounds, stop_reason
from fedrun.experiment.manifest import engine_facts, first_manifest, now
from fedrun.experiment.place import run_path
from fedrun.experiment.same_data import refuse_other_data, touched_since
from fedrun.experiment.saved import whole_model
from fedrun.experiment.settings import Settings
from fedrun.experiment.summary import summarise
from fedrun.experiment.tracking import Node, Tracking, asked, tell_again, words

# `data.root` and `data.path` say where the bytes lie; that they are the same bytes is checked.
MAY_CHANGE = (
    "rounds", "engine.workers", "evaluate.", "checkpoint.", "stop.", "data.root",
    "data.path", "data.test_path", "tracker",
)  # fmt: skip
SECONDS = 5.0  # between checkpoints, where no number of rounds is asked for


class Observer(Protocol):
    """Whoever watches a run: the terminal, a notebook, nobody."""

    def started(self, path: Path, experiment: Experiment, history: Sequence[Any]) -> None: ...
    def round(self, event: Event) -> None: ...


class Nobody:
    """An observer that looks away."""

    def started(self, path: Path, experiment: Experiment, history: Sequence[Any]) -> None:
        pass

    def round(self, event: Event) -> None:
        pass


def train(composed: Composed, observer: Observer, *, resume_unfinished: bool = False) -> Path:
    """Run a config, or find its finished run again; the run's directory.

    A finished run is never overwritten; an unfinished one is gone on with only when asked to.
    """
    path, tracking = run_path(composed), Tracking(composed.values)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        manifest = read_manifest(path)
        # `first`: a run that was made longer is still found by the command that began it.
        known = manifest["config"]["sha256"], manifest["config"].get("first")
        if config_hash(composed.values) not in known:
            raise ConfigError(
                f"run.dir={path} holds a run of another config; choose another folder"
            )
        if manifest["status"] == "finished":
            if touched_since(composed.values, manifest["started"]):
                refuse_other_data(path, manifest, hold(composed.values))
            tell_again(path, manifest, tracking)
            return path
        if resume_unfinished:
            return resume(path, [], observer, asked(composed))
        if is_in_use(path):
            raise in_use(path)
        status = "killed" if manifest["status"] == "running" else manifest["status"]
        raise ConfigError(
            f"{path} holds this run, unfinished ({status});\n"
            f"go on with: fedrun resume {shlex.quote(str(path))}"
        )
    with Interrupts() as interrupts:
        experiment = build(composed.values)
        check_stop(experiment)
        digest = config_hash(composed.values)
        try:
            run = RunDirectory.create(
                path,
                saved_text(composed),
                experiment,
                first_manifest(digest, composed, experiment),
            )
        except OSError as error:
            raise ConfigError(
                f"cannot write the run directory {path}: {error.strerror or error}; "
                f"choose another run.root or run.dir"
            ) from error
        try:
            _go(run, experiment, run.first(experiment), [], observer, interrupts, tracking)
        finally:
            run.close()
    return path


def resume(
    path: Path, overrides: Sequence[str], observer: Observer, tracker: Node | None = None
) -> Path:
    """Go on from the last checkpoint, with the same bits as if nothing had happened.

    tracker: that group of the config, in place of the saved one.
    """
    manifest = read_manifest(path)
    before = saved_config(path, manifest)
    composed = compose(str(path / "config.yaml"), overrides) if overrides else before
    if tracker:
        composed = replace(composed, values={**composed.values, "tracker": tracker})
    refuse_changes(before.values, composed.values)
    tracking = Tracking(composed.values)
    same = config_hash(composed.values) == config_hash(before.values)
    if manifest["status"] == "finished" and same and whole_model(path, manifest):
        if words(overrides):
            tell_again(path, manifest, tracking)
        return path
    with Interrupts() as interrupts:
        experiment = build(composed.values)
        check_stop(experiment)
        digest = config_hash(composed.values)
        refuse_other_data(path, manifest, experiment)
        refuse_other_engine(path, manifest, experiment)
        try:
            run = RunDirectory.reopen(path, manifest)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written to: {error.strerror or error}") from error
        try:
            if read_manifest(path) != manifest:  # before we held the lock
                raise ConfigError(f"{path} was worked on by another process meanwhile; try again")
            state, history = run.restore(experiment)
            if state.round > experiment.settings.rounds:
                raise ConfigError(
                    f"rounds={experiment.settings.rounds} is behind the last checkpoint of {path}, "
                    f"which is at round {state.round}"
                )
            run.update(status="running", resumed=manifest["resumed"] + 1)
            run.change_config(saved_text(composed), digest)
            _go(run, experiment, state, history, observer, interrupts, tracking)
        finally:
            run.close()
    return path


def _go(
    run: RunDirectory,
    experiment: Experiment,
    state: State,
    history: list[dict[str, float]],
    observer: Observer,
    interrupts: Interrupts,
    tracking: Tracking,
) -> None:
    settings, saved = experiment.settings, perf_counter()
    status: Status = "failed"
    try:
        with open_crew(experiment) as crew:
            observer.started(run.path, experiment, history)
            tracking.begin(run.path, run.manifest, history)
            spend = run.spending.charge if run.spending else free
            for event in rounds(experiment, state, history, crew, spend):
                with interrupts.held():
                    run.append(event)
                    state = event.state
                    history.append(event.metrics)
                    if is_worth_saving(settings, state.round, perf_counter() - saved):
                        run.checkpoint(state, settings.checkpoint.keep)
                        saved = perf_counter()
                observer.round(event)
                tracking.tell()
        with interrupts.held(final=True):
            figures = evaluate(experiment, state) if not history else {}
            run.checkpoint(state, settings.checkpoint.keep)
            stopped = stop_reason(settings.stop, history)
            told = run.spending.statement() if run.spending else None
            summary = summarise(experiment, state, history, figures, stopped, told)
            run.finish(model_of(state.server), summary, ended=now())
        status = "finished"
    except (KeyboardInterrupt, SystemExit):  # SystemExit: nobody reads us, or can
        status = "interrupted"
        with interrupts.held(final=True):
            run.checkpoint(state, settings.checkpoint.keep)
            run.update(status="interrupted", ended=now())
        raise
    except OSError as error:
        with suppress(OSError):  # the disk may be full for this too
            run.update(status="failed", error=f"writing failed: {error}", ended=now())
        raise RunError(
            f"writing to {run.path} failed after round {state.round}: {error.strerror or error};\n"
            f"mend that, then: fedrun resume {shlex.quote(str(run.path))}"
        ) from error
    except Exception as error:
        run.update(status="failed", error=f"{type(error).__name__}: {error}", ended=now())
        raise
    finally:
        tracking.end(status, run.path / "model.safetensors")


def is_worth_saving(settings: Settings, round: int, seconds: float) -> bool:
    """Whether a checkpoint is due after this round, so many seconds after the last one."""
    every = settings.checkpoint.every
    return seconds >= SECONDS if every is None else bool(every and round % every == 0)


def refuse_other_engine(path: Path, manifest: Mapping[str, Any], experiment: Experiment) -> None:
    """A run goes on with the engine that began it: another one gives other bits."""
    begun, here = manifest.get("engine"), engine_facts(experiment)
    if begun is not None and {key: begun.get(key) for key in here} != here:
        why = f"; {experiment.engine.why}" if experiment.engine.why else ""
        raise RunError(
            f"{path} was trained by engine {begun['name']} ({begun['how']}), and here it would be "
            f"{here['name']} ({here['how']}{why}), whose bits differ;\n"
            f"go on where it began, or start a new run: "
            f"fedrun train config={shlex.quote(str(path / 'config.yaml'))}"
        )


def saved_config(path: Path, manifest: Mapping[str, Any]) -> Composed:
    """The run's own config, as it was when the run was last worked on."""
    if not (path / "config.yaml").is_file():
        raise RunError(f"{path} is damaged: config.yaml is missing")
    composed = compose(str(path / "config.yaml"), [])
    if config_hash(composed.values) not in manifest["config"].values():
        raise RunError(
            f"{path / 'config.yaml'} was changed after the run began; put it back, or start a new "
            f"run with: fedrun train config={path / 'config.yaml'}"
        )
    return composed


def saved_text(composed: Composed) -> str:
    """What `config.yaml` holds: the config without the place of this very run, to be repeated."""
    return dump({**composed.values, "run": {**composed.values["run"], "dir": None}})


def refuse_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Only what cannot change a round that is done may differ when a run goes on."""
    old, new = _flat(before), _flat(after)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not key.startswith(MAY_CHANGE):
            raise ConfigError(
                f"a run cannot go on with another {key} "
                f"({old.get(key)} before, {new.get(key)} now);\n"
                f"resume takes rounds, engine.workers, evaluate.*, checkpoint.*, stop.*, tracker, "
                f"data.root, data.path and data.test_path; for anything else start a new run"
            )
    if old["rounds"] != new["rounds"]:
        fixed = new.get("privacy.target_epsilon") is not None and "privacy.target_epsilon"
        if fixed or new.get("privacy.name") == "banded_mf":
            raise ConfigError(
                f"rounds cannot be changed on the way: {fixed or 'privacy=banded_mf'} made the "
                f"noise for {old['rounds']} of them"
            )
        for group in ("local", "server", "privacy"):
            name = new[f"{group}.name"]
            depends = new.get(f"{group}.schedule") == "cosine" and f"{group}.schedule=cosine"
            if is_plugin(name) and "rounds" in bind.asks_for(group, name):
                depends = f"{group}={name}"
            if depends:
                raise ConfigError(f"rounds cannot be changed on the way: {depends} depends on it")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def evaluation_config(
    path: Path, manifest: Mapping[str, Any], overrides: Sequence[str]
) -> Composed:
    """A run's config with the data, and nothing else, changed as asked."""
    before = saved_config(path, manifest)
    if not overrides:
        return before
    composed = compose(str(path / "config.yaml"), overrides)
    old, new = _flat(before.values), _flat(composed.values)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not key.startswith(("data.", "device")):
            raise ConfigError(
                f"evaluate scores the run's own model: only data may change, not {key}"
            )
    return composed
