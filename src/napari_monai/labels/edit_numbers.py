"""Operations on the numbers of labels: delete, merge, relabel, renumber."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Edited, Event, Started
from ..settings import Settings
from ..volume import ArrayLike
from .boxes import Box, overlap, slabs, whole
from .connected import drained
from .edits import Draft, Scene, at_once, by_slabs, check_numbers, tiles, while_busy
from .settings_numbers import Merge, Relabel, Renumber

Labels = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

# Highest number for which a table with a place for each number pays.
_TABLE = 1 << 22
# Numbers that are looked for one by one.
_FEW = 3


def delete(scene: Scene, settings: Settings) -> Iterator[Event]:
    """Make the selected labels background; in a region only, where there is one."""
    if not scene.selected and scene.region is None:
        raise EditError("Delete: select the labels to delete, or choose a region.")
    where = " in the region" if scene.region is not None else ""
    return renamed(scene, dict.fromkeys(scene.targets(), 0), f"Delete {scene.named()}{where}")


def merge(scene: Scene, settings: Merge) -> Iterator[Event]:
    """Give the selected labels one number."""
    values = scene.targets()
    into = settings.into
    if len(values) < (2 if into is None else 1):
        raise EditError("Merge: select two labels or more that are there and not locked.")
    into = values[0] if into is None else into
    _open(scene, into, "Merge")
    title = f"Merge {scene.named(values)} into {scene.named((into,))}"
    return renamed(scene, {v: into for v in values if v != into}, title)


def relabel(scene: Scene, settings: Relabel) -> Iterator[Event]:
    """Give the selected label another number, or exchange it with the one that has it."""
    if len(scene.selected) > 1:
        raise EditError("Relabel: select one label; Merge gives several labels one number.")
    (value,) = scene.selected
    to = settings.to
    if to is None:
        to = scene.first_free()
    _open(scene, to, "Relabel")
    mapping = dict.fromkeys(scene.targets(), to)
    title = f"Relabel {scene.named()} to {to}"
    if settings.swap and mapping and to in scene.located:
        mapping[to] = value
        title = f"Exchange {scene.named()} and {scene.named((to,))}"
    return renamed(scene, mapping, title)


def renumber(scene: Scene, settings: Renumber) -> Iterator[Event]:
    """Give labels numbers without gaps; those of locked and other labels are left to them."""
    if scene.region is not None:
        raise EditError("Renumber: labels go on outside the region: work without one.")
    return _renumbered(scene, settings)


def _renumbered(scene: Scene, settings: Renumber) -> Iterator[Event]:
    yield Started(1, "slabs")
    counted = yield from while_busy(_census_steps(scene.labels))
    chosen = ~np.isin(counted.values, sorted(scene.locked))
    if scene.selected:
        chosen &= np.isin(counted.values, scene.selected)
    keys = {"number": counted.values, "size": -counted.sizes, "position": counted.first}
    order = np.argsort(keys[settings.order][chosen], kind="stable")
    values = counted.values[chosen][order].tolist()
    taken = scene.locked | set(counted.values[~chosen].tolist())
    free = (n for n in itertools.count(settings.first) if n not in taken)
    mapping = dict(zip(values, free, strict=False))
    yield from renamed(scene, mapping, f"Renumber {scene.named()}")


def _open(scene: Scene, number: int, title: str) -> None:
    """Raise EditError where no voxel can get a number."""
    check_numbers(scene, number)
    if number in scene.locked:
        raise EditError(f"{title}: {scene.named((number,))} is locked: unlock it first.")


def renamed(scene: Scene, mapping: Mapping[int, int], title: str) -> Iterator[Event]:
    """Give labels other numbers, all at the same time.

    Only the boxes of the labels are looked at, one by one where that is quicker.
    """
    mapping = {old: new for old, new in mapping.items() if old != new}
    check_numbers(scene, *({min(mapping.values()), max(mapping.values())} if mapping else ()))
    boxes = {v: box for v in mapping if (box := scene.located.get(v)) is not None}
    around = at_once(scene, list(boxes.values()))
    if around is None:
        return _one_by_one(scene, mapping, boxes, title)
    lookup = Lookup(mapping)

    def change(crop: Labels, box: Box) -> Labels:
        return _few(crop, mapping) if len(mapping) <= _FEW else lookup(crop)

    return by_slabs(scene, change, title=title, box=around)


def _few(labels: Labels, mapping: Mapping[int, int]) -> Labels:
    """Return labels with a few other numbers: tile by tile, most of which have none of them."""
    result = labels.copy()
    for tile in tiles(whole(labels.shape)):
        here, new = labels[tile], result[tile]
        for old, number in mapping.items():
            mask = here == old
            if mask.any():
                new[mask] = number
    return result


def _one_by_one(
    scene: Scene, mapping: Mapping[int, int], boxes: Mapping[int, Box], title: str
) -> Iterator[Event]:
    draft = Draft(scene)
    yield Started(len(boxes), "labels")
    for done, (value, box) in enumerate(boxes.items(), start=1):
        shared = overlap(box, scene.box)
        if shared is not None:
            # By what was there before: a number just given is not changed again.
            old = np.asarray(scene.labels[shared])
            draft.write(np.where(old == value, mapping[value], draft.read(shared)), shared)
        yield BlockDone(done, len(boxes))
    yield Edited(draft.edit(title, scene.notes()))


class Lookup:
    """New numbers of labels for old ones; numbers that are not named stay."""

    def __init__(self, mapping: Mapping[int, int]) -> None:
        pairs = sorted(mapping.items())
        self._old = np.array([old for old, _ in pairs], np.int64)
        self._new = np.array([new for _, new in pairs], np.int64)

    def __call__(self, labels: Labels) -> Labels:
        """Return labels with new numbers, of the same type."""
        if not len(self._old) or not labels.size:
            return labels.copy()
        low, high = int(labels.min()), int(labels.max())
        if low >= 0 and high <= _TABLE:
            table = np.arange(high + 1).astype(labels.dtype)
            known = (self._old >= 0) & (self._old <= high)
            table[self._old[known]] = self._new[known]
            return table[labels]
        place = np.searchsorted(self._old, labels).clip(max=len(self._old) - 1)
        return np.where(self._old[place] == labels, self._new[place], labels).astype(labels.dtype)


class Census(NamedTuple):
    """The labels of an array but 0, by rising number: voxels, and the index of the first one."""

    values: Numbers
    sizes: Numbers
    first: Numbers


def census(labels: ArrayLike) -> Census:
    """Count the voxels of each label, slab by slab."""
    return drained(_census_steps(labels))


def _census_steps(labels: ArrayLike) -> Generator[None, None, Census]:
    values, sizes, first = [], [], []
    offset = 0
    for slab in slabs(labels):
        flat = np.asarray(labels[slab]).reshape(-1)
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        starts = starts[: flat.size]
        lengths = np.diff(starts, append=flat.size)
        found, index, inverse = np.unique(flat[starts], return_index=True, return_inverse=True)
        values.append(found.astype(np.int64))
        sizes.append(np.bincount(inverse, weights=lengths).astype(np.int64))
        first.append(starts[index] + offset)
        offset += flat.size
        yield
    return _summed(values, sizes, first)


def _summed(
    values: Iterable[Numbers], sizes: Iterable[Numbers], first: Iterable[Numbers]
) -> Census:
    every = [np.concatenate([np.empty(0, np.int64), *part]) for part in (values, sizes, first)]
    # Of several slabs the first one counts: unique gives the first of equals.
    found, index, inverse = np.unique(every[0], return_index=True, return_inverse=True)
    total = np.bincount(inverse, weights=every[1], minlength=len(found)).astype(np.int64)
    there = found != 0
    return Census(found[there], total[there], every[2][index][there])
