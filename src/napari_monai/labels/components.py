"""Connected components of labels: keep the largest, remove small ones, fill holes.

Arrays of labels are taken as they are, 2-D or 3-D; new ones are returned. All labels are done in
one pass, however many there are: classes as well as instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .boxes import boxes_in
from .connected import Components, components, fill_runs

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# Voxels from which on runs are quicker than voxels.
_LARGE = 1 << 14


def keep_largest(
    labels: Labels,
    *,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
    together: bool = False,
) -> Labels:
    """Return labels with the largest component of each class, and no other one.

    Parameters
    ----------
    labels
        Class numbers, 0 for background.
    values
        The classes to clean; others stay. ``None`` is all.
    connectivity
        How many axes neighbours may differ in: 1 are those that share a face, ``None`` (as many
        as there are axes) those that share a corner.
    together
        Whether the classes are one: only the largest component of all of them is kept.
    """
    if together:
        chosen = labels != 0 if values is None else np.isin(labels, [v for v in values if v])
        found = components(chosen.view(np.uint8), connectivity)
        return _without(labels, found, not_largest(found))
    found = components(labels, connectivity)
    return _without(labels, found, not_largest(found, values))


def remove_small(
    labels: Labels,
    min_size: float,
    *,
    voxel_size: float = 1.0,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
) -> Labels:
    """Return labels without the components of a class that are smaller than a size.

    Parameters
    ----------
    labels
        Class numbers, 0 for background.
    min_size
        The smallest size that stays, in the unit of ``voxel_size``.
    voxel_size
        Volume, or area, of a voxel.
    values, connectivity
        See `keep_largest`.
    """
    found = components(labels, connectivity)
    return _without(labels, found, smaller(found, min_size, voxel_size, values))


def fill_holes(
    labels: Labels,
    *,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
    over: bool = False,
) -> Labels:
    """Return labels with what a class encloses added to it.

    Parameters
    ----------
    labels
        Class numbers, 0 for background.
    values
        The classes whose holes are filled, in rising order; ``None`` is all.
    connectivity
        How what is outside finds its way in, see `keep_largest`; ``None``, past corners too, leaves
        the fewest holes.
    over
        Whether other classes in a hole are filled too, and not the background alone.
    """
    result = labels.copy()
    wanted = None if values is None else set(values)
    for value, part in boxes_in(labels):
        if wanted is None or value in wanted:
            here = result[part]
            found = holes(here == value, connectivity)
            if found is not None:
                here[found if over else found & (here == 0)] = value
    return result


def holes(mask: Mask, connectivity: int | None = None, *, most: float = np.inf) -> Mask | None:
    """Return what a mask encloses: where the way to the border of the array is barred.

    Parameters
    ----------
    mask
        Of 2 or 3 axes.
    connectivity
        See `fill_holes`.
    most
        Voxels of the largest hole that counts.

    Returns
    -------
    Mask or None
        ``None`` where there is no hole.
    """
    if mask.size < _LARGE:
        return _small_holes(mask, connectivity, most)
    outside = components((~mask).view(np.uint8), connectivity)
    closed = outside.sizes <= most
    runs = outside.runs
    plane, row, column = runs.places()
    planes, rows, columns = runs.shape
    at_border = (column == 0) | (column + runs.length == columns)
    at_border |= (plane == 0) | (plane == planes - 1)
    if mask.ndim == 3:
        at_border |= (row == 0) | (row == rows - 1)
    closed[outside.number[at_border]] = False
    if not closed.any():
        return None
    found = np.zeros(mask.shape, np.bool_)
    fill_runs(found.reshape(-1), outside.runs, outside.runs_of(closed), True)
    return found


def _small_holes(mask: Mask, connectivity: int | None, most: float) -> Mask | None:
    outside, count = ndimage.label(~mask, structure_of(mask.ndim, connectivity))
    if count < 2 and not (count and min(mask.shape) > 2):
        return None
    closed = np.bincount(outside.reshape(-1)) <= most
    closed[0] = False
    for axis in range(mask.ndim):
        faces = np.moveaxis(outside, axis, 0)
        closed[faces[0]] = closed[faces[-1]] = False
    return np.asarray(closed[outside]) if closed.any() else None


def smaller(
    found: Components,
    min_size: float,
    voxel_size: float = 1.0,
    values: Iterable[int] | None = None,
) -> Mask:
    """Return which components are smaller than a size; see `remove_small`."""
    # A voxel's share is not exact in binary: a size that is just reached stays.
    small: Mask = found.sizes * voxel_size < min_size * (1 - 1e-9)
    return small if values is None else small & np.isin(found.values, list(values))


def not_largest(found: Components, values: Iterable[int] | None = None) -> Mask:
    """Return which components are not the largest of their label; see `keep_largest`."""
    rest = np.ones(len(found.sizes), np.bool_)
    if len(rest):
        order = np.lexsort((found.sizes, found.values))
        label, size = found.values[order], found.sizes[order]
        last = np.append(label[1:] != label[:-1], True)
        rest[order[last]] = False
        # Of several as large, the one that MONAI keeps: usually the last.
        equal = (label[1:] == label[:-1]) & (size[1:] == size[:-1]) & last[1:]
        for value in label[1:][equal]:
            own = np.flatnonzero(found.values == value)
            rest[own] = True
            rest[own[np.argsort(np.concatenate([[0], found.sizes[own]]))[-1] - 1]] = False
    return rest if values is None else rest & np.isin(found.values, list(values))


def _without(labels: Labels, found: Components, remove: Mask) -> Labels:
    """Return labels with 0 where some components are."""
    result = np.array(labels, order="C")
    fill_runs(result.reshape(-1), found.runs, found.runs_of(remove), 0)
    return result


def structure_of(ndim: int, connectivity: int | None) -> Mask:
    """Return which voxels around one are its neighbours; see `keep_largest`."""
    structure: Mask = ndimage.generate_binary_structure(ndim, connectivity or ndim)
    return structure
