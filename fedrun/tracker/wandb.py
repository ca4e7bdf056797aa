"""Weights & Biases; offline unless told otherwise, so without a network or an account.

    fedrun train tracker=wandb
    wandb sync runs/train/*/wandb/offline-run-*        # later, where there is a network

Its files lie in the run directory, under `wandb/`. What it would gather besides, of the machine,
the code, the terminal and its user, is turned off. A run keeps its id. Offline, a run that is told
again gets a new folder with all of its history, and the old folder is deleted; online, the service
cannot take back what it has, and is told the rounds after those.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from fedrun.core.option import ConfigError
from fedrun.core.tracker import Row, Session, Status, Tracked, Tracker, ignore, library

FOLDER = "wandb"
EXIT = {"finished": 0, "failed": 1, "interrupted": 130}


def wandb(
    *,
    project: str = "fedrun",
    entity: str | None = None,
    group: str | None = None,
    tags: list[str] = [],  # noqa: B006 - read only
    mode: Literal["offline", "online"] = "offline",
    model: bool = True,
) -> Tracker:
    """Weights & Biases, offline unless told otherwise.

    project: that the run belongs to
    entity: the user or team that the project belongs to (null: the account's own)
    group: of runs (null: the folder that the run directory lies in)
    tags: of the run
    mode: offline writes files for a later `wandb sync`; online needs a network and an account
    model: whether the final model is handed over too
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the import reads it
    tool = library("wandb")
    if mode == "online":
        refuse_stranger(tool)

    def start(run: Tracked) -> Session:
        if mode == "offline":
            for old in (run.folder / FOLDER).glob(f"offline-run-*-{run.key}"):
                shutil.rmtree(old)
        with surroundings(run.folder / FOLDER):
            # The library's own run, beside any other that the same process has open.
            session = tool.init(
                id=run.key, name=run.name, dir=str(run.folder), project=project, entity=entity,
                group=group or run.group, tags=tags, mode=mode,
                config={**run.config, "fedrun": dict(run.facts)},
                resume="allow" if mode == "online" else None, settings=quiet(tool),
            )  # fmt: skip

        def log(figures: Row, round: int, at: float) -> None:
            session.log(dict(figures), step=round, commit=True)

        def artifact(file: Path) -> None:
            made = tool.Artifact(f"model-{run.key}", "model")
            # It would copy the file to a folder under the user's home, twice.
            made.add_file(str(file), policy="immutable", skip_cache=True)
            session.log_artifact(made)

        def finish(status: Status) -> None:
            session.finish(exit_code=EXIT[status])

        known = max(0, session.step - 1) if session.resumed else 0
        return Session(log=log, artifact=artifact if model else ignore, finish=finish, known=known)

    return Tracker(start)


def refuse_stranger(tool: Any) -> None:
    """Before the run starts, and without the question that the library would ask."""
    with surroundings(Path(FOLDER)):
        known = tool.login(prompt=False, verify=False)
    if not known:
        raise ConfigError(
            "tracker.wandb.mode=online needs an account: 'wandb login', or WANDB_API_KEY in the "
            "environment; mode=offline needs none"
        )


def quiet(tool: Any) -> Any:
    """Nothing on the terminal, and nothing gathered that nobody has asked for."""
    return tool.Settings(
        console="off", silent=True, disable_code=True, disable_git=True, save_code=False,
        x_disable_machine_info=True, x_disable_meta=True, x_disable_stats=True,
        x_save_requirements=False, host="", program="fedrun", reinit="create_new", init_timeout=30,
        finish_timeout=300, finish_timeout_raises=True,
    )  # fmt: skip


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """Nothing on the terminal; and the log of its service, which goes into the user's cache, beside
    the run, unless the user has named a cache."""
    wanted = {"WANDB_SILENT": "true", "WANDB_CACHE_DIR": str((folder / "cache").absolute())}
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
