"""Processes, and the threads that stand in where a system cannot fork."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fedrun.core.chain import Total
from fedrun.core.federation import Done, Job
from fedrun.core.option import ConfigError, RunError
from fedrun.core.tree import Tree
from fedrun.engine import _workers
from fedrun.engine._workers import open_workers, order

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def jobs(number):
    return [Job(1, np.array([k]), Tree(kept=torch.tensor([float(k)]))) for k in range(number)]


def double(message, job):
    """The message times the client's number, and which process that was."""
    number = int(job.clients[0])
    time.sleep(0.02 * (number % 3))
    total = Total(message * number, torch.tensor(float(number)))
    ok = torch.tensor([True])
    return Done(total, job.state, ok, ok, {"pid": torch.tensor(os.getpid())}, 8)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_jobs(workers):
    with open_workers(double, workers) as map_chunks:
        for factor in (1.0, 2.0):  # a second round goes to the same processes with another message
            done = list(map_chunks(Tree(w=torch.tensor([factor])), jobs(7)))
            assert [d.sent.update["w"].item() for d in done] == [factor * k for k in range(7)]
            assert [d.state["kept"].item() for d in done] == list(range(7))
    pids = {int(d.measures["pid"]) for d in done}
    if sys.platform == "linux":
        assert (os.getpid() in pids) == (workers == 1)
        assert len(pids) == workers


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_jobs_than_workers(number):
    with open_workers(double, 3) as map_chunks:
        assert len(list(map_chunks(Tree(w=torch.ones(1)), jobs(number)))) == number


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    "overrides",
    [
        ("engine=eager", "model.hidden=[4]", "algorithm=scaffold"),
        ("engine=stack", "model.hidden=[4]", "algorithm=scaffold"),
        ("engine=stack", "data=digits", "model=cnn", "model.channels=[2,2]", "model.units=4",
         "clients.count=30", "clients.per_round=6"),
    ],
    ids=["eager", "stack", "lifted"],
)  # fmt: skip
def test_the_number_of_workers_changes_no_bit(overrides, threads, train, same, monkeypatch):
    alone = train(*overrides, "engine.chunk=1", "rounds=2")
    if threads:
        monkeypatch.setattr(_workers.sys, "platform", "darwin")
    for workers in (2, 3):
        several = train(*overrides, "engine.chunk=1", "rounds=2", f"engine.workers={workers}")
        assert same(several, alone)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@linux
