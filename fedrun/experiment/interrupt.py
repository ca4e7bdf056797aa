"""Ctrl-C and SIGTERM: end soon, never in the middle of a write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """While entered, SIGINT and SIGTERM raise `KeyboardInterrupt`, but not inside `held()`.

    A signal that comes inside `held()` is raised when it is left. In threads other than the main
    one signals cannot be handled and nothing changes.
    """

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    def __enter__(self) -> Interrupts:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        if not self._held:
            raise KeyboardInterrupt

    @contextmanager
    def held(self, *, final: bool = False) -> Iterator[None]:
        """Work that must not be torn; `final` work is followed by the end of the program anyway."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending and not final:
            raise KeyboardInterrupt
