"""Scores as rows of a table: a line a case, or a line a class of a case; units in the header."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from .report import Scores


def csv_text(models: Sequence[tuple[str, Scores]]) -> str:
    """Return the cases of one model or more as comma-separated values.

    What is not defined is an empty cell, what is infinite ``inf``.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header(models[0][1]))
    for model, scores in models:
        writer.writerows((model, *row) for row in rows(scores))
    return buffer.getvalue()


def header(scores: Scores) -> tuple[str, ...]:
    """Return the titles of the columns, with units."""
    titles = tuple(scores.space.titled(m) for m in scores.measures)
    if scores.kind == "instances":
        return ("model", "image", "true objects", "predicted objects", *titles)
    return ("model", "image", "class", "TP voxels", "FP voxels", "FN voxels", *titles)


def rows(scores: Scores) -> Iterator[tuple[str | int | float, ...]]:
    """Yield the values of each line, without the model."""
    names = [m.name for m in scores.measures]
    for case in scores.cases:
        if scores.kind == "instances":
            values = case.scores
            yield (case.name, case.true, case.predicted, *(_cell(values[n]) for n in names))
            continue
        for name, counts in case.counts.items():
            values = case.of_class(name)
            yield (case.name, name, *counts, *(_cell(values[n]) for n in names))


def _cell(value: float) -> str | float:
    return "" if math.isnan(value) else value
