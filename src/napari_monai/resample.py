"""Linear and nearest resampling between grids of the same axes, and the way back.

Spacing changes axis by axis, so every resampling here is separable: a list of positions an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .grid import Grid, Reorientation

FloatArray = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]
Box = tuple[slice, ...]

# Part of a voxel by which rounding may put one outside.
_BORDER = 1e-6


def positions(source: Grid, target: Grid) -> list[Positions]:
    """Return where the voxels of ``target`` lie, axis by axis, in indices of ``source``.

    Both have the same axis directions, and axes that go through each other's centre.
    """
    middle = np.round(source.world_to_index(target.centre), 9)
    sizes = zip(target.shape, source.spacing, target.spacing, middle, strict=True)
    # Rounded, so that a voxel that lies on another one is not blended with its neighbour.
    return [np.round((np.arange(m) - (m - 1) / 2) * (t / s) + c, 9) for m, s, t, c in sizes]


@dataclass(frozen=True, eq=False)
class Home:
    """Where the voxels along an axis of the image find their values on the prepared one.

    Attributes
    ----------
    at
        Positions along the prepared axis, none of them outside it.
    gain
        What the value there is multiplied by: 0 for a voxel that was cropped away, which is
        background, and something between where one is interpolated with such voxels.
    """

    at: Positions
    gain: FloatArray

    @classmethod
    def same(cls, n: int) -> Home:
        """Return that of an axis on which nothing was changed."""
        return cls(np.arange(n, dtype=np.float64), np.ones(n, np.float32))

    @property
    def cropped(self) -> bool:
        """Whether something was cropped away."""
        return bool((self.gain < 1).any())

    def nearest(self) -> Home:
        """Return it with the value of the nearest voxel in place of one in between."""
        return Home(np.floor(self.at + 0.5), (self.gain > 0.5).astype(np.float32))

    def flipped(self, n: int) -> Home:
        """Return it with both axes reversed, the prepared one of ``n`` voxels."""
        return Home((n - 1) - self.at[::-1], self.gain[::-1])

    def resampled(self, step: float, centre: float, n: int) -> Home:
        """Return it after resampling to ``n`` voxels of ``step`` old ones about ``centre``."""
        at = np.round((self.at - centre) / step + (n - 1) / 2, 9)
        return Home(np.clip(at, 0, n - 1), self.gain)

    def averaged(self, before: int, n: int) -> Home | None:
        """Return it after a resampling from ``before`` to ``n`` voxels that averages.

        A voxel takes the mean of those that it covers, touched ones whole (adaptive pooling). That
        is no value between two where it covers more, or was resampled before: None then.
        """
        if n > before or not np.array_equal(self.at, np.floor(self.at)):
            return None
        low = np.arange(before) * n // before
        high = -(-np.arange(1, before + 1) * n // before)
        middle = (low + high - 1) / 2
        return Home(middle[self.at.astype(np.intp)], self.gain)

    def framed(self, start: int, n: int) -> Home:
        """Return it after a crop to ``n`` voxels from ``start``, which may reach outside."""
        at = self.at - start
        outside = np.maximum(np.maximum(-at, at - (n - 1)), 0)
        gain = self.gain * np.clip(1 - outside, 0, 1).astype(np.float32)
        return Home(np.clip(at, 0, n - 1), gain)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Home):
            return NotImplemented
        return np.array_equal(self.at, other.at) and np.array_equal(self.gain, other.gain)

    def __hash__(self) -> int:
        return hash((self.at.tobytes(), self.gain.tobytes()))


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
    """Linear sampling of an image at another grid of the same axes, box by box.

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

    ``oriented`` is the native grid after ``how``; ``prepared`` has the same axes, and maybe another
    spacing, another field of view. ``homes`` has the way back along each axis; without it the
    grids alone say it, and nothing was cropped away.
    """

    native: Grid
    how: Reorientation
    prepared: Grid
    homes: tuple[Home, ...] = ()

    def __post_init__(self) -> None:
        if self.homes:
            return
        at = zip(positions(self.prepared, self.oriented), self.prepared.shape, strict=True)
        homes = (Home(np.clip(where, 0, n - 1), np.ones(len(where), np.float32)) for where, n in at)
        object.__setattr__(self, "homes", tuple(homes))

    @property
    def oriented(self) -> Grid:
        """The native grid with its axes in the prepared order."""
        return self.native.reoriented(self.how)

    @property
    def resampled(self) -> bool:
        """Whether the voxels are others, so that the way back is not exact."""
        return self.prepared.shape != self.oriented.shape or not np.allclose(
            self.prepared.affine, self.oriented.affine, rtol=1e-9, atol=1e-6
        )

    def prepare_labels(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels on the native grid as labels on the prepared one: the nearest voxel's.

        Beyond the native grid there is background.
        """
        box = tuple(slice(0, n) for n in self.prepared.shape)
        return self.prepare_labels_in(box, labels.__getitem__)

    def prepare_labels_in(
        self, box: Sequence[slice], read: Callable[[Box], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        """Return a box of `prepare_labels`; ``read`` returns a box of the labels."""
        oriented = self.oriented
        chosen = [at[side] for at, side in zip(nearest(oriented, self.prepared), box, strict=True)]
        source = tuple(slice(int(at.min()), int(at.max()) + 1) for at in chosen)
        native = self.how.inverse().box(source, oriented.shape)
        near = [at - side.start for at, side in zip(chosen, source, strict=True)]
        found = np.ascontiguousarray(self.how.apply(read(native))[np.ix_(*near)])
        sides = zip(positions(oriented, self.prepared), box, oriented.shape, strict=True)
        for axis, (every, side, n) in enumerate(sides):
            where = every[side]
            outside = (where < -0.5 - _BORDER) | (where > n - 0.5 + _BORDER)
            found[(slice(None),) * axis + (outside,)] = 0
        return found

    def nearest(self) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]]:
        """Return for each axis the nearest prepared voxel of each native one, and if it is any."""
        homes = (home.nearest() for home in self.homes)
        return [(home.at.astype(np.intp), home.gain > 0) for home in homes]
