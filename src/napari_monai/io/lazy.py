"""A view of an array in a file: axes permuted or turned and values converted when it is sliced."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ReadError
from ..volume import ArrayLike, chunk_lengths
from .files import one_line

Array = npt.NDArray[Any]


def blank(shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Return an array that stands for voxels which nobody asked for; it takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))


class LazyArray:
    """An array that is read and converted piece by piece, as it is sliced.

    Parameters
    ----------
    source
        The array in the file.
    order
        Axis of ``source`` for each axis of this array; those left out have length 1.
    flips
        Whether each axis of this array runs the other way.
    convert
        What is done to the values, element by element.
    dtype
        The type after ``convert``.
    name
        What errors call it: the file.
    release
        Called when this array is gone: closes the file.
    coarser
        The same at lower resolutions, the finest first, as some files hold it for viewers.
    """

    def __init__(
        self,
        source: ArrayLike,
        *,
        order: Sequence[int] | None = None,
        flips: Sequence[bool] | None = None,
        convert: Callable[[Array], Array] | None = None,
        dtype: npt.DTypeLike | None = None,
        name: object = "The image",
        release: Callable[[], object] | None = None,
        coarser: Sequence[LazyArray] = (),
    ) -> None:
        n = len(source.shape)
        self._source = source
        self._order = tuple(range(n)) if order is None else tuple(order)
        self._flips = tuple(flips or (False for _ in self._order))
        self._dropped = tuple(a for a in range(n) if a not in self._order)
        self._convert = convert
        self._name = name
        self.coarser = tuple(coarser)
        self.shape = tuple(int(source.shape[a]) for a in self._order)
        self.dtype: np.dtype[Any] = np.dtype(source.dtype if dtype is None else dtype)
        if release is not None:
            weakref.finalize(self, release)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array takes in memory."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[Any, ...]:
        """Lengths of the pieces that the file is read in best, see `chunk_lengths`."""
        lengths = chunk_lengths(self._source)
        return tuple(lengths[axis] for axis in self._order)

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Bytes from one voxel in the file to the next along each axis, where that is known."""
        strides = getattr(self._source, "strides", None)
        if strides is None:
            return None
        pairs = zip(self._order, self._flips, strict=True)
        return tuple(-strides[axis] if flip else strides[axis] for axis, flip in pairs)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("The array is in a file: it cannot be had without a copy.")
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any, /) -> Any:
        keys = self._full_key(key if isinstance(key, tuple) else (key,))
        if keys is None:  # what only arrays in memory can do
            return self[...][key]
        read: list[slice] = [slice(0, 1)] * len(self._source.shape)
        then: list[int | slice] = []
        axes = zip(self._order, keys, self.shape, self._flips, strict=True)
        for axis, one, length, flip in axes:
            read[axis], after = _forward(one, length, flip)
            then.append(after)
        block = self._read(tuple(read))
        block = block.transpose(*self._order, *self._dropped)
        block = block[(*then, *(0 for _ in self._dropped))]
        return block if self._convert is None else self._convert(block)

    def _read(self, key: tuple[slice, ...]) -> Array:
        try:
            return np.asarray(self._source[key])
        except (MemoryError, ReadError):
            raise
        except Exception as error:  # whatever a decoder makes of damaged data
            raise ReadError(
                f"{self._name} cannot be read any further: {one_line(error)}. Copy it from its "
                "source again."
            ) from error

    def _full_key(self, keys: tuple[Any, ...]) -> list[int | slice] | None:
        """Return one integer or slice an axis, or None if the key holds anything else."""
        full: list[int | slice] = []
        for key in keys:
            if key is Ellipsis:
                full += [slice(None)] * (self.ndim - len(keys) + 1)
            elif isinstance(key, slice):
                full.append(key)
            elif isinstance(key, int | np.integer) and not isinstance(key, bool):
                full.append(operator.index(key))
            else:
                return None
        if keys.count(Ellipsis) > 1 or len(full) > self.ndim:
            raise IndexError(f"An index of {len(keys)} parts does not fit {self.ndim} axes.")
        return full + [slice(None)] * (self.ndim - len(full))


def _forward(key: int | slice, length: int, flip: bool) -> tuple[slice, int | slice]:
    """Return a slice with a positive step to read, and what to take of it afterwards."""
    if isinstance(key, int):
        at = key + length if key < 0 else key
        if not 0 <= at < length:
            raise IndexError(f"Index {key} is outside an axis of {length}.")
        at = length - 1 - at if flip else at
        return slice(at, at + 1), 0
    places = range(*key.indices(length))
    if not places:
        return slice(0, 0), slice(None)
    first, last, step = places[0], places[-1], places.step
    if flip:
        first, last, step = length - 1 - first, length - 1 - last, -step
    if step > 0:
        return slice(first, last + 1, step), slice(None)
    return slice(last, first + 1, -step), slice(None, None, -1)
