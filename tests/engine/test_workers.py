"""Processes, and the threads that stand in where a system cannot fork."""

import os
import signal
import subprocess
import sys
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
from fedrun.engine._workers import open_workers

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def jobs(number):
    return [Job(1, np.array([k]), Tree(kept=torch.tensor([float(k)]))) for k in range(number)]


def double(message, job):
    """The message times the client's number, and which process that was."""
    number = int(job.clients[0])
    time.sleep(0.02 * (number % 3))
    total = Total(message * number, torch.tensor(float(number)))
    return Done(total, job.state, torch.tensor([True]), {"pid": torch.tensor(os.getpid())}, 8)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_jobs(workers):
    with open_workers(double, workers) as map_chunks:
        for factor in (1.0, 2.0):  # a second round goes to the same processes with another message
            done = list(map_chunks(Tree(w=torch.tensor([factor])), jobs(7)))
            assert [d.total.update["w"].item() for d in done] == [factor * k for k in range(7)]
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


@linux
def test_tensors_cost_no_open_files():
    def many(message, job):
        measures = {str(k): torch.zeros(1) for k in range(300)}
        return Done(Total(message, torch.tensor(1.0)), job.state, torch.ones(1), measures, 0)

    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + 40
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


@linux
@pytest.mark.parametrize("sleep", [0, 1], ids=["idle", "busy"])
def test_a_runner_that_is_killed_leaves_no_workers(sleep):
    code = RUNNER.replace("SLEEP", str(sleep))
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


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
