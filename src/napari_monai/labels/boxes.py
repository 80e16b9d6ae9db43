"""Where labels lie: boxes, and the table of the box of each label.

A box is one slice an axis with plain starts and stops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..volume import ArrayLike, chunk_lengths

Box = tuple[slice, ...]

# Voxels of a slab that is looked at in one piece, of arrays that are not in memory.
SLAB = 1 << 24
# Highest number for which a table with a place for each number pays.
_TABLE = 1 << 22


def whole(shape: Sequence[int]) -> Box:
    """Return the box of a whole array."""
    return tuple(slice(0, int(n)) for n in shape)


def shape_of(box: Box) -> tuple[int, ...]:
    """Return the lengths of a box."""
    return tuple(s.stop - s.start for s in box)


def size_of(box: Box) -> int:
    """Return the number of voxels of a box."""
    return math.prod(s.stop - s.start for s in box)


def grown(box: Box, margin: int | Sequence[int], shape: Sequence[int]) -> Box:
    """Return the box with a margin in voxels on all sides, within an array of this shape.

    The margin is one number, or one an axis.
    """
    wide = (margin,) * len(box) if isinstance(margin, int) else margin
    return tuple(
        slice(max(0, s.start - w), min(int(n), s.stop + w))
        for s, w, n in zip(box, wide, shape, strict=True)
    )


def overlap(one: Box, other: Box) -> Box | None:
    """Return what two boxes share; ``None`` where that is nothing."""
    pairs = zip(one, other, strict=True)
    shared = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs)
    return None if any(s.start >= s.stop for s in shared) else shared


def union(one: Box, other: Box) -> Box:
    """Return the smallest box that holds both."""
    pairs = zip(one, other, strict=True)
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)


def within(inner: Box, outer: Box) -> Box:
    """Return a box of the array as a box of the crop that ``outer`` is."""
    pairs = zip(inner, outer, strict=True)
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in pairs)


def moved(inner: Box, outer: Box) -> Box:
    """Return a box of the crop that ``outer`` is as a box of the array."""
    pairs = zip(inner, outer, strict=True)
    return tuple(slice(a.start + b.start, a.stop + b.start) for a, b in pairs)


def tight(mask: npt.NDArray[np.bool_]) -> Box | None:
    """Return the smallest box that holds all that is true; ``None`` where nothing is."""
    box = []
    # The first axis first: what is left after it is a plane or a line, and quick.
    for axis in range(mask.ndim):
        along = mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis))
        places = np.flatnonzero(along)
        if not len(places):
            return None
        box.append(slice(int(places[0]), int(places[-1]) + 1))
        mask = mask[(slice(None),) * axis + (box[-1],)]
    return tuple(box)


def slabs(labels: ArrayLike, box: Box | None = None, *, voxels: int | None = None) -> Iterator[Box]:
    """Yield the slabs along the first axis that a box, or an array, is read in best.

    They end where the chunks of a stored array end, and hold about so many voxels, `SLAB` when
    left out, but a plane at the least.
    """
    box = whole(labels.shape) if box is None else box
    plane = max(1, size_of(box[1:]))
    chunk = chunk_lengths(labels)[0]
    chunk = chunk if isinstance(chunk, int) else max(chunk)
    rows = max(1, (voxels or SLAB) // plane)
    if rows > chunk:
        rows -= rows % chunk
    start = box[0].start
    while start < box[0].stop:
        stop = min(box[0].stop, (start // rows + 1) * rows)
        yield (slice(start, stop), *box[1:])
        start = stop


class Boxes:
    """The box that each label lies in: possibly too large, never too small.

    Grows with what is painted (`include`, `look`); what is erased leaves it as it is.
    """

    def __init__(self, ndim: int) -> None:
        self.ndim = ndim
        self._boxes: dict[int, Box] = {}

    @classmethod
    def of(cls, labels: ArrayLike) -> Boxes:
        """Return the boxes of all labels of an array, read slab by slab."""
        boxes = cls(len(labels.shape))
        if isinstance(labels, np.ndarray):  # memory-mapped ones too: nothing is copied
            boxes.look(labels, whole(labels.shape))
            return boxes
        for slab in slabs(labels):
            boxes.look(np.asarray(labels[slab]), slab)
        return boxes

    def include(self, box: Box, values: Iterable[int]) -> None:
        """Take note that these labels may now lie anywhere in a box."""
        for value in values:
            if value:
                known = self._boxes.get(int(value))
                self._boxes[int(value)] = box if known is None else union(known, box)

    def look(self, crop: npt.NDArray[Any], box: Box) -> None:
        """Take note of where labels lie in a box of the array, whose voxels are ``crop``."""
        for value, part in boxes_in(crop):
            self.include(moved(part, box), (value,))

    def get(self, value: int) -> Box | None:
        """Return where a label lies; ``None`` for one that is not there."""
        return self._boxes.get(value)

    def values(self) -> tuple[int, ...]:
        """Return the labels that there are, or were, by rising number; never 0."""
        return tuple(sorted(self._boxes))

    def around(self, values: Iterable[int]) -> Box | None:
        """Return the smallest box that holds these labels; ``None`` where none is there."""
        found: Box | None = None
        for value in values:
            box = self._boxes.get(value)
            if box is not None:
                found = box if found is None else union(found, box)
        return found

    def __contains__(self, value: object) -> bool:
        return value in self._boxes

    def __len__(self) -> int:
        return len(self._boxes)


def boxes_in(labels: npt.NDArray[Any]) -> Iterator[tuple[int, Box]]:
    """Yield the labels of an array other than 0, by rising number, with their boxes."""
    if not labels.size:
        return
    low, high = int(labels.min()), int(labels.max())
    if low >= 0 and high <= _TABLE:
        if labels.dtype == np.bool_:
            labels = labels.view(np.uint8)
        found = ndimage.find_objects(labels, high) if high else []
        yield from ((v, box) for v, box in enumerate(found, start=1) if box is not None)
        return
    # Few large numbers: given small ones first.
    values = np.unique(labels[_run_starts(labels)])
    values = values[values != 0]
    small = np.searchsorted(values, labels).astype(np.int32) + 1
    small[labels == 0] = 0
    yield from zip(values.tolist(), ndimage.find_objects(small, len(values)), strict=True)


def _run_starts(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where a voxel differs from the one before it on the last axis."""
    starts = np.ones(labels.shape, np.bool_)
    np.not_equal(labels[..., 1:], labels[..., :-1], out=starts[..., 1:])
    return starts
