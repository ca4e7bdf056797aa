"""What was spent, added up again: the releases of `privacy.json` against each epsilon that is told.

Epsilons are compared to one part in a million: another version of an accountant may differ by more,
and then the finding says so rather than that somebody lied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isclose, isfinite
from typing import Any

from fedrun.accounting import worst_bounds, worst_running_epsilon
from fedrun.core.bound import upwards
from fedrun.core.option import ConfigError, RunError
from fedrun.core.privacy import Event, Relation
from fedrun.experiment.audit_found import Check, Found, agreed, unread
from fedrun.experiment.checkpoint import load_checkpoint, newest_checkpoint

NAME, EPSILON = "privacy.json", "privacy/epsilon"
CLOSE = 1e-6
Account = list[tuple[Event, int]]


@dataclass(frozen=True)
class Ledger:
    """What `privacy.json` says: what everybody has spent, what each client has, and how many came
    to each release; `target`: an epsilon, and the releases that were to cost no more."""

    claim: dict[str, Any]
    everybody: Account
    clients: list[Account]
    cohorts: list[int]
    seeded: bool
    target: tuple[float, int] | None

    @property
    def delta(self) -> float:
        return float(self.claim["delta"])

    @property
    def relation(self) -> Relation:
        relation: Relation = self.claim["relation"]
        return relation

    @property
    def once(self) -> int:
        """Events that were paid before round 1, or once more when a run went on."""
        return sum(n for event, n in self.everybody if event.mechanism == "randomized_response")

    @property
    def agrees(self) -> bool:
        """Whether everybody paid for each round or for none, and a seeded answer once."""
        each = sum(count for _, count in self.everybody) - self.once
        return not self.everybody or (
            each == (0 if self.once else len(self.cohorts))
            and not (self.seeded and self.once > 1)
            and not self.clients
        )

    def after(self, releases: int) -> list[Account]:
        """The accounts after so many releases; clients' own ones as they ended."""
        if not self.everybody:
            return self.clients or [[]]
        left, account = releases + self.once, Account()
        for event, count in self.everybody:
            if left > 0:
                account.append((event, min(count, left)))
            left -= count
        return [account]


