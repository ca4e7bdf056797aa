"""The run directory: what a run writes, in which order, so that it can be trusted at every instant.

A new directory appears under its name only when config, partition and manifest are in it. Each
round appends one line to `metrics.jsonl`, its rows to `clients.jsonl` and a record to
`audit.jsonl`. A checkpoint first flushes those three to the disk and then notes their lengths and
hashes: resuming makes sure of the hashes and cuts the files back to exactly there. Of the metrics
the last line is noted itself: what was scored only because a run ended is left out when it goes on.
What clients keep between rounds lies beside the checkpoints (`bank_file`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from safetensors.torch import save as save_tensors

from fedrun.core.federation import State
from fedrun.core.metric import SCORED
from fedrun.core.option import RunError
from fedrun.core.record import Column
from fedrun.core.tree import Tree
from fedrun.experiment import ledger
from fedrun.experiment.bank_file import BankFile
from fedrun.experiment.build import Experiment
from fedrun.experiment.checkpoint import (
    bank_ages,
    drop_old,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from fedrun.experiment.files import (
    append,
    json_line,
    json_lines,
    read_metrics,
    sealed,
    sha256,
    sync_folder,
    write_bytes,
    write_json,
)
from fedrun.experiment.lock import in_use, take_lock
from fedrun.experiment.loop import Event, is_due
from fedrun.experiment.manifest import BEGUN, SEALED, read_manifest
from fedrun.experiment.partition_file import write_partition
from fedrun.experiment.spending import Spending

__all__ = ["LOGS", "RunDirectory", "open_logs", "read_manifest"]

LOGS = ("metrics.jsonl", "clients.jsonl", "audit.jsonl")


@dataclass
class RunDirectory:
    """An open run: its folder, locked by this process, and the three files that grow."""

    path: Path
    manifest: dict[str, Any]
    logs: dict[str, BinaryIO]
    lock: BinaryIO
    chain: str = ledger.START
    saved_round: int = -1
    last: dict[str, float] | None = None  # the last line of the metrics
    config: str = ""  # the hash of the config that the ledger knows of
    hashes: dict[str, Any] = field(default_factory=lambda: {n: hashlib.sha256() for n in LOGS})
    bank: BankFile | None = None  # the states that clients keep, where they keep any
    spending: Spending | None = None  # the privacy ledger, where something is protected

    @classmethod
    def create(
        cls, path: Path, config: str, experiment: Experiment, manifest: dict[str, Any]
    ) -> RunDirectory:
        """A new run; an `OSError` leaves nothing behind."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        if beside.exists():
            take_lock(beside, path).close()  # refuses while somebody is starting this very run
            shutil.rmtree(beside)  # half-made
        beside.mkdir()
        run = cls(path, manifest, {}, take_lock(beside, path), spending=spending_of(experiment))
        try:
            write_bytes(beside / "config.yaml", config.encode())
            write_partition(beside, experiment)
            run.manifest["files"] = {name: sha256((beside / name).read_bytes()) for name in BEGUN}
            run.manifest = sealed(run.manifest)
            write_json(beside / "manifest.json", run.manifest)
            if run.spending:
                run.spending.open(beside)
            run.logs = open_logs(beside)
            run.start()
            if path.exists():
                path.rmdir()  # an empty folder that the user made
            beside.rename(path)
            sync_folder(path.parent)
            if run.spending:
                run.spending.folder = path
        except OSError as error:
            run.close()
            shutil.rmtree(beside, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # started twice; we come second
                raise in_use(path) from error
            raise
        return run

    @classmethod
    def reopen(cls, path: Path, manifest: dict[str, Any]) -> RunDirectory:
        """An existing run, locked against a second process."""
        return cls(path, manifest, {}, take_lock(path))

    def first(self, experiment: Experiment) -> State:
        """The state before round 1, whose clients will keep their states in this directory."""
        if not experiment.state.bank.fresh:
            return experiment.state
        folder = self.path / "checkpoints"
        self.bank = BankFile(folder, bank_ages(folder))
        return replace(experiment.state, bank=replace(experiment.state.bank, store=self.bank))

    def restore(self, experiment: Experiment) -> tuple[State, list[dict[str, float]]]:
        """The newest checkpoint's state and the metrics up to it; cuts the logs back to there."""
        newest, first = newest_checkpoint(self.path / "checkpoints"), self.first(experiment)
        self.spending = spending_of(experiment)
        if self.spending:
            self.spending.go_on(self.path)
        if newest is None:
            state = replace(first, bank=first.bank.restored(Tree()))  # forgets what a kill left
            lengths, known, last = dict.fromkeys(LOGS, 0), {}, None
        else:
            tree, facts = load_checkpoint(newest)
            state, lengths, known = first.restored(tree), facts["lengths"], facts["logs"]
            self.chain, self.saved_round, self.config = facts["chain"], state.round, facts["config"]
            if self.spending:
                self.spending.restore(facts["spent"])
            last = facts["last"]
        for name in LOGS:
            self._check(name, lengths[name], known.get(name))
        for name in LOGS:
            with (self.path / name).open("ab") as file:
                file.truncate(lengths[name])
        history = read_metrics(self.path)
        self.logs = open_logs(self.path)
        if newest is None:
            self.start()
        if last is not None:
            if not is_due(experiment.settings, state.round):
                last = {name: value for name, value in last.items() if not name.startswith(SCORED)}
            self._write_last(last)
            history.append(last)
        return state, history

    def _write_last(self, metrics: dict[str, float]) -> None:
        self.before_last = self.logs["metrics.jsonl"].tell(), self.hashes["metrics.jsonl"].copy()
        self.last = metrics
        self._write("metrics.jsonl", json_line(metrics))

    def _check(self, name: str, length: int, known: str | None) -> None:
        """Refuse a log whose first `length` bytes are not those that a checkpoint vouched for."""
        log = self.path / name
        content = log.read_bytes()[:length] if log.exists() else b""
        self.hashes[name] = hashlib.sha256(content)
        if known is not None and (len(content), self.hashes[name].hexdigest()) != (length, known):
            raise RunError(
                f"{log} is damaged: it does not begin with the {length} bytes that were saved.\n"
                f"Bring it back; or delete {self.path / 'checkpoints'} and resume, to begin again "
                f"from round 0."
            )

    def start(self) -> None:
        """The first record of the ledger."""
        keys = ("config", "data", "partition")
        self.config = self.manifest["config"]["sha256"]
        self.note({"event": "start", **{key: self.manifest[key] for key in keys}})

    def append(self, event: Event) -> None:
        """One finished round."""
        if self.bank:
            self.bank.commit(event.state.bank)
        self._write_last(event.metrics)
        columns, came = event.clients.columns, {}
        if not (self.spending and self.spending.privacy.hides_clients):
            self._write("clients.jsonl", json_lines(event.clients))
            came = who_came(columns)
        self.note(
            {
                "event": "round",
                "round": event.state.round,
                **came,
                "left_each_client": {
                    "kind": "model update",
                    **({"bytes": max(columns["up_bytes"], default=0)} if came else {}),
                    "protection": self.spending.protection() if self.spending else "none",
                },
            }
        )

    def note(self, record: dict[str, Any]) -> None:
        """Add a record to the ledger."""
        linked = ledger.link(self.chain, record)
        self.chain = linked["hash"]
        self._write("audit.jsonl", json_line(linked))

    def _write(self, name: str, content: bytes) -> None:
        append(self.logs[name], content)
        self.hashes[name].update(content)

    def checkpoint(self, state: State, keep: int) -> None:
        """Save the state, after everything that was written before it."""
        if state.round == self.saved_round:
            drop_old(self.path / "checkpoints", keep)  # a run may go on to keep fewer
            return
        for log in self.logs.values():
            os.fsync(log.fileno())
        lengths = {name: log.tell() for name, log in self.logs.items()}
        hashes = dict(self.hashes)
        if self.last is not None:
            lengths["metrics.jsonl"], hashes["metrics.jsonl"] = self.before_last
        facts = {
            "lengths": lengths,
            "logs": {name: digest.hexdigest() for name, digest in hashes.items()},
            "last": self.last,
            "chain": self.chain,
            "config": self.config,
            **({"spent": self.spending.to_json()} if self.spending else {}),
        }
        if self.bank:
            self.bank.hold(state.bank)
        save_checkpoint(self.path / "checkpoints", state.to_tree(), facts, keep)
        if self.bank:
            self.bank.retain(bank_ages(self.path / "checkpoints"))
        self.saved_round = state.round

    def update(self, **facts: Any) -> None:
        """Change the manifest."""
        self.manifest = sealed(self.manifest | facts)
        write_json(self.path / "manifest.json", self.manifest)

    def change_config(self, config: str, digest: str) -> None:
        """Go on under a config that differs in what may differ; the ledger says so."""
        known = self.manifest.get("files", {}).get("config.yaml")
        if digest != self.manifest["config"]["sha256"] or sha256(config.encode()) != known:
            # `before` makes the old file acceptable, should we be killed between the two writes.
            old = self.manifest["config"]
            first = old.get("first", old["sha256"])
            self.update(
                config={"sha256": digest, "before": old["sha256"], "first": first},
                files={**self.manifest.get("files", {}), "config.yaml": sha256(config.encode())},
            )
            write_bytes(self.path / "config.yaml", config.encode())
        if digest != self.config:
            self.config = digest
            self.note({"event": "config", "config": {"sha256": digest}})

    def finish(self, model: Tree, summary: dict[str, Any], **facts: Any) -> None:
        """The final model, the summary, the last record; the manifest says so last of all."""
        content = save_tensors({name: leaf.cpu().contiguous() for name, leaf in model.items()})
        write_bytes(self.path / "model.safetensors", content)
        write_json(self.path / "summary.json", summary)
        self.note({"event": "end", "model": sha256(content)})
        os.fsync(self.logs["audit.jsonl"].fileno())
        names = [*SEALED, *["privacy.json"] * bool(self.spending)]
        files = {name: sha256((self.path / name).read_bytes()) for name in names}
        self.update(
            status="finished", model=sha256(content), audit=self.chain, files=files, **facts
        )

    def close(self) -> None:
        for file in (*self.logs.values(), self.lock):
            file.close()
        if self.bank:
            self.bank.close()


def who_came(columns: dict[str, Column]) -> dict[str, list[int]]:
    """The clients of a round by what became of their updates."""
    clients: dict[str, list[int]] = {"clients": [], "rejected": [], "dropped": []}
    for client, status in zip(columns["client"], columns["status"], strict=True):
        clients["clients" if status in ("ok", "straggled") else status].append(client)
    return clients if clients["dropped"] else {n: clients[n] for n in ("clients", "rejected")}


def spending_of(experiment: Experiment) -> Spending | None:
    """An empty ledger, where a guarantee is claimed."""
    return Spending(experiment.privacy) if experiment.privacy.claim else None


def open_logs(path: Path) -> dict[str, BinaryIO]:
    # Unbuffered: a line is with the system when its round is over, whatever then happens to us.
    return {name: (path / name).open("ab", buffering=0) for name in LOGS}
