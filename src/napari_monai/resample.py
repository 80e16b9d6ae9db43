"""Linear and nearest resampling between grids of the same axes and centre, and the way back.

Spacing changes axis by axis, so every resampling here is separable: a list of positions an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .grid import Grid, Reorientation

FloatArray = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Box = tuple[slice, ...]

# Voxels of a slab on the way back: small enough for the processor's cache.
_SLAB = 2**20


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


def interpolate(array: FloatArray, at: Sequence[Positions]) -> FloatArray:
    """Sample the last axes of an array linearly at the outer product of positions.

    Beyond the outermost voxel centres the value of the nearest one holds.
    """
    lead = array.ndim - len(at)
    for axis, where in enumerate(at, start=lead):
        array = _Line.of(where, array.shape[axis]).sample(array, axis)
    return array


def strongest(channels: Iterable[FloatArray]) -> tuple[npt.NDArray[np.uint16], FloatArray]:
    """Return the number of the greatest channel, voxel by voxel, and its value.

    As ``argmax`` and ``max`` over the channels, which need not be there all at once.
    """
    order: npt.NDArray[np.uint16] | None = None
    for number, values in enumerate(channels):
        if order is None:
            order, best = np.zeros(values.shape, np.uint16), values.copy()
            continue
        np.copyto(order, np.uint16(number), where=values > best)
        np.maximum(best, values, out=best)
    if order is None:
        raise ValueError("There is no channel to choose from.")
    return order, best


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

    def labels(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels on the prepared grid as labels on the native one: the nearest voxel's."""
        return np.ascontiguousarray(
            self.how.inverse().apply(labels[np.ix_(*nearest(self.prepared, self.oriented))])
        )

    def prepare_labels(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels on the native grid as labels on the prepared one: the nearest voxel's."""
        oriented = self.how.apply(labels)
        index = nearest(self.oriented, self.prepared)
        return np.ascontiguousarray(oriented[np.ix_(*index)])

    def decided(
        self,
        maps: FloatArray,
        decide: Callable[[Iterable[FloatArray]], npt.NDArray[Any]],
    ) -> npt.NDArray[Any]:
        """Return labels on the native grid from maps on the prepared one, (channel, *spatial).

        Probabilities are interpolated, then decided: smoother borders than the nearest label.
        Slab by slab and channel by channel, so that beside the labels no more exists on the
        native grid than a few slabs of one channel.

        Parameters
        ----------
        decide
            Turns the channels of a slab, which it is given one after the other, into labels.
        """
        at = positions(self.prepared, self.oriented)
        planes, *within = self.oriented.shape
        rows = max(1, _SLAB // int(np.prod(within)))
        labels: npt.NDArray[Any] | None = None
        for start in range(0, planes, rows):
            here = (at[0][start : start + rows], *at[1:])
            slab = decide(interpolate(channel, here) for channel in maps)
            if labels is None:
                labels = np.empty(self.native.shape, slab.dtype)
            self.how.apply(labels)[start : start + rows] = slab
        assert labels is not None  # a grid has voxels
        return labels

    def region(self, box: Box, labels: npt.NDArray[Any]) -> tuple[Box, npt.NDArray[Any]]:
        """Return where a box of the prepared grid lies on the native one, and its labels there.

        Boxes that tile the prepared grid give regions that tile the native one; a region may be
        empty where the native grid is the coarser one.
        """
        index, parts = [], []
        for near, side in zip(nearest(self.prepared, self.oriented), box, strict=True):
            first, last = np.searchsorted(near, (side.start, side.stop))
            index.append(near[first:last] - side.start)
            parts.append((int(first), int(last)))
        back = self.how.inverse()
        native = []
        for axis, flip in zip(back.axes, back.flips, strict=True):
            (first, last), n = parts[axis], self.oriented.shape[axis]
            native.append(slice(n - last, n - first) if flip else slice(first, last))
        return tuple(native), np.ascontiguousarray(back.apply(labels[np.ix_(*index)]))
