"""Interpolation between painted slices, as an operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Busy, Edited, Event, Started
from .boxes import Box, moved, union, within
from .edits import Draft, Scene
from .interpolate import Filled, filled_slices, gaps, slice_with
from .settings_grow import Interpolate

Mask = npt.NDArray[Any]


def interpolate(scene: Scene, settings: Interpolate) -> Iterator[Event]:
    """Fill the slices between those that hold a label, for each label."""
    if scene.ndim != 3:
        raise EditError("Interpolate: a flat image has no slices between others.")
    values = scene.targets()
    yield Started(len(values), "labels")
    if settings.axis != "auto":
        axis = int(settings.axis)
    else:
        axis = 0
        for event in _find_axis(scene, values, settings.largest_gap):
            if isinstance(event, int):
                axis = event
            else:
                yield event
    by_index: dict[int, list[Filled]] = {}
    for done, value in enumerate(values, start=1):
        for item in _slices_of(scene, value, axis, settings):
            by_index.setdefault(item.index, []).append(item)
            yield Busy()
        yield BlockDone(done, len(values))
    draft = Draft(scene)
    for index, items in sorted(by_index.items()):
        _put(draft, index, items, axis, over=settings.over)
        yield Busy()
    notes = scene.notes()
    if not by_index:
        notes += ("No slices are missing between painted ones, or too many in a row.",)
    yield Edited(draft.edit(f"Interpolate {scene.named()}", notes))


def _mask(scene: Scene, value: int) -> tuple[Mask, Box]:
    """Return where a label lies in its box."""
    box = scene.located.get(value)
    assert box is not None  # a target is there
    return np.asarray(scene.labels[box]) == value, box


def _slices_of(scene: Scene, value: int, axis: int, settings: Interpolate) -> Iterator[Filled]:
    """Yield the slices of a label that are filled, by their places in the whole array."""
    mask, box = _mask(scene, value)
    # Room for shapes to bulge, and for the ends that close beyond the painted slices.
    room = _room(mask, axis, settings, scene.shape, box)
    outer = tuple(
        slice(s.start - low, s.stop + high) for s, (low, high) in zip(box, room, strict=True)
    )
    found = filled_slices(
        np.pad(mask.view(np.uint8), room),
        spacing=scene.spacing,
        axis=axis,
        values=(1,),
        largest_gap=settings.largest_gap,
        ends=settings.ends,
    )
    plane = tuple(s for a, s in enumerate(outer) if a != axis)
    for item in found:
        place = moved(item.box, plane)
        yield Filled(item.index + outer[axis].start, value, place, item.depth)


def _room(
    mask: Mask, axis: int, settings: Interpolate, shape: tuple[int, ...], box: Box
) -> list[tuple[int, int]]:
    """Return how many voxels to add before and after each axis, within the array."""
    wide = [3] * mask.ndim
    wide[axis] = settings.largest_gap // 2 + 1 if settings.ends else 0
    return [(min(w, s.start), min(w, n - s.stop)) for w, s, n in zip(wide, box, shape, strict=True)]


def _find_axis(scene: Scene, values: tuple[int, ...], largest_gap: int) -> Iterator[Event | int]:
    """Yield the axis along which most slices are missing; the one seen goes before the others."""
    missing = np.zeros(3, np.int64)
    for value in values:
        mask, _ = _mask(scene, value)
        for axis in range(3):
            painted = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
            missing[axis] += sum(b - a - 1 for a, b in gaps(painted.tolist(), largest_gap))
        yield Busy()
    if scene.plane is not None and missing[scene.plane[0]]:
        yield scene.plane[0]
    else:
        yield int(missing.argmax())


def _put(draft: Draft, index: int, items: list[Filled], axis: int, *, over: bool) -> None:
    """Write what is filled of a slice."""
    plane = items[0].box
    for item in items[1:]:
        plane = union(plane, item.box)
    box = (*plane[:axis], slice(index, index + 1), *plane[axis:])
    before = draft.read(box)
    inner = [Filled(i.index, i.value, within(i.box, plane), i.depth) for i in items]
    after = slice_with(before.take(0, axis), inner, over=over)
    draft.write(np.expand_dims(after, axis), box)
