"""From voxels to blocks of voxels and back: grids of lower resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .boxes import Box, shape_of

Field = npt.NDArray[np.float32]


def pooled(values: npt.NDArray[Any], step: Sequence[int]) -> Field:
    """Return the means of blocks of ``step`` voxels; the last ones of an axis may hold fewer."""
    result = np.asarray(values, np.float32)
    for axis in reversed(range(values.ndim)):  # the last one first: it lies together in memory
        length, n = step[axis], values.shape[axis]
        if length > 1:
            starts = np.arange(0, n, length)
            counts = np.diff(starts, append=n).astype(np.float32)
            counts = counts.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
            sums = np.add.reduceat(result, starts, axis)
            result = np.asarray(sums / counts, np.float32)
    return result


def spread(values: npt.NDArray[Any], step: Sequence[int], shape: Sequence[int]) -> npt.NDArray[Any]:
    """Return the values of blocks for each of their voxels, as a new array of that shape."""
    for axis, length in enumerate(step):
        if length > 1:
            values = np.repeat(values, length, axis)
    return np.array(values[tuple(slice(n) for n in shape)])


def interpolated(values: Field, step: Sequence[int], box: Box) -> Field:
    """Return the values of blocks in a box of voxels, linear between the middles of blocks."""
    for axis, (side, length) in enumerate(zip(box, step, strict=True)):
        if length == 1:
            values = values.take(range(side.start, side.stop), axis)
            continue
        place = (np.arange(side.start, side.stop) + 0.5) / length - 0.5
        place = place.clip(0, values.shape[axis] - 1)
        low = place.astype(np.intp)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        part = (place - low).astype(np.float32)
        part = part.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    assert values.shape == shape_of(box)
    return values
