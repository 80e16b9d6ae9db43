"""Operations that clean labels: fill holes, remove small parts, keep the largest part."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..events import BlockDone, Edited, Event, Started
from ..volume import ArrayLike
from .boxes import Box, moved, shape_of, size_of, slabs, union, whole
from .changes import Change, Edit
from .components import holes, not_largest, smaller
from .connected import Components, component_steps, components, fill_runs, part_of
from .edits import Scene, at_once, changes_in, each_box, each_label, while_busy
from .settings_clean import CONNECTIVITY, FillHoles, KeepLargest, Neighbours, RemoveSmall

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Choose = Callable[[Components], Mask]

# Boxes of labels that hold the array more often than this are looked at piece by piece.
_SCATTERED = 2.0


def fill_holes(scene: Scene, settings: FillHoles) -> Iterator[Event]:
    """Add to each label what it encloses."""
    axis: int | None = None
    if settings.in_slices and scene.ndim == 3:
        axis = 0 if scene.plane is None else scene.plane[0]
    flat = scene.ndim == 2 or axis is not None
    size = scene.voxel_size if axis is None else scene.voxel_size / scene.spacing[axis]
    most = (settings.largest / size) * (1 + 1e-9) if settings.largest else np.inf
    reach = min(CONNECTIVITY[settings.neighbours], 2 if flat else 3)

    def change(crop: Labels, value: int, box: Box) -> Labels:
        found = _holes(crop == value, reach, most, axis)
        if found is None:
            return crop
        new = crop.copy()
        new[found if settings.over else found & (crop == 0)] = value
        return new

    where = " slice by slice" if axis is not None else ""
    title = f"Fill holes of {scene.named()}{where}"
    boxes = [box for v in scene.targets() if (box := scene.located.get(v)) is not None]
    if sum(map(size_of, boxes)) > _SCATTERED * size_of(whole(scene.shape)):
        return _fill_pieces(scene, change, axis, title)
    return each_label(scene, change, title=title)


def _fill_pieces(
    scene: Scene, change: Callable[[Labels, int, Box], Labels], axis: int | None, title: str
) -> Iterator[Event]:
    """Fill holes piece by piece: specks far away make the boxes of labels large.

    A hole is within the box of one piece, whichever way pieces and holes hang together: the outer
    border of what is connected is connected itself.
    """
    yield Started(len(scene.targets()), "labels")
    found = yield from while_busy(component_steps(scene.labels))
    targets = np.isin(found.values, scene.targets()) & (found.sizes > 3)
    places = [
        (int(found.values[n]), box)
        for n, box in enumerate(found.boxes(scene.ndim))
        if targets[n]
        and all(s.stop - s.start > 2 for a, s in enumerate(box) if a != axis)  # room for a hole
    ]
    places.sort(key=lambda place: place[0])
    yield from each_box(scene, places, change, what="pieces", title=title)


def _holes(mask: Mask, reach: int, most: float, axis: int | None) -> Mask | None:
    if axis is None:
        return holes(mask, reach, most=most)
    found = np.zeros(mask.shape, np.bool_)
    for plane, into in zip(np.moveaxis(mask, axis, 0), np.moveaxis(found, axis, 0), strict=True):
        here = holes(plane, reach, most=most)
        if here is not None:
            into[...] = here
    return found if found.any() else None


def remove_small(scene: Scene, settings: RemoveSmall) -> Iterator[Event]:
    """Remove the parts of labels that are smaller than a volume, or a number of voxels."""
    size = scene.voxel_size if settings.measure == "volume" else 1.0

    def small(found: Components) -> Mask:
        return smaller(found, settings.min_size, size)

    title = f"Remove small parts of {scene.named()}"
    return _without(scene, small, _reach(scene, settings.neighbours), title)


def keep_largest(scene: Scene, settings: KeepLargest) -> Iterator[Event]:
    """Remove all but the largest part of each label, or of the labels together."""
    title = f"Keep the largest part of {scene.named()}"
    reach = _reach(scene, settings.neighbours)
    return _without(scene, not_largest, reach, title, together=settings.together)


def _reach(scene: Scene, neighbours: Neighbours) -> int:
    return min(CONNECTIVITY[neighbours], scene.ndim)


def _without(
    scene: Scene, choose: Choose, reach: int, title: str, *, together: bool = False
) -> Iterator[Event]:
    """Make some components background; a region limits what is removed, not what is measured."""
    targets = _in_region(scene)
    if together:
        # What is locked holds the others together all the same.
        targets = scene.selected or scene.located.values()
    boxes = [box for v in targets if (box := scene.located.get(v)) is not None]
    around = at_once(scene, boxes)
    if around is None:
        if not together:
            return _one_by_one(scene, choose, reach, title)
        around = functools.reduce(union, boxes)
    members: Callable[[Labels], Labels] | None = None
    if together or len(targets) == 1:
        members = _members(targets, every=together and not scene.selected)
    return _in_one_pass(scene, _Window(scene.labels, around, members), choose, reach, title)


def _members(values: tuple[int, ...], *, every: bool) -> Callable[[Labels], Labels]:
    """Return what tells the voxels of some labels, or of all, from the others."""

    def members(crop: Labels) -> Labels:
        if every:
            mask = crop != 0
        else:
            mask = crop == values[0] if len(values) == 1 else np.isin(crop, values)
        return np.asarray(mask).view(np.uint8)

    return members


def _in_region(scene: Scene) -> tuple[int, ...]:
    """Return the labels to work on of which something lies in the region."""
    if scene.region is None:
        return scene.targets()
    crop = np.asarray(scene.labels[scene.box])
    there = set(np.unique(crop[scene.region.inside(scene.box)]).tolist())
    return tuple(v for v in scene.targets() if v in there)


def _one_by_one(scene: Scene, choose: Choose, reach: int, title: str) -> Iterator[Event]:
    def change(crop: Labels, value: int, box: Box) -> Labels:
        found = components((crop == value).view(np.uint8), reach)
        remove = found.runs_of(choose(found))
        if not len(remove):
            return crop
        new = np.array(crop, order="C")
        fill_runs(new.reshape(-1), found.runs, remove, 0)
        return new

    return each_label(scene, change, title=title)


class _Window:
    """A box of an array, read where it is indexed; ``change`` is done to what is read."""

    def __init__(
        self, labels: ArrayLike, box: Box, change: Callable[[Labels], Labels] | None = None
    ) -> None:
        self.labels, self.box, self.change = labels, box, change
        self.shape = shape_of(box)
        self.dtype = np.dtype(labels.dtype if change is None else np.uint8)

    def __getitem__(self, key: Box, /) -> Labels:
        crop = np.asarray(self.labels[moved(key, self.box)])
        return crop if self.change is None else self.change(crop)


def _in_one_pass(
    scene: Scene, window: _Window, choose: Choose, reach: int, title: str
) -> Iterator[Event]:
    parts = list(slabs(window))
    yield Started(len(parts), "slabs")
    found = yield from while_busy(component_steps(window, reach))
    chosen = choose(found)
    if window.change is None:
        chosen &= np.isin(found.values, scene.targets())
    remove = found.runs_of(chosen)
    changes: list[Change] = []
    for done_, part in enumerate(parts, start=1):
        runs, before = part_of(found.runs, part[0].start, part[0].stop)
        first, last = np.searchsorted(remove, (before, before + len(runs)))
        if first < last:
            where = moved(part, window.box)
            # Runs go along the last axis, whatever order the array lies in.
            old = np.ascontiguousarray(scene.labels[where])
            new = old.copy()
            fill_runs(new.reshape(-1), runs, remove[first:last] - before, 0)
            changes += changes_in(scene, old, new, where)
        yield BlockDone(done_, len(parts))
    yield Edited(Edit(title, tuple(changes), scene.notes()))
