"""Instances of maps that were made slice by slice: each slice decoded, what it holds linked."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .blocks import Box, boxes
from .events import Busy, Event
from .instance_blocks import Readable
from .instances import decode, smallest_count
from .labels.linked_slices import SliceLinker


def decode_slices(
    maps: Mapping[str, Readable],
    labels: Any,
    *,
    spacing: Sequence[float] | None = None,
    linking: dict[str, Any] | None = None,
    min_size: float = 0.0,
    min_voxels: float = 0.0,
    **decoding: Any,
) -> Generator[Event, None, int]:
    """Decode each slice of a volume, and link what they hold to objects in three dimensions.

    A slice is held at a time, or those of a chunk where the labels have chunks, and tables of the
    objects of all; so maps and labels may lie on disk.

    Parameters
    ----------
    maps
        The maps of :func:`.decode` by their names, of three axes; slices lie along the first one.
    labels
        Array of the same shape, int32 or wider, for the labels; it is read again, too.
    spacing
        Distance between voxels along each axis; default 1.
    linking
        Parameters of `SliceLinker`.
    min_size, min_voxels
        Smallest volume of an object, as for :func:`.decode`; in a slice it may be smaller.
    **decoding
        Thresholds and smoothing, as for :func:`.decode`.

    Yields
    ------
    ``Busy`` after each slice: a place to cancel.

    Returns
    -------
    The number of objects.
    """
    steps = np.ones(3) if spacing is None else np.asarray(spacing, np.float64)
    linker = SliceLinker(
        smallest=smallest_count(steps, min_size, min_voxels),
        spacing=steps[1:].tolist(),
        **(linking or {}),
    )
    shape = tuple(maps["foreground"].shape)
    for box in _blocks(labels, shape):
        slabs = {name: np.asarray(one[box]) for name, one in maps.items()}
        found = np.empty(slabs["foreground"].shape, np.int32)
        for index in range(len(found)):
            planes = {name: slab[index] for name, slab in slabs.items()}
            found[index] = decode(**planes, spacing=steps[1:].tolist(), **decoding)
            linker.add(found[index])
            yield Busy()
        labels[box] = found
    for box in _blocks(labels, shape):
        block = np.array(labels[box])
        first = box[0].start

        def read(index: int, block: Any = block, first: int = first) -> Any:
            inside = first <= index < first + len(block)
            return block[index - first] if inside else np.asarray(labels[index])

        for index in range(len(block)):
            block[index] = linker.renumbered(first + index, read)
            yield Busy()
        labels[box] = block
    return linker.count


def _blocks(labels: Any, shape: tuple[int, ...]) -> Iterator[Box]:
    """Yield the slabs of an array that are read and written at once: those of its chunks."""
    deep = getattr(labels, "chunks", (1,))[0]
    yield from boxes(shape, (deep, *shape[1:]))
