"""Components of labels that are larger than memory: slab by slab, with the results of the whole.

A slab is some planes along the first axis. Components of neighbouring slabs that touch are joined
in a first pass; a second one finds them again and changes the labels in place. Compare
`napari_monai.labels.components`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .components import structure_of

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class Stored(Protocol):
    """Labels of shape (z, y, x) or (y, x) on disk, read and written by planes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Their shape."""
        ...

    def __getitem__(self, planes: slice, /) -> Any:
        """Return planes."""
        ...

    def __setitem__(self, planes: slice, values: Labels, /) -> None:
        """Put planes."""
        ...


def keep_largest(
    labels: Stored,
    *,
    rows: int,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
    together: bool = False,
) -> None:
    """Remove all but the largest component of each class; see `components.keep_largest`.

    ``rows`` is the number of planes that are held at a time.
    """

    def rest(sizes: Counts, _: Mask) -> Mask:
        remove = np.ones(len(sizes), np.bool_)
        # As the whole is ranked, background among the components.
        remove[np.argsort(np.concatenate([[0], sizes]))[-1] - 1] = False
        return remove

    for member in _members(labels, rows, values, together=together):
        _sift(labels, rows, member, connectivity, rest, _clear)


def remove_small(
    labels: Stored,
    min_size: float,
    *,
    rows: int,
    voxel_size: float = 1.0,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
) -> None:
    """Remove components that are smaller than a size; see `components.remove_small`."""

    def small(sizes: Counts, _: Mask) -> Mask:
        return np.asarray(sizes * voxel_size < min_size * (1 - 1e-9))

    for member in _members(labels, rows, values):
        _sift(labels, rows, member, connectivity, small, _clear)


def fill_holes(
    labels: Stored,
    *,
    rows: int,
    values: Iterable[int] | None = None,
    connectivity: int | None = None,
    over: bool = False,
) -> None:
    """Add to each class what it encloses; see `components.fill_holes`."""
    for value in _values(labels, rows, values):

        def other(slab: Labels, value: int = value) -> Mask:
            return np.asarray(slab != value)

        def fill(slab: Labels, holes: Mask, value: int = value) -> None:
            slab[holes if over else holes & (slab == 0)] = value

        _sift(labels, rows, other, connectivity, lambda _, opened: ~opened, fill)


def _members(
    labels: Stored, rows: int, values: Iterable[int] | None, *, together: bool = False
) -> Iterator[Callable[[Labels], Mask]]:
    """Yield what tells the voxels of a class, or of all classes together."""
    if together:
        chosen = None if values is None else [v for v in values if v]
        yield lambda slab: slab != 0 if chosen is None else np.isin(slab, chosen)
        return
    for value in _values(labels, rows, values):

        def member(slab: Labels, value: int = value) -> Mask:
            return np.asarray(slab == value)

        yield member


def _values(labels: Stored, rows: int, values: Iterable[int] | None) -> list[int]:
    """Return the classes to look at, by rising number."""
    if values is not None:
        return sorted(set(values))
    found: set[int] = set()
    for planes in _planes(labels, rows):
        found.update(int(v) for v in np.unique(labels[planes]))
    return sorted(found - {0})


def _planes(labels: Stored, rows: int) -> Iterator[slice]:
    n = labels.shape[0]
    return (slice(start, min(start + rows, n)) for start in range(0, n, rows))


def _clear(slab: Labels, mask: Mask) -> None:
    slab[mask] = 0


def _sift(
    labels: Stored,
    rows: int,
    member: Callable[[Labels], Mask],
    connectivity: int | None,
    choose: Callable[[Counts, Mask], Mask],
    change: Callable[[Labels, Mask], None],
) -> None:
    """Change the voxels of some components.

    ``choose`` says which, from their sizes and whether they reach the border of the image, both in
    the order of their first voxels.
    """
    structure = structure_of(len(labels.shape), connectivity)
    joined = _Joined()
    last: npt.NDArray[np.int64] | None = None
    for planes in _planes(labels, rows):
        found, count = ndimage.label(member(np.asarray(labels[planes])), structure)
        first = joined.add(found, count, planes, labels.shape[0])
        numbers = np.where(found > 0, found + first, 0)
        if last is not None:
            joined.connect(last, numbers[0], structure[0])
        last = numbers[-1]
    roots, sizes, opened = joined.components()
    if not len(sizes):
        return
    chosen = np.concatenate([[False], choose(sizes, opened)[roots]])
    first = 0
    for planes in _planes(labels, rows):
        slab = np.array(labels[planes])
        found, count = ndimage.label(member(slab), structure)
        table = np.concatenate([[False], chosen[1 + first : 1 + first + count]])
        first += count
        if table.any():
            change(slab, table[found])
            labels[planes] = slab


class _Joined:
    """The parts of components in slabs, numbered from 1, and which of them belong together."""

    def __init__(self) -> None:
        self._sizes: list[Counts] = []
        self._opened: list[Mask] = []
        self._count = 0
        self._parents: dict[int, int] = {}

    def add(self, found: npt.NDArray[np.int32], count: int, planes: slice, n: int) -> int:
        """Take the parts of a slab; return what their numbers are counted from."""
        self._sizes.append(np.bincount(found.ravel(), minlength=count + 1)[1:])
        opened = np.zeros(count + 1, np.bool_)
        if planes.start == 0:
            opened[found[0]] = True
        if planes.stop == n:
            opened[found[-1]] = True
        for axis in range(1, found.ndim):
            opened[found.take(0, axis)] = True
            opened[found.take(-1, axis)] = True
        self._opened.append(opened[1:])
        first, self._count = self._count, self._count + count
        return first

    def connect(
        self, before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], structure: Mask
    ) -> None:
        """Join what touches across two neighbouring planes."""
        for offset in itertools.product(*(range(-1, 2) for _ in before.shape)):
            if not structure[tuple(o + 1 for o in offset)]:
                continue
            pairs = zip(offset, before.shape, strict=True)
            ends = [(slice(max(0, o), n + min(0, o)), o) for o, n in pairs]
            here = before[tuple(side for side, _ in ends)]
            there = after[tuple(slice(s.start - o, s.stop - o) for s, o in ends)]
            both = (here > 0) & (there > 0)
            for a, b in np.unique(np.stack([here[both], there[both]]), axis=1).T:
                one, other = sorted((self._root(int(a)), self._root(int(b))))
                self._parents[other] = one

    def _root(self, number: int) -> int:
        while (parent := self._parents.get(number, number)) != number:
            self._parents[number] = self._parents.get(parent, parent)
            number = parent
        return number

    def components(self) -> tuple[npt.NDArray[np.intp], Counts, Mask]:
        """Return which component each part is of, and their sizes and whether they are open."""
        if not self._count:
            nothing = np.zeros(0, np.int64)
            return nothing, nothing, nothing.astype(np.bool_)
        numbers = np.arange(1, self._count + 1)
        for number in self._parents:
            numbers[number - 1] = self._root(number)
        _, roots = np.unique(numbers, return_inverse=True)
        sizes = np.bincount(roots, weights=np.concatenate(self._sizes)).astype(np.int64)
        opened = np.zeros(len(sizes), np.bool_)
        np.logical_or.at(opened, roots, np.concatenate(self._opened))
        return roots, sizes, opened
