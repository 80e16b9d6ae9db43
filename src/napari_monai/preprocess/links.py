"""Links that resample by other means than lines, cut out, pad, and change only some voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..grid import Grid
from .blocks import Box
from .maps import Scaling
from .sources import Link
from .splines import Averages, Line, Spline

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Beyond = Literal["constant", "edge", "reflect"]


class Framed(Link):
    """A box of the image, which may reach outside.

    Parameters
    ----------
    source
        The image.
    start, shape
        The box; a negative ``start`` is outside.
    beyond
        What stands outside: ``value``, the voxel at the border, or the image mirrored there.
    """

    def __init__(
        self,
        source: Link,
        start: Sequence[int],
        shape: Sequence[int],
        *,
        beyond: Beyond = "constant",
        value: float = 0.0,
    ) -> None:
        place = source.place.frame(start, shape)
        super().__init__(source.native, place, source.channels, source.maps)
        self._source, self._start = source, tuple(start)
        self._beyond, self._value = beyond, np.float32(value)

    def read(self, box: Box) -> FloatArray:
        """Read what lies inside and put it where it belongs."""
        sides = zip(box, self._start, self._source.grid.shape, strict=True)
        at = [_within(np.arange(b.start, b.stop) + start, n, self._beyond) for b, start, n in sides]
        insides = [index >= 0 for index in at]
        lengths = tuple(len(index) for index in at)
        if not all(inside.any() for inside in insides):
            return np.full((self.channels, *lengths), self._value, np.float32)
        used = [index[inside] for index, inside in zip(at, insides, strict=True)]
        bounds = tuple(slice(int(u.min()), int(u.max()) + 1) for u in used)
        values = self._source.read(bounds)
        for axis, (index, side) in enumerate(zip(used, bounds, strict=True), start=1):
            if not np.array_equal(index, np.arange(side.start, side.stop)):
                values = values.take(index - side.start, axis)
        if values.shape[1:] == lengths:
            return values
        result = np.full((self.channels, *lengths), self._value, np.float32)
        every = np.arange(self.channels)
        result[np.ix_(every, *(np.flatnonzero(i) for i in insides))] = values
        return result


def _within(index: npt.NDArray[np.intp], n: int, beyond: Beyond) -> npt.NDArray[np.intp]:
    """Return where indices that may lie outside an axis find their values; -1 is nowhere."""
    if beyond == "constant":
        return np.where((index >= 0) & (index < n), index, -1)
    if beyond == "edge" or n == 1:
        return np.clip(index, 0, n - 1)
    folded: npt.NDArray[np.intp] = np.abs(index) % (2 * (n - 1))
    return np.minimum(folded, 2 * (n - 1) - folded)


class Masked(Link):
    """The image with the voxels of a mask scaled."""

    def __init__(self, source: Link, scaling: Scaling, mask: npt.NDArray[np.bool_]) -> None:
        super().__init__(source.native, source.place, source.channels, (*source.maps, _Partly()))
        self._source, self._scaling, self._mask = source, scaling, mask

    def read(self, box: Box) -> FloatArray:
        """Scale those of a box."""
        values = self._source.read(box)
        mask = self._mask[box]
        with np.errstate(all="ignore"):
            changed = self._scaling(values.copy())
        values[:, mask] = changed[:, mask]
        return values


@dataclass(frozen=True)
class _Partly:
    """Stands for what changes some voxels and leaves others: nothing can be told of one value."""

    monotone: bool = False

    def channels(self, before: int, /) -> int:
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        raise AssertionError("no value is mapped where maps are not monotone")


class Separable(Link):
    """The image at another grid of the same axes, by means of its own along each axis.

    Values are computed in double precision, one channel after the other.

    Parameters
    ----------
    source
        The image.
    grid
        The grid.
    lines
        One an axis.
    limits
        Limits of the values, shape (2, channels) or (2, channels, n) with one pair for each voxel
        along ``coarse``, an axis of the source.
    coarse
        An axis whose planes are resampled by themselves before it is itself.
    home
        An axis along which the way back takes the nearest voxel.
    """

    def __init__(
        self,
        source: Link,
        grid: Grid,
        lines: Sequence[Line],
        *,
        limits: Doubles | None = None,
        coarse: int | None = None,
        home: int | None = None,
    ) -> None:
        nearest = () if home is None else (home,)
        place = source.place.resample(grid, nearest=nearest, averaged=_averages(lines))
        super().__init__(source.native, place, source.channels, source.maps)
        self._source, self._lines, self._limits, self._coarse = source, lines, limits, coarse
        self._splined = any(isinstance(line, Spline) for line in lines)

    @property
    def at_once(self) -> bool:
        """Splines need many voxels around each box."""
        return self._splined

    def read(self, box: Box) -> FloatArray:
        """Resample a box."""
        sources = tuple(line.source(side) for line, side in zip(self._lines, box, strict=True))
        values = self._source.read(sources)
        if self._splined:  # one voxel would spoil many
            values[~np.isfinite(values)] = 0
        shape = (len(values), *(side.stop - side.start for side in box))
        result = np.empty(shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for channel, part in enumerate(values):
                result[channel] = self._resampled(channel, part.astype(np.float64), box, sources)
        return result

    def _resampled(self, channel: int, values: Doubles, box: Box, sources: Box) -> Doubles:
        """Return a channel of a box from the box of the source that it needs."""
        order = [axis for axis in range(len(box)) if axis != self._coarse]
        for axis in order:
            values = self._lines[axis].sample(values, axis, box[axis], sources[axis])
        if self._limits is not None:
            low, high = self._limits[:, channel]
            if self._coarse is not None:
                part = (sources[self._coarse], *(None,) * (len(box) - self._coarse - 1))
                low, high = low[part], high[part]
            values = np.clip(values, low, high)
        if self._coarse is not None:
            axis = self._coarse
            values = self._lines[axis].sample(values, axis, box[axis], sources[axis])
        return values


def _averages(lines: Sequence[Line]) -> bool:
    return all(isinstance(line, Averages) for line in lines)


def limits_of(link: Link, axis: int | None = None) -> Doubles:
    """Return the smallest and largest value of each channel, or of each of its planes.

    Shape (2, channels) or, with an axis, (2, channels, n). What is not finite counts as 0.
    """
    n = () if axis is None else (link.grid.shape[axis],)
    result = np.empty((2, link.channels, *n))
    result[0], result[1] = np.inf, -np.inf
    others = tuple(a + 1 for a in range(link.grid.ndim) if a != axis)
    for _, box, values in link.sweep():
        finite = np.where(np.isfinite(values), values, 0)
        part = (slice(None),) if axis is None else (slice(None), box[axis])
        result[0][part] = np.minimum(result[0][part], finite.min(axis=others))
        result[1][part] = np.maximum(result[1][part], finite.max(axis=others))
    return result


__all__ = ["Averages", "Framed", "Masked", "Separable", "limits_of"]
