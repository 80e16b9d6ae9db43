"""Splitting objects at necks, at points and by lines, as operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Edited, Event, Started
from ..settings import Settings
from .boxes import Box, grown, overlap, whole, within
from .edits import Draft, Scene
from .flood import seed_voxels
from .settings_grow import SplitByLine, SplitTouching
from .split import drawn_through, split_at_seeds, split_by_lines, split_touching

Mask = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.int32]


def split(scene: Scene, settings: SplitTouching) -> Iterator[Event]:
    """Part the labels where they are narrow."""
    depth = 2 * max(scene.spacing) if settings.depth is None else settings.depth

    def parts(mask: Mask, box: Box, value: int) -> Parts:
        found = split_touching(mask, spacing=scene.spacing, depth=depth, min_size=settings.min_size)
        return _largest_first(found, settings.min_size / scene.voxel_size)

    return _each(scene, scene.targets(), parts, "Split", "Nothing is narrow enough: lower Depth.")


def split_at_points(scene: Scene, settings: Settings) -> Iterator[Event]:
    """Part each label between the points that lie in it."""
    voxels = seed_voxels(scene.points, whole(scene.shape))
    on = [int(np.asarray(scene.labels[tuple(slice(p, p + 1) for p in v)]).item())
          for v in voxels.tolist()]  # fmt: skip
    if len(scene.selected) == 1:
        # Of one label that is selected, points beside it count too.
        on = [scene.selected[0]] * len(on)
    seeds = {v: voxels[np.asarray(on) == v] for v in scene.targets()}
    values = tuple(v for v, points in seeds.items() if len(np.unique(points, axis=0)) > 1)
    if not values:
        raise EditError(
            "Split at points: no label that is not locked holds two points: place one on each part."
        )

    def parts(mask: Mask, box: Box, value: int) -> Parts:
        points = seeds[value] - [s.start for s in box]
        return split_at_seeds(mask, points, spacing=scene.spacing)

    return _each(scene, values, parts, "Split", "The points lie too close to each other.")


def split_by_line(scene: Scene, settings: SplitByLine) -> Iterator[Event]:
    """Cut the labels that drawn lines cross."""
    axis, index = _plane(scene)
    lines = [np.asarray(line, float) for line in scene.lines]
    keep = whole(scene.shape)
    if axis is not None and settings.in_slice:
        keep = (*keep[:axis], slice(index, index + 1), *keep[axis + 1 :])
    values = scene.targets()
    if not scene.selected:
        values = tuple(v for v in values if v in _under(scene, lines, axis, index))

    def parts(mask: Mask, box: Box, value: int) -> Parts:
        here = overlap(box, keep)
        result = mask.astype(np.int32)
        if here is not None:
            inner = within(here, box)
            start = [s.start for s in here]
            drawn = [line - start for line in lines]
            result[inner] = split_by_lines(mask[inner], drawn, axis=axis)
        return result

    nothing = "The line does not part what it crosses: draw it right through."
    return _each(scene, values, parts, "Split", nothing)


def _each(
    scene: Scene,
    values: tuple[int, ...],
    split_mask: Callable[[Mask, Box, int], Parts],
    verb: str,
    nothing: str,
) -> Iterator[Event]:
    """Split labels one by one; parts after the first of each get numbers that are free."""
    draft = Draft(scene)
    yield Started(len(values), "labels")
    new, unused = scene.new_numbers(), list[int]()
    first, made = 0, 0
    for done, value in enumerate(values, start=1):
        found = scene.located.get(value)
        assert found is not None  # a target is there
        box = grown(found, 1, scene.shape)
        if overlap(box, scene.box) is not None:
            before = draft.read(box)
            parts = split_mask(np.asarray(before == value), box, value)
            more = int(parts.max(initial=0)) - 1
            if more > 0:
                unused += itertools.islice(new, max(0, more - len(unused)))
                table = np.asarray([0, value, *unused[:more]], before.dtype)
                if draft.write(np.where(parts > 0, table[parts], before), box):
                    first = first or unused[0]
                    made += more
                    del unused[:more]
        yield BlockDone(done, len(values))
    notes: tuple[str, ...] = (nothing,)
    if made:
        notes = (f"{made} new label{'s' if made > 1 else ''}, from {first}.",)
    yield Edited(draft.edit(f"{verb} {scene.named(values)}", (*scene.notes(), *notes)))


def _largest_first(parts: Parts, smallest: float) -> Parts:
    """Return parts by falling size; those that are too small are the first too."""
    count = int(parts.max(initial=0))
    if count < 8:  # to count all at once, they would all be made longer numbers first
        sizes = np.asarray([0, *(np.count_nonzero(parts == n) for n in range(1, count + 1))])
    else:
        sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    kept = [v for k, v in enumerate(order) if k == 0 or sizes[v] >= smallest * (1 - 1e-9)]
    numbers = np.ones(len(sizes), np.int32)
    numbers[0] = 0
    numbers[kept] = np.arange(1, len(kept) + 1)
    return parts if np.array_equal(numbers, np.arange(len(numbers))) else numbers[parts]


def _plane(scene: Scene) -> tuple[int | None, int]:
    """Return axis and index of the slice that lines were drawn on; no axis in 2-D."""
    if scene.ndim == 2:
        return None, 0
    if scene.plane is not None:
        return scene.plane
    vertices = np.concatenate(scene.lines)
    flat = np.flatnonzero(np.ptp(vertices, axis=0) < 0.5)
    if not len(flat):
        raise EditError(
            "Split by line: the lines lie in no one slice. Draw them with the volume seen in 2-D."
        )
    return int(flat[0]), int(np.floor(vertices[0, flat[0]] + 0.5))


def _under(
    scene: Scene, lines: list[npt.NDArray[np.float64]], axis: int | None, index: int
) -> set[int]:
    """Return the labels that lines run over in the slice that they are drawn on."""
    vertices = np.concatenate(lines)
    box = tuple(
        slice(max(0, int(low)), min(n, int(np.ceil(high)) + 1))
        for low, high, n in zip(vertices.min(0), vertices.max(0), scene.shape, strict=True)
    )
    if axis is not None:
        box = (*box[:axis], slice(index, index + 1), *box[axis + 1 :])
    if any(s.stop <= s.start for s in box):
        return set()
    crop = np.asarray(scene.labels[box])
    drawn = drawn_through(crop.shape, [line - [s.start for s in box] for line in lines], axis=axis)
    return set(np.unique(crop[drawn]).tolist()) - {0}
