"""All measures of each class of an image, worked out within the boxes of the classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from ..labels.boxes import Boxes
from ..labels.overlap import Counts
from ..settings import EvaluationSettings
from .measures import CLASS_MEASURES, Space
from .surfaces import surface_distances

_SURFACE = ("HD95", "ASSD", "Surface Dice")
# Dice and IoU stand with the counts themselves.
_COUNTED = tuple(m.name for m in CLASS_MEASURES if m.name not in ("Dice", "IoU", *_SURFACE))


def class_measures(
    prediction: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    counts: Mapping[int, Counts],
    *,
    space: Space,
    settings: EvaluationSettings,
) -> dict[int, dict[str, float]]:
    """Return the measures of each class that is counted; see `class_measure_steps`."""
    return dict(class_measure_steps(prediction, truth, counts, space=space, settings=settings))


def class_measure_steps(
    prediction: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    counts: Mapping[int, Counts],
    *,
    space: Space,
    settings: EvaluationSettings,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the number and the measures of each class that is counted, but for Dice and IoU.

    Of a class that neither array has, all are NaN. Of one that only one has, distances are
    infinite and the surface Dice is 0; what would divide by nothing is NaN.
    """
    measures = {n: _of_counts(c, prediction.size, space) for n, c in counts.items()}
    if not settings.surfaces:
        yield from measures.items()
        return
    boxes = Boxes.of(prediction), Boxes.of(truth)
    for number, values in measures.items():
        sides = [b for b in (one.get(number) for one in boxes) if b is not None]
        if len(sides) == 2:
            box = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop))
                for a, b in zip(*sides, strict=True)
            )
            found = surface_distances(
                prediction[box] == number, truth[box] == number, spacing=space.spacing
            )
            surface = found.hausdorff(), found.average, found.dice(settings.tolerance)
        else:
            surface = (math.inf, math.inf, 0.0) if sides else (math.nan,) * 3
        values.update(zip(_SURFACE, surface, strict=True))
        yield number, values


def _of_counts(counts: Counts, voxels: int, space: Space) -> dict[str, float]:
    """Return what follows from the counts of voxels."""
    if not counts.total:
        return dict.fromkeys(_COUNTED, math.nan)
    negative = voxels - counts.tp - counts.fn
    more = counts.fp - counts.fn
    true = counts.tp + counts.fn
    return {
        "Sensitivity": counts.recall,
        "Precision": counts.precision,
        "Specificity": (negative - counts.fp) / negative if negative else math.nan,
        "Volume difference": more * space.voxel,
        "Relative volume difference": 100 * more / true if true else math.nan,
    }
