"""C++ that is built on the machine it runs on, once, and kept in the user's cache.

Nothing here may ever cost a user a run: without a compiler, or where a build fails or computes
nonsense, `UnavailableError` says why, and the engine takes another way.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fPIC", "-shared",
    # Not -ffast-math: a NaN must stay one, or a client that diverged would look well.
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
)  # fmt: skip


class UnavailableError(Exception):
    """Why there is no compiled library here."""


def library(source: Path, verify: Callable[[ctypes.CDLL], None]) -> ctypes.CDLL:
    """The shared library built from this file, which may include what lies beside it.

    verify: raises `UnavailableError` when the library computes anything but what it should; asked
    once for each build, before it is kept.
    """
    parts = [path.read_bytes() for path in sorted(source.parent.iterdir()) if path.is_file()]
    parts.append(" ".join((*FLAGS, processor())).encode())
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    name = f"{source.stem}-{key}.so"
    kept = cache_folder() / name
    if kept.exists():
        return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(prefix="fedrun-") as folder:
        built = Path(folder) / name
        build(source, built)
        loaded = ctypes.CDLL(str(built))
        verify(loaded)
        keep(built, kept)
        return loaded  # stays loaded when its file is gone


def build(source: Path, target: Path) -> None:
    """Compile with the first C++ compiler that there is."""
    named = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    compiler = next(filter(None, map(shutil.which, named)), None)
    if compiler is None:
        raise UnavailableError(f"no C++ compiler ({', '.join(named)}) is installed")
    command = [compiler, *FLAGS, str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{compiler} could not be run: {error}") from error
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise UnavailableError(f"{compiler} could not build it: {first.strip()}")


def keep(built: Path, kept: Path) -> None:
    """Move the library into the cache in one step; without a cache it is built each time."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copyfile(built, beside)
        beside.replace(kept)
    except OSError:  # a home that cannot be written to
        return


def cache_folder() -> Path:
    """Where builds are kept: $XDG_CACHE_HOME/fedrun, by default ~/.cache/fedrun."""
    home = os.environ.get("XDG_CACHE_HOME")
    # Path.expanduser raises where there is no home.
    return Path(home or os.path.expanduser("~/.cache")) / "fedrun"  # noqa: PTH111


@cache
def processor() -> str:
    """What the build is for: the kind of processor with all that it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "|".join(sorted({line for line in lines if line.startswith(wanted)}))
