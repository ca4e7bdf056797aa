"""No protection: the server sees what each client sends."""

from __future__ import annotations

from fedrun.core.privacy import Privacy


def none() -> Privacy:
    """Nothing is clipped, nothing is noised, and no guarantee is claimed."""
    return Privacy()
