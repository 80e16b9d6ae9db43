"""Counts of right and wrong objects and voxels; pure functions on label arrays.

An array of labels holds whole numbers, 0 is background. Arrays that are compared have the same
shape; the number of axes is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ..errors import EvaluationError

Labels = npt.NDArray[Any]

# IoU thresholds of average precision. Written out: np.arange(0.5, 0.95, 0.05) is 1e-16 off, and
# an object whose IoU is just 0.55 would fall on the wrong side.
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


class Counts(NamedTuple):
    """True positives, false positives, false negatives: of objects, or of one class's voxels."""

    tp: int
    fp: int
    fn: int

    @property
    def total(self) -> int:
        """All that is in the prediction or the truth; 0 when both are empty."""
        return self.tp + self.fp + self.fn

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN): IoU of voxels, average precision of objects; NaN of nothing."""
        return self.tp / self.total if self.total else float("nan")

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN): Dice of voxels, F1 of objects; NaN of nothing."""
        return 2 * self.tp / (self.total + self.tp) if self.total else float("nan")

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where nothing is predicted."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float("nan")

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN where nothing is there to be found."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float("nan")

    def plus(self, other: Counts) -> Counts:
        """Return the counts of both together."""
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


# -- instances ------------------------------------------------------------------------------------


class Overlaps(NamedTuple):
    """Voxels that predicted objects (rows) share with true ones (columns), and their sizes.

    Objects are in ascending order of their labels; ``shared`` stores the pairs that share a voxel.
    """

    shared: sparse.csr_array
    predicted: npt.NDArray[np.int64]
    true: npt.NDArray[np.int64]
    predicted_ids: npt.NDArray[np.int64]
    true_ids: npt.NDArray[np.int64]

    @property
    def iou(self) -> sparse.csr_array:
        """IoU of each pair that shares a voxel, float64."""
        pairs = self.shared.tocoo()
        row, column = pairs.coords
        ratio = pairs.data / (self.predicted[row] + self.true[column] - pairs.data)
        return sparse.csr_array((ratio, (row, column)), shape=pairs.shape, dtype=np.float64)


def overlaps(prediction: Labels, truth: Labels) -> Overlaps:
    """Count the voxels that each predicted object shares with each true one.

    Raises
    ------
    EvaluationError
        If the shapes differ or the labels are no whole numbers from 0 up.
    """
    p, t = _flat(prediction, truth)
    p_ids, p_sizes = _count(p)
    t_ids, t_sizes = _count(t)
    both = np.flatnonzero((p != 0) & (t != 0))
    p, t = p[both], t[both]
    # Neighbours mostly belong to the same two objects: count runs, not voxels.
    start = np.flatnonzero(np.r_[True, (p[1:] != p[:-1]) | (t[1:] != t[:-1])][: p.size])
    length = np.diff(start, append=p.size)
    place = np.searchsorted(p_ids, p[start]), np.searchsorted(t_ids, t[start])
    shared = sparse.coo_array((length, place), shape=(len(p_ids), len(t_ids)))
    return Overlaps(sparse.csr_array(shared), p_sizes, t_sizes, p_ids, t_ids)


def intersection_over_union(prediction: Labels, truth: Labels) -> sparse.csr_array:
    """Return the IoU of every predicted object with every true one that it touches.

    Parameters
    ----------
    prediction, truth
        Instance labels of one shape.

    Returns
    -------
    scipy.sparse.csr_array
        Float64, shape (predicted objects, true objects), in ascending order of their labels;
        only pairs that share a voxel are stored.

    Raises
    ------
    EvaluationError
        If the shapes differ or the labels are no whole numbers from 0 up.
    """
    return overlaps(prediction, truth).iou


def match(iou: sparse.sparray | npt.NDArray[Any], threshold: float) -> Counts:
    """Return how many objects are found (tp), made up (fp) and missed (fn).

    A prediction is right when its IoU with a true object is above ``threshold``, as in the Data
    Science Bowl 2018 (Caicedo et al., Nature Methods 2019). Above 0.5 an object can have one
    partner only, so no assignment problem is left (Kirillov et al., Panoptic Segmentation, 2019).

    Raises
    ------
    EvaluationError
        If the threshold is not in 0.5 to 1.
    """
    if not 0.5 <= threshold < 1:
        raise EvaluationError(f"The IoU threshold is {threshold}; it goes from 0.5 to below 1.")
    matrix = sparse.csr_array(iou)
    tp = int(np.count_nonzero(matrix.data > threshold))
    return Counts(tp, matrix.shape[0] - tp, matrix.shape[1] - tp)


