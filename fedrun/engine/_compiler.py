"""C++ that is built on the machine it runs on, once, and kept in the user's cache.

Nothing here may ever cost a user a run: without a compiler, or where a build fails or computes
nonsense, `UnavailableError` says why, and the engine takes another way.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
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
    parts = [path.read_bytes() for path in sorted(source.parent.glob("*.*")) if path.is_file()]
    parts.append(" ".join((*FLAGS, processor())).encode())
    key = digest(b"\0".join(parts))[:16]
    name = f"{source.stem}-{key}.so"
    folder = cache_folder()
    try:
        if folder and is_whole(folder / name):
            return ctypes.CDLL(str(folder / name))
        with tempfile.TemporaryDirectory(prefix="fedrun-") as beside:
            built = Path(beside) / name
            build(source, built)
            loaded = ctypes.CDLL(str(built))
            verify(loaded)
            if folder:
                keep(built.read_bytes(), folder / name)
            return loaded  # stays loaded when its file is gone
    except OSError as error:
        raise UnavailableError(f"it could not be built or loaded: {error}") from error


def build(source: Path, target: Path) -> None:
    """Compile with $CXX, or the first C++ compiler that there is."""
    named = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    words = next((w for w in map(shlex.split, named) if w and shutil.which(w[0])), None)
    if words is None:
        raise UnavailableError(f"no C++ compiler ({', '.join(named)}) is installed")
    command = [*words, *FLAGS, str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{words[0]} took more than two minutes") from error
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise UnavailableError(f"{words[0]} could not build it: {first.strip()}")


def is_whole(kept: Path) -> bool:
    """Whether a library and the note of its hash lie there and fit: one that was cut short would
    end the process when it is loaded."""
    note = kept.with_suffix(".sha256")
    try:
        return note.read_text() == digest(kept.read_bytes())
    except OSError:
        return False


def keep(content: bytes, kept: Path) -> None:
    """Put the library into the cache, then the note of its hash; without a cache it is built each
    time."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        for path, part in (
            (kept, content),
            (kept.with_suffix(".sha256"), digest(content).encode()),
        ):
            handle, beside = tempfile.mkstemp(dir=kept.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(part)
                    file.flush()
                    os.fsync(handle)
                Path(beside).replace(path)
            finally:
                Path(beside).unlink(missing_ok=True)
    except OSError:  # a home that cannot be written to
        return


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def cache_folder() -> Path | None:
    """Where builds are kept: $XDG_CACHE_HOME/fedrun, by default ~/.cache/fedrun. None where there
    is no home: what is loaded must not depend on the folder that one stands in."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # Path.expanduser raises where there is no home.
    home = named if os.path.isabs(named) else os.path.expanduser("~/.cache")  # noqa: PTH111, PTH117
    return Path(home) / "fedrun" if Path(home).is_absolute() else None


@cache
def processor() -> str:
    """What the build is for: the kind of processor with all that it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "|".join(sorted({line for line in lines if line.startswith(wanted)}))
