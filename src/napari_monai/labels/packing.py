"""Labels kept small: runs of equal voxels instead of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Arrays with fewer voxels are kept as they are.
_SMALL = 1 << 12


class Packed:
    """A copy of an array of labels, as runs of equal voxels where that is smaller.

    ``numpy.asarray(packed)`` gives the array again; what is given is not to be changed.
    """

    __slots__ = ("_lengths", "_values", "dtype", "shape")

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self._lengths: npt.NDArray[np.int64] | None = None
        flat = np.ascontiguousarray(array).reshape(-1)
        if flat.size > _SMALL:
            ends = np.flatnonzero(flat[1:] != flat[:-1])
            if len(ends) * (flat.itemsize + 8) < flat.nbytes // 2:
                bounds = np.concatenate([[0], ends + 1, [flat.size]])
                self._values: npt.NDArray[Any] = flat[bounds[:-1]]
                self._lengths = np.diff(bounds)
                return
        self._values = flat.copy()
        self._values.flags.writeable = False

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        array = self._values
        if self._lengths is not None:
            array = np.repeat(array, self._lengths)
        array = array.reshape(self.shape)
        if dtype is not None and array.dtype != np.dtype(dtype):
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._values.nbytes + (0 if self._lengths is None else self._lengths.nbytes)
