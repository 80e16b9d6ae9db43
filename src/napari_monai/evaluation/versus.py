"""Two models side by side on the same cases: differences, intervals, paired tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import EvaluationError
from .measures import Measure
from .report import Scores, plain
from .statistics import Floats, holm, interval, paired_test, resampled_means
from .text import aligned, number, p_value

# What a reader has to know of the tests; said wherever they are shown.
CAVEATS = (
    "The tests take the cases as independent: several slices, time points or images of one "
    "patient or sample are not, and make p-values too small.",
    "With n cases no p-value of these tests is below 2 to the power of 1 - n: with five cases "
    "never below 0.06. A large p-value does not show that two models are equal; look at the "
    "interval of the difference.",
    "Holm's column corrects for the number of rows tested here, and not for models or settings "
    "that were tried before.",
    "Volume differences are compared by their size, without sign. A distance to a surface that "
    "is not there counts as larger than all others in Wilcoxon's test, and is left out of means, "
    "intervals and the permutation test.",
)


_NUMBERS = ("first", "second", "difference", "low", "high", "wilcoxon", "permutation", "holm")


@dataclass(frozen=True)
class Row:
    """A measure of one class, or of all, of both models.

    ``first`` and ``second`` are means over the ``cases`` that both have, ``difference`` is first
    minus second with its bootstrap interval. ``better`` is of how many cases the first and the
    second model is better.
    """

    measure: Measure
    class_name: str
    cases: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    better: tuple[int, int]
    wilcoxon: float
    permutation: float
    holm: float = math.nan

    @property
    def name(self) -> str:
        """The measure with its class, as in the scores."""
        return f"{self.measure.name} {self.class_name}".rstrip()


@dataclass(frozen=True)
class Versus:
    """Two models compared: their names, the rows, and the cases that only one has."""

    first: str
    second: str
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()

    @property
    def overall(self) -> tuple[Row, ...]:
        """The rows of all classes, or all objects."""
        return tuple(row for row in self.rows if not row.class_name)

    def table(self) -> str:
        """Return the rows of the whole as aligned plain text."""
        lines: list[tuple[str, ...]] = [
            ("", self.first, self.second, "difference", "low", "high", "p Wilcoxon", "cases")
        ]
        for row in self.overall:
            values = (row.first, row.second, row.difference, row.low, row.high)
            p = p_value(row.wilcoxon)
            lines.append((row.name, *map(number, values), p, str(row.cases)))
        return aligned(lines)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; NaN becomes ``None``, what is infinite ``"inf"``."""
        rows = []
        for row in self.rows:
            values = {f: plain(getattr(row, f)) for f in _NUMBERS}
            named = {"measure": row.measure.name, "class": row.class_name or None}
            rows.append({**named, "cases": row.cases, "better": list(row.better), **values})
        names = {"first": self.first, "second": self.second}
        return {**names, "left_out": list(self.left_out), "rows": rows, "caveats": list(CAVEATS)}


def versus(
    first: Scores, second: Scores, *, names: tuple[str, str] = ("first", "second")
) -> Versus:
    """Compare the scores of two models on the same cases, matched by their names.

    Settings are those of the first. Holm's correction is over the measures of the whole, and
    over the classes of each measure.

    Raises
    ------
    EvaluationError
        If the scores are of different kinds, or no case is in both.
    """
    if first.kind != second.kind:
        raise EvaluationError(
            f"One side was scored as {first.kind} and the other as {second.kind}: choose one kind."
        )
    theirs = {case.name: case for case in second.cases}
    ours = [case for case in first.cases if case.name in theirs]
    if not ours:
        raise EvaluationError("The two sides have no case in common: give results of one test set.")
    a = replace(first, cases=tuple(ours))
    b = replace(second, cases=tuple(theirs[case.name] for case in ours))
    alone = {c.name for c in first.cases} ^ set(theirs)
    return Versus(*names, tuple(_corrected(list(_rows(a, b)))), tuple(sorted(alone)))


def _rows(a: Scores, b: Scores) -> Iterator[Row]:
    keys = [(measure, name) for name in ("", *a.classes) for measure in a.measures]
    values = np.stack([_table(s, keys) for s in (a, b)])
    with np.errstate(invalid="ignore"):  # infinite on both sides
        differences = values[0] - values[1]
    how = a.settings
    drawn = resampled_means(differences, resamples=how.resamples, seed=how.seed)
    for index, (measure, name) in enumerate(keys):
        low, high = interval(drawn[:, index], confidence=how.confidence)
        alone = np.count_nonzero(np.isfinite(differences[:, index])) < 2
        limits = (math.nan, math.nan) if alone else (low, high)
        yield _row(measure, name, values[:, :, index], limits, how.seed)


def _table(scores: Scores, keys: Sequence[tuple[Measure, str]]) -> Floats:
    """Return the values of all cases, shape (cases, keys)."""
    rows = [case.scores for case in scores.cases]
    columns = []
    for measure, name in keys:
        column = [row.get(f"{measure.name} {name}".rstrip(), math.nan) for row in rows]
        columns.append(np.abs(column) if measure.best == "zero" else np.asarray(column))
    return np.stack(columns, axis=1)


def _row(
    measure: Measure, name: str, values: Floats, limits: tuple[float, float], seed: int
) -> Row:
    both = values[:, ~np.isnan(values).any(axis=0)]
    finite = both[:, np.isfinite(both).all(axis=0)]
    first, second = finite.mean(axis=1) if finite.size else map(_mean_of_none, both)
    test = paired_test(both[0].tolist(), both[1].tolist(), seed=seed)
    ours, theirs = both if measure.best == "high" else -both
    return Row(
        measure=measure,
        class_name=name,
        cases=both.shape[1],
        first=float(first),
        second=float(second),
        difference=float(first - second) if finite.size else math.nan,
        low=limits[0],
        high=limits[1],
        better=(int(np.count_nonzero(ours > theirs)), int(np.count_nonzero(theirs > ours))),
        wilcoxon=test.wilcoxon,
        permutation=test.permutation,
    )


def _mean_of_none(side: Floats) -> float:
    return math.inf if side.size and np.isinf(side).all() else math.nan


def _corrected(rows: list[Row]) -> list[Row]:
    """Return the rows with Holm's p-values: of the whole, and of each measure over the classes."""
    families: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        families.setdefault(row.measure.name if row.class_name else "", []).append(index)
    for members in families.values():
        for index, p in zip(members, holm([rows[i].wilcoxon for i in members]), strict=True):
            rows[index] = replace(rows[index], holm=p)
    return rows
