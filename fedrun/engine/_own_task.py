"""A copy of the task for each thread: training puts parameters into the module."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

from fedrun.core.task import Task


class OwnTask(threading.local):
    """`task` is this thread's own, in training mode; the one given stays as it is."""

    def __init__(self, task: Task) -> None:
        self.task = replace(task, module=copy.deepcopy(task.module).train())
