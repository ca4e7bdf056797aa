"""A model is scored, and its round written, while the next round trains; nothing else changes."""

from dataclasses import replace
from time import perf_counter, sleep

import numpy as np
import pytest

import fedrun
from fedrun.core.measure import BATCH, score
from fedrun.core.option import RunError
from fedrun.experiment import run as runs
from fedrun.experiment.compose import compose
from fedrun.experiment.evaluation import (
    Scored,
    blocks,
    evaluate,
    figures,
    open_crew,
    score_block,
)
from fedrun.experiment.files import read_json_lines
from fedrun.experiment.loop import rounds

WORKERS = [1, 2, 3]


def untimed(event):
    metrics = {k: v for k, v in event.metrics.items() if not k.startswith("time/")}
    return list(metrics.items()), event.clients, event.stopped, event.state.round


def parted(experiment, log):
    """The same experiment; `log` gets what happens on the server side, in order."""
    protocol = experiment.protocol

    def start(state, crew):
        log.append(f"start {state.round + 1}")
        started = protocol.start(state, crew)

        def finish():
            log.append(f"finish {state.round + 1}")
            return started()

        return finish

    return replace(experiment, protocol=replace(protocol, start=start))


def logged(experiment, log):
    with open_crew(experiment) as crew:
        for event in rounds(parted(experiment, log), experiment.state, [], crew):
            log.append(f"event {event.state.round}")


@pytest.mark.parametrize("workers", WORKERS)
def test_the_next_round_is_out_before_the_last_one_is_written(workers, federation):
    log = []
    logged(federation("rounds=3", f"engine.workers={workers}", "engine.chunk=1"), log)
    assert log == [
        "start 1", "finish 1", "start 2", "event 1", "finish 2", "start 3", "event 2", "finish 3",
        "event 3",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["rounds=4"],
        ["rounds=5", "evaluate.every=2", "algorithm=scaffold"],
        ["rounds=4", "evaluate.every=0"],
        ["rounds=9", "stop.metric=test/loss", "stop.patience=1", "local.lr=1.5"],
        ["rounds=9", "stop.metric=test/accuracy", "stop.value=0.8"],
        ["rounds=9", "stop.metric=train/loss", "stop.value=9", "evaluate.every=0"],
        ["data=diabetes", "partition=iid", "local.lr=0.001", "rounds=3"],
        ["data=digits", "engine=stack", "model=logistic", "rounds=3", "clients.per_round=3"],
    ],
    ids=["plain", "sparse", "end", "patience", "goal", "train goal", "numbers", "stack"],
)
def test_every_number_of_workers_gives_the_same_events(words, federation, play, same):
    alone, *others = (
        play(federation(*words, "engine.chunk=1", f"engine.workers={n}")) for n in WORKERS
    )
    for events in others:
        assert list(map(untimed, events)) == list(map(untimed, alone))
        for event, other in zip(events, alone, strict=True):
            assert same(event.state.server, other.state.server)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_round_begun_ahead_of_a_stop_is_thrown_away(workers, federation):
    log = []
    words = ["rounds=9", "stop.metric=test/accuracy", "stop.value=0", "engine.chunk=1"]
    logged(federation(*words, f"engine.workers={workers}"), log)
    assert log == ["start 1", "finish 1", "start 2", "event 1"]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_goal_of_training_is_known_in_time(workers, federation):
    log = []
    words = ["rounds=9", "stop.metric=train/loss", "stop.value=9"]
    logged(federation(*words, f"engine.workers={workers}"), log)
    assert log == ["start 1", "finish 1", "event 1"]


def spoiled(experiment, after, value):
    """The same experiment, whose clients' updates are worth `value` after so many rounds."""
    whole = experiment.protocol.chunk

    def chunk(message, job):
        done = whole(message, job)
        if job.round > after:
            done = replace(done, ok=np.zeros_like(done.ok)) if value == "rejected" else done
            if value == "infinite":
                done.sent.update.map(lambda leaf: leaf.fill_(float("inf")))
            if value == "error":
                raise RunError("this chunk failed")
        return done

    return replace(experiment, protocol=replace(experiment.protocol, chunk=chunk))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("rejected", "round 3: no client's update is finite"),
        ("infinite", "round 3: the global model is not finite"),
        ("error", "this chunk failed"),
    ],
)
def test_divergence_comes_after_the_rounds_before_it(workers, value, told, federation):
    experiment = federation("rounds=9", f"engine.workers={workers}", "engine.chunk=1")
    seen = []
    with open_crew(spoiled(experiment, 2, value)) as crew:  # noqa: SIM117
        with pytest.raises(RunError, match=told):
            seen += (event.state.round for event in rounds(experiment, experiment.state, [], crew))
    # `+=` extends a list one by one
    assert seen == [1, 2]


