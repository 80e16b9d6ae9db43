"""Which objects are wrong: missed, false, split, merged; each with a place to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ..labels.boxes import Box, Boxes
from ..labels.overlap import overlaps
from .objects import FOUND, TOUCHING

Side = Literal["truth", "prediction"]
What = Literal["missed", "split", "false", "merged"]


@dataclass(frozen=True)
class Mistake:
    """An object that is wrong.

    Parameters
    ----------
    what
        ``"missed"`` and ``"split"`` of true objects, ``"false"`` and ``"merged"`` of predicted
        ones; one that is split may be found by one of its parts, or missed too.
    side, number
        Whose object it is, and its label there.
    iou
        With the best partner; 0 where there is none.
    partners
        How many of the other side it meets with an IoU above 0.1.
    voxels
        How large it is.
    at
        One of its voxels, the nearest to its middle.
    box
        The box that it lies in.
    """

    what: tuple[What, ...]
    side: Side
    number: int
    iou: float
    partners: int
    voxels: int
    at: tuple[int, ...]
    box: Box


def mistakes(
    prediction: npt.NDArray[Any], truth: npt.NDArray[Any], *, iou: float = FOUND
) -> list[Mistake]:
    """Return the objects that are wrong, true ones first, by their labels.

    As many are missed and false, split and merged as `object_scores` and `match` count.

    Parameters
    ----------
    prediction, truth
        Instance labels of one shape.
    iou
        IoU above which an object is found, from 0.5 to below 1.

    Raises
    ------
    EvaluationError
        If the shapes differ or the labels are no whole numbers from 0 up.
    """
    shared = overlaps(prediction, truth)
    pairs = shared.iou
    true = _of_side("truth", truth, shared.true_ids, shared.true, pairs.T.tocsr(), iou)
    made_up = _of_side("prediction", prediction, shared.predicted_ids, shared.predicted, pairs, iou)
    return [*true, *made_up]


def _of_side(
    side: Side,
    labels: npt.NDArray[Any],
    numbers: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    pairs: sparse.csr_array,
    found_at: float,
) -> Iterator[Mistake]:
    """Yield the wrong objects of one side; ``pairs`` has a row for each of its objects."""
    best = np.zeros(len(numbers))
    np.maximum.at(best, pairs.tocoo().coords[0], pairs.tocoo().data)
    partners = np.asarray((pairs > TOUCHING).sum(axis=1)).ravel()
    wrong = np.flatnonzero((best <= found_at) | (partners > 1))
    if not len(wrong):
        return
    lost: What = "missed" if side == "truth" else "false"
    shared: What = "split" if side == "truth" else "merged"
    boxes = Boxes.of(labels)
    for row in wrong.tolist():
        number = int(numbers[row])
        box = boxes.get(number)
        assert box is not None  # it is counted, so it is there
        what = ((lost,) if best[row] <= found_at else ()) + ((shared,) if partners[row] > 1 else ())
        at = _middle(labels[box] == number, box)
        size, met = int(sizes[row]), int(partners[row])
        yield Mistake(what, side, number, float(best[row]), met, size, at, box)


def _middle(mask: npt.NDArray[np.bool_], box: Box) -> tuple[int, ...]:
    """Return the voxel of a mask that is nearest to its middle, in the array of the box."""
    places = np.argwhere(mask)
    away = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
    nearest = places[int(away.argmin())]
    return tuple(int(p) + s.start for p, s in zip(nearest, box, strict=True))
