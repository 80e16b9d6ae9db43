"""What changes each voxel by itself: the maps that links of the chain apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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


@dataclass(frozen=True)
class Limits:
    """Limit the values; ``None`` leaves an end open."""

    minimum: float | None
    maximum: float | None
    monotone: ClassVar[bool] = True

    def channels(self, before: int, /) -> int:
        """As many as before."""
        return before

    def __call__(self, array: FloatArray, /) -> FloatArray:
        """Clip in place."""
        if (self.minimum, self.maximum) != (None, None):
            np.clip(array, self.minimum, self.maximum, out=array)
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
