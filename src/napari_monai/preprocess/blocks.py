"""How an image is cut into blocks that follow the chunks of its file and fit into memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..grid import Reorientation
from ..volume import ArrayLike, chunk_lengths

Box = tuple[slice, ...]
# Along one axis: where a chunk ends and the next one begins, with both ends of the axis.
Cuts = npt.NDArray[np.intp]


def chunk_cuts(data: ArrayLike) -> tuple[Cuts, ...]:
    """Return the cuts between the pieces that an array is read in best, axis by axis."""
    lengths = zip(data.shape, chunk_lengths(data), strict=True)
    return tuple(_cuts(n, length) for n, length in lengths)


def _cuts(n: int, chunk: int | Sequence[int]) -> Cuts:
    """Return the cuts of an axis from one length of all chunks (zarr) or one each (dask)."""
    if isinstance(chunk, Sequence):
        return np.concatenate([[0], np.cumsum(chunk)]).astype(np.intp)
    return np.append(np.arange(0, n, max(1, chunk)), n).astype(np.intp)


def plan_blocks(
    shape: Sequence[int], cuts: Sequence[Cuts], most: int, *, multiple: int = 1
) -> Iterator[Box]:
    """Yield boxes that tile an image, of ``most`` voxels or fewer, whole chunks where they fit.

    Boxes begin at a multiple of ``multiple`` along every axis. Where ``multiple`` to the power of
    the axes is more than ``most``, that is their size.
    """
    sides = []
    for n, cut in zip(shape, cuts, strict=True):
        longest = int(np.diff(cut).max(initial=1))
        sides.append(min(n, -(-longest // multiple) * multiple))
    while math.prod(sides) > most and any(side > multiple for side in sides):
        axis = next(a for a, side in enumerate(sides) if side > multiple)
        sides[axis] = -(-(sides[axis] // 2) // multiple) * multiple
    for axis in reversed(range(len(sides))):
        others = math.prod(sides) // sides[axis]
        sides[axis] = min(shape[axis], max(sides[axis], most // others // multiple * multiple))
    grouped = [_grouped(*each, multiple) for each in zip(shape, cuts, sides, strict=True)]
    yield from itertools.product(*grouped)


def _grouped(n: int, cuts: Cuts, side: int, multiple: int) -> list[slice]:
    """Return the parts of an axis, ``side`` long or shorter, that end at cuts if they can."""
    parts, start = [], 0
    while start < n:
        stop = n
        if start + side < n:
            cut = int(cuts[np.searchsorted(cuts, start + side, side="right") - 1])
            stop = cut // multiple * multiple
            if stop <= start:
                stop = start + side
        parts.append(slice(start, stop))
        start = stop
    return parts


def source_box(box: Box, how: Reorientation, shape: Sequence[int]) -> Box:
    """Return where a box of a reoriented array lies in the array before, of ``shape``."""
    source: list[slice] = [slice(0)] * len(box)
    for side, axis, flip in zip(box, how.axes, how.flips, strict=True):
        n = shape[axis]
        source[axis] = slice(n - side.stop, n - side.start) if flip else side
    return tuple(source)