def test_tensors_cost_no_open_files():
    def many(message, job):
        measures = {str(k): torch.zeros(1) for k in range(300)}
        ok = torch.ones(1)
        return Done(Total(message, torch.tensor(1.0)), job.state, ok, ok, measures, 0)

    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = open_files() + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
    try:
        with open_workers(many, 2) as map_chunks:
            done = list(map_chunks(Tree(w=torch.ones(1)), jobs(5)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [len(part.measures) for part in done] == [300] * 5


def raises(message, job):
    if job.clients[0] == 2:
        raise ConfigError("client 2 does not like this")
    return double(message, job)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_raised_in_the_runner(workers):
    with (
        open_workers(raises, workers) as map_chunks,
        pytest.raises(ConfigError, match="client 2 does not like this") as caught,
    ):
        list(map_chunks(Tree(w=torch.ones(1)), jobs(6)))
    if workers > 1:
        assert any("in raises" in note for note in caught.value.__notes__)


class TwoWordsError(Exception):
    """Pickles, but cannot be read: its class wants more than its `args`."""

    def __init__(self, first, second):
        super().__init__(first)


class ChangedError(Exception):
    """Can be read, but says something else then."""

    def __init__(self, text):
        super().__init__(f"built of {text}")


class HoldsError(Exception):
    """Cannot be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class MuteError(Exception):
    """Cannot even be shown."""

    def __str__(self):
        raise KeyError("no words")


class LocalError(RunError):
    """A kind of `RunError` that is no trouble."""


def thrower(error):
    def throws_it(message, job):
        if job == 1:
            raise error
        return job

    return throws_it


@linux
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TwoWordsError("alpha", "beta"), "TwoWordsError: alpha"),
        (ChangedError("clay"), "ChangedError: built of clay"),
        (HoldsError("gamma"), "HoldsError: gamma"),
        (MuteError(), "MuteError: <exception str"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_that_cannot_travel_is_told_in_words(error, told):
    with open_workers(thrower(error), 2) as map_chunks:
        with pytest.raises(RunError, match=told) as caught:
            list(map_chunks(Tree(), list(range(4))))
        assert type(caught.value) is RunError
        assert "if memory ran out" not in str(caught.value)
        assert "in throws_it" in str(caught.value)
        assert list(map_chunks(Tree(), [2, 3, 4])) == [2, 3, 4]  # nobody has died of it


@linux
@pytest.mark.parametrize(
    "error", [ConfigError("a"), RunError("b"), LocalError("c"), OSError(2, "d")]
)
def test_an_exception_that_can_travel_arrives_as_itself(error):
    with (
        open_workers(thrower(error), 2) as map_chunks,
        pytest.raises(type(error)) as caught,
    ):
        list(map_chunks(Tree(), list(range(4))))
    assert type(caught.value) is type(error)
    assert caught.value.args == error.args
    assert len(caught.value.__notes__) == 1


@linux
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("result", "told"),
    [
        (threading.Lock, "TypeError: cannot pickle '_thread.lock' object"),
        (lambda: lambda: 0, "pickle.*<lambda>"),
    ],
    ids=["lock", "lambda"],
)
def test_a_result_that_cannot_travel_is_told_in_words(result, told):
    with open_workers(lambda message, job: result() if job == 1 else job, 2) as map_chunks:
        with pytest.raises(RunError, match=f"cannot send its result: .*{told}") as caught:
            list(map_chunks(Tree(), list(range(4))))
        assert "in a worker process:\nTraceback" in str(caught.value)
        assert list(map_chunks(Tree(), [2, 3, 4])) == [2, 3, 4]


@linux
def test_a_message_a_job_and_a_result_may_be_in_bfloat16():
    def add(message, job):
        return message["w"] + job

    ones = torch.ones(300, dtype=torch.bfloat16)
    with open_workers(add, 2) as map_chunks:
        done = list(map_chunks(Tree(w=ones), [ones * k for k in range(4)]))
    assert all(torch.equal(part, ones * (k + 1)) for k, part in enumerate(done))


def dies(message, job):
    if job.clients[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(message, job)


def leaves(message, job):
    if job.clients[0] == 1:
        os._exit(3)
    return double(message, job)


@linux
@pytest.mark.timeout(20)
@pytest.mark.parametrize(("end", "told"), [(dies, "killed by SIGKILL"), (leaves, "exit status 3")])
def test_a_worker_that_ends_is_an_error_and_no_hang(end, told):
    began = time.monotonic()
    with (
        open_workers(end, 2) as map_chunks,
        pytest.raises(RunError, match=rf"a worker process ended \({told}\).*engine.workers"),
    ):
        list(map_chunks(Tree(w=torch.ones(1)), jobs(6)))
    assert time.monotonic() - began < 10


@linux
def test_no_process_outlives_the_context():
    with open_workers(double, 3) as map_chunks:
        done = list(map_chunks(Tree(w=torch.ones(1)), jobs(6)))
    for pid in {int(d.measures["pid"]) for d in done}:
        assert not Path(f"/proc/{pid}").exists()


@linux
def test_messages_and_results_may_grow_shrink_and_be_empty():
    """Of each round only the last leaf is left to the fold; what is kept stays as it was."""

    def twice(message, job):
        return {"got": message.map(lambda leaf: 2 * leaf), "back": job}

    kept = []
    with open_workers(twice, 2) as map_chunks:
        for round, size in enumerate([10, 0, 300_000, 1, 3_000_000, 50, 0, 2_000_000]):
            message = Tree(w=torch.full((size,), float(round))) if size else Tree()
            sent = [torch.full((size // 3 + k,), float(k)) for k in range(5)]
            for k, result in enumerate(map_chunks(message, sent)):
                assert torch.equal(result["back"], sent[k])
                assert result["got"].keys() == message.keys()
                assert (result["got"].get("w", torch.zeros(0)) == 2 * round).all()
                if k == 4:
                    kept.append((round, result["got"].get("w", torch.zeros(0))))
    assert [leaf.numel() for _, leaf in kept] == [10, 0, 300_000, 1, 3_000_000, 50, 0, 2_000_000]
    assert all((leaf == 2 * round).all() for round, leaf in kept)


@pytest.mark.slow
@linux
def test_thousands_of_rounds_cost_no_open_file_and_no_memory():
    def files(message, job):
        ok = torch.ones(1)
        return Done(Total(message, ok), Tree(), ok, ok, {}, open_files())

    with open_workers(files, 2) as map_chunks:

        def round():
            done = list(map_chunks(Tree(w=torch.ones(1000)), jobs(2)))
            return {part.packet_bytes for part in done}

        for _ in range(20):
            round()
        arenas = [map_chunks.arena, *(worker.outbox for worker in map_chunks.workers.values())]
        ours, theirs = open_files(), round() | round()
        for _ in range(3000):
            theirs |= round()
        # one worker may have taken both jobs of a round or not yet, which makes its arena grow once
        assert abs(open_files() - ours) <= 3
        assert max(theirs) - min(theirs) <= 3
        assert max(os.fstat(arena.file).st_size for arena in arenas) < 100_000


def when(message, job):
    time.sleep(0.05)  # longer than a busy machine keeps one of two waiting
    return os.getpid(), int(job), time.monotonic()


@pytest.mark.parametrize("threads", [False, True])
def test_the_longest_job_goes_out_first(threads, monkeypatch):
    if threads:
        monkeypatch.setattr(_workers.sys, "platform", "darwin")
    with open_workers(when, 2) as map_chunks:
        done = list(map_chunks(Tree(), list(range(6)), [1.0, 5.0, 3.0, 3.0, 9.0, 0.5]))
    assert [job for _, job, _ in done] == list(range(6))
    ended = [job for _, job, _ in sorted(done, key=lambda one: one[2])]
    for early, late in [(4, 2), (4, 0), (1, 0), (1, 3), (2, 5), (3, 5)]:  # two are at work at once
        assert ended.index(early) < ended.index(late)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ([1, 1, 1, 1], [0, 1, 2, 3]),
        ([1, 3, 2, 3], [1, 3, 2, 0]),
    ],
)
def test_the_order_of_jobs(costs, expected):
    assert order(4, costs) == expected


def test_only_neighbours_change_places():
    costs = [float(k) for k in range(200)]
    found = order(200, costs)
    assert sorted(found) == list(range(200))
    assert max(index - place for place, index in enumerate(found)) < 64


@pytest.mark.parametrize("workers", [2, 3])
def test_several_calls_may_be_under_way(workers):
    """As when a model is scored while the next round trains."""
    with open_workers(double, workers) as map_chunks:
        scores = map_chunks(Tree(w=torch.tensor([1.0])), jobs(4))
        round = map_chunks(Tree(w=torch.tensor([10.0])), jobs(5))
        assert [d.sent.update["w"].item() for d in round] == [0, 10, 20, 30, 40]
        again = map_chunks(Tree(w=torch.tensor([100.0])), jobs(2))
        assert [d.sent.update["w"].item() for d in scores] == [0, 1, 2, 3]
        assert [d.sent.update["w"].item() for d in again] == [0, 100]
        forgotten = map_chunks(Tree(w=torch.tensor([7.0])), jobs(3))
        del forgotten
        last = map_chunks(Tree(w=torch.tensor([5.0])), jobs(2))
        assert [d.sent.update["w"].item() for d in last] == [0, 5]


def test_an_exception_waits_for_its_place():
    """So the round before the one that fails is written, whoever was faster."""
    with open_workers(raises, 2) as map_chunks:
        results = map_chunks(Tree(w=torch.ones(1)), jobs(6))
        assert [int(next(results).state["kept"]) for _ in range(2)] == [0, 1]
        with pytest.raises(ConfigError, match="client 2"):
            next(results)


@linux
def test_jobs_are_worked_on_while_nobody_waits(tmp_path):
    def touch(message, job):
        (tmp_path / str(job)).touch()

    with open_workers(touch, 2) as map_chunks:
        results = map_chunks(Tree(), list(range(50)))
        deadline = time.monotonic() + 20
        while len(list(tmp_path.iterdir())) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(list(tmp_path.iterdir())) == 50
        assert list(results) == [None] * 50


@linux
def test_more_jobs_than_the_queue_holds():
    with open_workers(lambda message, job: job + 1, 2) as map_chunks:
        assert list(map_chunks(Tree(), list(range(2000)))) == list(range(1, 2001))


@linux
def test_no_more_workers_than_jobs():
    with open_workers(double, 4) as map_chunks:
        for _ in range(2):
            list(map_chunks(Tree(w=torch.ones(1)), jobs(2)))
        assert len(map_chunks.workers) == 2


@linux
@pytest.mark.timeout(20)
def test_a_worker_that_was_killed_between_two_rounds_is_told():
    with open_workers(double, 2) as map_chunks:
        done = list(map_chunks(Tree(w=torch.ones(1)), jobs(6)))
        os.kill(int(done[0].measures["pid"]), signal.SIGKILL)
        with pytest.raises(RunError, match=r"a worker process ended \(killed by SIGKILL\)"):
            list(map_chunks(Tree(w=torch.ones(1)), jobs(60)))


RUNNER = """
import os, sys, time
import torch
from fedrun.core.federation import Job
from fedrun.core.tree import Tree
from fedrun.engine._workers import open_workers
import numpy as np

def chunk(message, job):
    os.write(1, f"{os.getpid()}\\n".encode())  # one write: two workers share the pipe
    time.sleep(SLEEP)

with open_workers(chunk, 2) as map_chunks:
    list(map_chunks(Tree(), [Job(1, np.array([k]), Tree()) for k in range(2)]))
    time.sleep(60)
"""


@pytest.mark.slow
@linux
@pytest.mark.parametrize("sleep", [0, 1], ids=["idle", "busy"])
def test_a_runner_that_is_killed_leaves_no_workers(sleep):
    code = RUNNER.replace("SLEEP", str(sleep))
    named = set(Path("/dev/shm").iterdir())
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    with runner.stdout:
        try:
            pids = [int(runner.stdout.readline()) for _ in range(2)]
        finally:
            runner.kill()
            runner.wait()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if _alive(pid)]
    assert not [path for path in set(Path("/dev/shm").iterdir()) - named if "fedrun" in path.name]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
