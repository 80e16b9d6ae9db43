"""Scores of one or many images: means, pooled values, plain JSON and a table to print."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..labels.overlap import THRESHOLDS, Counts
from ..volume import LabelKind

# Columns of the table of instances; the summary below it has all thresholds.
_SHOWN = ("AP50", "AP75", "AP90", "AP")


def threshold_name(threshold: float) -> str:
    """Return the name of average precision at an IoU threshold: ``"AP50"``, ``"AP75"``."""
    return f"AP{round(100 * threshold)}"


@dataclass(frozen=True)
class Case:
    """What was counted in one image.

    ``counts`` maps ``"AP50"`` to ``"AP90"`` to counts of objects (instances), or the name of
    each class to counts of voxels (classes).
    """

    name: str
    kind: LabelKind
    counts: Mapping[str, Counts]

    @property
    def scores(self) -> dict[str, float]:
        """Named values: ``"AP50"``, ..., ``"AP"``; or ``"Dice"``, ``"IoU"``, ``"Dice liver"``.

        ``"AP"`` is the mean over the thresholds, ``"Dice"`` and ``"IoU"`` the mean over the
        classes that are there. A class that neither array has is NaN; of an image without any
        object, predicted or true, every AP is 1.
        """
        if self.kind == "instances":
            values = {name: c.iou if c.total else 1.0 for name, c in self.counts.items()}
        else:
            values = {f"Dice {name}": c.dice for name, c in self.counts.items()}
            values |= {f"IoU {name}": c.iou for name, c in self.counts.items()}
        return _with_means(self.kind, values)

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

    ``left_out`` names the files that have no partner and therefore do not count.
    """

    kind: LabelKind
    cases: tuple[Case, ...]
    left_out: tuple[str, ...] = ()

    @property
    def mean(self) -> dict[str, float]:
        """Mean over the images of each score: the headline, as in the Data Science Bowl 2018.

        A class counts in the images where the prediction or the truth has it; ``"Dice"`` and
        ``"IoU"`` are the means over the classes of these (as nnU-Net reports them).
        """
        rows = [case.scores for case in self.cases]
        names = dict.fromkeys(n for row in rows for n in row if n not in ("AP", "Dice", "IoU"))
        values = {n: _mean(row.get(n, math.nan) for row in rows) for n in names}
        return _with_means(self.kind, values)

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
        """Return plain JSON values: means, pooled, and a row a case; NaN becomes ``None``."""
        return {
            "kind": self.kind,
            "images": len(self.cases),
            "mean": _plain(self.mean),
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
        if self.kind == "instances":
            return "\n\n".join((self._instance_cases(), self._instance_summary()))
        return "\n\n".join((self._class_cases(), self._class_summary()))

    def _images(self) -> str:
        return f"{len(self.cases)} image{'' if len(self.cases) == 1 else 's'}"

    def _instance_cases(self) -> str:
        rows: list[tuple[str, ...]] = [("image", "true", "predicted", *_SHOWN)]
        for case in self.cases:
            values = (_number(case.scores.get(n)) for n in _SHOWN)
            rows.append((case.name, str(case.true), str(case.predicted), *values))
        return _aligned(rows)

    def _instance_summary(self) -> str:
        mean, pooled, counts = self.mean, self.pooled, self.pooled_counts
        rows: list[tuple[str, ...]] = [
            (self._images(), "mean", "pooled", "precision", "recall", "F1")
        ]
        for name, c in counts.items():
            rest = (c.precision, c.recall, c.dice)
            rows.append((name, *map(_number, (mean[name], pooled[name], *rest))))
        rows.append(("AP", _number(mean["AP"]), _number(pooled["AP"]), "", "", ""))
        return _aligned(rows)

    def _class_cases(self) -> str:
        rows: list[tuple[str, ...]] = [("image", "Dice", "IoU")]
        for case in self.cases:
            scores = case.scores
            rows.append((case.name, _number(scores["Dice"]), _number(scores["IoU"])))
        return _aligned(rows)

    def _class_summary(self) -> str:
        mean, pooled = self.mean, self.pooled
        rows: list[tuple[str, ...]] = [
            (self._images(), "Dice", "IoU", "pooled Dice", "pooled IoU", "in")
        ]
        for name in self.pooled_counts:
            values = (m[f"{s} {name}"] for m in (mean, pooled) for s in ("Dice", "IoU"))
            there = sum(case.counts[name].total > 0 for case in self.cases if name in case.counts)
            rows.append((name, *map(_number, values), str(there)))
        values = (m[s] for m in (mean, pooled) for s in ("Dice", "IoU"))
        rows.append(("all classes", *map(_number, values), ""))
        return _aligned(rows)


def instance_case(name: str, counts: Sequence[Counts]) -> Case:
    """Return the case of objects counted at the usual thresholds."""
    named = zip(map(threshold_name, THRESHOLDS), counts, strict=True)
    return Case(name, "instances", dict(named))


def _with_means(kind: LabelKind, values: Mapping[str, float]) -> dict[str, float]:
    """Return the values led by the mean of all AP, or of all Dice and of all IoU."""
    if kind == "instances":
        return {"AP": _mean(values.values()), **values}
    means = {
        score: _mean(v for name, v in values.items() if name.startswith(f"{score} "))
        for score in ("Dice", "IoU")
    }
    return {**means, **values}


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers; NaN when none is."""
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(v) else round(v, 6) for name, v in values.items()}


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = functools.partial(_line, widths=widths)
    return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{row[0]:<{widths[0]}}"]
    cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join(cells).rstrip()
