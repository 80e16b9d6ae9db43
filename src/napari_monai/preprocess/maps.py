"""What changes each voxel by itself: the maps that links of the chain apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scaling:
    """Subtract and divide, by a number a channel each, then add a number and limit the values.

    With ``keep_zero``, values that are 0 stay so.
    """

    minus: FloatArray
    over: FloatArray
    plus: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    keep_zero: bool = False

    @property
    def monotone(self) -> bool:
        """Not where 0 stays 0 among values that are moved past it."""
        return not self.keep_zero

    def channels(self, before: int, /) -> int:
        """As many as before."""
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Scale in place."""
        for part, minus, over in zip(array, self.minus, self.over, strict=True):
            zero = part == 0 if self.keep_zero else None
            part -= minus
            part /= over
            if zero is not None:
                part[zero] = 0
        if self.plus:
            array += np.float32(self.plus)
        return Limits(self.minimum, self.maximum)(array)


@dataclass(frozen=True, eq=False)
class Linear:
    """Multiply, then add, by a number a channel each."""

    gain: FloatArray
    offset: FloatArray

    @property
    def monotone(self) -> bool:
        """Not where a gain turns the values round or makes them all alike."""
        return bool((self.gain > 0).all())

    def channels(self, before: int, /) -> int:
        """As many as before."""
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Scale in place."""
        for part, gain, offset in zip(array, self.gain, self.offset, strict=True):
            part *= gain
            part += offset
        return array


@dataclass(frozen=True, eq=False)
class Limits:
    """Limit the values, to one number or to one a channel; ``None`` leaves an end open."""

    minimum: float | FloatArray | None
    maximum: float | FloatArray | None
    monotone: ClassVar[bool] = True

    def channels(self, before: int, /) -> int:
        """As many as before."""
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Clip in place."""
        if self.minimum is None and self.maximum is None:
            return array
        low, high = (
            end.reshape(-1, *(1,) * (array.ndim - 1)) if isinstance(end, np.ndarray) else end
            for end in (self.minimum, self.maximum)
        )
        np.clip(array, low, high, out=array)
        return array


@dataclass(frozen=True)
class Rounding:
    """Make the values those that a type can hold."""

    dtype: np.dtype[Any]
    monotone: ClassVar[bool] = True

    def channels(self, before: int, /) -> int:
        """As many as before."""
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Round in place: whole numbers towards zero, what is beyond the type to its ends."""
        if self.dtype.kind == "f":
            array[...] = array.astype(self.dtype)
            return array
        np.trunc(array, out=array)
        ends = np.iinfo(self.dtype)
        np.clip(array, ends.min, ends.max, out=array)
        return array


@dataclass(frozen=True)
class Repeat:
    """Make one channel several equal ones."""

    count: int
    monotone: ClassVar[bool] = True

    def channels(self, before: int, /) -> int:
        """``count`` for one."""
        return before * self.count

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Copy."""
        return np.repeat(array, self.count, axis=0)
