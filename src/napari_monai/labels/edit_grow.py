"""Growing from points and scribbles, and snapping to edges, as operations."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..events import BlockDone, Busy, Edited, Event, Started
from ..volume import ArrayLike
from .boxes import Box, grown, overlap, shape_of
from .edits import Draft, Scene, check_numbers
from .flood import flooding, in_range, seed_voxels
from .settings_grow import Grow, Snap, Walker
from .snap import snapping
from .walker import Progress, walking, without_noise

Mask = npt.NDArray[np.bool_]

AROUND = 2  # voxels around a point whose intensities say what is looked for
SPREAD = 1.4826  # from the median deviation to the standard deviation of a normal distribution
REACH = 30  # voxels around scribbles
BAND = 3  # voxels that a border moves
WALKED = 1 << 23  # voxels that are walked over at once: half a gigabyte
FLOODED = 1 << 28  # voxels that are flooded at once: two gigabytes


def grow(scene: Scene, settings: Grow) -> Iterator[Event]:
    """Grow a label from points within a range of intensities."""
    image = _image(scene)
    value = _grows(scene, settings.label)
    limit = _limit(scene, "Grow from points", in_slice=settings.in_slice)
    low, high = _range(image, seed_voxels(scene.points, limit), settings)
    yield Started(1, "regions")

    def free(box: Box) -> Mask:
        _check_size(box, FLOODED, "Grow from points", "a distance, a region, or this slice only")
        labels = np.asarray(scene.labels[box])
        may = in_range(np.asarray(image[box]), low, high)
        may &= (labels == 0) | (labels == value)
        if scene.region is not None:
            may &= scene.region.inside(box)
        return may

    draft = Draft(scene)
    steps = flooding(
        free,
        scene.points,
        scene.shape,
        spacing=scene.spacing,
        distance=settings.distance,
        connectivity=None if settings.corners else 1,
        limit=limit,
    )
    for box, mask in steps:
        yield Busy()
        if mask is not None:
            before = draft.read(box)
            draft.write(np.where(mask, np.asarray(value, before.dtype), before), box)
    yield BlockDone(1, 1)
    edit = draft.edit(f"Grow {scene.named((value,))}", scene.notes())
    said = f"Intensities from {low:g} to {high:g}."
    if not edit.voxels:
        said += " No point lies on any that is free: place it elsewhere, or widen the range."
    yield Edited(draft.edit(edit.title, (*edit.notes, said)))


def random_walker(scene: Scene, settings: Walker) -> Iterator[Event]:
    """Grow the selected labels from their scribbles up to the edges of the image."""
    image, values = _image(scene), scene.targets()
    around = scene.located.around(values)
    if len(values) < 2 or around is None:
        raise EditError(
            "Random walker: select the labels of two scribbles or more that are not locked, one on "
            "each object and one on what is outside."
        )
    reach = REACH * min(scene.spacing) if settings.reach is None else settings.reach
    limit = _limit(scene, "Random walker", in_slice=settings.in_slice)
    box = overlap(grown(around, _voxels(reach, scene), scene.shape), limit)
    if box is None:
        raise EditError("Random walker: no scribble lies there; draw some, or choose no region.")
    _check_size(box, WALKED, "Random walker", "a smaller reach, a region, or this slice only")
    yield Started(100, "percent")
    draft = Draft(scene)
    before = draft.read(box)
    scribbles = np.where(np.isin(before, values), before, 0)
    present = np.setdiff1d(np.unique(scribbles), [0])
    if len(present) < 2:
        raise EditError(
            "Random walker: scribbles of one label alone are there; draw a second label outside."
        )
    may = (before == 0) | (scribbles != 0)
    if scene.region is not None:
        may &= scene.region.inside(box)
    smooth = without_noise(np.asarray(image[box]), scene.spacing, settings.smoothing)
    for item in walking(
        smooth, scribbles, spacing=scene.spacing, contrast=settings.contrast, allowed=may
    ):
        if isinstance(item, Progress):
            yield BlockDone(int(item.done * 100), 100)
            continue
        after = np.where(item != 0, item, before)
        if settings.background is not None:
            after[after == settings.background] = 0
        draft.write(after, box)
    yield Edited(draft.edit(f"Random walker of {scene.named(values)}", scene.notes()))


def snap(scene: Scene, settings: Snap) -> Iterator[Event]:
    """Move the borders of labels to the edges of the image nearby."""
    image, values = _image(scene), scene.targets()
    band = BAND * min(scene.spacing) if settings.band is None else settings.band
    margin = tuple(w + 2 for w in _voxels(band, scene))
    yield Started(len(values), "labels")
    draft = Draft(scene)
    for done, value in enumerate(values, start=1):
        found = scene.located.get(value)
        assert found is not None  # a target is there
        box = grown(found, margin, scene.shape)
        if overlap(box, scene.box) is not None:
            _check_size(
                box, WALKED, "Snap to edges", "smaller labels, or those of a part of the image"
            )
            before = draft.read(box)
            mask = before == value
            for item in snapping(
                mask,
                np.asarray(image[box]),
                spacing=scene.spacing,
                band=band,
                contrast=settings.contrast,
                smoothing=settings.smoothing,
                allowed=before == 0,
            ):
                if isinstance(item, Progress):
                    yield Busy()
                    continue
                after = np.where(item, np.asarray(value, before.dtype), before)
                after[mask & ~item] = 0
                draft.write(after, box)
        yield BlockDone(done, len(values))
    yield Edited(draft.edit(f"Snap {scene.named()} to edges", scene.notes()))


def _image(scene: Scene) -> ArrayLike:
    assert scene.image is not None  # the table says that it is needed
    return scene.image


def _grows(scene: Scene, label: int | None) -> int:
    """Return the label that grows: as told, the one selected, or a new one."""
    if label is None:
        if len(scene.selected) > 1:
            raise EditError("Grow from points: select the one label that is to grow.")
        label = scene.selected[0] if scene.selected else next(scene.new_numbers())
    if label in scene.locked:
        raise EditError(f"Grow from points: {scene.named((label,))} is locked: unlock it first.")
    check_numbers(scene, label)
    return label


def _limit(scene: Scene, title: str, *, in_slice: bool) -> Box:
    """Return the box that an operation keeps to: that of the region, or its part of the slice."""
    box = scene.box
    if in_slice and scene.ndim == 3:
        if scene.plane is None:
            raise EditError(f"{title}: no slice is seen. Turn the view of the volume to 2-D.")
        axis, index = scene.plane
        here = overlap(box, (*box[:axis], slice(index, index + 1), *box[axis + 1 :]))
        box = here or tuple(slice(0, 0) for _ in box)
    return box


def _range(image: ArrayLike, points: npt.NDArray[np.int64], settings: Grow) -> tuple[float, float]:
    """Return the range of intensities, what is on auto from around the points."""
    low, high = settings.low, settings.high
    if low is None or high is None:
        around = [
            np.asarray(image[grown(tuple(slice(p, p + 1) for p in point), AROUND, image.shape)])
            for point in points.tolist()
        ]
        values = np.concatenate([a.astype(np.float64).ravel() for a in around])
        values = values[np.isfinite(values)]
        # Medians: a point near the edge of an object sees what is beyond it too.
        middle = float(np.median(values)) if values.size else 0.0
        spread = SPREAD * float(np.median(np.abs(values - middle))) if values.size else 0.0
        wide = settings.tolerance * spread
        low = middle - wide if low is None else low
        high = middle + wide if high is None else high
    if low > high:
        raise EditError(f"Grow from points: the lowest intensity {low:g} is above {high:g}.")
    return low, high


def _voxels(distance: float, scene: Scene) -> tuple[int, ...]:
    """Return how many voxels a distance is along each axis."""
    return tuple(math.ceil(distance / step - 1e-9) for step in scene.spacing)


def _check_size(box: Box, most: int, title: str, cure: str) -> None:
    size = math.prod(shape_of(box))
    if size > most:
        raise EditError(
            f"{title}: {size / 1e6:.0f} million voxels are more than the {most / 1e6:.0f} million "
            f"that are held in memory at once: choose {cure}."
        )
