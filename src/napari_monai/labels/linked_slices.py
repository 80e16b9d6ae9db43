"""Labels of the slices of a volume linked to objects in three dimensions.

Slices are linked by `linking.Linker`: an object goes on as the one of the next slice that lies over
it. Overlap is counted as the part of the smaller one, since an object's end is smaller than its
middle. What lies above each other is told apart by size: an object grows and shrinks once on its
way through the slices, so where it shrinks and grows again it is two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SettingsError, VolumeError
from .linking import Linker, Pieces

Labels = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class _Slice(NamedTuple):
    """The objects of a slice: what they were called, their sizes, and the chains they are in."""

    values: Ints
    sizes: Ints
    chains: Ints


@dataclass(frozen=True)
class _Bridge:
    """Slices that an object misses: its number, and the slices around them."""

    number: int
    before: int
    after: int


class SliceLinker:
    """Gives the labels of slices numbers of objects in three dimensions, in two passes.

    First `add` every slice, in order; then `renumbered` gives every slice, in order.

    Parameters
    ----------
    least
        The least part of the smaller of two objects that lies on the other one, if they are one.
    gap
        How many slices in a row an object may miss. What it misses is filled with what the slices
        around have in common, where nothing else is.
    reach
        Farthest that the centroid of an object moves from one slice to the next, in the unit of
        ``spacing``; no limit when left out.
    neck
        Where an object shrinks to less than this part of its size on both sides, it is cut in two:
        0 never does, 1 at every dent. The slice of the neck goes to the side whose size is
        closer to its own.
    min_slices
        Objects on fewer slices are dropped.
    smallest
        Objects of fewer voxels are dropped.
    spacing
        Size of a voxel along both axes of a slice; 1 when left out.

    Raises
    ------
    SettingsError
        If a parameter is out of its range.
    VolumeError
        If slices differ in shape.

    Notes
    -----
    No two objects of a slice get one number, and objects are never merged within a slice: what
    comes apart from one slice to the next goes on as its best part, and the others are new. Cuts
    at necks of 0.8 and a least overlap of 0.6 were chosen by AP on generated nuclei with slices 1,
    3 and 6 times as far apart as voxels (``tests/benchmarks/linking.py``).
    """

    def __init__(
        self,
        *,
        least: float = 0.6,
        gap: int = 0,
        reach: float | None = None,
        neck: float = 0.8,
        min_slices: int = 1,
        smallest: float = 1,
        spacing: Sequence[float] | None = None,
    ) -> None:
        if not 0 <= neck <= 1:
            raise SettingsError(f"The neck of an object is {neck}; it goes from 0 to 1.")
        self.neck = neck
        self.min_slices = min_slices
        self.smallest = smallest
        self._linker = Linker(least=least, gap=gap, reach=reach, spacing=spacing)
        self._slices: list[_Slice] = []
        self._numbers: list[Ints] | None = None
        self._bridges: dict[int, list[_Bridge]] = {}  # by the slices that are missed
        self.count = 0  # of the objects, when all slices are added

    def add(self, labels: Labels) -> None:
        """Take in the next slice."""
        pieces, chains = self._linker.take(labels)
        self._slices.append(_Slice(pieces.values, pieces.sizes, chains))
        self._numbers = None

    def renumbered(self, index: int, read: Callable[[int], Labels]) -> npt.NDArray[np.int32]:
        """Return a slice with the numbers of the objects: 1 to n by the first voxel of each.

        ``read`` gives a slice: one before ``index`` as it was returned, the others as they were
        added. So a volume can be written over slice by slice.
        """
        numbers = self._decided()
        pieces = Pieces.of(read(index))
        result = pieces.numbered(numbers[index])
        for bridge in self._bridges.get(index, ()):
            own = numbers[bridge.after] == bridge.number
            # As `values` are: numbers beyond 63 bits are negative in both.
            after = read(bridge.after).astype(np.int64)
            missed = after == self._slices[bridge.after].values[own]
            missed &= (read(bridge.before) == bridge.number) & (result == 0)
            result[missed] = bridge.number
        return result

    def _decided(self) -> list[Ints]:
        """Return the number of each object of each slice; 0 for what is dropped."""
        if self._numbers is not None:
            return self._numbers
        members: dict[int, list[tuple[int, int, int]]] = {}
        for index, one in enumerate(self._slices):
            for place, (chain, size) in enumerate(
                zip(one.chains.tolist(), one.sizes.tolist(), strict=True)
            ):
                members.setdefault(chain, []).append((index, place, size))
        objects = []
        for chain in members.values():
            ends = cuts([size for _, _, size in chain], self.neck)
            for start, stop in zip([0, *ends], [*ends, len(chain)], strict=True):
                part = chain[start:stop]
                if len(part) >= self.min_slices and sum(p[2] for p in part) >= self.smallest:
                    objects.append(part)
        objects.sort()
        found = [np.zeros(len(one.values), np.int64) for one in self._slices]
        self._bridges = {}
        for number, part in enumerate(objects, start=1):
            for index, place, _ in part:
                found[index][place] = number
            indices = [index for index, _, _ in part]
            for before, after in pairwise(indices):
                for missed in range(before + 1, after):
                    bridge = _Bridge(number, before, after)
                    self._bridges.setdefault(missed, []).append(bridge)
        self.count = len(objects)
        self._numbers = found
        return found


def cuts(sizes: Sequence[int], neck: float) -> list[int]:
    """Return before which slices an object is cut, given its size on each.

    At the slice whose size is the smallest part of the largest on both sides of it, if that is less
    than ``neck``; then in what is left and right of it.
    """
    size = np.asarray(sizes, np.float64)
    if len(size) < 3:
        return []
    left, right = np.maximum.accumulate(size), np.maximum.accumulate(size[::-1])[::-1]
    part = size / np.minimum(left, right)
    at = int(part.argmin())
    if part[at] >= neck:
        return []
    # The other way round is right for balls that are cut clean; what a microscope blurs has better
    # AP like this.
    cut = at + int(size[at - 1] <= size[at + 1])
    later = [cut + other for other in cuts(sizes[cut:], neck)]
    return [*cuts(sizes[:cut], neck), cut, *later]


def link_slices(
    labels: Labels, *, axis: int = 0, spacing: Sequence[float] | None = None, **linking: Any
) -> npt.NDArray[np.int32]:
    """Return labels of a volume whose slices were labelled one by one, linked to objects.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background, shape (z, y, x).
    axis
        Along which the slices lie.
    spacing
        Size of a voxel along each of the three axes; 1 when left out.
    **linking
        The other parameters of `SliceLinker`.
    """
    if labels.ndim != 3 or not 0 <= axis < 3:
        raise VolumeError(f"No axis {axis} of slices in {labels.ndim} axes: give (z, y, x).")
    within = None if spacing is None else [s for a, s in enumerate(spacing) if a != axis]
    linker = SliceLinker(spacing=within, **linking)
    turned = np.moveaxis(labels, axis, 0)
    planes = list(turned)
    for plane in planes:
        linker.add(plane)
    for index in range(len(planes)):
        # Written over one by one: what comes before is read with its new numbers.
        planes[index] = linker.renumbered(index, planes.__getitem__)
    return np.moveaxis(np.array(planes, np.int32).reshape(turned.shape), 0, axis)
