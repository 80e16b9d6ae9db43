"""Scores of one or many images: means with intervals, pooled values, plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..labels.overlap import THRESHOLDS, Counts
from ..settings import EvaluationSettings
from ..volume import LabelKind
from .measures import CLASS_MEASURES, OBJECT_MEASURES, Measure, Space
from .objects import ObjectScores
from .statistics import Floats, interval, resampled_means

_DEFAULT = EvaluationSettings()
_NO_SPACE = Space(())
_MEANS = frozenset(("AP", *(m.name for m in CLASS_MEASURES)))


def threshold_name(threshold: float) -> str:
    """Return the name of average precision at an IoU threshold: ``"AP50"``, ``"AP75"``."""
    return f"AP{round(100 * threshold)}"


@dataclass(frozen=True)
class Case:
    """What was counted in one image.

    ``counts`` maps ``"AP50"`` to ``"AP90"`` to counts of objects (instances), or the name of
    each class to counts of voxels (classes). ``beside`` has the other measures of each class, or
    those of all objects under ``""``; ``space`` the unit that they are in; ``numbers`` the number
    of each class.
    """

    name: str
    kind: LabelKind
    counts: Mapping[str, Counts]
    beside: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    space: Space = _NO_SPACE
    numbers: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def scores(self) -> dict[str, float]:
        """Named values: ``"AP50"``, ..., ``"AP"``; or ``"Dice"``, ``"IoU"``, ``"Dice liver"``.

        ``"AP"`` is the mean over the thresholds, ``"Dice"`` and ``"IoU"`` the mean over the
        classes that are there. A class that neither array has is NaN; of an image without any
        object, predicted or true, every AP is 1. The distance to a surface that is not there is
        infinite. See `measures` for what the names mean.
        """
        if self.kind == "instances":
            values = {name: c.iou if c.total else 1.0 for name, c in self.counts.items()}
        else:
            values = {f"Dice {name}": c.dice for name, c in self.counts.items()}
            values |= {f"IoU {name}": c.iou for name, c in self.counts.items()}
        values |= {
            f"{measure} {name}".rstrip(): value
            for name, beside in self.beside.items()
            for measure, value in beside.items()
        }
        return _with_means(self.kind, values)

    def of_class(self, name: str) -> dict[str, float]:
        """Return the measures of one class, by their names alone; none of one not looked for."""
        counts = self.counts.get(name)
        if counts is None:
            return {}
        return {"Dice": counts.dice, "IoU": counts.iou, **self.beside.get(name, {})}

    @property
    def predicted(self) -> int:
        """Objects, or foreground voxels, in the prediction."""
        return self._sum("tp", "fp")

    @property
    def true(self) -> int:
        """Objects, or foreground voxels, in the truth."""
        return self._sum("tp", "fn")

    def _sum(self, *which: str) -> int:
        # All thresholds count the same objects; classes add up.
        counts = list(self.counts.values())[: 1 if self.kind == "instances" else None]
        return sum(getattr(c, w) for c in counts for w in which)


@dataclass(frozen=True)
class Scores:
    """Scores of the images of a folder, or of one.

    ``left_out`` names the files that do not count: they have no partner or could not be read.
    """

    kind: LabelKind
    cases: tuple[Case, ...]
    left_out: tuple[str, ...] = ()
    settings: EvaluationSettings = _DEFAULT

    @cached_property
    def mean(self) -> dict[str, float]:
        """Mean over the images of each score: the headline, as in the Data Science Bowl 2018.

        A class counts in the images where the prediction or the truth has it; ``"Dice"``,
        ``"IoU"`` and the others are the means over the classes of these (as nnU-Net reports
        them). Distances count where both have it, and are infinite where that is nowhere;
        `infinite` says of how many images they are missing.
        """
        names, rows = self._names, self._rows
        values = {n: _mean(row.get(n, math.nan) for row in rows) for n in names}
        return _with_means(self.kind, values)

    @cached_property
    def infinite(self) -> dict[str, int]:
        """How many images have an infinite distance, of the measures and classes that have any."""
        found = {n: sum(math.isinf(row.get(n, 0.0)) for row in self._rows) for n in self._names}
        return {name: count for name, count in found.items() if count}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Bootstrap interval of each mean, over the cases; NaN of a single case."""
        means = self.resampled
        return {n: interval(m, confidence=self.settings.confidence) for n, m in means.items()}

    @cached_property
    def resampled(self) -> dict[str, Floats]:
        """Means of cases drawn again, by the names of `mean`; empty arrays of a single case."""
        names = self._names
        if len(self.cases) < 2:
            return {name: np.empty(0) for name in self.mean}
        table = [[row.get(n, math.nan) for n in names] for row in self._rows]
        how = self.settings
        drawn = resampled_means(table, resamples=how.resamples, seed=how.seed)
        columns = dict(zip(names, drawn.T, strict=True))
        means = {
            mean: _mean_of_columns([columns[n] for n in parts])
            for mean, parts in _parts(self.kind, names).items()
        }
        return {**means, **columns}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order; none of instances."""
        if self.kind == "instances":
            return ()
        return tuple(dict.fromkeys(name for case in self.cases for name in case.counts))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that were taken."""
        known = CLASS_MEASURES if self.kind == "classes" else OBJECT_MEASURES
        there = self.mean
        return tuple(m for m in known if m.name in there)

    @property
    def space(self) -> Space:
        """The unit of lengths and volumes: that of the first case."""
        return self.cases[0].space if self.cases else _NO_SPACE

    @cached_property
    def _rows(self) -> list[dict[str, float]]:
        return [case.scores for case in self.cases]

    @cached_property
    def _names(self) -> list[str]:
        """All that has a value in a case, but for the means within a case."""
        return list(dict.fromkeys(n for row in self._rows for n in row if n not in _MEANS))

    @property
    def pooled_counts(self) -> dict[str, Counts]:
        """Counts summed over the images, by threshold or class."""
        total: dict[str, Counts] = {}
        for case in self.cases:
            for name, counts in case.counts.items():
                total[name] = total.get(name, Counts(0, 0, 0)).plus(counts)
        return total

    @property
    def pooled(self) -> dict[str, float]:
        """Scores of the summed counts, so that a crowded image weighs more (as StarDist does)."""
        return Case("pooled", self.kind, self.pooled_counts).scores

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: means, pooled, and a row a case.

        NaN becomes ``None``, and what is infinite ``"inf"``.
        """
        return {
            "kind": self.kind,
            "images": len(self.cases),
            "length_unit": self.space.unit,
            "volume_unit": self.space.volume_unit,
            "settings": self.settings.to_json(),
            "mean": _plain(self.mean),
            "intervals": {n: [plain(x) for x in pair] for n, pair in self.intervals.items()},
            "pooled": _plain(self.pooled),
            "cases": [
                {
                    "name": case.name,
                    "scores": _plain(case.scores),
                    "counts": {name: c._asdict() for name, c in case.counts.items()},
                }
                for case in self.cases
            ],
            "left_out": list(self.left_out),
        }

    def table(self) -> str:
        """Return the scores as aligned plain text: a line a case, then the summary."""
        from .text import tables

        return "\n\n".join(tables(self))


def instance_case(name: str, counts: Sequence[Counts], objects: ObjectScores | None = None) -> Case:
    """Return the case of objects counted at the usual thresholds."""
    named = zip(map(threshold_name, THRESHOLDS), counts, strict=True)
    beside = {}
    if objects is not None:
        beside[""] = {
            "F1": objects.f1,
            "PQ": objects.panoptic_quality,
            "SQ": objects.segmentation_quality,
            "AJI": objects.aji,
            "Splits": float(objects.splits),
            "Merges": float(objects.merges),
        }
    return Case(name, "instances", dict(named), beside)


def _parts(kind: LabelKind, names: Iterable[str]) -> dict[str, list[str]]:
    """Return what each mean is the mean of: all AP, or one measure of all classes."""
    if kind == "instances":
        return {"AP": [n for n in names if n.startswith("AP")]}
    every = list(names)
    of_measures = {m.name: [n for n in every if n.startswith(f"{m.name} ")] for m in CLASS_MEASURES}
    return {m: parts for m, parts in of_measures.items() if parts or m in ("Dice", "IoU")}


def _with_means(kind: LabelKind, values: Mapping[str, float]) -> dict[str, float]:
    """Return the values led by the means over thresholds or classes."""
    parts = _parts(kind, values)
    return {**{m: _mean(values[n] for n in names) for m, names in parts.items()}, **values}


def _mean(values: Iterable[float]) -> float:
    """Return the mean of what is finite; infinite where that is nothing, NaN of nothing at all."""
    known = [v for v in values if not math.isnan(v)]
    finite = [v for v in known if math.isfinite(v)]
    if not finite:
        return math.inf if known else math.nan
    return math.fsum(finite) / len(finite)


def _mean_of_columns(columns: Sequence[Floats]) -> Floats:
    """Return the mean of the columns in each row, of what is not NaN."""
    if not columns:
        return np.empty(0)
    table = np.stack(columns)
    known = np.isfinite(table)
    count = known.sum(axis=0)
    total: Floats = np.where(known, table, 0.0).sum(axis=0)
    means: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def _plain(values: Mapping[str, float]) -> dict[str, float | str | None]:
    return {name: plain(v) for name, v in values.items()}


def plain(value: float) -> float | str | None:
    """Return a number that JSON can hold: ``None`` for NaN, ``"inf"`` for what is infinite."""
    if math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else str(value)
