"""Boxes that an array is worked on in: cut, grown and shrunk, alike in space along every axis.

A box is one slice an axis with plain starts and stops. ``relative`` gives the spacing of each axis
over the finest, so that lengths are in voxels of the finest axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Box = tuple[slice, ...]


def boxes(shape: Sequence[int], sides: Sequence[int]) -> Iterator[Box]:
    """Yield the boxes of these sides that an array falls into, the last axis fastest."""
    axes = [
        [slice(start, min(start + side, n)) for start in range(0, n, side)]
        for n, side in zip(shape, sides, strict=True)
    ]
    yield from itertools.product(*axes)


def volume(box: Box) -> int:
    """Return the number of voxels in a box."""
    return int(np.prod([s.stop - s.start for s in box], dtype=object))


def sides(shape: Sequence[int], relative: Sequence[float], voxels: int) -> tuple[int, ...]:
    """Return the sides of the largest box, a cube in space where the array allows it."""

    def at(length: float) -> Box:
        return tuple(
            slice(0, min(n, max(1, int(length / r)))) for n, r in zip(shape, relative, strict=True)
        )

    longest = max(n * r for n, r in zip(shape, relative, strict=True))
    return tuple(s.stop for s in at(_largest(at, voxels, longest + 1)))


def grown(
    box: Box,
    shape: Sequence[int],
    relative: Sequence[float],
    voxels: int,
    margin: float | None = None,
) -> Box:
    """Return the box with a margin on all sides, within the array.

    The margin is at least one voxel on every axis, and as wide as ``voxels`` allow where it is
    not given.
    """

    def at(length: float) -> Box:
        return tuple(
            slice(max(0, s.start - wide), min(n, s.stop + wide))
            for s, n, r in zip(box, shape, relative, strict=True)
            for wide in [max(1, int(np.ceil(length / r)))]
        )

    longest = max(n * r for n, r in zip(shape, relative, strict=True))
    return at(_largest(at, voxels, longest) if margin is None else margin)


def within(box: Box, shape: Sequence[int]) -> Box:
    """Return the box and one voxel around it, within the array."""
    return tuple(
        slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(box, shape, strict=True)
    )


def inside(box: Box, shape: Sequence[int], relative: Sequence[float], margin: float) -> Box:
    """Return the box without a margin on the sides where the array goes on beyond it."""
    result = []
    for s, n, r in zip(box, shape, relative, strict=True):
        wide = int(np.ceil(margin / r))
        start = s.start + wide * (s.start > 0)
        result.append(slice(start, max(start, s.stop - wide * (s.stop < n))))
    return tuple(result)


def halves(box: Box, relative: Sequence[float]) -> tuple[Box, Box]:
    """Return the two halves of a box along the axis that is longest in space."""
    lengths = [
        (s.stop - s.start) * r * (s.stop - s.start > 1) for s, r in zip(box, relative, strict=True)
    ]
    axis = int(np.argmax(lengths))
    middle = (box[axis].start + box[axis].stop) // 2
    low = (*box[:axis], slice(box[axis].start, middle), *box[axis + 1 :])
    high = (*box[:axis], slice(middle, box[axis].stop), *box[axis + 1 :])
    return low, high


def _largest(at: Callable[[float], Box], voxels: int, most: float) -> float:
    """Return the greatest length up to ``most`` at which the box holds no more voxels."""
    low, high = 0.0, float(most)
    if volume(at(high)) <= voxels:
        return high
    while high - low > 0.25:
        middle = (low + high) / 2
        low, high = (middle, high) if volume(at(middle)) <= voxels else (low, middle)
    return low
