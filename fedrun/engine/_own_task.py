"""A copy of the task for each thread: training puts parameters into the module."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

from fedrun.core.layout import channels_last
from fedrun.core.task import Task


class OwnTask(threading.local):
    """`task` is this thread's own, in training mode; the one given stays as it is.

    images_last: lay the weights of convolutions out with their channels innermost.
    """

    def __init__(self, task: Task, images_last: bool = False) -> None:
        self.task = replace(task, module=copy.deepcopy(task.module).train())
        for parameter in self.task.module.parameters() if images_last else ():
            parameter.data = channels_last(parameter.data)
