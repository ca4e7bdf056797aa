"""Whether a run directory holds what the run wrote: every file is held against the others.

The ledger's chain binds its records, and the manifest its head; checkpoints vouch for the logs and
for themselves; the manifest for the files beside it, and its seal for the manifest. The figures
that follow from others are worked out again. All of it is found by whoever has the directory alone;
so it finds edits, and not a forger who writes the whole directory anew: for that, keep the ledger's
head elsewhere (`Report.head`).

An unfinished run is looked at as far as it is: what came after its last checkpoint is vouched for
by the ledger's chain alone, and its last line may be torn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as zlib_error

import numpy as np

from fedrun.core.option import ConfigError, RunError
from fedrun.core.partition import Partition, Ragged
from fedrun.experiment import config_file
from fedrun.experiment.audit_figures import figure_checks
from fedrun.experiment.audit_found import Check, Found, agreed, unread
from fedrun.experiment.audit_log import checkpoint_checks, log_checks
from fedrun.experiment.audit_privacy import privacy_checks
from fedrun.experiment.config_text import config_hash
from fedrun.experiment.directory import read_manifest
from fedrun.experiment.files import json_line, sealed, sha256
from fedrun.experiment.ledger import broken_line
from fedrun.experiment.manifest import SEALED


@dataclass(frozen=True)
class Report:
    """All checks of a run; `head` is the hash of the ledger's last record."""

    path: Path
    status: str
    head: str
    checks: list[Check]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.path),
            "status": self.status,
            "head": self.head,
            "holds": self.holds,
            "checks": [asdict(check) for check in self.checks],
        }


def verify(path: Path) -> Report:
    """Look at everything in a run directory; a `ConfigError` where there is no run."""
    run, problem = opened(path)
    parts: tuple[Callable[[Found], Iterator[Check]], ...] = (
        ledger_checks, config_checks, partition_checks, checkpoint_checks, log_checks,
        model_checks, figure_checks, privacy_checks, file_checks,
    )  # fmt: skip
    checks = [problem]
    for part in parts:
        try:
            for check in part(run):
                checks.append(check)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # JSON that is whole, of another shape than any run writes
            checks.append(Check(part.__name__.replace("_", " "), "altered", unread(error)))
    records = run.lines("audit.jsonl")
    head = str(records[-1].get("hash", "")) if records else ""
    return Report(path, str(run.manifest.get("status", "unknown")), head, checks)


def opened(path: Path) -> tuple[Found, Check]:
    """The run, and what is to be said of its manifest."""
    what = "manifest.json"
    others = ("audit.jsonl", "config.yaml", "metrics.jsonl")
    if path.is_dir() and not (path / what).is_file() and any((path / n).is_file() for n in others):
        return Found(path, {}), Check(what, "missing", "and with it what the other files are")
    try:
        manifest = read_manifest(path)
    except RunError as error:
        return Found(path, {}), Check(what, "altered", str(error).partition("\n")[0])
    run = Found(path, manifest)
    if "seal" not in manifest:
        return run, Check(what, "altered", "it has no seal")
    text = json.dumps(sealed(manifest), indent=2) + "\n"
    if text.encode() != run.content(what):
        return run, Check(what, "altered", "it does not match its own seal")
    return run, Check(what, "ok", "matches its own seal")


def ledger_checks(run: Found) -> Iterator[Check]:
    """The chain, what it begins and ends with, and its head."""
    name = "audit.jsonl"
    content = run.content(name)
    if not content:
        yield Check(name, "missing", "no record of what left the clients")
        return
    whole, torn = content.rpartition(b"\n")[0] + b"\n", content.rpartition(b"\n")[2]
    lines = whole.decode(errors="replace").splitlines()
    bad = broken_line(lines)
    records = run.lines(name)
    if bad is None and torn and run.finished:
        bad = len(lines) + 1
    if bad is None and b"".join(map(json_line, records[: len(lines)])) != whole:
        # the chain is over what records say; this is over how they are written
        pairs = zip(whole.splitlines(keepends=True), map(json_line, records), strict=False)
        bad = next((n for n, (a, b) in enumerate(pairs, start=1) if a != b), len(lines))
    if bad is not None:
        yield Check(f"{name}: chain", "altered", f"line {bad} does not follow from those before it")
        return
    yield Check(f"{name}: chain", "ok", f"{len(lines)} records, each following from the last")
    head = records[len(lines) - 1]["hash"]
    if not run.finished:
        yield Check(f"{name}: head", "not yet", "the manifest names it when a run is finished")
    elif head != run.manifest.get("audit"):
        yield Check(f"{name}: head", "altered", "it is not the one that manifest.json names")
    else:
        yield Check(f"{name}: head", "ok", f"as in manifest.json: {head[:16]}")
    yield agreed("audit.jsonl: first record", *first_record(run, records[0]))


