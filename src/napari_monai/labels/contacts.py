"""Where labels end: how many lines leave each of them in a direction, and which of them touch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..volume import ArrayLike
from .boxes import Box
from .runs import Ints, parts

Places = npt.NDArray[np.int32]

# Largest number that is looked up in a table with a place for each number.
_TABLE = 1 << 22


def directions(ndim: int) -> Ints:
    """Return one of each two opposite steps to a neighbour: 4 in 2-D, 13 in 3-D."""
    steps = itertools.product((-1, 0, 1), repeat=ndim)
    return np.array([step for step in steps if step > (0,) * ndim], np.int64)


def leaving(labels: ArrayLike, numbers: Ints) -> Ints:
    """Return from how many voxels of each label each of the `directions` leads out of it.

    Parameters
    ----------
    labels
        Two or three axes; what is outside the array is of no label.
    numbers
        The labels that count, in rising order.

    Returns
    -------
    Ints
        Shape (labels, directions).
    """
    counts = np.zeros((len(numbers), len(directions(len(labels.shape)))), np.int64)
    for place, one, _ in _pairs(labels, numbers):
        counts[:, place] += np.bincount(one, minlength=len(numbers) + 1)[1:]
    return counts


def touching(labels: ArrayLike, numbers: Ints) -> Ints:
    """Return how many other labels each label touches, be it at a corner; see `leaving`."""
    pairs = [np.zeros(0, np.int64)]
    width = len(numbers) + 1
    for _, one, other in _pairs(labels, numbers):
        both = (one > 0) & (other > 0)
        low = np.minimum(one[both], other[both]).astype(np.int64)
        pairs.append(np.unique(low * width + np.maximum(one[both], other[both])))
    low, high = np.divmod(np.unique(np.concatenate(pairs)), width)
    return np.bincount(np.concatenate([low, high]), minlength=width)[1:].astype(np.int64)


def _pairs(labels: ArrayLike, numbers: Ints) -> Iterator[tuple[int, Places, Places]]:
    """Yield, slab by slab and for each direction, the labels at both ends of steps out of one.

    They are places among ``numbers``, from 1; 0 is what is not among them.
    """
    steps = directions(len(labels.shape))
    for slab in parts(labels):
        padded = _padded(labels, numbers, slab)
        strides = np.array([s // padded.itemsize for s in padded.strides])
        flat = padded.reshape(-1)
        inner = (slice(0, -1), *(slice(1, -1) for _ in slab[1:]))
        inside = np.zeros(padded.shape, np.bool_)
        inside[inner] = padded[inner] != 0
        start = np.flatnonzero(inside)
        one = flat[start]
        for place, step in enumerate(steps):
            other = flat[start + int(step @ strides)]
            ends = np.flatnonzero(one != other)
            yield place, one[ends], other[ends]


def _padded(labels: ArrayLike, numbers: Ints, slab: Box) -> Places:
    """Return a slab with the plane after it, and nothing around the array, as places of labels."""
    first = slab[0]
    stop = min(labels.shape[0], first.stop + 1)
    here = np.asarray(labels[(slice(first.start, stop), *slab[1:])])
    found = np.zeros((first.stop - first.start + 1, *(n + 2 for n in here.shape[1:])), np.int32)
    inner = tuple(slice(1, -1) for _ in slab[1:])
    found[(slice(0, stop - first.start), *inner)] = places_of(here, numbers)
    return found


def places_of(labels: npt.NDArray[Any], numbers: Ints) -> Places:
    """Return the place of each voxel's label among ``numbers``, from 1; 0 for all others."""
    most = int(numbers[-1]) if len(numbers) else 0
    if most > _TABLE:
        at = np.searchsorted(numbers, labels).clip(max=len(numbers) - 1)
        return np.where(numbers[at] == labels, at + 1, 0).astype(np.int32)
    table = np.zeros(most + 2, np.int32)
    table[numbers] = np.arange(1, len(numbers) + 1)
    if labels.dtype == np.bool_:
        labels = labels.view(np.uint8)
    return np.asarray(table[np.minimum(labels, most + 1)])
