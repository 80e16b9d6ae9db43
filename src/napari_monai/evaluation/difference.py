"""Where a prediction is right and where it is wrong, as labels to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EvaluationError
from ..grid import Grid
from ..labels.overlap import overlaps
from ..volume import LabelClass, LabelKind, LabelVolume, Volume
from .compare import Comparable, kind_of, on_one_grid, paired_times
from .objects import FOUND

# Colours that the colour-blind tell apart (Okabe and Ito 2008).
CLASSES = (
    LabelClass(1, "true positive", "#009e73"),
    LabelClass(2, "false positive", "#d55e00"),
    LabelClass(3, "false negative", "#56b4e9"),
    LabelClass(4, "mistaken", "#f0e442"),
)
TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE, MISTAKEN = (c.number for c in CLASSES)


def difference(
    prediction: Comparable,
    truth: Comparable,
    *,
    kind: LabelKind | None = None,
    label: int | None = None,
    iou: float = FOUND,
) -> LabelVolume:
    """Return what is true positive, false positive and false negative, as labels.

    A voxel that both have is mistaken where it is of another class, or of objects that do not
    match: a false positive of the one and a false negative of the other.

    Parameters
    ----------
    prediction, truth, kind
        As for `evaluate`.
    label
        The number of the class to look at alone; all are when left out. Not of instances.
    iou
        IoU above which two objects match, from 0.5 to below 1.

    Returns
    -------
    LabelVolume
        uint8, on the grid of the truth, with the classes `CLASSES`.

    Raises
    ------
    EvaluationError
        If the two do not fit each other.
    """
    kind = kind or kind_of([(prediction, truth)])
    if kind == "instances" and label is not None:
        raise EvaluationError("Numbers of objects say nothing across images: leave out the label.")
    if isinstance(prediction, Volume) and isinstance(truth, Volume):
        prediction, truth = on_one_grid(prediction, truth)
    pairs = paired_times(prediction, truth)
    frames = [_difference(p, t, kind, label, iou) for p, t in pairs]
    timed = isinstance(truth, Volume) and "t" in truth.leading
    grid = truth.grid if isinstance(truth, Volume) else Grid.from_spacing(frames[0].shape)
    return LabelVolume(
        np.stack(frames) if timed else frames[0],
        grid,
        leading="t" if timed else "",
        name=f"{truth.name} difference" if isinstance(truth, Volume) else "difference",
        time_step=truth.time_step if isinstance(truth, Volume) else None,
        classes=CLASSES,
    )


def _difference(
    prediction: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    kind: LabelKind,
    label: int | None,
    iou: float,
) -> npt.NDArray[np.uint8]:
    if prediction.shape != truth.shape:
        raise EvaluationError(
            f"The prediction has shape {prediction.shape} and the truth {truth.shape}: "
            "compare labels of the same image."
        )
    if label is not None:
        prediction, truth = prediction == label, truth == label
    right = prediction == truth if kind == "classes" else _matched(prediction, truth, iou)
    found = np.where(right, TRUE_POSITIVE, MISTAKEN).astype(np.uint8)
    found[truth == 0] = FALSE_POSITIVE
    found[prediction == 0] = FALSE_NEGATIVE
    found[(prediction == 0) & (truth == 0)] = 0
    return found


def _matched(
    prediction: npt.NDArray[Any], truth: npt.NDArray[Any], iou: float
) -> npt.NDArray[np.bool_]:
    """Return where an object lies over the one that it matches."""
    shared = overlaps(prediction, truth)
    pairs = shared.iou.tocoo()
    good = pairs.data > iou
    row, column = (axis[good] for axis in pairs.coords)
    partner = np.zeros(len(shared.predicted_ids) + 1, np.int64)
    partner[row + 1] = shared.true_ids[column]
    place = np.searchsorted(shared.predicted_ids, prediction)
    there = prediction != 0
    matched: npt.NDArray[np.bool_] = (partner[(place + 1) * there] == truth) & there
    return matched
