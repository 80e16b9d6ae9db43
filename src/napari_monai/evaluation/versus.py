"""Two models side by side on the same cases: differences, intervals, paired tests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..errors import EvaluationError
from .measures import Measure
from .report import Scores
from .statistics import holm, interval, paired_test, resampled_means

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
    for measure in a.measures:
        yield _row(a, b, measure, "")
    for name in a.classes:
        for measure in a.measures:
            yield _row(a, b, measure, name)


def _row(a: Scores, b: Scores, measure: Measure, class_name: str) -> Row:
    name = f"{measure.name} {class_name}".rstrip()
    values = np.asarray(
        [[case.scores.get(name, math.nan) for case in s.cases] for s in (a, b)], np.float64
    )
    if measure.best == "zero":
        values = np.abs(values)
    both = values[:, ~np.isnan(values).any(axis=0)]
    finite = both[:, np.isfinite(both).all(axis=0)]
    low = high = difference = math.nan
    how = a.settings
    if finite.size:
        means = finite.mean(axis=1)
        difference = float(means[0] - means[1])
        drawn = resampled_means(
            (finite[0] - finite[1])[:, None], resamples=how.resamples, seed=how.seed
        )
        if finite.shape[1] > 1:
            low, high = interval(drawn[:, 0], confidence=how.confidence)
    else:
        means = np.asarray([_mean_of_none(side) for side in both])
    test = paired_test(both[0].tolist(), both[1].tolist(), seed=how.seed)
    sign = 1 if measure.best == "high" else -1
    better = tuple(int(np.count_nonzero(s * both[0] > s * both[1])) for s in (sign, -sign))
    return Row(
        measure,
        class_name,
        both.shape[1],
        float(means[0]),
        float(means[1]),
        difference,
        low,
        high,
        (better[0], better[1]),
        test.wilcoxon,
        test.permutation,
    )


def _mean_of_none(side: np.ndarray) -> float:
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
