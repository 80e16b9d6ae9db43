"""What a network is to predict, made from labels on the grid that it sees."""

from __future__ import annotations

from collections.abc import Sequence
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
    found = np.stack(maps).astype(np.float16)
    if partial:
        write_planes(labels, spacing, distance=found[1], known=found[4])
    return found


def write_planes(
    labels: npt.NDArray[Any],
    spacing: Sequence[float],
    *,
    distance: npt.NDArray[np.float16],
    known: npt.NDArray[np.float16],
) -> None:
    """Give objects of which only some slices are labelled the distance that they have in these.

    Who labels a few slices of a volume cuts all its objects, and how deep their voxels lie is not
    known. In a slice that is labelled whole the outline is: the distance within it takes the place
    of the one in space, as it does where slices are segmented one by one.

    Parameters
    ----------
    labels
        Labels, or `IGNORED`, maybe on disk.
    spacing
        Distance between voxels along each axis.
    distance, known
        The centre distance, and 1 where it is known; written to.
    """
    axis, planes = _labelled_planes(labels)
    rest = [spacing[a] for a in range(labels.ndim) if a != axis]
    for plane in planes:
        at = (slice(None),) * axis + (int(plane),)
        objects = np.asarray(labels[at])
        cut = (objects > 0) & (np.asarray(known[at]) == 0)
        if cut.any():
            distance[at] = np.where(cut, centre_distance(objects, spacing=rest), distance[at])
            known[at] = np.where(cut, 1, known[at])


def _labelled_planes(labels: npt.NDArray[Any]) -> tuple[int, npt.NDArray[np.intp]]:
    """Return the planes of a volume that are labelled, and their axis, where all others are not."""
    counts = [np.zeros(n, np.int64) for n in labels.shape]
    if labels.ndim == 3:
        for index, plane in enumerate(labels):
            known = plane != IGNORED
            counts[0][index] = known.sum()
            counts[1] += known.sum(1)
            counts[2] += known.sum(0)
        for axis, found in enumerate(counts):
            whole = found == labels.size // len(found)
            if (whole | (found == 0)).all():
                return axis, np.flatnonzero(whole)
    return 0, np.zeros(0, np.intp)


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
