"""Ctrl-C and SIGTERM come soon, but never in the middle of a write."""

import os
import signal
import threading

import pytest

from fedrun.experiment.interrupt import Interrupts


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    for _ in range(1000):  # the handler runs between two steps of the interpreter
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_raised_at_once_outside_held(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        send(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_held_work_is_done(number: int) -> None:
    done = []

    def work() -> None:
        with Interrupts() as interrupts:
            with interrupts.held():
                send(number)
                send(number)
                done.append("written")
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["written"]


def test_final_work_is_not_followed_by_an_interrupt() -> None:
    done = []
    with Interrupts() as interrupts:
        with interrupts.held(final=True):
            send(signal.SIGINT)
        done.append("after")
    assert done == ["after"]


def test_an_error_in_held_work_comes_first() -> None:
    def work() -> None:
        with Interrupts() as interrupts, interrupts.held():
            send(signal.SIGINT)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        work()


def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_changes_nothing() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
