"""Connected components of labels, by runs: all labels in one pass, a component is of one label.

Voxels are looked at once, to find the runs; all that follows works on runs, of which there are
many times fewer. Runs of neighbouring rows that touch are joined: each to one before it, which
gives trees, then trees where an edge is between them (the two scans of L. He, Y. Chao, K. Suzuki,
A run-based two-scan labeling algorithm, IEEE Trans. Image Process. 17, 2008, on arrays of runs).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..volume import ArrayLike
from .boxes import Box, slabs
from .runs import Runs, joined, rows_of

Labels = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")

# Voxels that are looked at together: what fits the cache of a processor.
_PIECE = 1 << 20
# Runs that are more than so many voxels apart on average are searched for, not looked up.
_FEW = 64
# How many planes and rows back the rows lie that are looked at, in two rounds: the second is for
# the labels that are not in one piece after the first, as a rule few.
_ROUNDS = (((0, -1), (-1, 0)), ((-1, -1), (-1, 1)))


@dataclass(frozen=True, eq=False)
class Components:
    """Components, numbered from 0 in the order of their first voxels.

    Attributes
    ----------
    runs
        Of the array.
    number
        Component of each run.
    sizes, values
        Voxels of each component, and the label that it is of.
    """

    runs: Runs
    number: Ids
    sizes: Numbers
    values: Labels

    def runs_of(self, chosen: Mask) -> npt.NDArray[np.intp]:
        """Return the runs of some components, given one truth value a component."""
        return np.flatnonzero(chosen[self.number])

    def boxes(self, ndim: int) -> list[Box]:
        """Return the box that each component lies in, in the array of so many axes."""
        plane, row, column = self.runs.places()
        ends = [(plane, plane + 1), (row, row + 1), (column, column + self.runs.length)]
        sides = []
        for first, last in ends if ndim == 3 else ends[::2]:
            low = np.full(len(self.sizes), np.iinfo(np.int64).max)
            high = np.zeros(len(self.sizes), np.int64)
            np.minimum.at(low, self.number, first)
            np.maximum.at(high, self.number, last)
            sides.append(list(map(slice, low.tolist(), high.tolist())))
        return list(zip(*sides, strict=True))


def components(labels: ArrayLike, connectivity: int | None = None) -> Components:
    """Return the components of equal labels of a 2-D or 3-D array, 0 being background.

    Read slab by slab, once; of an array that is larger than memory the runs have to fit.
    ``connectivity`` is how many axes neighbours may differ in; ``None`` is as many as there are.
    """
    return drained(component_steps(labels, connectivity))


def component_steps(
    labels: ArrayLike, connectivity: int | None = None
) -> Generator[None, None, Components]:
    """Find what `components` returns, with stops at which it can be cancelled."""
    runs = yield from read_steps(labels)
    number = yield from _numbers(runs, connectivity or len(labels.shape))
    count = int(number.max(initial=-1)) + 1
    sizes = np.bincount(number, weights=runs.length, minlength=count).astype(np.int64)
    values = np.empty(count, runs.value.dtype)
    values[number] = runs.value
    return Components(runs, number, sizes, values)


def numbers(runs: Runs, *, connectivity: int) -> Ids:
    """Return which component of its label each run is of, numbered by their first voxels."""
    return drained(_numbers(runs, connectivity))


def fill_runs(flat: Labels, runs: Runs, chosen: npt.NDArray[np.intp], value: int) -> None:
    """Put a value into the voxels of some runs of an array that is given flat."""
    first, length = runs.start[chosen], runs.length[chosen]
    ends = np.cumsum(length)
    begin = 0
    while begin < len(chosen):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _PIECE)))
        some = slice(begin, end)
        # Where each run begins, less the voxels of those before it.
        lead = first[some] - (ends[some] - length[some])
        places = np.repeat(lead, length[some])
        places += np.arange(before, before + len(places))
        flat[places] = value
        begin = end


def part_of(runs: Runs, low: int, high: int) -> tuple[Runs, int]:
    """Return the runs of some planes, and how many there are before them."""
    _, rows, columns = runs.shape
    plane = rows * columns
    first, last = np.searchsorted(runs.start, (low * plane, high * plane))
    some = slice(int(first), int(last))
    start, stop = runs.start[some] - low * plane, runs.stop[some] - low * plane
    return Runs(start, stop, runs.value[some], (high - low, rows, columns)), int(first)


def drained(steps: Generator[None, None, T]) -> T:
    """Return what a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def read_steps(labels: ArrayLike) -> Generator[None, None, Runs]:
    """Find the runs of an array slab by slab, with stops at which it can be cancelled."""
    width = max(1, int(labels.shape[-1]))
    step = max(1, _PIECE // width) * width
    starts, stops = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    values, size = [np.empty(0, labels.dtype)], 0
    for slab in slabs(labels):
        flat = np.asarray(labels[slab]).reshape(-1)
        for low in range(0, flat.size, step):
            piece = flat[low : low + step]
            new = np.empty(piece.size, np.bool_)
            np.not_equal(piece[1:], piece[:-1], out=new[1:])
            new[::width] = True
            found = np.flatnonzero(new)
            value = piece.take(found)
            some = np.flatnonzero(value)
            values.append(value.take(some))
            starts.append(found.take(some) + size)
            stops.append(np.append(found[1:], piece.size).take(some) + size)
            size += piece.size
        yield
    shape = rows_of(np.broadcast_to(np.uint8(0), tuple(labels.shape))).shape
    start, stop, value = (np.concatenate(every) for every in (starts, stops, values))
    return Runs(start, stop, value, (shape[0], shape[1], shape[2]))


def _numbers(runs: Runs, connectivity: int) -> Generator[None, None, Ids]:
    """Return what `numbers` does, with stops at which it can be cancelled."""
    roots = np.arange(len(runs), dtype=np.int32)
    chosen: Mask | None = None
    for nth, offsets in enumerate(_ROUNDS):
        if nth:
            chosen = _in_pieces(runs, roots)
            if not chosen.any():
                break
        edges = []
        for pair in _pairs(runs, offsets, connectivity, chosen):
            edges.append(pair)
            yield
        roots = _united(roots, edges)
    first = roots == np.arange(len(roots), dtype=np.int32)
    return (np.cumsum(first, dtype=np.int32) - 1).take(roots)


def _in_pieces(runs: Runs, roots: Ids) -> Mask:
    """Return which runs are of labels that have several roots."""
    first = np.flatnonzero(roots == np.arange(len(roots), dtype=np.int32))
    values, counts = np.unique(runs.value.take(first), return_counts=True)
    return np.asarray(np.isin(runs.value, values[counts > 1]))


def _united(roots: Ids, edges: list[tuple[Ids, Ids]]) -> Ids:
    """Return the roots when trees with an edge between them are one; the lowest root stays."""
    parents = roots.copy()
    for one, other in edges:
        # A root hangs on one of those before it; the other edges are looked at below.
        top = np.flatnonzero(roots.take(one) == one)
        parents[one.take(top)] = other.take(top)
    while not np.array_equal(above := parents.take(parents), parents):
        parents = above
    ones, others = [], []
    for one, other in edges:
        a, b = parents.take(one), parents.take(other)
        apart = np.flatnonzero(a != b)
        ones.append(a.take(apart))
        others.append(b.take(apart))
    if not sum(map(len, ones)):
        return parents
    ends = np.concatenate([*ones, *others])
    nodes, places = np.unique(ends, return_inverse=True)
    group, _ = joined(places[: len(ends) // 2], places[len(ends) // 2 :], len(nodes))
    _, lowest = np.unique(group, return_index=True)
    table = np.arange(len(parents), dtype=np.int32)
    table[nodes] = nodes[lowest][group]
    return table.take(parents)


def _pairs(
    runs: Runs, offsets: tuple[tuple[int, int], ...], connectivity: int, chosen: Mask | None
) -> Iterator[tuple[Ids, Ids]]:
    """Yield runs, those chosen, and those of their label that they touch in rows before them."""
    planes, height, width = runs.shape
    plane = height * width
    step = max(1, _PIECE // max(1, plane))
    bounds = np.searchsorted(runs.start, np.arange(planes + 1) * plane)
    for low in range(0, planes, step):
        before, high = max(0, low - 1), min(planes, low + step)
        first, begin, end = (int(bounds[p]) for p in (before, low, high))
        here = np.arange(begin, end) if chosen is None else np.flatnonzero(chosen[begin:end])
        inner = (here if chosen is None else here + begin).astype(np.int32)
        if not len(inner):
            continue
        start = (runs.start[first:end] - before * plane).astype(np.int32)
        stop = (runs.stop[first:end] - before * plane).astype(np.int32)
        following = _Following(stop, (high - before) * plane, len(inner))
        own, ends = start.take(inner - first), stop.take(inner - first)
        # Beyond the last run nothing begins.
        values = np.append(runs.value[first:end], runs.value[:1])
        start = np.append(start, np.int32(np.iinfo(np.int32).max))
        row = own // width
        for back, across in offsets:
            wider = connectivity - abs(back) - abs(across)
            if wider < 0:
                continue
            shift = back * height + across
            left, right = own + shift * width, ends + (shift * width - 1)
            if wider:
                line = (row + shift) * width
                left, right = np.maximum(left - 1, line), np.minimum(right + 1, line + (width - 1))
            # Where there is no such row nothing is found.
            outside = left < 0
            if across:
                y = row % height + across
                outside |= (y < 0) | (y >= height)
            left[outside], right[outside] = 0, -1
            for one, other in _equal(values, start, inner - first, following.of(left), right):
                yield one + first, other + first


class _Following:
    """Which run a voxel of a slab is in, or else the next one: asked of a number of voxels."""

    def __init__(self, stop: Ids, size: int, asked: int) -> None:
        self._stop = stop
        self._table: Ids | None = None
        if asked * _FEW > size:
            lengths = np.diff(stop, prepend=np.int32(0), append=np.int32(size))
            self._table = np.repeat(np.arange(len(stop) + 1, dtype=np.int32), lengths)

    def of(self, places: Ids) -> Ids:
        """Return it for each of some voxels."""
        if self._table is not None:
            return self._table.take(places)
        return np.searchsorted(self._stop, places, side="right").astype(np.int32)


def _equal(
    values: Labels, start: Ids, runs: Ids, other: Ids, right: Ids
) -> Iterator[tuple[Ids, Ids]]:
    """Yield each run with those of its label from ``other`` on that begin up to ``right``."""
    mine = values.take(runs)
    while len(runs):
        same = np.flatnonzero((values.take(other) == mine) & (start.take(other) <= right))
        yield runs.take(same), other.take(same)
        other = other + 1
        more = np.flatnonzero(start.take(other, mode="clip") <= right)
        runs, other, right, mine = (x.take(more) for x in (runs, other, right, mine))
