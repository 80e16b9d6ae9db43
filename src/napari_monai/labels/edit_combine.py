"""Operations that combine labels with a second layer, an image, a slice, an outline, a region."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Edited, Event, Started
from ..settings import Settings
from . import threshold as thresholds
from .boxes import Box, overlap, shape_of
from .combine import combine as combined
from .edits import Draft, Scene, by_slabs, check_numbers
from .extents import limited, slice_box, words
from .lasso import inside_polygon
from .settings_shape import Combine, CopySlice, Lasso, Threshold
from .slices import copied

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def combine(scene: Scene, settings: Combine) -> Iterator[Event]:
    """Combine labels with those of a second layer."""
    other = scene.other
    assert other is not None  # the table says that it is needed
    if settings.into is not None:
        _free_to_use(scene, settings.into, "Combine")
    values = scene.located.values() if settings.new_numbers else ()

    def change(crop: Labels, box: Box) -> Labels:
        return combined(
            crop,
            np.asarray(other[box]),
            how=settings.how,
            values=scene.selected or None,
            same=settings.same,
            over=settings.over,
            into=settings.into,
            shift=max(values, default=0),
        )

    title = f"Combine {scene.named()} with the other layer ({settings.how})"
    return by_slabs(scene, change, title=title)


def threshold(scene: Scene, settings: Threshold) -> Iterator[Event]:
    """Give voxels in a range of intensities a label."""
    image = scene.image
    assert image is not None  # the table says that it is needed
    into = settings.into or (scene.selected[0] if scene.selected else 1)
    _free_to_use(scene, into, "Threshold")
    lower, upper = settings.lower, settings.upper
    if lower is None and upper is None:
        lower = thresholds.otsu(image)
    thresholds.check_range(lower, upper)
    part = limited(scene, settings.extent)

    def change(crop: Labels, box: Box) -> Labels:
        return thresholds.threshold(
            crop,
            np.asarray(image[box]),
            lower=lower,
            upper=upper,
            into=into,
            over=settings.over,
            clear=settings.clear,
        )

    limits = "" if lower is None else f" from {lower:g}"
    limits += "" if upper is None else f" to {upper:g}"
    where = words(scene, settings.extent)
    title = f"Threshold{limits} into {scene.named((into,))}{where}"
    return by_slabs(part, change, title=title)


def copy_slice(scene: Scene, settings: CopySlice) -> Iterator[Event]:
    """Copy the labels of the slice that is seen to the next ones."""
    assert scene.plane is not None  # the table says that it is needed
    axis, index = scene.plane
    source = np.asarray(scene.labels[slice_box(scene, axis, index)])
    step = 1 if settings.to == "next" else -1
    targets = [
        i
        for i in range(index + step, index + step * (settings.slices + 1), step)
        if 0 <= i < scene.shape[axis]
    ]
    if not targets:
        raise EditError(f"Copy slice: there is no {settings.to} slice, {index} is at the border.")
    return _copied(scene, settings, source, axis, targets)


def _copied(
    scene: Scene, settings: CopySlice, source: Labels, axis: int, targets: list[int]
) -> Iterator[Event]:
    draft = Draft(scene)
    yield Started(len(targets), "slices")
    for done, index in enumerate(targets, start=1):
        box = slice_box(scene, axis, index)
        new = copied(
            source,
            draft.read(box),
            values=scene.selected or None,
            over=settings.over,
            clear=settings.clear,
        )
        draft.write(new, box)
        yield BlockDone(done, len(targets))
    notes = list(scene.notes())
    if len(targets) < settings.slices:
        notes.append(f"{len(targets)} of {settings.slices} slices: the volume ends there.")
    where = f"the {settings.to} slice" if len(targets) == 1 else f"{len(targets)} slices"
    yield Edited(draft.edit(f"Copy {scene.named()} to {where}", notes))


def lasso(scene: Scene, settings: Lasso) -> Iterator[Event]:
    """Cut labels along outlines, straight through the volume as one looks at it."""
    part = limited(scene, settings.extent)
    into = 0
    if settings.action == "relabel":
        into = settings.into or scene.first_free()
        _free_to_use(scene, into, "Lasso")
    outlines = [line for line in scene.lines if len(line) > 2]
    if not outlines:
        raise EditError("Lasso: draw an outline of three points or more.")
    # Said at once, and not with the first slab.
    _inside(scene, outlines, tuple(slice(0, 1) for _ in scene.shape))

    def change(crop: Labels, box: Box) -> Labels:
        inside = _inside(scene, outlines, box)
        cut = ~inside if settings.action == "keep" else inside
        return np.where(cut & _chosen(scene, crop), into, crop)

    title = {
        "delete": f"Delete {scene.named()} inside the outline",
        "keep": f"Keep {scene.named()} inside the outline",
        "relabel": f"Relabel {scene.named()} inside the outline to {into}",
    }[settings.action]
    title += words(scene, settings.extent)
    return by_slabs(part, change, title=title, box=_where(part))


def clear_outside(scene: Scene, settings: Settings) -> Iterator[Event]:
    """Make labels background that lie outside the region."""
    region = scene.region
    assert region is not None  # the table says that it is needed
    everywhere = dataclasses.replace(scene, region=None)

    def change(crop: Labels, box: Box) -> Labels:
        return np.where(_chosen(scene, crop) & ~region.inside(box), 0, crop)

    title = f"Clear {scene.named()} outside the region"
    return by_slabs(everywhere, change, title=title, box=_where(everywhere))


def _inside(scene: Scene, outlines: list[npt.NDArray[np.float64]], box: Box) -> Mask:
    """Return which voxels of a box lie in one outline or more."""
    inside = np.zeros(shape_of(box), np.bool_)
    start = [s.start for s in box]
    for outline in outlines:
        inside |= inside_polygon(inside.shape, outline, spacing=scene.spacing, start=start)
    return inside


def _chosen(scene: Scene, crop: Labels) -> Mask:
    """Return where the labels to work on are."""
    return np.isin(crop, scene.selected) if scene.selected else crop != 0


def _where(scene: Scene) -> Box:
    """Return the box of the labels to work on."""
    nowhere = tuple(slice(0, 0) for _ in scene.shape)
    around = scene.located.around(scene.targets())
    return nowhere if around is None else overlap(around, scene.box) or nowhere


def _free_to_use(scene: Scene, number: int, title: str) -> None:
    """Raise EditError where no voxel can get a number."""
    check_numbers(scene, number)
    if number in scene.locked:
        raise EditError(f"{title}: {scene.named((number,))} is locked: unlock it first.")
