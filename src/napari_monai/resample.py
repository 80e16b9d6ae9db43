"""Linear and nearest resampling between grids of the same axes and centre, and the way back.

Spacing changes axis by axis, so every resampling here is separable: a list of positions an axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .grid import Grid, Reorientation

FloatArray = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Box = tuple[slice, ...]


def positions(source: Grid, target: Grid) -> list[Positions]:
    """Return where the voxels of ``target`` lie, axis by axis, in indices of ``source``.

    Both have the same axis directions and the same centre.
    """
    sizes = zip(source.shape, target.shape, source.spacing, target.spacing, strict=True)
    # Rounded, so that a voxel that lies on another one is not blended with its neighbour.
    return [
        np.round((np.arange(m) - (m - 1) / 2) * (t / s) + (n - 1) / 2, 9) for n, m, s, t in sizes
    ]


@dataclass(frozen=True, eq=False)
class _Line:
    """Where the voxels along one axis come from: between index ``low`` and the next one."""

    low: npt.NDArray[np.intp]
    part: FloatArray
    blended: bool
    same: bool

    @classmethod
    def of(cls, where: Positions, n: int) -> _Line:
        """Return it for positions on an axis of ``n`` voxels."""
        inside = np.clip(where, 0, n - 1)
        low = np.floor(inside).astype(np.intp)
        part = (inside - low).astype(np.float32)
        blended = bool(part.any())
        return cls(low, part, blended, not blended and np.array_equal(low, np.arange(n)))

    @property
    def high(self) -> npt.NDArray[np.intp]:
        """Index of the upper neighbour; where there is nothing to blend, the lower one's."""
        return self.low + (self.part > 0)

    def sample(
        self, array: FloatArray, axis: int, side: slice = slice(None), start: int = 0
    ) -> FloatArray:
        """Return the voxels of ``side`` from an array whose axis begins at index ``start``."""
        if self.same:
            return array
        below = array.take(self.low[side] - start, axis)
        if not self.blended:
            return below
        above = array.take(self.high[side] - start, axis)
        above -= below
        above *= self.part[side].reshape(-1, *(1,) * (array.ndim - axis - 1))
        above += below
        return above


class Sampling:
    """Linear sampling of an image at another grid of the same axes and centre, box by box.

    A box has the same values, to the last bit, as that part of the whole.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        at = zip(positions(source, target), source.shape, strict=True)
        self._lines = tuple(_Line.of(where, n) for where, n in at)

    def source(self, box: Box) -> Box:
        """Return the box of the source that a box of the target, which is not empty, needs."""
        return tuple(
            slice(int(line.low[side.start]), int(line.high[side.stop - 1]) + 1)
            for line, side in zip(self._lines, box, strict=True)
        )

    def sample(self, array: FloatArray, box: Box) -> FloatArray:
        """Return a box of the target from ``source(box)`` of an image, shape (channel, ...)."""
        array = np.ascontiguousarray(array)  # or every axis would make it so by itself
        sides = zip(self._lines, box, self.source(box), strict=True)
        for axis, (line, side, read) in enumerate(sides, start=1):
            array = line.sample(array, axis, side, read.start)
        return array


def nearest(source: Grid, target: Grid) -> list[npt.NDArray[np.intp]]:
    """Return the index of the nearest voxel of ``source`` for each of ``target``, by axis."""
    return [
        np.clip(np.floor(where + 0.5), 0, n - 1).astype(np.intp)
        for n, where in zip(source.shape, positions(source, target), strict=True)
    ]


@dataclass(frozen=True)
class WayBack:
    """How a prepared grid lies on the grid that it was made from.

    ``oriented`` is the native grid after ``how``; ``prepared`` has the same axes and centre, and
    maybe another spacing.
    """

    native: Grid
    how: Reorientation
    prepared: Grid

    @property
    def oriented(self) -> Grid:
        """The native grid with its axes in the prepared order."""
        return self.native.reoriented(self.how)

    @property
    def resampled(self) -> bool:
        """Whether the spacing was changed, so that the way back is not exact."""
        return self.prepared.shape != self.oriented.shape or not np.allclose(
            self.prepared.spacing, self.oriented.spacing, rtol=1e-9
        )

    def prepare_labels(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels on the native grid as labels on the prepared one: the nearest voxel's."""
        oriented = self.how.apply(labels)
        index = nearest(self.oriented, self.prepared)
        return np.ascontiguousarray(oriented[np.ix_(*index)])
