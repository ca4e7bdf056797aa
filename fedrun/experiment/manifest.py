"""`manifest.json`: what ran, from which code, on which machine; no environment, so no secrets."""

from __future__ import annotations

import platform
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import fedrun
from fedrun.core.option import ConfigError, RunError
from fedrun.experiment.build import Experiment
from fedrun.experiment.compose import Composed
from fedrun.experiment.files import read_json

STATUS = ("running", "finished", "interrupted", "failed")

BEGUN = ("config.yaml", "partition.npz", "partition.json")
SEALED = (*BEGUN, "metrics.jsonl", "clients.jsonl", "summary.json")
"""The files whose every byte a manifest vouches for: from the beginning, and at the end."""


def first_manifest(digest: str, composed: Composed, experiment: Experiment) -> dict[str, Any]:
    return {
        "schema": 1,
        "status": "running",
        "command": shlex.join(["fedrun", "train", *composed.command]),
        **hashes(digest, experiment),
        "parameters": sum(p.numel() for p in experiment.task.module.parameters()),
        "clients": len(experiment.partition),
        "device": str(experiment.test.x.device),
        "engine": {**engine_facts(experiment), "why": experiment.engine.why},
        "threads_per_worker": torch.get_num_threads(),
        "versions": {
            "fedrun": fedrun.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": version("numpy"),
        },
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "git": git_facts(Path(__file__)),
        "started": now(),
        "resumed": 0,
    }


def hashes(config: str, experiment: Experiment) -> Mapping[str, Any]:
    """What the manifest says of config, data and partition."""
    dataset, partition = experiment.dataset, experiment.partition
    return {
        "config": {"sha256": config},
        "data": {
            "name": dataset.name,
            "source": dataset.source,
            "sha256": dataset.fingerprint,
            "train": len(partition.train.rows),
            "test": len(dataset.test),
        },
        "partition": {"rule": partition.rule, "sha256": partition.fingerprint},
    }


def engine_facts(experiment: Experiment) -> dict[str, str]:
    """Which engine trains, `auto` resolved, and how: what the bits depend on beside the config."""
    return {"name": experiment.engine.name, "how": experiment.engine.how}


def git_facts(file: Path) -> dict[str, Any]:
    """Commit and dirtiness of the checkout that tracks this file; empty where none does."""

    def ask(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return answer.stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", file.name)
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_manifest(path: Path) -> dict[str, Any]:
    """A run's manifest; a `ConfigError` where there is no run, a `RunError` where it is damaged."""
    if not path.is_dir():
        why = "is a file, not a run directory" if path.exists() else "is no run directory"
        raise ConfigError(f"{path} {why}; `fedrun train` prints a run's path when it ends")
    file = path / "manifest.json"
    if not file.is_file():
        raise ConfigError(f"{path} is not a run directory: it has no manifest.json")
    manifest = read_json(file)
    facts = [manifest.get(key) for key in ("config", "data", "partition")]
    whole = (
        manifest.get("status") in STATUS
        and all(isinstance(fact, dict) and isinstance(fact.get("sha256"), str) for fact in facts)
        and isinstance(manifest.get("resumed"), int)
        and (manifest["status"] != "finished" or isinstance(manifest.get("model"), str))
    )
    if not whole:
        raise RunError(
            f"{file} is damaged: a key is missing or not as it was written.\n"
            f"Bring it back; or start a new run: fedrun train config={path / 'config.yaml'}"
        )
    return manifest
