"""How unequal the clients fare: a row for each group, from `evaluation.json` where there is one.

Else from the metrics: the mean over clients, and the means of the worst and the best tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from fedrun.core.option import RunError
from fedrun.experiment.evaluation_file import FILE, read_evaluation
from fedrun.report.comparison import told
from fedrun.report.page.confusion import Confusion, confusion
from fedrun.report.page.content import Content, Method
from fedrun.report.page.privacy import is_private
from fedrun.report.page.rows import Row, rows_picture

WHO = {"global": "the global model", "personal": "clients' own models"}
MOST_DOTS = 300  # in a row; of more the same number of percentiles
MOST_ROWS = 40

Evaluations = dict[Path, dict[str, Any]]


@dataclass(frozen=True)
class Shown:
    """A picture and what is said of it."""

    title: str
    picture: Markup
    words: str


def evaluations(content: Content, why: dict[str, list[Path]]) -> tuple[Evaluations, int]:
    """What `fedrun evaluate` has kept of the runs' models, and how many finished runs lack it."""
    found: Evaluations = {}
    lacking = 0
    for record in content.records:
        if record.status != "finished":
            continue
        model = str(record.manifest.get("model"))
        answer = told(record.path, why, partial(read_evaluation, record.path, model))
        if answer is None:
            continue
        if answer[0] is None:
            lacking += 1
        else:
            found[record.path] = answer[0]
    return found, lacking


def spread(content: Content, kept: Evaluations, why: dict[str, list[Path]]) -> list[Shown]:
    """A picture for the global model and one for the clients' own, where there are such."""
    shown = []
    for which in WHO:
        found = _from_evaluations(content, kept, which, why) or _from_metrics(content, which)
        if found:
            shown.append(found)
    return shown


def _from_evaluations(
    content: Content, kept: Evaluations, which: str, why: dict[str, list[Path]]
) -> Shown | None:
    rows: list[Row] = []
    runs, figures = 0, set()
    for method in content.methods[:MOST_ROWS]:
        values: list[float] = []
        for record in method.records:
            part = kept.get(record.path, {}).get(which)
            if part is None or (is_private(record) and not content.asked.held):
                continue
            found = told(record.path, why, partial(_values, record.path, part))
            if found:
                values += found
                figures.add(str(part.get("figure")))
                runs += 1
        if values:
            rows.append(_row(method, values))
    if not rows or len(figures) > 1:
        return None
    figure = next(iter(figures))
    pooled = "each dot is a client of one run" if runs > 1 else "each dot is a client"
    words = f"{figure.capitalize()} of {WHO[which]} on each client's own test examples: {pooled}, "
    words += "the thick line the median over them, the thin one from the worst to the best."
    picture = rows_picture(f"clients-{which}", f"Clients under {WHO[which]}", words, rows,
                           f"{figure} on the client's own test examples")  # fmt: skip
    return Shown(WHO[which].capitalize(), picture, words)


def _row(method: Method, values: Sequence[float]) -> Row:
    dots = list(values)
    if len(dots) > MOST_DOTS:
        dots = np.quantile(dots, np.linspace(0, 1, MOST_DOTS)).tolist()
    bar = min(values), max(values)
    return Row(method.name, method.short, method.look, dots, bar, median(values), spread=True)


def _values(run: Path, part: Any) -> list[float]:
    try:
        found = [float(value) for value in part.get("values") or part.get("percentiles") or []]
    except (AttributeError, TypeError, ValueError) as error:
        raise RunError(f"{run / FILE} is damaged: {error}") from error
    if not np.isfinite(found).all():
        raise RunError(f"{run / FILE} is damaged: a client's figure is no finite number")
    return found


def _from_metrics(content: Content, which: str) -> Shown | None:
    """Mean, worst and best tenth over clients, means over the runs of a group."""
    who = "client" if which == "global" else "personal"
    for figure in ("accuracy", "loss"):
        rows = []
        for method in content.methods[:MOST_ROWS]:
            groups = [
                content.of(method, f"{who}/{figure}_{part}") for part in ("worst10", "best10")
            ]
            middle = content.of(method, f"{who}/{figure}_mean")
            ends = [group.figures["value"] for group in groups if group]
            if len(ends) == 2 and middle and ends[0] and ends[1] and middle.figures["value"]:
                low, high = sorted((ends[0].mean, ends[1].mean))
                mean = middle.figures["value"].mean
                rows.append(Row(method.name, method.short, method.look, (), (low, high), mean))
        if rows:
            words = f"{figure.capitalize()} of {WHO[which]} on the clients' own test examples at "
            words += "the last round: the mean over clients, and the means of the worst and the "
            words += "best tenth of them."
            picture = rows_picture(f"clients-{which}", f"Clients under {WHO[which]}", words, rows,
                                   f"{figure} on the clients' own test examples")  # fmt: skip
            return Shown(WHO[which].capitalize(), picture, words)
    return None


def confusions(
    content: Content, kept: Evaluations, why: dict[str, list[Path]]
) -> list[tuple[Method, str, Confusion]]:
    """One for each group, all its evaluated runs together."""
    found = []
    for at, method in enumerate(content.methods):
        for which, who in WHO.items():
            matrices: list[npt.NDArray[Any]] = []
            classes: list[str] | None = None
            for record in method.records:
                whole = kept.get(record.path, {})
                if "confusion" not in whole.get(which, {}):
                    continue
                answer = told(record.path, why, partial(_matrix, record.path, whole, which))
                if answer and classes in (None, answer[0]):
                    classes = answer[0]
                    matrices.append(answer[1])
            if classes and matrices:
                name = f"confusion-{which}-{at}"
                title = f"Confusion of {who}, {method.name}"
                found.append((method, who, confusion(name, title, classes, matrices)))
    return found


def _matrix(
    run: Path, whole: dict[str, Any], which: str
) -> tuple[list[str], npt.NDArray[Any]]:  # fmt: skip
    try:
        classes = [str(name) for name in whole["classes"]]
        counts = np.array(whole[which]["confusion"], np.int64)
        if counts.shape != (len(classes), len(classes)) or (counts < 0).any():
            raise ValueError(f"confusion of shape {counts.shape}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{run / FILE} is damaged: {error}") from error
    return classes, counts
