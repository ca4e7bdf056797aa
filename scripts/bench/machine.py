"""Where and when: what a figure means nothing without."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fedrun


def facts() -> dict[str, Any]:
    """Date, command, machine and versions; no user, no host name."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["scripts/bench.py", *sys.argv[1:]]),
        "machine": {
            "cpu": _proc("cpuinfo", "model name") or platform.machine(),
            "cores": os.cpu_count(),
            "memory_mib": int((_proc("meminfo", "MemTotal") or "0").split()[0]) // 1024,
            "system": f"{platform.system()} {platform.release()}",
            "load": os.getloadavg()[0],
        },
        "versions": {
            "fedrun": fedrun.__version__,
            "commit": _commit(),
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": version("numpy"),
        },
    }


def _proc(file: str, key: str) -> str | None:
    path = Path("/proc", file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _commit() -> str | None:
    """The checkout's commit; `-dirty` where files differ from it."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() or None
