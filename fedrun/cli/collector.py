"""Python's garbage collector, while the program starts and ends.

Importing PyTorch makes some hundred thousand objects that all stay. The collector looks through
them again and again while they come, and twice more when the program ends: a third of the time
that a small run takes. Nothing of it is garbage, so it is told not to look.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_rest() -> Iterator[None]:
    """The whole program: nothing is looked for until `at_work`, nor after the end.

    Files are closed and exit functions run as ever, which `os._exit` would not do.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()


def at_work() -> None:
    """Everything is imported: from here on garbage is collected, among what is made from here on.

    Workers that are forked later share the pages of what was imported, which no one writes to.
    """
    if not gc.isenabled():  # else this is no program of ours, but a caller's that we leave alone
        gc.freeze()
        gc.enable()
