"""Google's TensorBoard: `tensorboard --logdir runs` shows every run below a folder.

One event file in the run directory, `tensorboard/events.out.tfevents...`, written round by round.
A run that is told again gets a new file that begins a session at step 0: so a TensorBoard that is
open drops what it has read. What told of the run before is emptied, and deleted the next time:
TensorBoard's reader never leaves a file that was deleted while it was at it.

TensorBoard keeps figures as float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from fedrun.core.tracker import Row, Session, Status, Tracked, Tracker, flat, library

FOLDER = "tensorboard"
VERSION = "brain.Event:2"


def tensorboard() -> Tracker:
    """Event files for TensorBoard, in the run directory."""
    events = library("tensorboard.compat.proto.event_pb2")
    summaries = library("tensorboard.compat.proto.summary_pb2")
    records = library("tensorboard.summary.writer.record_writer")
    hparams = library("tensorboard.plugins.hparams.summary_v2")

    def start(run: Tracked) -> Session:
        folder = run.folder / FOLDER
        folder.mkdir(exist_ok=True)
        file, old = fresh(folder, int(run.started))
        writer = records.RecordWriter(file)

        def write(step: int, at: float, **what: Any) -> None:
            event = events.Event(wall_time=at, step=step, **what)
            writer.write(event.SerializeToString())  # one call, and the file has no buffer

        def log(figures: Row, round: int, at: float) -> None:
            values = [
                summaries.Summary.Value(tag=name, simple_value=value)
                for name, value in figures.items()
            ]
            write(round, at, summary=summaries.Summary(value=values))

        def finish(status: Status) -> None:
            file.close()

        write(0, run.started, file_version=VERSION)
        begun = events.SessionLog(status=events.SessionLog.START)
        write(0, run.started, session_log=begun)
        told = {key: plain(value) for key, value in flat(run.config).items()}
        write(0, run.started, summary=hparams.hparams_pb(told, run.key, run.started))
        for path in old:
            if path.stat().st_size:
                path.write_bytes(b"")
            else:
                path.unlink()
        return Session(log=log, finish=finish)

    return Tracker(start)


def fresh(folder: Path, started: int) -> tuple[BinaryIO, list[Path]]:
    """A new event file, whose name comes after those of the others; and the others."""
    old = sorted(folder.glob("events.out.tfevents.*"))
    numbers = [int(path.name.rpartition(".")[2]) for path in old if path.suffix[1:].isdigit()]
    name = f"events.out.tfevents.{started:010d}.fedrun.{max(numbers, default=-1) + 1:06d}"
    return (folder / name).open("xb", buffering=0), old


def plain(value: Any) -> bool | float | str:
    """What the table of hyperparameters takes."""
    return value if isinstance(value, bool | int | float | str) else str(value)