def privacy_checks(run: Found) -> Iterator[Check]:
    """Nothing where nothing is claimed."""
    spent = spent_at_checkpoint(run)
    if run.content(NAME) is None:
        if spent is not None or claimed(run):
            yield Check(NAME, "missing", "what this run has spent is not known")
        return
    try:
        content = run.object(NAME)
        ledger = read(content)
        right = (json.dumps(content, indent=2) + "\n").encode() == run.content(NAME)
        right = right and ledger.agrees
    except (RunError, ValueError, LookupError, TypeError) as error:
        yield Check(NAME, "altered", f"it is no privacy ledger ({unread(error)})")
        return
    yield agreed(NAME, right, f"{len(ledger.cohorts)} releases, each with its event")
    if spent is not None:
        right = not_less(content, spent)
        yield agreed(f"{NAME}: checkpoint", right, "what the newest checkpoint had spent")
    yield release_check(run, ledger)
    try:
        yield metrics_check(run, ledger)
        if run.finished:
            yield statement_check(run, ledger, content)
    except (ArithmeticError, ConfigError, LookupError, TypeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        yield Check("privacy: epsilon", "altered", f"it cannot be added up again ({why})")


def claimed(run: Found) -> bool:
    """Whether any other file tells of an epsilon."""
    try:
        stated = "privacy" in run.object("summary.json")
    except ValueError:
        stated = False
    return stated or any(EPSILON in line for line in run.lines("metrics.jsonl"))


def spent_at_checkpoint(run: Found) -> dict[str, Any] | None:
    newest = newest_checkpoint(run.path / "checkpoints")
    try:
        spent = load_checkpoint(newest)[1].get("spent") if newest else None
    except (RunError, LookupError, TypeError, ValueError):
        return None  # told already
    return spent if isinstance(spent, dict) else None


def read(content: Mapping[str, Any]) -> Ledger:
    """The ledger that a file holds."""

    def account(entries: Sequence[Mapping[str, Any]]) -> Account:
        return [(Event.from_json(entry["event"]), int(entry["count"])) for entry in entries]

    return Ledger(
        claim=dict(content["claim"]),
        everybody=account(content["everybody"]),
        clients=[account(own) for own in content["clients"].values()],
        cohorts=[int(size) for size in content["cohorts"]],
        seeded=content["rng"] == "seeded",
        target=(float(target[0]), int(target[1])) if (target := content["target"]) else None,
    )


def not_less(content: Mapping[str, Any], spent: Mapping[str, Any]) -> bool:
    """Whether a ledger goes on from an older state of itself."""
    older = spent["cohorts"]
    same = all(content[key] == spent[key] for key in ("schema", "claim", "rng"))
    return same and content["cohorts"][: len(older)] == older and content["round"] >= spent["round"]


def release_check(run: Found, ledger: Ledger) -> Check:
    """Every round that was told of was paid for; with `secure` noise repeated ones once more."""
    rounds, releases = len(run.lines("metrics.jsonl")), len(ledger.cohorts)
    right = rounds <= releases  # more, where rounds were shown and a shorter run then finished
    return agreed(f"{NAME}: releases", right, f"{releases}, against {rounds} rounds in metrics")


def metrics_check(run: Found, ledger: Ledger) -> Check:
    """The epsilon of each round: exactly, where what came before it is known; and never falling."""
    what, lines = f"metrics.jsonl: {EPSILON}", run.lines("metrics.jsonl")
    told = [line.get(EPSILON, inf) for line in lines]
    right = all(before <= after for before, after in pairwise(told))
    if told and ledger.everybody and ledger.seeded:
        known = [online(ledger, number) for number in range(1, len(told) + 1)]
        right = right and all(map(same, told, known))
    elif told and run.finished:
        right = right and same(told[-1], online(ledger, len(ledger.cohorts)))
    if told and ledger.target:
        spent = worst_bounds(ledger.after(len(told)), ledger.delta, ledger.relation)[1]
        right = right and told[-1] >= spent[0].epsilon - CLOSE
    return agreed(what, right, f"added up again for {len(told)} rounds")


def online(ledger: Ledger, releases: int) -> float:
    """What a round tells after so many releases."""
    kinds = {tuple(account) for account in ledger.after(releases)}
    accounts = [list(own) for own in sorted(kinds, key=repr)]
    target = ledger.target
    least = target[0] if target and releases <= target[1] else inf
    return min(least, worst_running_epsilon(accounts, ledger.delta, ledger.relation))


def statement_check(run: Found, ledger: Ledger, content: Mapping[str, Any]) -> Check:
    """What the summary claims, against the ledger's releases."""
    told = run.object("summary.json")["privacy"]
    kinds = {tuple(account) for account in ledger.after(len(ledger.cohorts))}
    accounts = [list(own) for own in sorted(kinds, key=repr)]
    _, worst = worst_bounds(accounts, ledger.delta, ledger.relation)
    known = {bound.accountant: bound.epsilon for bound in worst}
    right = (
        all(told[key] == content["claim"][key] for key in ("unit", "relation", "delta", "trust"))
        and told["caveats"] == content["claim"]["caveats"]
        and told["rng"] == content["rng"]
        and told["releases"] == len(ledger.cohorts)
        and told["repeated"] == content["repeated"]
        and told["bounds"].keys() == known.keys()
        and all(same(number(told["bounds"][name]), value) for name, value in known.items())
        and same(number(told["epsilon"]), worst[0].epsilon)
    )
    which = f"epsilon {upwards(worst[0].epsilon)} of {worst[0].version}, against {NAME}"
    return agreed("summary.json: privacy", right, which)


def number(told: Any) -> float:
    return inf if told == "infinite" else float(told)


def same(told: float, known: float) -> bool:
    return isclose(told, known, rel_tol=CLOSE) or (not isfinite(known) and not isfinite(told))
