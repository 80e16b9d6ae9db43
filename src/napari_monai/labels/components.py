"""Connected components of classes: keep the largest, remove small ones, fill holes.

Arrays of labels are taken as they are, 2-D or 3-D; new ones are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Part = tuple[slice, ...]


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

    def rest(mask: Mask) -> Mask:
        found, count = _components(mask, connectivity)
        if count < 2:
            return np.zeros_like(mask)
        sizes = np.bincount(found.ravel())
        sizes[0] = 0
        # Of several as large, the one that MONAI keeps: usually the last.
        others: Mask = mask & (found != np.argsort(sizes)[-1])
        return others

    return _without(labels, values, rest, together=together)


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

    def small(mask: Mask) -> Mask:
        found, _ = _components(mask, connectivity)
        # A voxel's share is not exact in binary: a size that is just reached stays.
        remove = np.bincount(found.ravel()) * voxel_size < min_size * (1 - 1e-9)
        remove[0] = False
        return np.asarray(remove[found])

    return _without(labels, values, small)


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
    structure = structure_of(labels.ndim, connectivity)
    for value, part in _places(labels, values):
        here = result[part]
        filled = ndimage.binary_fill_holes(here == value, structure)
        here[filled if over else filled & (here == 0)] = value
    return result


def _without(
    labels: Labels,
    values: Iterable[int] | None,
    find: Callable[[Mask], Mask],
    *,
    together: bool = False,
) -> Labels:
    """Return labels with 0 where ``find`` says so of the mask of a class, or of all classes."""
    result = labels.copy()
    if together:
        chosen = labels != 0 if values is None else np.isin(labels, [v for v in values if v])
        result[find(chosen)] = 0
        return result
    for value, part in _places(labels, values):
        result[part][find(labels[part] == value)] = 0
    return result


def _places(labels: Labels, values: Iterable[int] | None) -> Iterator[tuple[int, Part]]:
    """Yield the classes that there are, by rising number, with the box that each lies in."""
    # Classes are few and small numbers, which is what find_objects wants.
    boxes = ndimage.find_objects(labels.astype(np.int32, copy=False))
    wanted = None if values is None else set(values)
    for value, box in enumerate(boxes, start=1):
        if box is not None and (wanted is None or value in wanted):
            yield value, box


def _components(mask: Mask, connectivity: int | None) -> tuple[npt.NDArray[np.int32], int]:
    found, count = ndimage.label(mask, structure_of(mask.ndim, connectivity))
    return found, count


def structure_of(ndim: int, connectivity: int | None) -> Mask:
    """Return which voxels around one are its neighbours; see `keep_largest`."""
    structure: Mask = ndimage.generate_binary_structure(ndim, connectivity or ndim)
    return structure
