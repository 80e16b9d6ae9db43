"""Resampling between any two grids, turned or sheared against each other, piece by piece.

Nothing is computed before it is asked for, and then in blocks: a plane of a volume in another
frame costs that plane, whatever direction it is cut in. Compare `napari_monai.resample`, whose
grids share their axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .grid import Grid
from .volume import ArrayLike

Array = npt.NDArray[Any]

# Voxels along each axis of what is computed at a time.
_BLOCK = 128
# Voxels of the source that are copied at a time, where it has to be converted.
_MOST = 2**24


class Regridded:
    """An array seen on another grid; slices of it are computed when they are asked for.

    Parameters
    ----------
    data
        Array of shape (..., *source.shape): what leads is kept.
    source, target
        Its grid, and the one that it is wanted on; of three axes each, in one world.
    nearest
        Take the value of the nearest voxel, as labels need it, instead of interpolating linearly.
        Whole numbers stay so either way.
    fill
        Value beyond the source, whose outermost voxels reach half a voxel beyond their centres.
    """

    def __init__(
        self, data: ArrayLike, source: Grid, target: Grid, *, nearest: bool, fill: float = 0
    ) -> None:
        self._data = data
        self._lead = tuple(data.shape[: len(data.shape) - source.ndim])
        self._source = source
        self._to_source = np.linalg.inv(source.affine) @ target.affine
        self._order = 0 if nearest else 1
        self._fill = fill
        self.shape = (*self._lead, *target.shape)
        self.dtype: np.dtype[Any] = np.dtype(data.dtype).newbyteorder("=")

    def __getitem__(self, key: tuple[slice, ...], /) -> Array:
        """Return a box, given as one slice with a positive step for each axis."""
        ranges = [range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True)]
        found = np.full(tuple(len(r) for r in ranges), self._fill, self.dtype)
        n = len(self._lead)
        for lead in itertools.product(*(range(len(r)) for r in ranges[:n])):
            at = tuple(r[i] for r, i in zip(ranges[:n], lead, strict=True))
            for box in _blocks([len(r) for r in ranges[n:]]):
                places = [r[b] for r, b in zip(ranges[n:], box, strict=True)]
                self._fill_block(found[lead][box], at, places)
        return found

    def _fill_block(self, out: Array, lead: tuple[int, ...], places: Sequence[range]) -> None:
        """Compute one block of the target in place, from the box of the source that it lies in."""
        start, step = np.array([r[0] for r in places]), np.array([r.step for r in places])
        matrix = self._to_source[:3, :3] * step
        # Rounded, so that a voxel that lies on another one takes its value and no neighbour's.
        offset = np.round(self._to_source[:3, :3] @ start + self._to_source[:3, 3], 9)
        ends = np.array(list(itertools.product(*((0, n - 1) for n in out.shape)))) @ matrix.T
        low, high = (ends + offset).min(axis=0), (ends + offset).max(axis=0)
        last = np.array(self._source.shape) - 1
        if (high < -0.5).any() or (low > last + 0.5).any():
            return
        first = np.clip(np.floor(low), 0, last).astype(int)
        stop = np.clip(np.ceil(high), 0, last).astype(int) + 1
        if np.prod(stop - first, dtype=float) > _MOST and max(out.shape) > 1:
            for box in _halves(out.shape):
                parts = [r[b] for r, b in zip(places, box, strict=True)]
                self._fill_block(out[box], lead, parts)
            return
        crop = np.asarray(
            self._data[(*lead, *(slice(a, b) for a, b in zip(first, stop, strict=True)))]
        )
        block = np.empty(out.shape, _computed_as(out.dtype))
        ndimage.affine_transform(
            crop.astype(_computed_as(crop.dtype), copy=False),
            matrix,
            offset - first,
            out.shape,
            output=block,
            order=self._order,
            mode="nearest",
        )
        if (low >= -0.5).all() and (high <= last + 0.5).all():
            out[...] = block
        else:
            inside = _inside(matrix, offset, out.shape, last)
            out[inside] = block[inside]


def regrid(data: ArrayLike, source: Grid, target: Grid, *, nearest: bool, fill: float = 0) -> Array:
    """Return an array on another grid, in memory; see `Regridded`."""
    view = Regridded(data, source, target, nearest=nearest, fill=fill)
    return view[tuple(slice(None) for _ in view.shape)]


def straight_box(grid: Grid) -> Grid:
    """Return the grid along the world axes nearest to its own that covers all of it.

    Its spacing, its centre and the order of its axes are those of ``grid``.
    """
    world = np.array(["RLAPSI".index(letter) // 2 for letter in grid.orientation])
    signs = np.sign(grid.affine[world, range(grid.ndim)])
    steps = np.array(grid.spacing)
    lengths = np.abs(grid.affine[:3, : grid.ndim]) @ np.array(grid.shape)
    # Rounding must not add a voxel.
    shape = tuple(max(1, int(n)) for n in np.ceil(lengths[world] / steps - 1e-6))
    affine = np.eye(4)
    affine[:3, :3] = 0
    affine[world, range(grid.ndim)] = signs * steps
    affine[:3, 3] = grid.centre - affine[:3, : grid.ndim] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine, grid.unit, grid.anatomical)


def _blocks(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    starts = [range(0, n, _BLOCK) for n in shape]
    for start in itertools.product(*starts):
        yield tuple(slice(a, min(a + _BLOCK, n)) for a, n in zip(start, shape, strict=True))


def _halves(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the two halves of a block along its longest axis."""
    axis = int(np.argmax(shape))
    middle = shape[axis] // 2
    for part in (slice(0, middle), slice(middle, shape[axis])):
        yield tuple(part if a == axis else slice(0, n) for a, n in enumerate(shape))


def _computed_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type of the same numbers that SciPy computes with, and rounds to."""
    known = {"f2": "f4", "b1": "u1"}
    return np.dtype(known.get(dtype.str[1:], dtype.newbyteorder("=")))


def _inside(
    matrix: npt.NDArray[np.float64],
    offset: npt.NDArray[np.float64],
    shape: Sequence[int],
    last: npt.NDArray[np.int_],
) -> npt.NDArray[np.bool_]:
    """Return which voxels of a block lie in the source, its voxels' edges included."""
    inside = np.ones(shape, bool)
    steps = [np.arange(n) for n in shape]
    for axis in range(3):
        along = [s * matrix[axis, k] for k, s in enumerate(steps)]
        where = along[0][:, None, None] + along[1][None, :, None] + along[2] + offset[axis]
        inside &= (where >= -0.5) & (where <= last[axis] + 0.5)
    return inside
