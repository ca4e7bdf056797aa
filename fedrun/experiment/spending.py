"""The privacy ledger: what has been released, written down before anybody sees it.

`privacy.json` is renewed and flushed to the disk before a round's figures, model or checkpoint are
written: after a kill in between, the budget counts as spent. Unlike the logs it is never cut back
when a run goes on. With `privacy.rng=seeded` the rounds after the last checkpoint repeat to the
bit, which releases nothing new; with `secure` they are drawn afresh, and paid for again, as a
stretch of rounds of their own: turns and noise that go round from round to round begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf, isfinite
from pathlib import Path
from typing import Any

from fedrun.accounting import bounds, running_epsilon, worst_bounds, worst_running_epsilon
from fedrun.core.option import RunError
from fedrun.core.privacy import Event, Privacy
from fedrun.experiment.files import read_json, write_json

FILE = "privacy.json"
SCHEMA = 1

Account = list[tuple[Event, int]]


class Spending:
    """What a run has spent; `folder` is None until it has one."""

    def __init__(self, privacy: Privacy) -> None:
        assert privacy.claim is not None
        self.privacy, self.claim = privacy, privacy.claim
        self.folder: Path | None = None
        self.everybody: Account = []
        self.clients: dict[int, Account] = {}
        self.cohorts: list[int] = []
        self.round = 0  # the last one released, ever
        self.repeated = 0
        self.apart = False  # whether the next release begins a stretch of its own
        self.ahead: dict[str, Any] | None = None  # a ledger of more rounds than are done again yet
        if privacy.once:
            self.everybody = [(privacy.once, 1)]

    def open(self, folder: Path) -> None:
        """Begin the ledger in this folder."""
        self.folder = folder
        self._write()

    def go_on(self, folder: Path) -> None:
        """Keep the ledger that is in this folder.

        Whether what stands in it is paid already, or is to be paid for again, see above: a
        repeated round is known by its number.
        """
        self.folder = folder
        if not (folder / FILE).is_file():
            raise RunError(
                f"{folder / FILE} is missing: what this run has spent is not known, and it cannot "
                f"go on.\nBring it back, or start a new run."
            )
        found = read_json(folder / FILE)
        try:
            self.round, self.repeated = int(found["round"]), int(found["repeated"])
            if len(found["cohorts"]) < self.round:
                raise ValueError(f"{len(found['cohorts'])} cohorts of {self.round} rounds")
            if self.privacy.repeats:
                Spending(self.privacy)._take(found)  # whole, or damaged
                self.ahead = found
            else:
                self._take(found)
                self.apart = True
                if self.privacy.once:  # drawn afresh, and so released again
                    _add(self.everybody, self.privacy.once, 1)
        except (AttributeError, KeyError, TypeError, ValueError, RunError) as error:
            raise RunError(f"{folder / FILE} is damaged: {error}") from error

    def restore(self, spent: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint holds, where the rounds after it repeat to the bit."""
        found = read_json(self.folder / FILE) if self.folder else spent
        same = found["cohorts"][: len(spent["cohorts"])] == spent["cohorts"]
        if not (same and _goes_on(found, spent)):
            raise RunError(
                f"{self.folder}/{FILE} is not the ledger of this run, or an old one: it lacks "
                f"releases that the last checkpoint knows of.\nBring the right one back, or start "
                f"a new run."
            )
        if self.privacy.repeats:
            self._take(spent)

    def protection(self) -> str:
        """What protects an update on its way, in words."""
        event = self.privacy.event
        if event is None:
            return f"hides each {self.claim.unit}: {self.claim.trust}"
        noise = f"noise of {event.noise_multiplier:g} clip norms on the sum"
        return f"clipped; {noise}; {self.claim.trust}"

    def _take(self, found: Mapping[str, Any]) -> None:
        self.everybody = _account(found["everybody"])
        self.clients = {int(name): _account(own) for name, own in found["clients"].items()}
        self.cohorts = [int(size) for size in found["cohorts"]]
        releases = sum(count for _, count in self.everybody)
        once = self.privacy.once is not None
        if self.privacy.event is not None and releases < len(self.cohorts) + once:
            raise ValueError(f"{releases} releases of {len(self.cohorts)} rounds")

    def charge(self, round: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Write down what this round releases; the figures to be told with it."""
        came = [row for row in rows if row["status"] != "dropped"]
        self.cohorts.append(sum(row["status"] != "rejected" for row in came))
        if self.privacy.event is not None:
            _add(self.everybody, self.privacy.event, 1, apart=self.apart)
            self.apart = False
        if self.privacy.own is not None:
            for row in came:
                event, count = self.privacy.own(
                    int(row["examples"]), int(row.get("noised_steps", 0))
                )
                _add(self.clients.setdefault(int(row["client"]), []), event, count)
        again = self.privacy.repeats and round <= self.round
        self.round, self.repeated = max(self.round, round), self.repeated + again
        self._write()
        epsilon = self.epsilon()
        figures = {"privacy/epsilon": epsilon} if isfinite(epsilon) else {}
        if self.privacy.simulated is not None:
            larger = [(self.privacy.simulated, len(self.cohorts))]
            claimed = running_epsilon(larger, self.claim.delta, "add_remove")
            figures |= {"privacy/epsilon_simulated": claimed} if isfinite(claimed) else {}
        return figures | ({"privacy/leaky": 1} if self.privacy.leaky else {})

    def epsilon(self) -> float:
        """Of what is released so far, never below the truth; infinite where there is no noise."""
        claim, target = self.claim, self.privacy.target
        least = target[0] if target and len(self.cohorts) <= target[1] else inf
        return min(least, worst_running_epsilon(self.accounts(), claim.delta, claim.relation))

    def accounts(self) -> list[Account]:
        """Of equal ones a single one."""
        if self.privacy.own is None:
            return [self.everybody]
        kinds = sorted({tuple(own) for own in self.clients.values()}, key=repr)
        return [list(own) for own in kinds] or [[]]

    def statement(self) -> dict[str, Any]:
        """All that must be said together with an epsilon."""
        claim = self.claim
        if self.ahead is not None and len(self.cohorts) < self.round:
            # It ends before rounds that were shown already, and they stay paid.
            self._take(self.ahead)
        account, found = worst_bounds(self.accounts(), claim.delta, claim.relation)
        told: dict[str, Any] = {
            **{key: value for key, value in asdict(claim).items() if key != "caveats"},
            **_said(found),
            "real": found[0].is_finite and not self.privacy.repeats and not self.privacy.leaky,
            "rng": "seeded" if self.privacy.repeats else "secure",
            "leaky": self.privacy.leaky,
            "releases": len(self.cohorts),
            "repeated": self.repeated,
            "events": [{**event.to_json(), "count": count} for event, count in account],
            "caveats": list(claim.caveats),
        }
        if self.privacy.simulated is not None:
            larger = [(self.privacy.simulated, count) for _, count in self.everybody]
            told["simulated"] = {
                **_said(bounds(larger, claim.delta, "add_remove")),
                "relation": "add_remove",
                "events": [{**event.to_json(), "count": count} for event, count in larger],
                "meaning": "of the larger federation that is simulated, not of this run",
            }
        return told

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "claim": {**asdict(self.claim), "caveats": list(self.claim.caveats)},
            "rng": "seeded" if self.privacy.repeats else "secure",
            "target": list(self.privacy.target) if self.privacy.target else None,
            "round": self.round,
            "repeated": self.repeated,
            "cohorts": self.cohorts,
            "everybody": _plain(self.everybody),
            "clients": {str(name): _plain(own) for name, own in sorted(self.clients.items())},
        }

    def _write(self) -> None:
        # Seeded rounds that repeat are on the disk already, with those that came after them.
        whole = not self.privacy.repeats or len(self.cohorts) >= self.round
        if self.folder is not None and whole:
            write_json(self.folder / FILE, self.to_json())


def _add(account: Account, event: Event, count: int, *, apart: bool = False) -> None:
    if account and account[-1][0] == event and not apart:
        account[-1] = (event, account[-1][1] + count)
    else:
        account.append((event, count))


def _goes_on(found: Mapping[str, Any], spent: Mapping[str, Any]) -> bool:
    """Whether everything in the older account stands in the newer one too."""
    older = [spent["everybody"], *spent["clients"].values()]
    newer = [found["everybody"], *(found["clients"].get(name, []) for name in spent["clients"])]
    return found["claim"] == spent["claim"] and all(
        len(now) >= len(then)
        and all(
            one["event"] == other["event"] and one["count"] >= other["count"]
            for one, other in zip(now, then, strict=False)
        )
        for now, then in zip(newer, older, strict=True)
    )


def _plain(account: Account) -> list[dict[str, Any]]:
    return [{"event": event.to_json(), "count": count} for event, count in account]


def _account(content: Sequence[Mapping[str, Any]]) -> Account:
    account = [(Event.from_json(entry["event"]), int(entry["count"])) for entry in content]
    if any(count < 1 for _, count in account):
        raise ValueError("an event that happened less than once")
    return account


def _said(found: Sequence[Any]) -> dict[str, Any]:
    """The least bound, and every accountant's own; infinity has no number in JSON."""
    best = found[0]
    return {
        "epsilon": best.epsilon if isfinite(best.epsilon) else "infinite",
        "accountant": best.accountant,
        "version": best.version,
        "bounds": {
            bound.accountant: bound.epsilon if isfinite(bound.epsilon) else "infinite"
            for bound in found
        },
    }
