"""What a network is to predict, made from labels on the grid that it sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import TrainingError
from ..instances import centre_distance
from ..models import ModelDescription
from .partial import IGNORED, whole_objects

Labels = npt.NDArray[np.int32]

# Voxels within which two objects count as touching.
NEAR = 2
_NO_OBJECT = np.iinfo(np.int32).max
_NO_CLASS = -2
# Range of numbers up to which they are counted.
_MOST_COUNTED = 2**16


def instance_maps(
    labels: Labels, spacing: tuple[float, ...], *, partial: bool
) -> npt.NDArray[np.float16]:
    """Return foreground, centre distance, and where objects touch, shape (3, *labels.shape).

    Of ``partial`` labels two more: what is labelled, and where the distance is known.
    """
    objects = np.maximum(labels, 0)
    maps = [objects > 0, centre_distance(objects, spacing=spacing), touching(objects)]
    if partial:
        maps += [labels != IGNORED, whole_objects(labels)]
    return np.stack(maps).astype(np.float16)


def touching(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Return where objects touch or nearly do: voxels with two objects at most two voxels away."""
    size = 2 * NEAR + 1
    largest = ndimage.maximum_filter(labels, size)
    # The background must not be the smallest number near.
    smallest = -ndimage.maximum_filter(np.where(labels > 0, -labels, -_NO_OBJECT), size)
    between: npt.NDArray[np.bool_] = (largest > 0) & (smallest < largest)
    return between


def class_indices(labels: Labels, description: ModelDescription, name: str) -> Labels:
    """Return the output index of each voxel's class: 0 background, then the order of classes.

    Raises TrainingError for a number that is no class of the model.
    """
    numbers = [0, *(c.number for c in description.labels)]
    # Looked up in a table: -1, which is `IGNORED`, is its last place.
    table = np.full(max(numbers) + 2, _NO_CLASS, np.int32)
    table[numbers] = np.arange(len(numbers))
    table[IGNORED] = IGNORED
    indices: Labels = table[np.minimum(labels, max(numbers))]
    strange = (indices == _NO_CLASS) | (labels > max(numbers))
    if strange.any():
        number = labels[strange].min()
        raise TrainingError(
            f"{name}: label {number} is none of the model's classes {np.array(numbers)}."
        )
    return indices


def numbers_in(labels: npt.NDArray[np.integer[Any]]) -> list[int]:
    """Return the numbers that an array holds, rising; a count is faster than a sort."""
    if not labels.size:
        return []
    low, high = int(labels.min()), int(labels.max())
    if high - low > _MOST_COUNTED:
        return [int(number) for number in np.unique(labels)]
    counts = np.bincount((labels - low).ravel())
    return [int(number) + low for number in np.flatnonzero(counts)]