@pytest.mark.parametrize("workers", WORKERS)
def test_figures_that_are_not_finite_name_their_round(workers, line, federation, play):
    words = line([[(1, 1e25)], [(1, 1e25)]])
    experiment = federation(*words, "rounds=3", f"engine.workers={workers}")
    with pytest.raises(RunError, match=r"round 1: test/loss is not finite"):
        play(experiment)


@pytest.mark.parametrize("count", [1, 360, BATCH, BATCH + 1, 8 * BATCH, 8 * BATCH + 1, 10_000])
def test_blocks_are_whole_batches_and_cover_the_test_set(count):
    found = blocks(count)
    assert [rows.begin for rows in found] == [0, *(rows.end for rows in found[:-1])]
    assert found[-1].end == count
    assert all((rows.end - rows.begin) % BATCH == 0 for rows in found[:-1])
    assert len(found) <= 8


def test_blocks_give_the_bits_of_one_pass(federation):
    experiment = federation("data=digits", "data.test_fraction=0.9")
    model = experiment.state.server["model"]
    whole = score(experiment.task, model, experiment.test, experiment.engine.answer)
    parts = [score_block(experiment, model, rows) for rows in blocks(len(experiment.test))]
    assert len(parts) > 1
    for name in ("loss", "prediction", "y", "correct"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert (joined == getattr(whole, name)).all()
    assert figures(experiment, experiment.state, Scored([whole], None, None)) == evaluate(
        experiment, experiment.state
    )


class Leaves(runs.Nobody):
    """Ctrl-C, once this round is written."""

    def __init__(self, number):
        self.number = number

    def round(self, event):
        if event.state.round == self.number:
            raise KeyboardInterrupt


WORDS = [
    "data=blobs", "data.examples=300", "data.features=6", "data.classes=3", "clients.count=5",
    "algorithm=scaffold", "engine.chunk=1", "rounds=6", "evaluate.every=2", "checkpoint.every=4",
]  # fmt: skip


@pytest.mark.slow
def test_stopped_on_the_way_and_resumed_it_is_the_same_run(tmp_path):
    files = {}
    for workers, resumed in [(1, 1), (2, 2), (3, 2), (1, 3), (2, 1)]:
        path = tmp_path / f"{workers}{resumed}"
        composed = compose("train", [*WORDS, f"engine.workers={workers}", f"run.dir={path}"])
        with pytest.raises(KeyboardInterrupt):
            runs.train(composed, Leaves(3))
        assert (path / "checkpoints/latest").read_text() == "round_000003\n"
        fedrun.resume(path, [f"engine.workers={resumed}"])
        files[workers, resumed] = without_times(path)
    straight = fedrun.train("train", [*WORDS, f"run.dir={tmp_path / 'straight'}"]).path
    assert files[1, 1][:2] == without_times(straight)[:2]
    assert all(found == files[1, 1] for found in files.values())


def without_times(path):
    lines = read_json_lines(path / "metrics.jsonl")
    lines = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]
    return (path / "model.safetensors").read_bytes(), (path / "clients.jsonl").read_bytes(), lines


@pytest.mark.parametrize("workers", [1, 2])
def test_the_times_of_the_rounds_add_up_to_the_run(workers, federation):
    experiment = federation("rounds=4", f"engine.workers={workers}")
    with open_crew(experiment) as crew:
        began = perf_counter()
        training = whole = 0.0
        for event in rounds(experiment, experiment.state, [], crew):
            took = perf_counter() - began
            sleep(0.1)  # it is written, which is part of the next round's time
            training += event.metrics["time/train_seconds"]
            whole += event.metrics["time/round_seconds"]
    assert whole == pytest.approx(took, abs=0.05)
    assert 0 < training < whole - 0.25
