"""What tests of the engines share."""

import pytest
from torch import nn

from fedrun.core.dataset import Spec
from fedrun.core.task import Task
from fedrun.engine._compiler import UnavailableError
from fedrun.engine._private_network import private_network


@pytest.fixture
def private_kernel():
    """Skips where there can be no kernel that takes private steps; any other reason is a fault."""
    try:
        private_network(Task(nn.Sequential(nn.Linear(3, 2)), Spec((3,), 2, "classes", ("0", "1"))))
    except UnavailableError as why:
        if "no C++ compiler" not in str(why) and "no AES instructions" not in str(why):
            raise
        pytest.skip(str(why))
