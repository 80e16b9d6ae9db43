"""A view of an array in a file: axes permuted and values converted when it is sliced."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ReadError
from ..volume import ArrayLike
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
    convert
        What is done to the values, element by element.
    dtype
        The type after ``convert``.
    name
        What errors call it: the file.
    release
        Called when this array is gone: closes the file.
    """

    def __init__(
        self,
        source: ArrayLike,
        *,
        order: Sequence[int] | None = None,
        convert: Callable[[Array], Array] | None = None,
        dtype: npt.DTypeLike | None = None,
        name: object = "The image",
        release: Callable[[], object] | None = None,
    ) -> None:
        n = len(source.shape)
        self._source = source
        self._order = tuple(range(n)) if order is None else tuple(order)
        self._dropped = tuple(a for a in range(n) if a not in self._order)
        self._convert = convert
        self._name = name
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
        for axis, one, length in zip(self._order, keys, self.shape, strict=True):
            read[axis], after = _forward(one, length)
            then.append(after)
        block = self._read(tuple(read))
        block = block.transpose(*self._order, *self._dropped)
        block = block[(*then, *(0 for _ in self._dropped))]
        return block if self._convert is None else self._convert(block)

    def _read(self, key: tuple[slice, ...]) -> Array:
        try:
            return np.asarray(self._source[key])
        except MemoryError:
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


def _forward(key: int | slice, length: int) -> tuple[slice, int | slice]:
    """Return a slice with a positive step to read, and what to take of it afterwards."""
    if isinstance(key, int):
        at = key + length if key < 0 else key
        if not 0 <= at < length:
            raise IndexError(f"Index {key} is outside an axis of {length}.")
        return slice(at, at + 1), 0
    places = range(*key.indices(length))
    if not places:
        return slice(0, 0), slice(None)
    if places.step > 0:
        return slice(places[0], places[-1] + 1, places.step), slice(None)
    return slice(places[-1], places[0] + 1, -places.step), slice(None, None, -1)
