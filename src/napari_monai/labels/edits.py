"""Edits of labels: what enforces locks and regions, and what walks over labels and slabs.

An operation is a generator that looks at a `Scene` and yields events: `Started`, one `BlockDone`
or `Busy` wherever it can be cancelled, and at the end one `Edited`, whose `Edit` somebody else
applies. It never writes into the labels of the scene, so closing it leaves no trace.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Busy, Edited, Event, Started
from .boxes import (
    Box,
    Boxes,
    grown,
    moved,
    overlap,
    shape_of,
    size_of,
    slabs,
    tight,
    union,
    whole,
    within,
)
from .changes import Change, Edit
from .packing import Packed
from .scene import Region, Scene

__all__ = [
    "Box", "Boxes", "Change", "Draft", "Edit", "Region", "Scene", "by_slabs", "each_label",
    "finish",
]  # fmt: skip

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")

# Sides of the tiles that a draft keeps and that large changes are cut into.
_TILES = {2: (512, 512), 3: (32, 128, 128)}
# Bytes of tiles that a draft keeps as they are, and of those read of an array on disk.
_CACHE = 256 << 20
# What working on a box of its own costs beside its voxels, in voxels.
_PER_BOX = 1 << 16


def allowed(scene: Scene, before: Labels, after: Labels, box: Box) -> Mask:
    """Return where ``after`` differs from ``before`` and may: not locked, and in the region.

    Raises
    ------
    EditError
        If a number does not fit the type of the labels.
    """
    differs: Mask = np.asarray(before != after)
    if scene.region is not None:
        differs &= scene.region.inside(box)
    places = np.flatnonzero(differs) if scene.locked or after.dtype != scene.dtype else None
    if places is None or not len(places):
        return differs
    new = after.reshape(-1)[places]
    if after.dtype != scene.dtype:
        check_numbers(scene, int(new.min()), int(new.max()))
    if scene.locked:
        locked = sorted(scene.locked)
        old = before.reshape(-1)[places]
        differs.reshape(-1)[places[np.isin(old, locked) | np.isin(new, locked)]] = False
    return differs


def check_numbers(scene: Scene, *numbers: int) -> None:
    """Raise EditError for numbers that the type of the labels does not hold."""
    limits = np.iinfo(scene.dtype)
    for number in numbers:
        if not limits.min <= number <= limits.max:
            raise EditError(
                f"Labels of type {scene.dtype} hold numbers from {limits.min} to {limits.max}, "
                f"not {number}: convert them to a larger type first."
            )


def finish(scene: Scene, new_crop: Labels, box: Box) -> Change | None:
    """Return the change to what an operation wants of a box, locks and region enforced.

    ``None`` where nothing differs.
    """
    before = np.asarray(scene.labels[box])
    mask = allowed(scene, before, new_crop, box)
    return _change(before, new_crop, mask, box)


def _change(before: Labels, after: Labels, mask: Mask, box: Box) -> Change | None:
    part = tight(mask)
    if part is None:
        return None
    old = before[part]
    new = old.copy()
    np.copyto(new, after[part], where=mask[part], casting="unsafe")
    return Change(moved(part, box), old, new)


class Draft:
    """The labels of a scene with what is changed so far, which the scene itself never sees.

    Reading gives what was written before. What changes is kept in tiles, as runs of equal voxels
    when there are many, so that an array larger than memory can be worked on.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._sides = _tile_sides(scene)
        # Changed ones: those changed last as they are, the others packed.
        self._tiles: OrderedDict[tuple[int, ...], Labels] = OrderedDict()
        self._packed: dict[tuple[int, ...], Packed] = {}
        self._stored = not isinstance(scene.labels, np.ndarray)
        self._read: OrderedDict[tuple[int, ...], Labels] = OrderedDict()

    def read(self, box: Box) -> Labels:
        """Return the labels in a box, not to be changed."""
        crop: Labels | None = None
        if self._stored:
            crop = np.empty(shape_of(box), self._scene.dtype)
        for index, tile, shared in self._over(box):
            known = self._changed(index)
            if known is None and self._stored:
                known = self._original(index, tile)
            if known is not None:
                if crop is None:
                    crop = np.array(self._scene.labels[box])
                crop[within(shared, box)] = known[within(shared, tile)]
        if crop is None:
            crop = np.asarray(self._scene.labels[box])
        crop = crop.view()
        crop.flags.writeable = False
        return crop

    def write(self, new: Labels, box: Box) -> int:
        """Put labels into a box, locks and region enforced; return how many voxels changed."""
        before = self.read(box)
        mask = allowed(self._scene, before, new, box)
        part = tight(mask)
        if part is None:
            return 0
        where = moved(part, box)
        new, mask = new[part], mask[part]
        for index, tile, shared in self._over(where):
            inner = within(shared, where)
            if mask[inner].any():
                target = self._changeable(index, tile)[within(shared, tile)]
                np.copyto(target, new[inner], where=mask[inner], casting="unsafe")
        return int(np.count_nonzero(mask))

    def edit(self, title: str, notes: Iterable[str] = ()) -> Edit:
        """Return all that was written as one edit."""
        changes = []
        for index in sorted({*self._tiles, *self._packed}):
            tile, after = self._tile(index), self._changed(index)
            before = np.asarray(self._scene.labels[tile])
            change = None
            if after is not None:
                change = _change(before, after, np.asarray(before != after), tile)
            if change is not None:
                changes.append(change)
        return Edit(title, tuple(changes), tuple(notes))

    def _over(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box, Box]]:
        """Yield the tiles that a box touches: index, box, and what they share."""
        ranges = (
            range(s.start // side, -(-s.stop // side))
            for s, side in zip(box, self._sides, strict=True)
        )
        for index in itertools.product(*ranges):
            tile = self._tile(index)
            shared = overlap(box, tile)
            if shared is not None:
                yield index, tile, shared

    def _tile(self, index: tuple[int, ...]) -> Box:
        axes = zip(index, self._sides, self._scene.shape, strict=True)
        return tuple(slice(i * side, min((i + 1) * side, n)) for i, side, n in axes)

    def _original(self, index: tuple[int, ...], tile: Box) -> Labels:
        """Return a tile as it is stored, from memory if it was read not long ago."""
        known = self._read.get(index)
        if known is None:
            known = self._read[index] = np.asarray(self._scene.labels[tile])
            while len(self._read) > 1 and self._held(self._read) > _CACHE:
                self._read.popitem(last=False)
        self._read.move_to_end(index)
        return known

    def _changed(self, index: tuple[int, ...]) -> Labels | None:
        """Return a tile as it has become; ``None`` for one in which nothing has changed."""
        if index in self._packed:
            return np.asarray(self._packed[index])
        return self._tiles.get(index)

    def _changeable(self, index: tuple[int, ...], tile: Box) -> Labels:
        """Return a tile to be changed in place."""
        if index not in self._tiles:
            packed = self._packed.pop(index, None)
            self._tiles[index] = np.array(self._scene.labels[tile] if packed is None else packed)
            self._read.pop(index, None)
            while len(self._tiles) > 1 and self._held(self._tiles) > _CACHE:
                other, voxels = self._tiles.popitem(last=False)
                self._packed[other] = Packed(voxels)
        self._tiles.move_to_end(index)
        return self._tiles[index]

    def _held(self, tiles: Mapping[tuple[int, ...], Labels]) -> int:
        """Return the most bytes that tiles take."""
        return len(tiles) * math.prod(self._sides) * self._scene.dtype.itemsize


def _tile_sides(scene: Scene) -> tuple[int, ...]:
    """Return the sides of tiles: the chunks of a stored array where they are of a fair size."""
    chunks = getattr(scene.labels, "chunks", None)
    if (
        chunks is not None
        and all(isinstance(c, int) for c in chunks)
        and 1 << 15 <= int(np.prod(chunks, dtype=object)) <= 1 << 22
    ):
        return tuple(chunks)
    return _TILES[scene.ndim]


def each_label(
    scene: Scene,
    change: Callable[[Labels, int, Box], Labels],
    *,
    margin: int | Sequence[int] = 0,
    title: str,
    notes: Iterable[str] = (),
) -> Iterator[Event]:
    """Change the labels that are selected one by one, by rising number.

    Parameters
    ----------
    scene
        What to work on.
    change
        Is given a crop of the labels, as changed by the labels before, a label, and the box of
        the array that the crop is; returns what becomes of the crop, as a new array, or the crop
        itself where nothing does. It need not look at locks and region.
    margin
        Voxels around the label's box that belong to the crop, one number or one an axis.
    title
        Of the edit.
    notes
        Of the edit, after those about labels that are locked.
    """
    places = [(v, box) for v in scene.targets() if (box := scene.located.get(v)) is not None]
    places = [(v, grown(box, margin, scene.shape)) for v, box in places]
    return each_box(scene, places, change, what="labels", title=title, notes=notes)


def each_box(
    scene: Scene,
    places: Sequence[tuple[int, Box]],
    change: Callable[[Labels, int, Box], Labels],
    *,
    what: str,
    title: str,
    notes: Iterable[str] = (),
) -> Iterator[Event]:
    """Change boxes one by one, each for a label, in their order; see `each_label`."""
    draft = Draft(scene)
    yield Started(len(places), what)
    for done, (value, box) in enumerate(places, start=1):
        if overlap(box, scene.box) is not None:
            crop = draft.read(box)
            new = change(crop, value, box)
            if new is not crop:
                draft.write(new, box)
        yield BlockDone(done, len(places))
    yield Edited(draft.edit(title, (*scene.notes(), *notes)))


def by_slabs(
    scene: Scene,
    change: Callable[[Labels, Box], Labels],
    *,
    title: str,
    box: Box | None = None,
    margin: int | Sequence[int] = 0,
    notes: Iterable[str] = (),
) -> Iterator[Event]:
    """Change labels slab by slab, along the first axis, each seen as it was before.

    Parameters
    ----------
    scene
        What to work on.
    change
        Is given a crop of the labels, not to be changed, and the box of the array that it is;
        returns what becomes of it, of the same shape.
    title
        Of the edit.
    box
        Where something may change; all, or the region's box, when left out.
    margin
        Voxels around a slab that belong to the crop; what becomes of them there is left out.
    notes
        Of the edit, after those about labels that are locked.
    """
    where = scene.box if box is None else overlap(box, scene.box)
    parts = [] if where is None else list(slabs(scene.labels, where))
    changes: list[Change] = []
    yield Started(len(parts), "slabs")
    for done, part in enumerate(parts, start=1):
        outer = grown(part, margin, scene.shape)
        crop = np.asarray(scene.labels[outer]).view()
        crop.flags.writeable = False
        new = change(crop, outer)
        yield Busy()
        inner = within(part, outer)
        changes += changes_in(scene, crop[inner], new[inner], part)
        yield BlockDone(done, len(parts))
    yield Edited(Edit(title, tuple(changes), (*scene.notes(), *notes)))


def while_busy(steps: Generator[None, None, T]) -> Generator[Event, None, T]:
    """Return what a generator returns; each of its stops is a place to cancel."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        yield Busy()


def at_once(scene: Scene, boxes: Sequence[Box]) -> Box | None:
    """Return the box around boxes; ``None`` where working on them one by one is quicker."""
    everywhere = whole(scene.shape)
    if len(boxes) * _PER_BOX >= size_of(everywhere):
        return everywhere
    if not boxes:
        return (slice(0, 0),) * scene.ndim
    around = functools.reduce(union, boxes)
    one_by_one = sum(size_of(box) + _PER_BOX for box in boxes)
    return None if one_by_one < size_of(around) else around


def changes_in(scene: Scene, before: Labels, after: Labels, box: Box) -> Iterator[Change]:
    """Yield the changes of a large box, tile by tile, locks and region enforced.

    ``before`` are the labels of the scene in the box.
    """
    mask = allowed(scene, before, after, box)
    for tile in tiles(box, _tile_sides(scene)):
        inner = within(tile, box)
        change = _change(before[inner], after[inner], mask[inner], tile)
        if change is not None:
            yield change


def tiles(box: Box, sides: Sequence[int] | None = None) -> Iterator[Box]:
    """Yield the parts of a box in the tiles of an array, the last axis fastest."""
    axes = []
    for s, side in zip(box, sides or _TILES[len(box)], strict=True):
        starts = range(s.start - s.start % side, s.stop, side)
        axes.append([slice(max(s.start, n), min(s.stop, n + side)) for n in starts])
    yield from itertools.product(*axes)
