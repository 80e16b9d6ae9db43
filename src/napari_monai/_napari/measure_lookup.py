"""Labels looked up in a table as they are drawn: what is selected, and colours by a value.

Only the slices that are looked at are read, so that it costs the same for one object and for a
hundred thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..io.lazy import LazyArray
from ..labels.boxes import Box, shape_of
from ..volume import ArrayLike
from .edit_arrays import at_time

# Numbers up to which a table has an entry each.
_DENSE = 1 << 24
# Voxels that are looked up at once.
_AT_ONCE = 1 << 20

Levels = npt.NDArray[np.uint8]


class Lookup:
    """A level for each number: 0 of those that have none.

    Parameters
    ----------
    numbers, levels
        Of one length; levels from 0 to 255.
    outline
        Of slices only the outlines of things have a level, so many voxels wide; 0 is all. A
        volume has no outlines.
    """

    def __init__(
        self, numbers: npt.NDArray[np.int64], levels: Levels | int, outline: int = 0
    ) -> None:
        self._outline = outline
        order = np.argsort(numbers)
        self._numbers = numbers[order]
        filled = np.broadcast_to(np.asarray(levels, np.uint8), numbers.shape)
        self._levels = np.append(filled[order], np.uint8(0))
        most = int(self._numbers[-1]) if len(numbers) else 0
        self._table: Levels | None = None
        if most < _DENSE:
            self._table = np.zeros(most + 2, np.uint8)  # the last is of all that are larger
            self._table[self._numbers] = self._levels[:-1]

    def __call__(self, labels: npt.NDArray[Any]) -> Levels:
        """Return the levels of an array of numbers."""
        found = self._levels_of(labels)
        if self._outline and labels.ndim == 2:
            found[_inside(labels, self._outline)] = 0
        return found

    def _levels_of(self, labels: npt.NDArray[Any]) -> Levels:
        if labels.size > _AT_ONCE and labels.ndim > 1:  # an index takes eight bytes a voxel
            found = np.empty(labels.shape, np.uint8)
            for plane in range(len(labels)):
                found[plane] = self._levels_of(labels[plane])
            return found
        if self._table is not None:
            return np.take(self._table, labels, mode="clip")
        at = np.asarray(np.searchsorted(self._numbers, labels))
        hit = at < len(self._numbers)
        hit[hit] = self._numbers[at[hit]] == labels[hit]
        return self._levels[np.where(hit, at, len(self._numbers))]


def _inside(labels: npt.NDArray[Any], width: int) -> npt.NDArray[np.bool_]:
    """Return which pixels have their own label all around them, as far as a width."""
    inside = np.ones(labels.shape, np.bool_)
    for axis in range(2):
        turned, same = np.moveaxis(labels, axis, 0), np.moveaxis(inside, axis, 0)
        for step in range(1, width + 1):
            equal = turned[:-step] == turned[step:]
            same[:-step] &= equal
            same[step:] &= equal
            same[:step] = same[-step:] = False  # all else is beyond the edge
    return inside


class Looked:
    """The levels of labels in a box, looked up where they are read.

    Parameters
    ----------
    labels
        The array, with a time axis first where ``lookups`` are by time point.
    lookups
        One, or one a time point; what lacks one has no level.
    box
        Of the spatial axes; all when left out.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, labels: Any, lookups: Lookup | Mapping[int, Lookup], box: Box | None = None
    ) -> None:
        timed = not isinstance(lookups, Lookup)
        spatial = tuple(labels.shape[int(timed) :])
        self._box = box or tuple(slice(0, n) for n in spatial)
        self._labels, self._lookups = labels, lookups
        self.shape: tuple[int, ...] = (*labels.shape[: int(timed)], *shape_of(self._box))
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.nbytes = self.size

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("What is looked up cannot be had without a copy.")
        return np.asarray(self[...], dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any, /) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if isinstance(self._lookups, Lookup):
            return self._part(self._labels, self._lookups)[keys]
        if not keys or keys[0] is Ellipsis:
            keys = (slice(None), *keys)
        first, rest = keys[0], keys[1:]
        if isinstance(first, slice):
            times = range(*first.indices(self.shape[0]))
            return np.stack([np.asarray(self._at(t, rest)) for t in times])
        return self._at(int(first), rest)

    def _at(self, time: int, rest: Sequence[Any]) -> Any:
        time = time + self.shape[0] if time < 0 else time
        lookups = self._lookups
        assert not isinstance(lookups, Lookup)
        empty = Lookup(np.zeros(0, np.int64), 0)
        part = self._part(at_time(self._labels, time), lookups.get(time, empty))
        return part[tuple(rest)] if rest else part[...]

    def _part(self, labels: Any, lookup: Lookup) -> LazyArray:
        return LazyArray(_Crop(labels, self._box), convert=lookup, dtype=np.uint8, name="Labels")


class _Crop:
    """A box of an array that is read where it is indexed, by slices."""

    def __init__(self, data: ArrayLike, box: Box) -> None:
        self._data, self._box = data, box
        self.shape = shape_of(box)
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        pairs = zip(key, self._box, strict=True)
        there = (slice(k.start + b.start, k.stop + b.start, k.step) for k, b in pairs)
        return self._data[tuple(there)]
