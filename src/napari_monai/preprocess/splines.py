"""Values along one axis at other positions: the nearest, B-splines, and averages.

A line is computed in tiles of a fixed raster, so that a box has the same values, to the last bit,
whatever else is read. Splines are those of `scipy.ndimage` with edge voxels repeated beyond the
border, which `skimage.transform.resize` and nnU-Net use; at the border of a tile they see so many
voxels beyond it that what lies farther does not show.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Voxels of a tile, and those read on either side of what it needs: a voxel's share in a cubic
# spline falls by 0.268 a voxel.
_TILE = 128
_MARGIN = 24
# Copies of the edge voxel beyond the border, as many as scipy puts there.
_EDGE = 12


class Line(Protocol):
    """How values along one axis are made of others."""

    def source(self, side: slice, /) -> slice:
        """Return what a part of the new axis, which is not empty, needs of the old one."""
        ...

    def sample(self, values: Doubles, axis: int, side: slice, read: slice, /) -> Doubles:
        """Return a part of the new axis from ``source(side)``, read as ``read``, of the old one."""
        ...


class Nearest:
    """The value of the nearest voxel; half way between two, of the upper one."""

    def __init__(self, at: Doubles, n: int) -> None:
        self._index = np.clip(np.floor(at + 0.5), 0, n - 1).astype(np.intp)

    def source(self, side: slice) -> slice:
        """Return from the first to the last that is taken."""
        return slice(int(self._index[side.start]), int(self._index[side.stop - 1]) + 1)

    def sample(self, values: Doubles, axis: int, side: slice, read: slice) -> Doubles:
        """Take them."""
        index = self._index[side] - read.start
        same = len(index) == values.shape[axis] and np.array_equal(index, np.arange(len(index)))
        taken: Doubles = values if same else values.take(index, axis)
        return taken


class Averages:
    """The mean of the voxels that a new one covers, touched ones whole (adaptive pooling)."""

    def __init__(self, n: int, m: int) -> None:
        self._low = np.arange(m) * n // m
        self._high = -(-np.arange(1, m + 1) * n // m)

    def source(self, side: slice) -> slice:
        """Return from the first to the last that is covered."""
        return slice(int(self._low[side.start]), int(self._high[side.stop - 1]))

    def sample(self, values: Doubles, axis: int, side: slice, read: slice) -> Doubles:
        """Average them, one after the other."""
        low, high = self._low[side] - read.start, self._high[side] - read.start
        counts = high - low
        total = values.take(low, axis)
        for step in range(1, int(counts.max())):
            more = np.flatnonzero(counts > step)
            at = (slice(None),) * axis + (more,)
            total[at] += values.take(low[more] + step, axis)
        mean: Doubles = total / counts.reshape(-1, *(1,) * (values.ndim - axis - 1))
        return mean


class Spline:
    """A B-spline of degree 1, 2 or 3 through the voxels.

    Parameters
    ----------
    at
        The new voxels' positions in indices of the ``n`` old ones, rising.
    n
        Number of the old ones.
    degree
        Degree of the spline.
    """

    def __init__(self, at: Doubles, n: int, degree: int) -> None:
        self._at, self._n, self._degree = at, n, degree
        self._same = np.array_equal(at, np.arange(n))

    def source(self, side: slice) -> slice:
        """Return what the tiles need that the part lies in."""
        if self._same:
            return side
        tiles = self._tiles(side)
        return slice(self._needs(tiles[0]).start, self._needs(tiles[-1]).stop)

    def sample(self, values: Doubles, axis: int, side: slice, read: slice) -> Doubles:
        """Evaluate the spline tile by tile."""
        if self._same:
            return values
        parts = []
        for tile in self._tiles(side):
            needs = self._needs(tile)
            there = (slice(None),) * axis + (
                slice(needs.start - read.start, needs.stop - read.start),
            )
            wanted = slice(max(tile.start, side.start), min(tile.stop, side.stop))
            parts.append(self._evaluated(values[there], axis, wanted, needs))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)

    def _tiles(self, side: slice) -> list[slice]:
        first = side.start // _TILE * _TILE
        end = len(self._at)
        return [slice(a, min(a + _TILE, end)) for a in range(first, side.stop, _TILE)]

    def _needs(self, tile: slice) -> slice:
        low, high = int(np.floor(self._at[tile.start])), int(np.ceil(self._at[tile.stop - 1]))
        start = min(max(0, low - _MARGIN), self._n - 1)
        return slice(start, max(start + 1, min(self._n, high + _MARGIN + 1)))

    def _evaluated(self, values: Doubles, axis: int, wanted: slice, needs: slice) -> Doubles:
        """Return the spline through values, which begin at ``needs``, at the wanted positions."""
        pads = [(_EDGE, _EDGE) if a == axis else (0, 0) for a in range(values.ndim)]
        spline = np.pad(values, pads, mode="edge")
        if self._degree > 1:
            from scipy import ndimage  # slow to import, and models are listed without it

            spline = ndimage.spline_filter1d(spline, self._degree, axis, mode="nearest")
        # Between the copies of the edge voxel a spline still swings, as scipy's does.
        beyond = _EDGE - 2
        at = np.clip(self._at[wanted], -beyond, self._n - 1 + beyond) - needs.start + _EDGE
        low, weights = _weights(at, self._degree)
        after = (1,) * (values.ndim - axis - 1)
        total = spline.take(low, axis) * weights[0].reshape(-1, *after)
        for step, weight in enumerate(weights[1:], start=1):
            total += spline.take(low + step, axis) * weight.reshape(-1, *after)
        return total


def _weights(at: Doubles, degree: int) -> tuple[Index, list[Doubles]]:
    """Return the first coefficient of each position and the weights of those from there."""
    if degree == 2:
        low = np.floor(at + 0.5).astype(np.intp)
        x = at - low
        return low - 1, [(0.5 - x) ** 2 / 2, 0.75 - x**2, (0.5 + x) ** 2 / 2]
    low = np.floor(at).astype(np.intp)
    x = at - low
    if degree == 1:
        return low, [1 - x, x]
    y = 1 - x
    return low - 1, [
        y**3 / 6,
        2 / 3 - x**2 * (2 - x) / 2,
        2 / 3 - y**2 * (2 - y) / 2,
        x**3 / 6,
    ]
