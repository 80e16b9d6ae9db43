"""Centre distances of objects in an array on disk, one object after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import blocks
from ..instances import object_depth
from ..labels.boxes import Box, grown, moved, overlap, shape_of, size_of, within

Mask = npt.NDArray[np.bool_]
Depth = npt.NDArray[np.float64]

# Voxels of the box of an object that is looked at in one piece.
_AT_ONCE = 2**22
# Sides of the parts of larger ones, and how far around them is looked, at first and at the most.
_PART = 96
_AROUND = 16
_FARTHEST = 128


def write_depth(
    labels: npt.NDArray[Any],
    number: int,
    box: Box,
    spacing: Sequence[float],
    out: npt.NDArray[Any],
) -> None:
    """Write the normalised distance of an object's voxels to its edge, as `centre_distance` has it.

    Of an object in a large box, what is deeper than 128 voxels counts as so deep.

    Parameters
    ----------
    labels
        The array, maybe on disk.
    number, box
        The object, and the box that it lies in.
    spacing
        Distance between voxels along each axis.
    out
        Where to, shape of ``labels``.
    """
    if size_of(box) <= _AT_ONCE:
        inside = np.asarray(labels[box]) == number
        rim = [(int(s.start > 0), int(s.stop < n)) for s, n in zip(box, labels.shape, strict=True)]
        depth = object_depth(inside, rim, spacing)[inside]
        out[box][inside] = _normalised(depth, float(depth.max()))
        return
    deepest = max(float(depth.max()) for _, _, depth in _parts(labels, number, box, spacing))
    for part, inside, depth in _parts(labels, number, box, spacing):
        out[part][inside] = _normalised(depth, deepest)


def _normalised(depth: Depth, deepest: float) -> npt.NDArray[np.float32]:
    if not (deepest > 0 and np.isfinite(deepest)):  # the object fills the whole array
        return np.ones(depth.shape, np.float32)
    return (depth / deepest).astype(np.float32)


def _parts(
    labels: npt.NDArray[Any], number: int, box: Box, spacing: Sequence[float]
) -> Iterator[tuple[Box, Mask, Depth]]:
    """Yield the parts of an object: a box, where in it the object is, and how deep it is there."""
    for part in blocks.boxes(shape_of(box), (_PART,) * len(box)):
        here = moved(part, box)
        inside = np.asarray(labels[here]) == number
        if inside.any():
            yield here, inside, _depth_in(labels, number, here, box, spacing)[inside]


def _depth_in(
    labels: npt.NDArray[Any], number: int, part: Box, box: Box, spacing: Sequence[float]
) -> Depth:
    """Return the depths in a part: looked at ever farther around it, until they are sure."""
    whole = grown(box, 1, labels.shape)
    around = _AROUND
    while True:
        outer = overlap(grown(part, around, labels.shape), whole)
        assert outer is not None
        inside = np.asarray(labels[outer]) == number
        depth = object_depth(inside, [(0, 0)] * len(box), spacing)[within(part, outer)]
        sure = around * min(spacing)
        if outer == whole or depth.max() <= sure:
            return depth
        if around >= _FARTHEST:
            return np.minimum(depth, sure)
        around *= 2
