"""Scores as aligned plain text, and how a number is written."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .measures import Measure
    from .report import Scores

# Columns of the table of instances; the summary below it has all thresholds.
_SHOWN = ("AP50", "AP75", "AP90", "AP")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text: "-" for none, "inf" for what is infinite."""
    if value is None or math.isnan(value):
        return "-"
    # No "-0.000" of a tiny difference.
    return f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else str(value)


def measured(value: float, measure: Measure) -> str:
    """Return the value of a measure as text, with as many digits as it bears."""
    digits = {"%": 1, "count": 1, "volume": 2, "length": 2}.get(measure.unit, 3)
    return number(value, digits)


def p_value(value: float) -> str:
    """Return a p-value as text."""
    return "< 0.001" if value < 0.001 else number(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = functools.partial(_line, widths=widths)
    return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])


def tables(scores: Scores) -> list[str]:
    """Return a table of the cases, a summary, and a table of the other measures if any."""
    if scores.kind == "instances":
        parts = [_instance_cases(scores), _instance_summary(scores)]
    else:
        parts = [_class_cases(scores), _class_summary(scores)]
    return [*parts, *_others(scores)]


def scored(scores: Scores) -> str:
    """Return what was scored: "objects", or how many classes."""
    if scores.kind == "instances":
        return "objects"
    count = len(scores.classes)
    return f"{count} class{'es' * (count != 1)}"


def images(scores: Scores) -> str:
    """Return how many images there are, in words."""
    return f"{len(scores.cases)} image{'' if len(scores.cases) == 1 else 's'}"


def _instance_cases(scores: Scores) -> str:
    rows: list[tuple[str, ...]] = [("image", "true", "predicted", *_SHOWN)]
    for case in scores.cases:
        values = case.scores
        shown = (number(values.get(n)) for n in _SHOWN)
        rows.append((case.name, str(case.true), str(case.predicted), *shown))
    return aligned(rows)


def _instance_summary(scores: Scores) -> str:
    mean, pooled, counts = scores.mean, scores.pooled, scores.pooled_counts
    rows: list[tuple[str, ...]] = [(images(scores), "mean", "pooled", "precision", "recall", "F1")]
    for name, c in counts.items():
        rest = (c.precision, c.recall, c.dice)
        rows.append((name, *map(number, (mean[name], pooled[name], *rest))))
    rows.append(("AP", number(mean["AP"]), number(pooled["AP"]), "", "", ""))
    return aligned(rows)


def _class_cases(scores: Scores) -> str:
    rows: list[tuple[str, ...]] = [("image", "Dice", "IoU")]
    for case in scores.cases:
        values = case.scores
        rows.append((case.name, number(values["Dice"]), number(values["IoU"])))
    return aligned(rows)


def _class_summary(scores: Scores) -> str:
    mean, pooled = scores.mean, scores.pooled
    rows: list[tuple[str, ...]] = [
        (images(scores), "Dice", "IoU", "pooled Dice", "pooled IoU", "in")
    ]
    for name in scores.pooled_counts:
        values = (m[f"{s} {name}"] for m in (mean, pooled) for s in ("Dice", "IoU"))
        there = sum(case.counts[name].total > 0 for case in scores.cases if name in case.counts)
        rows.append((name, *map(number, values), str(there)))
    values = (m[s] for m in (mean, pooled) for s in ("Dice", "IoU"))
    rows.append(("all classes", *map(number, values), ""))
    return aligned(rows)


def _others(scores: Scores) -> list[str]:
    """Return the table of the measures that the summary does not have."""
    mean, intervals = scores.mean, scores.intervals
    if scores.kind == "instances":
        rows: list[tuple[str, ...]] = [("objects", "mean", "low", "high")]
        for measure in scores.measures:
            if not measure.name.startswith("AP"):
                low, high = intervals[measure.name]
                rows.append((measure.name, *map(number, (mean[measure.name], low, high))))
        return [aligned(rows)] if len(rows) > 1 else []
    shown = [m for m in scores.measures if m.name not in ("Dice", "IoU")]
    if not shown:
        return []
    rows = [("class", *(scores.space.titled(m) for m in shown))]
    for name in scores.classes:
        rows.append((name, *(number(mean.get(f"{m.name} {name}")) for m in shown)))
    rows.append(("all classes", *(number(mean[m.name]) for m in shown)))
    return [aligned(rows)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{row[0]:<{widths[0]}}"]
    cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells).rstrip()
