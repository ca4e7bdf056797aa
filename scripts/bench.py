#!/usr/bin/env python3
"""Time the whole runner against a plain PyTorch loop and its peers, in turn, on this machine.

scripts/bench.py                                   W1 to W4 and the start-up; minutes
scripts/bench.py --workload W1 --engine eager,stack --repeats 5 --json bench.json
scripts/bench.py --peer fedjax=PYTHON --peer pfl=PYTHON
scripts/bench.py --short                           what CI reports: under a minute
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.contestants import PEERS, PLAIN, Contestant, fedruns, peers
from bench.figures import compared, trained
from bench.race import WARM_UP, Attempts, go, interleaved, watch
from bench.startup import COMMANDS, start
from bench.table import table
from bench.workloads import WORKLOADS, sizes
from rich.console import Console

from fedrun.core.cohort import cohorts

PARTS = (*WORKLOADS, "startup")
SHORT_ROUNDS = {"W1": 2, "W2": 1, "W3": 20, "W4": 1}
out = Console(width=120, highlight=False, markup=False)
aside = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """1 where a contestant crashed, however fast the others were."""
    asked = arguments()
    report = machine.facts()
    crashed: dict[str, str] = {}
    contestants, missing = list(fedruns(asked.engine, short=asked.short)), {}
    contestants.append(PLAIN)
    if not asked.short:
        found, missing = peers(dict(asked.peer))
        contestants += found
    if unknown := set(asked.only) - {c.name for c in contestants}:
        known = ", ".join(contestant.name for contestant in contestants)
        aside.print(f"--only {', '.join(sorted(unknown))}: here are {known}")
        return 2
    if asked.only:
        contestants = [c for c in contestants if c.name in asked.only]
    if any(part in WORKLOADS for part in asked.workload):
        script = Path(machine.__file__).with_name("run_peak.py")
        report["peak_gflops"] = watch(sys.executable, script, {}, cores=1)[0]
    report |= {"missing": missing, "crashed": crashed, "workloads": {}}
    for part in asked.workload:
        if part == "startup":
            attempts: Attempts = {name: lambda name=name: start(name) for name in COMMANDS}
            goes = interleaved(part, attempts, asked.repeats, crashed, aside.print)
            report["startup"] = compared(goes, next(iter(COMMANDS)))
            out.print(table("start-up, seconds", report["startup"]))
            continue
        figures = workload(part, contestants, asked, crashed, report["peak_gflops"])
        report["workloads"][part] = figures
        title = f"{part}, seconds per round of {figures['examples_per_round']:.0f} examples"
        out.print(table(title, figures["contestants"]))
    for name, why in {**missing, **crashed}.items():
        out.print(f"{name}: {why}", soft_wrap=True)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if crashed else 0


def workload(
    name: str,
    contestants: Sequence[Contestant],
    asked: argparse.Namespace,
    crashed: dict[str, str],
    peak: Mapping[str, float],
) -> dict[str, Any]:
    """Everybody's goes at one workload, with fedrun's own cohorts for all."""
    facts, held = WORKLOADS[name], sizes(name)
    rounds = asked.rounds or (SHORT_ROUNDS[name] if asked.short else facts.rounds)
    numbers = range(1, WARM_UP + rounds + 1)
    drawn = cohorts(0, facts.clients, facts.cohort)
    who = [drawn(number).tolist() for number in numbers]
    attempts: Attempts = {
        c.name: lambda c=c: go(c, name, who, evaluate=asked.evaluate)
        for c in contestants
        if c.only in (None, name) and not (asked.evaluate and c.script in PEERS)
    }
    goes = interleaved(name, attempts, asked.repeats, crashed, aside.print)
    examples = facts.epochs * sum(held[cohort].sum() for cohort in who[WARM_UP:]) / rounds
    first = next(iter(attempts), "")
    return {
        "rounds": rounds,
        "evaluate": asked.evaluate,
        "examples_per_round": float(examples),
        "gflop_per_round": float(examples) * facts.flops / 1e9,
        "contestants": trained(goes, first, facts, float(examples), max(peak.values())),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ",".join(PARTS)
    parser.add_argument("--workload", type=_parts, help=f"which parts, of {names} (default: all)")
    parser.add_argument("--repeats", type=_positive, help="goes of each contestant (3; short: 1)")
    parser.add_argument("--rounds", type=_positive, help="timed rounds of a go")
    parser.add_argument("--engine", type=_words, default=[], help="fedrun's engines, such as eager")
    parser.add_argument(
        "--only", type=_words, default=[], help="names of contestants, as in the table"
    )
    parser.add_argument(
        "--peer", type=_peer, action="append", default=[], metavar="NAME=PYTHON",
        help=f"the Python executable that has a peer ({', '.join(PEERS)})",
    )  # fmt: skip
    parser.add_argument("--evaluate", action="store_true", help="score the model every round")
    parser.add_argument("--short", action="store_true", help="fedrun and the plain loop, W1, W3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    asked = parser.parse_args()
    asked.workload = asked.workload or (["W1", "W3", "startup"] if asked.short else list(PARTS))
    asked.repeats = asked.repeats or (1 if asked.short else 3)
    return asked


def _words(text: str) -> list[str]:
    return text.split(",")


def _parts(text: str) -> list[str]:
    if unknown := set(_words(text)) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: take {','.join(PARTS)}")
    return _words(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def _peer(text: str) -> tuple[str, str]:
    name, equals, python = text.partition("=")
    if name not in PEERS or not equals:
        raise argparse.ArgumentTypeError(f"{text}: take NAME=PYTHON, NAME one of {PEERS}")
    return name, str(Path(python).expanduser().absolute())


if __name__ == "__main__":
    sys.exit(main())
