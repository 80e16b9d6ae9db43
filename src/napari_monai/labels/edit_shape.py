"""Operations that change the shape of labels: smooth, open, close, dilate, erode, expand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..events import BlockDone, Busy, Edited, Event, Started
from . import morphology
from .boxes import Box, grown, overlap, union, whole
from .distance import reach
from .edits import Draft, Scene, by_slabs, each_label
from .extents import limited, words
from .nearest import parted, spread, spreading
from .settings_shape import Dilate, Erode, Expand, Extent, Round, Smooth
from .smooth import margin, smoothing

Labels = npt.NDArray[Any]


def smooth(scene: Scene, settings: Smooth) -> Iterator[Event]:
    """Smooth the borders of labels, each keeping its volume; those that touch at once."""
    part = limited(scene, settings.extent)
    wide = margin(settings.sigma, part.spacing)
    title = f"Smooth {scene.named()}{words(scene, settings.extent)}"
    return _smoothed(part, settings.sigma, wide, title)


def _smoothed(part: Scene, sigma: float, wide: tuple[int, ...], title: str) -> Iterator[Event]:
    values = part.targets() if any(wide) else ()
    boxes = {v: grown(b, wide, part.shape) for v in values if (b := part.located.get(v))}
    groups = [g for g in clusters(boxes, part.shape) if overlap(g[1], part.box) is not None]
    draft, done, total = Draft(part), 0, 2 * sum(len(members) for members, _ in groups)
    yield Started(total, "steps")
    for members, box in groups:
        steps = smoothing(draft.read(box), sigma=sigma, spacing=part.spacing, values=members)
        new = yield from _told(steps, itertools.count(done + 1), total)
        draft.write(new, box)
        done += 2 * len(members)
    yield Edited(draft.edit(title, part.notes()))


def erode(scene: Scene, settings: Erode) -> Iterator[Event]:
    """Remove what lies within a distance of the border of each label."""
    return _each(scene, "Erode", morphology.erode, settings.distance, settings.extent)


def opening(scene: Scene, settings: Round) -> Iterator[Event]:
    """Remove what is thinner than a ball: necks, spikes, small parts."""
    return _each(scene, "Open", morphology.opening, settings.radius, settings.extent)


def closing(scene: Scene, settings: Round) -> Iterator[Event]:
    """Fill gaps that are narrower than a ball."""
    return _each(scene, "Close", morphology.closing, settings.radius, settings.extent)


def _each(
    scene: Scene,
    verb: str,
    function: Callable[..., Labels],
    distance: float,
    extent: Extent,
) -> Iterator[Event]:
    """Change labels one by one, each in its box: none of these reaches beyond it."""
    part = limited(scene, extent)
    wide = reach(distance, part.spacing)
    notes = _too_short(wide, distance, scene)
    gone: list[int] = []

    def change(crop: Labels, value: int, box: Box) -> Labels:
        new = function(crop, distance=distance, spacing=part.spacing, values=[value])
        if not (new == value).any() and (crop == value).any():
            gone.append(value)
            notes[:] = [f"{_labels(gone, scene)} removed: thinner than the distance."]
        return new

    # A voxel of what is around, where distances go.
    rim = [min(k, 1) for k in wide]
    title = f"{verb} {scene.named()}{words(scene, extent)}"
    return each_label(part, change, margin=rim, title=title, notes=notes)


def dilate(scene: Scene, settings: Dilate) -> Iterator[Event]:
    """Grow labels by a distance, each voxel to the nearest of them."""
    part = limited(scene, settings.extent)
    wide = reach(settings.distance, part.spacing)
    values = part.targets()
    around = part.located.around(values)

    def change(crop: Labels, box: Box) -> Labels:
        return morphology.dilate(
            crop,
            distance=settings.distance,
            spacing=part.spacing,
            values=values,
            over=settings.over,
        )

    return by_slabs(
        part,
        change,
        title=f"Dilate {scene.named()}{words(scene, settings.extent)}",
        box=_nowhere(part) if around is None else grown(around, wide, part.shape),
        margin=wide,
        notes=_too_short(wide, settings.distance, scene),
    )


def expand(scene: Scene, settings: Expand) -> Iterator[Event]:
    """Grow labels into the background between them, without collisions."""
    part = limited(scene, settings.extent)
    values = part.targets()
    title = f"Expand {scene.named()}{words(scene, settings.extent)}"
    if settings.distance is None:
        return _expand_all(part, settings, values, title)
    wide = reach(settings.distance, part.spacing)
    around = part.located.around(values)

    def change(crop: Labels, box: Box) -> Labels:
        result = spread(crop, distance=settings.distance, spacing=part.spacing, values=values)
        return parted(result, crop, spacing=part.spacing) if settings.gap else result

    return by_slabs(
        part,
        change,
        title=title,
        box=_nowhere(part) if around is None else grown(around, wide, part.shape),
        # One more: who meets at the edge of a slab.
        margin=[0 if math.isinf(s) else k + 1 for k, s in zip(wide, part.spacing, strict=True)],
        notes=_too_short(wide, settings.distance, scene),
    )


def _expand_all(
    scene: Scene, settings: Expand, values: Sequence[int], title: str
) -> Iterator[Event]:
    """Grow labels until no background is left: of all that there is, in one piece."""
    yield Started(1, "volumes")
    crop = np.asarray(scene.labels[box := _seen(scene)])
    steps = spreading(crop, distance=None, spacing=scene.spacing, values=values)
    result = yield from _told(steps)
    draft = Draft(scene)
    draft.write(parted(result, crop, spacing=scene.spacing) if settings.gap else result, box)
    yield BlockDone(1, 1)
    yield Edited(draft.edit(title, scene.notes()))


def _seen(scene: Scene) -> Box:
    """Return where labels are looked at that grow anywhere: everything, or a slice and no more."""
    everything = whole(scene.shape)
    if scene.region is None:
        return everything
    apart = [k for k, s in enumerate(scene.spacing) if np.isinf(s)]
    return tuple(scene.box[a] if a in apart else everything[a] for a in range(scene.ndim))


def clusters(
    boxes: dict[int, Box], shape: Sequence[int], *, cell: int = 8
) -> list[tuple[tuple[int, ...], Box]]:
    """Return labels in groups whose boxes do not overlap those of others, and the box of each.

    Boxes that lie within ``cell`` voxels of each other may be put together too.
    """
    filled = np.zeros([-(-n // cell) for n in shape], np.bool_)
    cells = {
        value: tuple(slice(s.start // cell, -(-s.stop // cell)) for s in box)
        for value, box in boxes.items()
    }
    for part in cells.values():
        filled[part] = True
    marks, _ = ndimage.label(filled, np.ones((3,) * filled.ndim))
    groups: dict[int, tuple[list[int], Box]] = {}
    for value, part in cells.items():
        mark = int(marks[tuple(s.start for s in part)])
        members, box = groups.get(mark, ([], boxes[value]))
        members.append(value)
        groups[mark] = (members, union(box, boxes[value]))
    return [(tuple(members), box) for members, box in groups.values()]


def _told(
    steps: Generator[None, None, Labels], count: Iterator[int] | None = None, total: int = 0
) -> Generator[Event, None, Labels]:
    """Yield an event for each step of some work, numbered if asked for; return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Labels = end.value
            return result
        yield Busy() if count is None else BlockDone(next(count), total)


def _too_short(wide: Iterable[int], distance: float, scene: Scene) -> list[str]:
    """Return a note where a distance reaches no voxel, for it changes nothing."""
    if any(wide) or not distance:
        return []
    return [f"{distance:g} {scene.unit} is less than a voxel: nothing changes."]


def _labels(values: Sequence[int], scene: Scene) -> str:
    """Return "liver is", "3 labels are"."""
    name = scene.named(values)
    return f"{name[:1].upper()}{name[1:]} {'is' if len(values) == 1 else 'are'}"


def _nowhere(scene: Scene) -> Box:
    return tuple(slice(0, 0) for _ in scene.shape)
