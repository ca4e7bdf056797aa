"""One self-contained HTML file: everything that is said, put into the templates.

Jinja2 escapes whatever a template shows; pictures are made of escaped parts (`svg`). The page's own
policy forbids it to ask any network for anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

import fedrun
from fedrun.report.comparison import told
from fedrun.report.comparison_pair import automatic
from fedrun.report.page import clients, question, results
from fedrun.report.page.confusion import Confusion
from fedrun.report.page.content import Content, Method
from fedrun.report.page.cost import costs
from fedrun.report.page.held import Held, held_picture, read_held
from fedrun.report.page.palette import DARK, LIGHT, properties
from fedrun.report.page.privacy import is_private, privacy
from fedrun.report.page.provenance import (
    commands,
    configs,
    manifest_facts,
    ran,
    short_path,
    summary_of,
)
from fedrun.report.page.single import single, states
from fedrun.report.table_layout import pair_lines, table

MOST_HELD = 6  # pictures of partitions
MOST_MATRICES = 12


@dataclass(frozen=True)
class Holding:
    """A partition's picture; `whose`: the groups that it is of; `run`: where it was read."""

    held: Held
    picture: Markup
    whose: list[str]
    run: str
    seed: str


def page(content: Content, places: Sequence[Path]) -> str:
    """The whole file as text. The same runs give the same text."""
    why: dict[str, list[Path]] = {}
    comparison = content.comparison
    pair = automatic(comparison) if comparison else None
    kept, lacking = clients.evaluations(content, why)
    holdings, left_out = _holdings(content, why)
    matrices: list[tuple[Method, str, Confusion]] = clients.confusions(content, kept, why)
    sweeps, runs = commands(content, places)
    context = {
        "content": content,
        "version": fedrun.__version__,
        "title": question.title(content),
        "sizes": question.sizes(content),
        "differs": question.differs(content),
        "same": question.same(content),
        "best": results.best(content),
        "table": table(comparison) if comparison else None,
        "single": single(content.records[0], why) if len(content.records) == 1 else [],
        "states": states(content.records),
        "paired": pair_lines(pair, comparison) if pair and comparison else [],
        "strip": results.strip(content),
        "figures": results.figures(content),
        "costs": costs(content),
        "budget": results.budget_figure(content),
        "cost_figures": results.cost_figures(content),
        "holdings": holdings,
        "holdings_left_out": left_out,
        "spread": clients.spread(content, kept, why),
        "matrices": matrices[:MOST_MATRICES],
        "matrices_left_out": max(0, len(matrices) - MOST_MATRICES),
        "lacking": lacking,
        "evaluated": bool(kept),
        "to_evaluate": f"fedrun report {_again(content, places)} --evaluate",
        "privacy": privacy(content, why),
        "runs": ran(content),
        "others": [(short_path(other.path), other) for other in content.others],
        "manifest": manifest_facts(content),
        "sweeps": sweeps,
        "commands": runs,
        "configs": configs(content),
        "places": _places(places),
        "again": f"fedrun compare {_again(content, places)}",
        "afresh": any(record.text("privacy.rng") == "secure" for record in content.records),
        "measured": _measured(content),
        "light": Markup(properties(LIGHT)),
        "dark": Markup(properties(DARK)),
        "style": Markup(_template("page.css")),
        "script": Markup(_template("page.js")),
    }
    notes = [f"not shown: {words}" for words in why]
    template = _environment().get_template("page.html.jinja")
    return str(template.render(**context, notes=notes)) + "\n"


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _template(name: str) -> str:
    return (files("fedrun.report.page") / "templates" / name).read_text(encoding="utf-8")


def _places(places: Sequence[Path]) -> str:
    return shlex.join(str(place) for place in places)


def _again(content: Content, places: Sequence[Path]) -> str:
    """The places, and what was asked of them."""
    return shlex.join([*map(str, places), *content.asked.words])


def _measured(content: Content) -> dict[str, str]:
    """How each figure was measured, as the runs themselves say."""
    for record in content.records:
        found = summary_of(record.path).get("measured")
        if isinstance(found, dict):
            return {str(name): str(words) for name, words in found.items()}
    return {}


def _holdings(content: Content, why: dict[str, list[Path]]) -> tuple[list[Holding], int]:
    """A picture for each partition that a group's first run has; how many more there would be."""
    found: dict[str, tuple[Method, list[str]]] = {}
    for method in content.methods:
        record = method.records[0]
        if is_private(record) and not content.asked.held:
            continue
        known = record.manifest.get("partition")
        digest = str(known.get("sha256")) if isinstance(known, dict) else str(record.path)
        found.setdefault(digest, (method, []))[1].append(method.name)
    holdings = []
    for at, (method, whose) in enumerate(list(found.values())[:MOST_HELD]):
        path = method.records[0].path
        held = told(path, why, lambda path=path: read_held(path))  # type: ignore[misc]
        if held:
            picture = held_picture(f"held-{at}", held)
            seed = method.records[0].text("seed")
            holdings.append(Holding(held, picture, whose, short_path(path), seed))
    return holdings, max(0, len(found) - MOST_HELD)
