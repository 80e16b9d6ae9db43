"""Scores as columns of tables: of measures, classes, cases, wrong objects, two models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .columns import Column

if TYPE_CHECKING:
    from ..evaluation import Measure, Mistake, Scores, Space, Versus

# What a row of all classes is called.
ALL = "all classes"


def no_columns() -> list[Column]:
    """Return what a table shows before there are scores."""
    return [_keys(0)]


def class_columns(scores: Scores) -> list[Column]:
    """Return a row for all classes and one a class: means with their intervals."""
    names = ["", *scores.classes]
    there = [len(scores.cases), *(_images_with(scores, name) for name in names[1:])]
    columns = [_keys(len(names)), Column("name", "Class", "", np.array([n or ALL for n in names]))]
    for measure in scores.measures:
        keys = [f"{measure.name} {name}".rstrip() for name in names]
        columns.append(
            _measured(
                measure,
                scores.space,
                [scores.mean.get(key, math.nan) for key in keys],
                lambda row, keys=keys, measure=measure: _with_interval(  # type: ignore[misc]
                    scores, keys[row], measure
                ),
            )
        )
    meaning = "Cases in which the prediction or the truth has the class"
    return [*columns, Column("cases", "In cases", meaning, np.array(there))]


def measure_columns(scores: Scores) -> list[Column]:
    """Return a row a measure of objects: its mean and its interval."""
    from ..evaluation.text import measured

    measures = scores.measures
    names = [measure.name for measure in measures]
    means = [scores.mean[name] for name in names]
    intervals = [scores.intervals[name] for name in names]
    between = [
        "" if math.isnan(low) else f"{measured(low, m)} to {measured(high, m)}"
        for m, (low, high) in zip(measures, intervals, strict=True)
    ]
    pooled = [scores.pooled.get(name, math.nan) for name in names]
    percent = f"{100 * scores.settings.confidence:g} %"
    return [
        _keys(len(names)),
        Column("name", "Measure", "", np.array(names)),
        Column("mean", "Mean", "Over the cases", np.array(means), texts=_texts(means, measures)),
        Column(
            "interval",
            "Interval",
            f"Bootstrap interval of the mean ({percent}); none of a single case",
            np.array([low for low, _ in intervals]),
            texts=between,
            shown=len(scores.cases) > 1,
        ),
        Column(
            "pooled",
            "Pooled",
            "Of all objects of all cases together, so that a crowded image weighs more",
            np.array(pooled),
            texts=_texts(pooled, measures),
            shown=len(scores.cases) > 1,
        ),
        Column("meaning", "Meaning", "", np.array([m.help for m in measures])),
    ]


def case_columns(scores: Scores, class_name: str) -> list[Column]:
    """Return a row a case: of the mean over its classes, or of one class; best and worst marked."""
    from ..evaluation import extremes

    best, worst = extremes(scores)
    mark = np.array(["best" * (at in best) or "worst" * (at in worst) for at in _range(scores)])
    values = [case.of_class(class_name) if class_name else case.scores for case in scores.cases]
    columns = [
        _keys(len(scores.cases)),
        Column("name", "Case", "", np.array([case.name for case in scores.cases])),
        Column("mark", "Mark", "The best and the worst cases", mark, shown=bool(best or worst)),
    ]
    for measure in scores.measures:
        column = [row.get(measure.name, math.nan) for row in values]
        columns.append(_measured(measure, scores.space, column))
    if scores.kind == "instances":
        for key, title in (("true", "True"), ("predicted", "Predicted")):
            numbers = np.array([getattr(case, key) for case in scores.cases])
            columns.append(Column(key, title, f"{title} objects", numbers))
    return columns


def mistake_columns(mistakes: Sequence[Mistake], size: str) -> list[Column]:
    """Return a row a wrong object; ``size`` is what its voxels are called."""
    what = np.array([", ".join(one.what) for one in mistakes], np.str_)
    ious = np.array([one.iou for one in mistakes], np.float64)
    side = np.array([one.side for one in mistakes], np.str_)
    numbers = {
        "label": [one.number for one in mistakes],
        "voxels": [one.voxels for one in mistakes],
        "partners": [one.partners for one in mistakes],
    }
    label, voxels, partners = (np.array(n, np.int64) for n in numbers.values())
    return [
        _keys(len(mistakes)),
        Column("what", "What", "Missed or split of the truth, false or merged", what),
        Column("side", "Of", "Whose object it is", side, shown=False),
        Column("label", "Label", "Its number there", label),
        Column("iou", "IoU", "With the best partner on the other side", ious, digits=3),
        Column("size", size.capitalize(), f"How many {size} it has", voxels),
        Column(
            "partners",
            "Partners",
            "Objects of the other side that it meets with an IoU above 0.1",
            partners,
        ),
    ]


def versus_columns(compared: Versus, space: Space, confidence: float) -> list[Column]:
    """Return a row a measure, and a measure of a class, of two models."""
    from ..evaluation.text import measured, number, p_value

    rows = compared.rows
    measures = [row.measure for row in rows]
    between = [
        ""
        if math.isnan(row.low)
        else f"{measured(row.low, row.measure)} to {measured(row.high, row.measure)}"
        for row in rows
    ]
    columns = [
        _keys(len(rows)),
        Column("name", "Measure", "", np.array([space.titled(m) for m in measures])),
        Column(
            "class",
            "Class",
            "",
            np.array([row.class_name or ALL for row in rows]),
            shown=any(row.class_name for row in rows),
        ),
    ]
    for key, title in (("first", compared.first), ("second", compared.second)):
        values = [getattr(row, key) for row in rows]
        columns.append(
            Column(key, title, "Mean over the cases", np.array(values),
                   texts=_texts(values, measures))
        )  # fmt: skip
    differences = [row.difference for row in rows]
    better = [f"{row.better[0]} : {row.better[1]}" for row in rows]

    def p_column(key: str, title: str, meaning: str) -> Column:
        values = [getattr(row, key) for row in rows]
        texts = [number(p) if math.isnan(p) else p_value(p) for p in values]
        return Column(key, title, meaning, np.array(values), texts=texts)

    columns += [
        Column("difference", "Difference", f"{compared.first} minus {compared.second}",
               np.array(differences), texts=_texts(differences, measures)),
        p_column("holm", "p Holm", "Wilcoxon's, corrected for the number of rows tested"),
        Column("better", "Better in", "Cases in which the one, and the other, is better",
               np.array([row.better[0] - row.better[1] for row in rows]), texts=better),
        Column("interval", "Interval", f"Bootstrap interval ({100 * confidence:g} %)",
               np.array([row.low for row in rows]), texts=between),
        p_column("wilcoxon", "p Wilcoxon", "Wilcoxon's signed-rank test of the pairs"),
        p_column("permutation", "p permutation", "Of the mean, under random signs"),
    ]  # fmt: skip
    cases = np.array([row.cases for row in rows])
    return [*columns, Column("cases", "Cases", "That both have", cases)]


def _measured(
    measure: Measure,
    space: Space,
    values: Sequence[float],
    text: Callable[[int], str] | None = None,
) -> Column:
    texts = (
        [text(row) for row in range(len(values))]
        if text
        else _texts(values, [measure] * len(values))
    )
    array = np.array(values, np.float64)
    return Column(
        measure.name,
        measure.name,
        _sentence(measure.help),
        array,
        unit=space.unit_of(measure),
        texts=texts,
    )


def _texts(values: Sequence[float], measures: Sequence[Measure]) -> list[str]:
    from ..evaluation.text import measured

    pairs = zip(values, measures, strict=True)
    return ["" if math.isnan(v) else measured(v, m).replace("inf", "∞") for v, m in pairs]


def _with_interval(scores: Scores, key: str, measure: Measure) -> str:
    from ..evaluation.text import measured

    (text,) = _texts([scores.mean.get(key, math.nan)], [measure])
    low, high = scores.intervals.get(key, (math.nan, math.nan))
    if not math.isnan(low):
        text += f" [{measured(low, measure)}, {measured(high, measure)}]"
    missing = scores.infinite.get(key, 0)
    return f"{text} missing in {missing}" if missing and math.isfinite(scores.mean[key]) else text


def _images_with(scores: Scores, name: str) -> int:
    return sum(c.counts[name].total > 0 for c in scores.cases if name in c.counts)


def _keys(count: int) -> Column:
    return Column("key", "Row", "", np.arange(count), shown=False)


def _range(scores: Scores) -> range:
    return range(len(scores.cases))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
