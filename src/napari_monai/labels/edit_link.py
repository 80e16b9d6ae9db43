"""Labels that were made slice by slice linked to objects, as an operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Edited, Event, Started
from .boxes import Box, whole
from .edits import Draft, Scene
from .linked_slices import SliceLinker
from .settings_link import LinkSlices

Labels = npt.NDArray[Any]


def link_slices(scene: Scene, settings: LinkSlices) -> Iterator[Event]:
    """Give the labels of successive slices that lie over each other one number."""
    if scene.ndim != 3:
        raise EditError("Link slices: a flat image has no slices that lie over each other.")
    if scene.region is not None:
        raise EditError("Link slices: labels go on outside the region: work without one.")
    return _linked(scene, settings)


def _linked(scene: Scene, settings: LinkSlices) -> Iterator[Event]:
    axis, targets = int(settings.axis), np.asarray(scene.targets(), np.int64)
    linker = SliceLinker(
        least=settings.overlap,
        gap=settings.gap,
        neck=settings.neck,
        reach=settings.reach,
        min_slices=settings.min_slices,
        spacing=[s for a, s in enumerate(scene.spacing) if a != axis],
    )
    every = len(targets) == len(scene.located.values())
    # Labels that stay as they are keep their numbers for themselves.
    above = 0 if every else max(scene.taken)
    count = scene.shape[axis]
    yield Started(2 * count, "slices")

    def slice_of(index: int) -> Labels:
        plane = np.asarray(scene.labels[_box(scene, axis, index)]).take(0, axis)
        return plane if every else np.where(np.isin(plane, targets), plane, 0)

    for index in range(count):
        linker.add(slice_of(index))
        yield BlockDone(index + 1, 2 * count)
    draft = Draft(scene)
    done: dict[int, Labels] = {}
    for index in range(count):
        done.pop(index - settings.gap - 2, None)  # no bridge goes back to it
        found = linker.renumbered(index, lambda i: done[i] if i in done else slice_of(i))
        done[index] = found
        box, own = _box(scene, axis, index), slice_of(index) != 0
        old = np.asarray(scene.labels[box]).take(0, axis)
        # What a bridge fills is taken from the background alone.
        linked = (found > 0) & (own | (old == 0))
        new = np.where(linked, found.astype(np.int64) + above, np.where(own, 0, old))
        draft.write(np.expand_dims(new, axis), box)
        yield BlockDone(count + index + 1, 2 * count)
    yield Edited(draft.edit(f"Link slices of {scene.named()}", scene.notes()))


def _box(scene: Scene, axis: int, index: int) -> Box:
    box = list(whole(scene.shape))
    box[axis] = slice(index, index + 1)
    return tuple(box)
