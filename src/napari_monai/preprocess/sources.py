"""The chain that an image is pulled through: each link reads from the one before it, box by box.

A box has the same values, to the last bit, whatever else is read: each voxel is computed from the
same numbers in the same order. Statistics of the whole image are taken when the chain is made, so
that reading needs no memory of what was read before.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..grid import Grid, Reorientation
from ..resample import Home, Sampling
from ..volume import Volume, slowest_first
from .blocks import Box, Cuts, chunk_cuts, plan_blocks, source_box

FloatArray = npt.NDArray[np.float32]

# Values that a block of a pass over an image may hold: many where it is read from a file, so that
# chunks are read once; few in memory, so that they stay in the processor's cache.
_FROM_FILE = 2**24
_IN_MEMORY = 2**19


class Map(Protocol):
    """What changes each voxel by itself."""

    @property
    def monotone(self) -> bool:
        """Whether a larger value never becomes a smaller one."""
        ...

    def channels(self, before: int, /) -> int:
        """Return the number of channels after it."""
        ...

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Return the values, shape (channel, *any); the array given may be overwritten."""
        ...


@dataclass(frozen=True, eq=False)
class Place:
    """Where a link's voxels lie, and how that follows from the file.

    Attributes
    ----------
    grid
        Their space.
    how
        The way from the axes of the file to those of the grid.
    cuts
        The borders of the file's chunks, along the axes of the file.
    homes
        Where the voxels of the file, after ``how``, find their values along each axis.
    resampled
        Whether a voxel is made of several of the file.
    framed
        Whether voxels of the file are left out, or others added.
    """

    grid: Grid
    how: Reorientation
    cuts: tuple[Cuts, ...]
    homes: tuple[Home, ...]
    resampled: bool = False
    framed: bool = False

    @classmethod
    def of(cls, grid: Grid, cuts: tuple[Cuts, ...]) -> Place:
        """Return that of an image as it is."""
        how = Reorientation((*range(grid.ndim),), (False,) * grid.ndim)
        return cls(grid, how, cuts, tuple(Home.same(n) for n in grid.shape))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The grid's shape in the order of the file's axes."""
        return tuple(self.grid.shape[axis] for axis in self.how.inverse().axes)

    def turned(self, how: Reorientation) -> Place:
        """Return it after another reorientation."""
        axes = tuple(self.how.axes[a] for a in how.axes)
        flips = tuple(
            self.how.flips[a] != flip for a, flip in zip(how.axes, how.flips, strict=True)
        )
        homes = tuple(
            self.homes[a].flipped(self.grid.shape[a]) if flip else self.homes[a]
            for a, flip in zip(how.axes, how.flips, strict=True)
        )
        turned = Reorientation(axes, flips)
        return replace(self, grid=self.grid.reoriented(how), how=turned, homes=homes)

    def resample(self, grid: Grid, *, nearest: Sequence[int] = (), averaged: bool = False) -> Place:
        """Return it at another grid of the same axes.

        The way back takes the nearest voxel along the axes of ``nearest``; with ``averaged`` the
        mean of the voxels that one covers, if that is no more than two.
        """
        before = self.stored_shape
        middle = np.round(self.grid.world_to_index(grid.centre), 9)
        steps = zip(self.homes, grid.spacing, self.grid.spacing, middle, grid.shape, strict=True)
        homes = [home.resampled(t / s, c, n) for home, t, s, c, n in steps]
        if averaged:
            sizes = zip(homes, self.homes, self.grid.shape, grid.shape, strict=True)
            homes = [home.averaged(n, m) or linear for linear, home, n, m in sizes]
        for axis in nearest:
            homes[axis] = homes[axis].nearest()
        after = replace(self, grid=grid, homes=tuple(homes), resampled=True)
        stored = zip(self.cuts, before, after.stored_shape, strict=True)
        cuts = tuple(np.unique(np.rint(cut * (m / n)).astype(np.intp)) for cut, n, m in stored)
        return replace(after, cuts=cuts)

    def frame(self, start: Sequence[int], shape: Sequence[int]) -> Place:
        """Return the box of that start and shape, which may reach outside."""
        sides = zip(self.homes, start, shape, strict=True)
        homes = tuple(home.framed(first, n) for home, first, n in sides)
        cuts = list(self.cuts)
        for axis, (source, flip) in enumerate(zip(self.how.axes, self.how.flips, strict=True)):
            n = shape[axis]
            first = self.grid.shape[axis] - start[axis] - n if flip else start[axis]
            inner = np.clip(self.cuts[source] - first, 0, n)
            cuts[source] = np.unique(np.concatenate([[0], inner, [n]])).astype(np.intp)
        grid = self.grid.crop(start, shape)
        return replace(self, grid=grid, homes=homes, cuts=tuple(cuts), framed=True)

    def boxes(self, most: int, *, multiple: int = 1) -> Iterator[tuple[Box, Box]]:
        """Yield boxes of ``most`` voxels that tile the file, and where they lie on the grid."""
        back = self.how.inverse()
        for stored in plan_blocks(self.stored_shape, self.cuts, most, multiple=multiple):
            yield stored, source_box(stored, back, self.grid.shape)


class Link(ABC):
    """A link of the chain: float32 of shape (channels, *grid.shape), NaN where not finite."""

    def __init__(
        self, native: Native, place: Place, channels: int, maps: tuple[Map, ...] = ()
    ) -> None:
        self.native = native
        self.place = place
        self.channels = channels
        self.maps = maps

    @property
    def grid(self) -> Grid:
        """The space of its voxels."""
        return self.place.grid

    @property
    def at_once(self) -> bool:
        """Whether reading it in boxes takes much longer than reading it whole."""
        return False

    @abstractmethod
    def read(self, box: Box) -> FloatArray:
        """Return a box that is not empty, in memory of its own and any memory order."""

    @property
    def spare(self) -> FloatArray | None:
        """An array in memory that its voxels may take the place of, box by box."""
        return None

    def sweep(self, *, multiple: int = 1) -> Iterator[tuple[Box, Box, FloatArray]]:
        """Yield the whole image once, box by box: its place in the file, on the grid, its values.

        A box starts in the file at a multiple of ``multiple`` along each axis.
        """
        voxels = max(1, self.native.block // max(self.channels, self.native.channels))
        self.native.found = 0
        for stored, box in self.place.boxes(voxels, multiple=multiple):
            yield stored, box, self.read(box)
        if not (
            self.place.resampled or self.place.framed
        ):  # then each voxel of the file was read just once
            self.native.missing = self.native.found

    def blocks(self, *, multiple: int = 1) -> Iterator[tuple[Box, FloatArray]]:
        """Yield the whole image once, block by block along the axes of the file."""
        back = self.place.how.inverse()
        for stored, _, values in self.sweep(multiple=multiple):
            yield stored, back.apply(values)


class Native(Link):
    """The voxels of an image, converted box by box.

    Parameters
    ----------
    volume
        One time point.
    channels
        Which channels to take.
    in_memory
        Whether to read all of a lazy image at once, in the type that it is stored in.

    Attributes
    ----------
    stored_order
        The axes by how they lie in the file, the slowest first.
    block
        Values that are read at a time in a pass over the image.
    missing
        How many values are not finite; ``None`` until it was counted.
    found
        How many of them were read since it was set.
    """

    def __init__(self, volume: Volume, channels: slice, *, in_memory: bool) -> None:
        if "t" in volume.leading:
            raise VolumeError(
                f"{volume.name} has {volume.times} time points: take one with at_time."
            )
        lead = len(volume.leading)
        self._data: Any = volume.data
        self._lead = (channels,) * lead
        if in_memory and not isinstance(volume.data, np.ndarray):
            self._data = np.asarray(volume.data[(*self._lead, ...)])
            self._lead = (slice(None),) * lead
        place = Place.of(volume.grid, chunk_cuts(self._data)[lead:])
        super().__init__(self, place, len(range(volume.channels)[channels]))
        self.stored_order = slowest_first(volume.data, volume.grid.ndim)
        self.block = _IN_MEMORY if in_memory else _FROM_FILE
        self._floats = volume.dtype.kind == "f"
        self.missing: int | None = None if self._floats else 0
        self.found = 0

    def read(self, box: Box) -> FloatArray:
        """Read and convert a box; what float32 cannot hold is not finite, and counted."""
        stored = self.stored(box)
        with np.errstate(over="ignore"):
            result = stored.astype(np.float32)
        if self._floats and not all_finite(result):
            holes = ~np.isfinite(result)
            self.found += int(np.count_nonzero(holes))
            result[holes] = np.nan
        return result

    def stored(self, box: Box) -> npt.NDArray[Any]:
        """Return a box, shape (channel, *spatial), in the type that it is stored in."""
        array = np.asarray(self._data[(*self._lead, *box)])
        return array if self._lead else array[np.newaxis]

    def is_grey(self) -> bool:
        """Whether all channels are equal."""
        voxels = max(1, self.block // self.channels)
        blocks = (self.stored(box) for box, _ in self.place.boxes(voxels))
        return all((block == block[:1]).all() for block in blocks)

    def first_channel(self) -> Native:
        """Return it with its first channel only."""
        first = copy.copy(self)
        first.native, first.channels, first._lead = first, 1, (slice(1),)
        return first

    def count_missing(self) -> int:
        """Return how many values are not finite; reads the image where nobody has done so."""
        if self.missing is None:
            for _ in self.sweep():
                pass
        assert self.missing is not None
        return self.missing


class Turned(Link):
    """The image with its axes permuted and flipped."""

    def __init__(self, source: Link, how: Reorientation) -> None:
        super().__init__(source.native, source.place.turned(how), source.channels, source.maps)
        self._source, self._how = source, how

    def read(self, box: Box) -> FloatArray:
        """Turn a box."""
        return self._how.apply(
            self._source.read(source_box(box, self._how, self._source.grid.shape))
        )


class Resampled(Link):
    """The image at another grid of the same axes."""

    def __init__(self, source: Link, grid: Grid) -> None:
        super().__init__(source.native, source.place.resample(grid), source.channels, source.maps)
        self._source, self._sampling = source, Sampling(source.grid, grid)

    def read(self, box: Box) -> FloatArray:
        """Interpolate a box."""
        values = self._source.read(self._sampling.source(box))
        with np.errstate(over="ignore", invalid="ignore"):
            return self._sampling.sample(values, box)


class Mapped(Link):
    """The image with every voxel changed by itself."""

    def __init__(self, source: Link, change: Map) -> None:
        channels = change.channels(source.channels)
        super().__init__(source.native, source.place, channels, (*source.maps, change))
        self._source, self._change = source, change

    def read(self, box: Box) -> FloatArray:
        """Change a box."""
        with np.errstate(all="ignore"):
            return self._change(self._source.read(box))

    @property
    def spare(self) -> FloatArray | None:
        """That of the link before."""
        return self._source.spare if self._source.channels == self.channels else None


class Held(Link):
    """The image as it was at some link, in memory, where computing it again would cost more."""

    def __init__(self, source: Link) -> None:
        super().__init__(source.native, source.place, source.channels, source.maps)
        self._array = whole(source)

    def read(self, box: Box) -> FloatArray:
        """Copy a box."""
        return self._array[(slice(None), *box)].copy()

    @property
    def spare(self) -> FloatArray:
        """The array itself."""
        return self._array


def whole(link: Link, *, finite: bool = False) -> FloatArray:
    """Return all of an image in memory, shape (channels, *grid.shape).

    With ``finite``, 0 stands where values are not.
    """
    if link.at_once:
        everything = link.read(tuple(slice(0, n) for n in link.grid.shape))
        return filled(everything) if finite else everything
    result = link.spare
    if result is None:
        result = np.empty((link.channels, *link.grid.shape), np.float32)
    for _, box, values in link.sweep():
        result[(slice(None), *box)] = filled(values) if finite else values
    return result


def filled(array: FloatArray) -> FloatArray:
    """Put 0 where values are not finite, in place."""
    if not all_finite(array):
        array[~np.isfinite(array)] = 0
    return array


def all_finite(array: FloatArray) -> bool:
    """Whether all values are finite, without a mask as large as the image."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(np.sum(array, dtype=np.float64)))
