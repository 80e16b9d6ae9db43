"""How good predicted objects are as a whole: panoptic quality, F1, AJI, splits and merges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels.overlap import Overlaps, match, overlaps

# IoU above which an object is found, and above which two touch at all.
FOUND = 0.5
TOUCHING = 0.1


@dataclass(frozen=True)
class ObjectScores:
    """Measures of the objects of an image.

    Parameters
    ----------
    f1, panoptic_quality, segmentation_quality, recognition_quality
        Of the objects found, as a rule at an IoU above 0.5: F1 is the recognition quality, the
        segmentation quality is the mean IoU of the found ones, panoptic quality the product of
        both (Kirillov et al., "Panoptic Segmentation", 2019).
    aji
        Aggregated Jaccard index (Kumar et al., IEEE TMI 2017): the voxels that each true object
        shares with the predicted one of the highest IoU, over the voxels of their unions and of
        the predicted objects that no true one has chosen.
    splits, merges
        True objects that two or more predicted ones meet with an IoU above 0.1, and predicted
        objects that two or more true ones meet so (Caicedo et al., Cytometry A 2019).
    """

    f1: float
    panoptic_quality: float
    segmentation_quality: float
    recognition_quality: float
    aji: float
    splits: int
    merges: int


def object_scores(
    prediction: npt.NDArray[Any], truth: npt.NDArray[Any], *, iou: float = FOUND
) -> ObjectScores:
    """Return the measures of instance labels of one shape.

    An object is found by one of an IoU above ``iou``, from 0.5 to below 1.

    Without any object, predicted or true, F1, panoptic quality and AJI are 1; where only one side
    has objects they are 0. The segmentation quality is NaN where nothing is found.

    Raises
    ------
    EvaluationError
        If the shapes differ or the labels are no whole numbers from 0 up.
    """
    return scores_of_overlaps(overlaps(prediction, truth), found_at=iou)


def scores_of_overlaps(shared: Overlaps, *, found_at: float = FOUND) -> ObjectScores:
    """Return the measures of objects whose overlaps are known."""
    iou = shared.iou
    counts = match(iou, found_at)
    quality = float(iou.data[iou.data > found_at].mean()) if counts.tp else math.nan
    recognition = counts.dice if counts.total else 1.0
    panoptic = recognition * quality if counts.tp else recognition
    touching = iou > TOUCHING
    return ObjectScores(
        f1=recognition,
        panoptic_quality=panoptic,
        segmentation_quality=quality,
        recognition_quality=recognition,
        aji=_aggregated_jaccard(shared),
        splits=int(np.count_nonzero(touching.sum(axis=0) > 1)),
        merges=int(np.count_nonzero(touching.sum(axis=1) > 1)),
    )


def _aggregated_jaccard(shared: Overlaps) -> float:
    if not len(shared.predicted) and not len(shared.true):
        return 1.0
    pairs, iou = shared.shared.tocoo(), shared.iou.tocoo()
    row, column = pairs.coords
    # The best of each true object; of equals the one with the lowest label.
    order = np.lexsort((row, -iou.data, column))
    _, first = np.unique(column[order], return_index=True)
    best = order[first]
    intersection = int(pairs.data[best].sum())
    # A predicted object may be the best of several, and counts in each of these unions.
    union = int(shared.predicted[row[best]].sum() + shared.true.sum()) - intersection
    unused = np.setdiff1d(np.arange(len(shared.predicted)), row[best])
    return intersection / (union + int(shared.predicted[unused].sum()))
