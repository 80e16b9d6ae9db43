"""Runs: stretches of one label along the last axis, far fewer than voxels, and their components.

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
    ends[columns - 1 :: columns] = True
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


# -- components -----------------------------------------------------------------------------------


def components(runs: Runs, *, connectivity: int) -> tuple[Ints, int]:
    """Return for each run which component of its label it is of, numbered from 0, and how many.

    ``connectivity`` is how many axes neighbours may differ in, see
    `napari_monai.labels.components.keep_largest`. They are numbered by their first voxels.
    """
    parent = np.arange(len(runs))
    for step in _steps(connectivity):
        rest = np.flatnonzero(parent == np.arange(len(runs)))
        first, count = _before(runs, rest, step)
        _adopt(parent, runs, rest, first, count)
    while not np.array_equal(above := parent[parent], parent):
        parent = above
    # Most components hang together by now: only where a label has several is more to be asked.
    value, place = numbered(runs.value)
    several = np.bincount(place[parent == np.arange(len(runs))], minlength=len(value)) > 1
    asked = np.flatnonzero(several[place])
    edges = [_pairs(runs, asked, step) for step in _steps(connectivity)] if len(asked) else []
    parts, roots = numbered(parent)
    if not edges:
        return roots, len(parts)
    a, b = (roots[np.concatenate(side)] for side in zip(*edges, strict=True))
    which, whole = joined(a, b, len(parts))
    return which[roots], whole


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


def touching(before: Runs, after: Runs, *, connectivity: int) -> tuple[Ints, Ints]:
    """Return which runs of one plane touch which of the next one, of the same label.

    Both have a single plane. The pairs are places in ``before`` and in ``after``.
    """
    size = before.shape[1] * before.shape[2]
    both = Runs(
        np.concatenate([before.start, after.start + size]),
        np.concatenate([before.stop, after.stop + size]),
        np.concatenate([before.value, after.value]),
        (2, *before.shape[1:]),
    )
    asked = np.arange(len(before), len(both))
    pairs = [_pairs(both, asked, step) for step in _steps(connectivity) if step[0]]
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return b, a - len(before)


def _steps(connectivity: int) -> Iterator[tuple[int, int, int]]:
    """Yield the rows before one that are its neighbours: planes, rows, and columns' overhang."""
    for planes, rows in ((0, -1), (-1, 0), (-1, -1), (-1, 1)):
        away = abs(planes) + abs(rows)
        if away <= connectivity:
            yield planes, rows, int(away < connectivity)


def _before(runs: Runs, asked: Ints, step: tuple[int, int, int]) -> tuple[Ints, Ints]:
    """Return the first of the runs that each asked one touches in a row before it; how many."""
    planes, rows, over = step
    _, height, width = runs.shape
    row = runs.start[asked] // width
    there = row + planes * height + rows
    inside = (there >= 0) & ((row % height + rows >= 0) & (row % height + rows < height))
    shift = (there - row) * width
    low = np.maximum(runs.start[asked] + shift - over, there * width)
    high = np.minimum(runs.stop[asked] + shift + over, (there + 1) * width)
    first = np.searchsorted(runs.stop, low, "right")
    count = np.searchsorted(runs.start, high, "left") - first
    return first, np.where(inside, np.maximum(count, 0), 0)


def _adopt(parent: Ints, runs: Runs, asked: Ints, first: Ints, count: Ints) -> None:
    """Set the parent of runs to one of the same label that they touch, if there is one."""
    for nth in range(int(count.max(initial=0))):
        left = np.flatnonzero(count > nth)
        child, other = asked[left], first[left] + nth
        same = runs.value[child] == runs.value[other]
        parent[child[same]] = other[same]
        count[left[same]] = 0


def _pairs(runs: Runs, asked: Ints, step: tuple[int, int, int]) -> tuple[Ints, Ints]:
    """Return each asked run with every one of its label that it touches in a row before it."""
    first, count = _before(runs, asked, step)
    child = np.repeat(asked, count)
    ends = np.cumsum(count)
    other = np.arange(len(child)) + np.repeat(first - (ends - count), count)
    same = runs.value[child] == runs.value[other]
    return child[same], other[same]
