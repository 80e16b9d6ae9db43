"""What labels look like where nobody says it: objects that are told apart, or classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..volume import LabelVolume

# Labels, and objects in each, that are looked at.
_LABELS, _OBJECTS = 8, 50
# As many numbers in one image, or on average where they differ from image to image, are objects.
_MANY, _SOME = 8, 3
# Part of the numbers that are one component each where they stand for objects.
_WHOLE = 0.9


def as_labels_look(truths: Sequence[LabelVolume]) -> Literal["instances", "classes"]:
    """Return whether numbers in labels stand for objects or for classes.

    As their files say, or where they say nothing: numbers are objects where each is one piece,
    and there are many of them, or others in each image. In a body they are organs: classes.
    """
    if truths and all(truth.kind == "instances" for truth in truths):
        return "instances"
    if any(len(truth.classes) > 1 or truth.grid.anatomical for truth in truths):
        return "classes"
    some = truths[:: max(1, len(truths) // _LABELS)]
    sets: list[frozenset[int]] = []
    pieces: list[int] = []
    for truth in some:
        numbers, found = _pieces(truth.at_time(0).numpy())
        sets.append(numbers)
        pieces += found
    counts = [len(numbers) for numbers in sets]
    differ = len(set(sets)) > 1 and float(np.mean(counts)) >= _SOME
    if not pieces or not (max(counts) >= _MANY or differ):
        return "classes"
    return "instances" if np.mean(np.array(pieces) == 1) >= _WHOLE else "classes"


def _pieces(labels: npt.NDArray[Any]) -> tuple[frozenset[int], list[int]]:
    """Return the numbers above 0, and of how many pieces some of them are."""
    numbers, compact = np.unique(np.maximum(labels, 0), return_inverse=True)
    compact = compact.reshape(labels.shape) + int(numbers[0] != 0)
    boxes = ndimage.find_objects(compact)
    step = max(1, len(boxes) // _OBJECTS)
    around = np.ones((3,) * labels.ndim)
    pieces = [
        ndimage.label(compact[box] == index, around)[1]
        for index, box in list(enumerate(boxes, start=1))[::step]
        if box is not None
    ]
    return frozenset(numbers[numbers > 0].tolist()), pieces
