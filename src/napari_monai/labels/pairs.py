"""Two arrays of labels on each other: which labels share how many voxels, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..volume import ArrayLike
from .runs import Runs, numbered, pairs_of, parts, rows_of
from .table import Floats, Ints

Labels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Shared:
    """Pairs of labels that share voxels; 0 is the background, but never in both.

    Parameters
    ----------
    one, other
        Labels in the first and in the second array.
    voxels
        How many voxels have both.
    centre
        Mean index of these, shape (n, axes).
    """

    one: Ints
    other: Ints
    voxels: Ints
    centre: Floats


def shared(one: ArrayLike, other: ArrayLike) -> Shared:
    """Return which labels of two arrays of one shape lie on which, read slab by slab.

    Raises VolumeError if the shapes differ.
    """
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for first, a, b in both(one, other):
        found.append(_counted(a, b, first))
    if not found:
        none = np.zeros(0, np.int64)
        return Shared(none, none, none, np.zeros((0, len(one.shape))))
    mine, theirs, voxels, sums = (np.concatenate(column) for column in zip(*found, strict=True))
    pair, at = paired(mine, theirs)
    count = np.bincount(at, voxels, minlength=len(pair))
    total = np.stack([np.bincount(at, s, minlength=len(pair)) for s in sums.T], axis=-1)
    axes = [0, 2] if len(one.shape) == 2 else [0, 1, 2]
    return Shared(pair[:, 0], pair[:, 1], count.astype(np.int64), (total / count[:, None])[:, axes])


def both(one: ArrayLike, other: ArrayLike) -> Iterator[tuple[int, Runs, Runs]]:
    """Yield, slab by slab, its first plane and the runs of both arrays, see `runs.pairs_of`.

    Raises VolumeError if the shapes differ.
    """
    if tuple(one.shape) != tuple(other.shape):
        raise VolumeError(
            f"Labels of {tuple(one.shape)} and {tuple(other.shape)} cannot be compared: take "
            "those of one image."
        )
    for part in parts(one):
        a, b = (rows_of(np.asarray(labels[part])) for labels in (one, other))
        yield (part[0].start, *pairs_of(a, b))


def numbered_like(labels: ArrayLike, known: ArrayLike, *, least: float = 0.5) -> Labels:
    """Return labels of objects in which each one that is in ``known`` too has its number there.

    Parameters
    ----------
    labels
        Objects, 0 for background.
    known
        Objects of the same image with numbers of their own.
    least
        The IoU above which two objects are the same; from 0.5, so that no object has two such.

    Raises
    ------
    VolumeError
        If the shapes differ, or ``least`` is below 0.5.
    """
    if not 0.5 <= least < 1:
        raise VolumeError(f"The least IoU of two objects is {least}; it goes from 0.5 to below 1.")
    overlap = shared(labels, known)
    mine, place = numbered(overlap.one)
    theirs, there = numbered(overlap.other)
    sizes = np.bincount(place, overlap.voxels, minlength=len(mine))[place]
    known_sizes = np.bincount(there, overlap.voxels, minlength=len(theirs))[there]
    iou = overlap.voxels / np.maximum(sizes + known_sizes - overlap.voxels, 1)
    same = (overlap.one != 0) & (overlap.other != 0) & (iou > least)
    number = np.zeros(len(mine), np.int64)
    number[place[same]] = overlap.other[same]
    new = (number == 0) & (mine != 0)
    first = int(theirs.max(initial=0)) + 1
    number[new] = np.arange(first, first + np.count_nonzero(new))
    array = np.asarray(labels[...])
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    wanted = np.promote_types(np.min_scalar_type(int(number.max(initial=0))), np.uint8)
    kind = array.dtype if np.can_cast(wanted, array.dtype) else wanted
    if not len(mine):
        return np.zeros(array.shape, kind)
    if mine[-1] > 8 * array.size + 2**16:  # too large for a table of all numbers
        at = np.searchsorted(mine, array).clip(max=len(mine) - 1)
        return np.where(array == 0, 0, number[at]).astype(kind)
    table = np.zeros(int(mine[-1]) + 1, kind)
    table[mine] = number
    result: Labels = table[array]
    return result


def _counted(one: Runs, other: Runs, first: int) -> tuple[npt.NDArray[Any], ...]:
    """Return both labels, voxels and sums of plane, row and column of the pairs of a slab."""
    pair, at = paired(one.value.astype(np.int64), other.value.astype(np.int64))
    plane, row, column = one.places()
    length = one.length
    places = (plane + first, row, column + (length - 1) / 2)
    sums = [np.bincount(at, p * length, minlength=len(pair)) for p in places]
    voxels = np.bincount(at, length, minlength=len(pair))
    return pair[:, 0], pair[:, 1], voxels, np.stack(sums, axis=-1)


def paired(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Return the different pairs of numbers, shape (n, 2), and which one each pair is."""
    first, at = numbered(a)
    second, there = numbered(b)
    code, which = numbered(at * len(second) + there)
    return np.stack([first[code // len(second)], second[code % len(second)]], axis=-1), which
