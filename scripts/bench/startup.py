"""What `fedrun train` costs with nothing to do, beside the import of PyTorch that nobody avoids."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time

from bench.race import CrashError, Go

COMMANDS = {
    "fedrun train rounds=0": ["-m", "fedrun", "train", "--quiet", "rounds=0", "run.root=runs"],
    "import torch": ["-c", "import torch"],
}


def start(name: str) -> Go:
    """Run the command once, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = _ended(), time.perf_counter()
        answer = subprocess.run(
            [sys.executable, *COMMANDS[name]],
            cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - began
    if answer.returncode:
        raise CrashError(f"{name}: exit status {answer.returncode}\n{answer.stderr[-2000:]}")
    return Go(_ended() - before, wall, 0)


def _ended() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
