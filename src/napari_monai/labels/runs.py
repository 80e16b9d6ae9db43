"""Runs: stretches of one label along the last axis, far fewer than voxels.

An array of labels is looked at as rows: shape (planes, rows, columns). One of two axes has a row
a plane; `rows_of` makes it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ..volume import ArrayLike
from .boxes import Box, slabs

# Voxels of a slab: its sums take several times the memory that it does.
PART = 2**23

Labels = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of all labels but 0, in the order of their first voxels.

    Parameters
    ----------
    start, stop
        First voxel and the one after the last, counted through the array row by row.
    value
        Their labels.
    shape
        Planes, rows and columns of the array.
    """

    start: Ints
    stop: Ints
    value: Labels
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> Ints:
        """Voxels in each."""
        return self.stop - self.start

    def places(self) -> tuple[Ints, Ints, Ints]:
        """Return plane, row and first column of each."""
        _, rows, columns = self.shape
        row = self.start // columns
        plane = row // rows
        return plane, row - plane * rows, self.start - row * columns

    def reduced(self, how: np.ufunc, flat: npt.NDArray[Any], **told: Any) -> npt.NDArray[Any]:
        """Return the sum, or the like, of the voxels of each in an image that is given flat."""
        if not len(self):
            return np.zeros(0, told.get("dtype", flat.dtype))
        # Every second piece is a run, the others lie between them.
        ends = np.stack([self.start, self.stop], axis=-1).reshape(-1)
        ends = ends[:-1] if ends[-1] == flat.size else ends
        return np.asarray(how.reduceat(flat, ends, **told)[::2])

    def voxels(self) -> Ints:
        """Return the place of each of their voxels, counted through the array, run by run."""
        length = self.length
        before = np.cumsum(length) - length
        return np.asarray(np.arange(int(length.sum())) + np.repeat(self.start - before, length))

    def take(self, rows: npt.NDArray[Any]) -> Runs:
        """Return some of them, by number or as a mask."""
        return Runs(self.start[rows], self.stop[rows], self.value[rows], self.shape)


def rows_of(labels: Labels) -> Labels:
    """Return an array of two or three axes with three: a row a plane where there were two."""
    return labels[:, np.newaxis] if labels.ndim == 2 else labels


def runs_of(labels: Labels) -> Runs:
    """Return the runs of labels of shape (planes, rows, columns)."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if flat.dtype == np.bool_:
        flat = flat.view(np.uint8)
    starts, stops = _stretches([flat], labels.shape[-1])
    value = flat[starts]
    some = np.flatnonzero(value)
    return Runs(starts[some], stops[some], value[some], _three(labels.shape))


def pairs_of(one: Labels, other: Labels) -> tuple[Runs, Runs]:
    """Return the runs in which neither of two arrays changes, and one of them has a label.

    They have shape (planes, rows, columns). The runs are the same ones twice, with the label,
    which may be 0, in the one and in the other.
    """
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (one, other)]
    starts, stops = _stretches(flat, one.shape[-1])
    values = [array[starts] for array in flat]
    some = np.flatnonzero((values[0] != 0) | (values[1] != 0))
    first, second = (
        Runs(starts[some], stops[some], value[some], _three(one.shape)) for value in values
    )
    return first, second


def _stretches(flat: Sequence[Labels], columns: int) -> tuple[Ints, Ints]:
    """Return where in each row something else begins in one of the arrays, and where it ends."""
    ends = np.empty(flat[0].size, np.bool_)
    np.not_equal(flat[0][1:], flat[0][:-1], out=ends[:-1])
    for array in flat[1:]:
        ends[:-1] |= array[1:] != array[:-1]
    width = max(columns, 1)  # of an empty array nothing begins
    ends[width - 1 :: width] = True
    stops = np.flatnonzero(ends) + 1
    return np.concatenate([[0], stops[:-1]]) if len(stops) else stops, stops


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    planes, rows, columns = shape
    return planes, rows, columns


def parts(labels: ArrayLike, box: Box | None = None) -> Iterator[Box]:
    """Yield the slabs that are looked at one after another."""
    yield from slabs(labels, box, voxels=PART)


def numbered(values: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """Return the different values in rising order, and for each value its place among them."""
    most = int(values.max(initial=0))
    if most > 8 * len(values) + 2**16 or int(values.min(initial=0)) < 0:
        present, places = np.unique(values, return_inverse=True)
        return present.astype(np.int64), places.astype(np.int64)
    there = np.zeros(most + 1, np.bool_)
    there[values] = True
    place = np.cumsum(there, dtype=np.int64) - 1
    return np.flatnonzero(there), place[values]


def joined(a: Ints, b: Ints, n: int) -> tuple[Ints, int]:
    """Return the groups that n things fall into when a[i] belongs with b[i], and how many.

    They are numbered by the first thing of each.
    """
    graph = sparse.coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(n, n))
    count, group = sparse.csgraph.connected_components(graph, directed=False)
    _, first, which = np.unique(group, return_index=True, return_inverse=True)
    order = np.empty(count, np.int64)
    order[np.argsort(first)] = np.arange(count)
    return order[which], int(count)