def instance_counts(
    prediction: Labels, truth: Labels, *, thresholds: Sequence[float] = THRESHOLDS
) -> tuple[Counts, ...]:
    """Return the counts of objects at each IoU threshold; see `match`."""
    iou = intersection_over_union(prediction, truth)
    return tuple(match(iou, t) for t in thresholds)


def average_precision(
    prediction: Labels, truth: Labels, *, thresholds: Sequence[float] = THRESHOLDS
) -> npt.NDArray[np.float64]:
    """Return TP / (TP + FP + FN) of the objects at each IoU threshold.

    The measure of the Data Science Bowl 2018, called average precision there, by StarDist and by
    Cellpose. Where neither array has an object it is 1; where only one has, 0.
    """
    counts = instance_counts(prediction, truth, thresholds=thresholds)
    return np.asarray([c.iou if c.total else 1.0 for c in counts], dtype=np.float64)


# -- classes --------------------------------------------------------------------------------------


def class_counts(
    prediction: Labels, truth: Labels, *, classes: Iterable[int] | None = None
) -> dict[int, Counts]:
    """Return the counts of voxels of each class.

    ``classes`` are the numbers to count; when left out, all but 0 that either array has.
    """
    p, t = _flat(prediction, truth)
    predicted, true, shared = (_table(x) for x in (p, t, p[p == t]))
    numbers = sorted({*predicted, *true}) if classes is None else list(classes)
    return {
        n: Counts(
            tp := shared.get(n, 0),
            predicted.get(n, 0) - tp,
            true.get(n, 0) - tp,
        )
        for n in numbers
    }


def dice(
    prediction: Labels, truth: Labels, *, classes: Iterable[int] | None = None
) -> dict[int, float]:
    """Return the Dice coefficient of each class; NaN for a class that neither array has.

    A class that only one of the two has scores 0.
    """
    counts = class_counts(prediction, truth, classes=classes)
    return {number: c.dice for number, c in counts.items()}


def iou(
    prediction: Labels, truth: Labels, *, classes: Iterable[int] | None = None
) -> dict[int, float]:
    """Return the intersection over union of each class; NaN and 0 as for `dice`."""
    counts = class_counts(prediction, truth, classes=classes)
    return {number: c.iou for number, c in counts.items()}


# -- counting -------------------------------------------------------------------------------------


def _flat(prediction: Labels, truth: Labels) -> tuple[Labels, Labels]:
    """Return both arrays flat, as 64-bit integers, checked."""
    flat = []
    for what, array in (("prediction", np.asarray(prediction)), ("truth", np.asarray(truth))):
        if array.dtype.kind not in "iub":
            raise EvaluationError(f"The {what} is {array.dtype}; labels are whole numbers.")
        plain = array.astype(np.int64, copy=False)
        if plain.size and plain.min() < 0:
            if array.dtype.kind == "u":
                raise EvaluationError(f"The {what} holds {array.max()}; labels go up to 2^63 - 1.")
            raise EvaluationError(f"The {what} holds {array.min()}; labels go from 0 up.")
        flat.append(plain)
    if flat[0].shape != flat[1].shape:
        raise EvaluationError(
            f"The prediction has shape {flat[0].shape} and the truth {flat[1].shape}: "
            "compare labels of the same image."
        )
    return flat[0].ravel(), flat[1].ravel()


def _count(labels: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the labels above 0 in ascending order, and how often each is there."""
    # Counting is linear, sorting is not; but a table up to the highest label must be payable.
    if labels.size and labels.max() <= 4 * labels.size:
        table = np.bincount(labels)
        ids = np.flatnonzero(table[1:]) + 1
        return ids.astype(np.int64), table[ids].astype(np.int64)
    ids, counts = np.unique(labels, return_counts=True)
    above = ids > 0
    return ids[above].astype(np.int64), counts[above].astype(np.int64)


def _table(labels: Labels) -> dict[int, int]:
    ids, counts = _count(labels)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))
