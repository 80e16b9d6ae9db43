"""What hangs together with seeds: a region that grows over the voxels that may be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import EditError
from .boxes import Box, overlap, whole
from .components import structure_of

Mask = npt.NDArray[np.bool_]
Seeds = npt.ArrayLike

FIRST = 24  # voxels around the seeds that are looked at first


def flood(
    image: npt.NDArray[Any],
    seeds: Seeds,
    *,
    low: float,
    high: float,
    spacing: Sequence[float],
    allowed: Mask | None = None,
    distance: float = 0.0,
    connectivity: int | None = 1,
) -> Mask:
    """Return where a region grows from seeds within a range of intensities.

    Parameters
    ----------
    image
        Intensities, 2-D or 3-D.
    seeds
        Voxels to start from, of shape (n, ndim); one that is outside of the range starts nothing.
    low, high
        The range, inclusive.
    spacing
        Distance between voxels along each axis, in one unit.
    allowed
        Where it may grow; the other voxels are walls. ``None`` is everywhere.
    distance
        How far from a seed it may go, as the crow flies, in the unit of ``spacing``; 0 is any.
    connectivity
        How many axes neighbours may differ in: 1 are those that share a face, ``None`` those that
        share a corner.
    """

    def free(box: Box) -> Mask:
        inside = in_range(image[box], low, high)
        return inside if allowed is None else np.logical_and(inside, allowed[box])

    result = np.zeros(image.shape, np.bool_)
    for box, mask in flooding(free, seeds, image.shape, spacing=spacing, distance=distance,
                              connectivity=connectivity):  # fmt: skip
        if mask is not None:
            result[box] = mask
    return result


def flooding(
    free: Callable[[Box], Mask],
    seeds: Seeds,
    shape: Sequence[int],
    *,
    spacing: Sequence[float],
    distance: float = 0.0,
    connectivity: int | None = 1,
    limit: Box | None = None,
) -> Iterator[tuple[Box, Mask | None]]:
    """Yield boxes that are looked at, each larger than the one before; the last with the region.

    ``free`` says where in a box the region may grow, ``limit`` is a box that it never leaves.
    Only what the region reaches, and about as much around it, is ever read; see `flood` for the
    rest.
    """
    full = whole(shape) if limit is None else limit
    points = seed_voxels(seeds, full)
    around = _ball(points, distance, spacing) if distance > 0 else None
    limit = _limit(points, distance, spacing, full)
    box = tuple(
        slice(max(full.start, int(p.min()) - FIRST), min(full.stop, int(p.max()) + FIRST + 1))
        for full, p in zip(limit, points.T, strict=True)
    )
    while True:
        yield box, None
        may = free(box)
        if around is not None:
            may = may & around(box)
        mask = _reached(may, points - [s.start for s in box], connectivity)
        larger = _enlarged(box, mask, limit)
        if larger == box:
            yield box, mask
            return
        box = larger


def seed_voxels(seeds: Seeds, box: Box) -> npt.NDArray[np.int64]:
    """Return the voxels that points lie in; those outside of a box are left out.

    Raises EditError where none is left.
    """
    points = np.atleast_2d(np.asarray(seeds, float))
    voxels = np.floor(points + 0.5).astype(np.int64)
    low, high = np.transpose([(s.start, s.stop) for s in box])
    inside = ((voxels >= low) & (voxels < high)).all(1)
    if not inside.any():
        raise EditError("No point lies where labels may grow: put one on what is to be segmented.")
    return np.asarray(voxels[inside])


def in_range(image: npt.NDArray[Any], low: float, high: float) -> Mask:
    """Return where the image is within a range, inclusive; not-a-number is nowhere."""
    return np.asarray((image >= low) & (image <= high))


def _reached(may: Mask, points: npt.NDArray[np.int64], connectivity: int | None) -> Mask:
    """Return the components of ``may`` that hold a seed."""
    found, count = ndimage.label(may, structure_of(may.ndim, connectivity))
    hit = np.zeros(count + 1, np.bool_)
    hit[found[tuple(points.T)]] = True
    hit[0] = False
    return np.asarray(hit[found])


def _enlarged(box: Box, mask: Mask, limit: Box) -> Box:
    """Return the box with each side that the region has come to moved by the box's own length."""
    sides = []
    for axis, (side, full) in enumerate(zip(box, limit, strict=True)):
        start, stop = side.start, side.stop
        if mask.take(0, axis).any():
            start = max(full.start, start - (side.stop - side.start))
        if mask.take(-1, axis).any():
            stop = min(full.stop, stop + (side.stop - side.start))
        sides.append(slice(start, stop))
    return tuple(sides)


def _limit(
    points: npt.NDArray[np.int64], distance: float, spacing: Sequence[float], full: Box
) -> Box:
    """Return the box that a region of this reach lies in."""
    if distance <= 0:
        return full
    reach = [int(distance / s + 1e-9) for s in spacing]
    near = tuple(
        slice(int(p.min()) - r, int(p.max()) + r + 1) for p, r in zip(points.T, reach, strict=True)
    )
    shared = overlap(near, full)
    assert shared is not None  # the seeds lie in both
    return shared


def _ball(
    points: npt.NDArray[np.int64], distance: float, spacing: Sequence[float]
) -> Callable[[Box], Mask]:
    """Return what tells the voxels of a box that are near enough to a seed."""
    square = distance**2 * (1 + 1e-9)

    def near(box: Box) -> Mask:
        mask = np.zeros([s.stop - s.start for s in box], np.bool_)
        for point in points:
            away = [
                ((np.arange(s.start, s.stop) - p) * step) ** 2
                for s, p, step in zip(box, point, spacing, strict=True)
            ]
            mask |= sum(np.ix_(*away)) <= square
        return mask

    return near