def first_record(run: Found, first: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the ledger began with what the manifest says; and what was compared."""
    config = run.manifest.get("config", {})
    known = {value for value in config.values() if isinstance(value, str)}
    same = [key for key in ("data", "partition") if first.get(key) == run.manifest.get(key)]
    same += ["config"] * (first.get("config", {}).get("sha256") in known)
    right = first.get("event") == "start" and len(same) == 3
    return right, "the hashes of config, data and partition, against manifest.json"


def config_checks(run: Found) -> Iterator[Check]:
    """config.yaml says what was run."""
    content = run.content("config.yaml")
    if content is None:
        yield Check("config.yaml", "missing", "what was run is not known")
        return
    known = run.manifest.get("config", {})
    accepted = [known.get("sha256")] + [known.get("before")] * (not run.finished)
    try:
        right = config_hash(config_file.parse(content.decode(), "config.yaml")) in accepted
    except (ConfigError, ValueError, TypeError):  # TypeError: keys that cannot be sorted
        right = False
    yield agreed("config.yaml", right, "its hash, against manifest.json")
    told = [r["config"]["sha256"] for r in run.lines("audit.jsonl") if _names_config(r)]
    if told:
        right = told[-1] == known.get("sha256") or not run.finished
        yield agreed("config.yaml: ledger", right, "the last config that the ledger names")


def _names_config(record: Mapping[str, Any]) -> bool:
    config = record.get("config")
    return isinstance(config, dict) and isinstance(config.get("sha256"), str)


def partition_checks(run: Found) -> Iterator[Check]:
    """Who held what: the row numbers against their hash, and their counts against them."""
    known = run.manifest.get("partition", {})
    content = run.content("partition.npz")
    if content is None:
        yield Check("partition.npz", "missing", "who held what is not known")
        return
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            train = Ragged(arrays["train_rows"], arrays["train_offsets"])
            test = Ragged(arrays["test_rows"], arrays["test_offsets"])
        found = Partition(str(known.get("rule")), train, test, []).fingerprint
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        BadZipFile,
        NotImplementedError,  # zipfile: of a way of compressing that it has not
        zlib_error,
    ) as error:
        yield Check("partition.npz", "altered", f"it cannot be read ({error})")
        return
    right = found == known.get("sha256")
    yield agreed("partition.npz", right, "the hash of rule and row numbers, against manifest.json")
    try:
        facts = run.object("partition.json")
        counts = [sum(row) for row in facts["train"]] if "train" in facts else None
        right = (
            facts["sha256"] == found
            and facts["rule"] == known.get("rule")
            and facts["clients"] == len(train)
            and facts["data"]["sha256"] == run.manifest.get("data", {}).get("sha256")
            and (counts is None or counts == train.sizes.tolist())
        )
    except (ValueError, LookupError, TypeError):
        right = False
    yield agreed("partition.json", right, "hashes and counts, against partition.npz")


def model_checks(run: Found) -> Iterator[Check]:
    """The final model, against the manifest and the last record of the ledger."""
    name, content = "model.safetensors", run.content("model.safetensors")
    if not run.finished and content is None:
        yield Check(name, "not yet", "it appears when a run is finished")
        return
    if content is None:
        yield Check(name, "missing", "the manifest says that there is one")
        return
    found, ends = sha256(content), [r for r in run.lines("audit.jsonl") if r.get("event") == "end"]
    right = bool(ends) and ends[-1].get("model") == found
    if run.finished:
        right = right and run.manifest.get("model") == found
    yield agreed(name, right, "its hash, against manifest.json and the ledger's last record")


def file_checks(run: Found) -> Iterator[Check]:
    """Every byte of the files whose hashes the manifest keeps."""
    known = run.manifest.get("files", {})
    lacking = [name for name in SEALED if name not in known] if run.finished else []
    wrong = [
        name
        for name, digest in known.items()
        if sha256(run.content(name) or b"") != digest and not _between_configs(run, name)
    ]
    if lacking or wrong:
        names = ", ".join([*wrong, *(f"{name} (no hash)" for name in lacking)])
        yield Check("every byte", "altered", f"{names}: not as manifest.json has it")
    else:
        yield Check("every byte", "ok", f"{', '.join(known)}: as manifest.json has it")


def _between_configs(run: Found, name: str) -> bool:
    """A run that goes on was killed between writing the manifest and config.yaml."""
    return name == "config.yaml" and not run.finished and "before" in run.manifest["config"]
