"""Split what touches: at its narrow places, by drawn lines, or between seeds.

Distances are those inside the object to its border, in physical units: a neck is a valley of
that map, and objects are the basins of a watershed on its negative (Meyer 1994), one for each
peak that rises high enough above the passes around it (h-maxima, Soille 2003, section 6.3.4).

Large objects are split on a coarser grid, and at full resolution where the cuts run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import line as line_pixels
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from .coarse import interpolated, pooled, spread
from .components import structure_of
from .connected import components

Mask = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.int32]
Distance = npt.NDArray[np.float32]
Spacing = Sequence[float]

STEP = 1.5  # times the depth: distances on a coarse grid are right to about half of its steps
FINE = 60_000  # voxels of a box up to which it is split at full resolution at once


def split_touching(
    mask: Mask, *, spacing: Spacing, depth: float, min_size: float = 0.0, fine: int = FINE
) -> Parts:
    """Return the parts of an object that narrow places keep apart.

    Parameters
    ----------
    mask
        The object, 2-D or 3-D. Beyond the array it is taken to go on: leave a voxel around it
        where it does not.
    spacing
        Distance between voxels along each axis, in one unit.
    depth
        How much narrower than both its sides a place has to be to be cut: by how far the largest
        ball that passes it is smaller in radius than those that fit beyond it.
    min_size
        Parts that are smaller, in the unit cubed (squared in 2-D), are left with a neighbour.
    fine
        Voxels of the box from which on a coarser grid comes first, of steps not much longer than
        ``depth``.

    Returns
    -------
    0 outside, 1 to n inside, by rising place of the first voxel.
    """
    step = _coarsening(mask.size, spacing, fine, STEP * depth)
    if all(s == 1 for s in step):
        distance = _inside(mask, spacing)
        parts = _basins(distance, mask, _peaks(distance, mask, depth))
    else:
        coarse = pooled(mask, step) >= 0.5
        grid = [s * k for s, k in zip(spacing, step, strict=True)]
        distance = _inside(coarse, grid)
        parts = _basins(distance, coarse, _peaks(distance, coarse, depth))
        if parts.max(initial=0) > 1:
            parts = _apart(_refined(parts, distance, mask, step), mask)
        else:
            parts, _ = _pieces(mask)
    if min_size > 0:
        parts = _without_small(parts, mask, spacing, min_size)
    return numbered(parts)


def split_at_seeds(
    mask: Mask, seeds: npt.ArrayLike, *, spacing: Spacing, fine: int = FINE
) -> Parts:
    """Return the parts of an object around seeds, cut where it is narrow between them.

    ``seeds`` are voxels, shape (n, ndim), in the order in which the parts are numbered; those
    outside of the object count for the nearest voxel of it. Pieces without a seed are part 1.
    """
    points = _on(mask, np.atleast_2d(np.asarray(seeds, float)), spacing)
    step = _coarsening(mask.size, spacing, fine)
    coarse = pooled(mask, step) >= 0.5
    if all(s == 1 for s in step) or not coarse[tuple((points // step).T)].all():
        distance = _inside(mask, spacing)
        bodies, markers = _climbed(distance, points)
        parts = _basins(distance, mask, markers)
    else:
        distance = _inside(coarse, [s * k for s, k in zip(spacing, step, strict=True)])
        bodies, markers = _climbed(distance, points // step)
        parts = _refined(_basins(distance, coarse, markers), distance, mask, step)
    parts = _shared(parts, points, bodies, spacing)
    parts[mask & (parts == 0)] = 1
    return parts


def split_by_lines(mask: Mask, lines: Sequence[npt.ArrayLike], *, axis: int | None = None) -> Parts:
    """Return the parts of an object that drawn lines part.

    Parameters
    ----------
    mask
        The object, 2-D or 3-D.
    lines
        Vertices in voxels, each line of shape (n, ndim).
    axis
        Of 3-D objects, the axis across the plane of the drawing: the cut goes straight through
        the whole object along it.

    Returns
    -------
    0 outside, 1 for the largest part and for what no line touches, 2 to n for the others.
    """
    sheet = drawn_through(mask.shape, lines, axis=axis)
    cut = mask & sheet
    # A line of pixels that touch at corners keeps apart what shares faces.
    faces = structure_of(mask.ndim, 1)
    pieces, count = ndimage.label(mask & ~cut, faces)
    beside = np.zeros(count + 1, np.bool_)
    beside[pieces[ndimage.binary_dilation(cut, faces) & ~cut]] = True
    beside[0] = False
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    order = np.flatnonzero(beside)
    order = order[np.argsort(-sizes[order], kind="stable")]
    numbers = np.ones(count + 1, np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    parts = np.where(mask & ~cut, numbers[pieces], 0).astype(np.int32)
    return _taken_in(parts, cut, faces)


def drawn_through(
    shape: Sequence[int], lines: Sequence[npt.ArrayLike], *, axis: int | None = None
) -> Mask:
    """Return the voxels of drawn lines, as they go straight through a volume along an axis."""
    plane = [a for a in range(len(shape)) if a != axis]
    drawn = np.zeros([shape[a] for a in plane], np.bool_)
    for line in lines:
        _draw(drawn, np.asarray(line, float)[:, plane])
    return np.broadcast_to(drawn if axis is None else np.expand_dims(drawn, axis), shape)


def numbered(parts: Parts) -> Parts:
    """Return parts numbered 1 to n by the place of their first voxel."""
    first = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        if box is not None:
            # Only the first plane of the box has to be looked at.
            plane = parts[(slice(box[0].start, box[0].start + 1), *box[1:])] == number
            inner = np.unravel_index(int(plane.argmax()), plane.shape)
            first.append((*(int(i) + s.start for i, s in zip(inner, box, strict=True)), number))
    order = [place[-1] for place in sorted(first)]
    if order == list(range(1, len(order) + 1)):
        return parts
    numbers = np.zeros(max(order) + 1, np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.asarray(numbers[parts])


def _coarsening(
    size: int, spacing: Spacing, fine: int, longest: float = math.inf
) -> tuple[int, ...]:
    """Return how many voxels of each axis become one, so that about ``fine`` are left of a box.

    No step gets longer than ``longest``, and each about as long as the others.
    """
    steps = [1] * len(spacing)
    while size / math.prod(steps) > fine:
        lengths = [(k + 1) * s for k, s in zip(steps, spacing, strict=True)]
        axis = int(np.argmin(lengths))
        if lengths[axis] > longest * (1 + 1e-9):
            break
        steps[axis] += 1
    return tuple(steps)


def _inside(mask: Mask, spacing: Spacing) -> Distance:
    """Return how far inside the object each voxel lies; the end of the array is no border."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    found: Distance = ndimage.distance_transform_edt(mask, sampling=spacing).astype(np.float32)
    return found


def _peaks(distance: Distance, mask: Mask, depth: float) -> Parts:
    """Return a marker for each peak that rises by ``depth`` above its highest pass."""
    touching = structure_of(mask.ndim, None)
    lowered = np.maximum(distance - np.float32(max(depth, 1e-3)), 0)
    filled = reconstruction(lowered, distance)  # type: ignore[no-untyped-call]
    # Peaks that nothing parts at that depth share a plateau.
    tops, count = ndimage.label(
        local_maxima(filled, footprint=touching) & (filled > 0),  # type: ignore[no-untyped-call]
        touching,
    )
    pieces, n_pieces = ndimage.label(mask, touching)
    peaked = np.zeros(n_pieces + 1, np.bool_)
    peaked[pieces[tops > 0]] = True
    flat = mask & ~peaked[pieces]
    return np.asarray(np.where(flat, pieces + count, tops), np.int32)


def _basins(distance: Distance, mask: Mask, markers: Parts) -> Parts:
    touching = structure_of(mask.ndim, None)
    parts = watershed(-distance, markers, connectivity=touching, mask=mask)  # type: ignore[no-untyped-call]
    return np.asarray(parts, np.int32)


def _refined(coarse: Parts, distance: Distance, mask: Mask, step: Sequence[int]) -> Parts:
    """Return parts of the object at full resolution.

    Blocks around which all are of one part are of it; between them the coarse distance is
    interpolated and flooded.
    """
    size = (3,) * mask.ndim
    least = ndimage.minimum_filter(np.where(coarse > 0, coarse, np.iinfo(np.int32).max), size)
    most = ndimage.maximum_filter(coarse, size)
    parts = spread(np.where(least == most, most, 0), step, mask.shape)
    parts *= mask
    for box in ndimage.find_objects(((least != most) & (most > 0)).astype(np.uint8)):
        outer = tuple(
            slice(max(0, (s.start - 1) * k), min(n, (s.stop + 1) * k))
            for s, k, n in zip(box, step, mask.shape, strict=True)
        )
        _fill(parts[outer], mask[outer], interpolated(distance, step, outer))
    # What is too thin for the coarse grid hangs on the parts, or is far from all of them.
    if _hung(parts, mask):
        pieces, _ = ndimage.label(mask & (parts == 0), structure_of(mask.ndim, None))
        np.copyto(parts, pieces + parts.max(), where=pieces > 0)
    return parts


def _hung(parts: Parts, mask: Mask) -> int:
    """Give voxels of the object without a part that of a neighbour, again and again, in place.

    Of several neighbours' parts the highest counts. Only these voxels are looked at, which are few.
    Returns how many no part reaches.
    """
    around = np.pad(parts, 1)
    flat, inner = around.reshape(-1), (slice(1, -1),) * parts.ndim
    strides = np.asarray(around.strides) // around.itemsize
    offsets = (np.indices((3,) * parts.ndim).reshape(parts.ndim, -1).T - 1) @ strides
    left = (np.argwhere(mask & (parts == 0)) + 1) @ strides
    while len(left):
        best = flat[left[:, None] + offsets].max(1)
        reached = best > 0
        if not reached.any():
            break
        flat[left[reached]] = best[reached]
        left = left[~reached]
    parts[...] = around[inner]
    return len(left)


def _apart(parts: Parts, mask: Mask) -> Parts:
    """Return parts with those that lie in several pieces of the object numbered piece by piece.

    Pieces closer than a block are one to the coarse grid.
    """
    pieces, count = _pieces(mask)
    if count < 2:
        return parts
    inside = np.flatnonzero(mask)
    both = pieces.ravel()[inside].astype(np.int64) * (int(parts.max()) + 1) + parts.ravel()[inside]
    parts = np.zeros_like(parts)
    parts.ravel()[inside] = np.unique(both, return_inverse=True)[1] + 1
    return parts


def _pieces(mask: Mask) -> tuple[Parts, int]:
    """Return the pieces of an object, numbered from 1, and how many there are."""
    if len(components(mask.view(np.uint8)).sizes) < 2:  # as a rule, and many times as quick
        return mask.astype(np.int32), int(mask.any())
    pieces, count = ndimage.label(mask, structure_of(mask.ndim, None))
    return np.asarray(pieces, np.int32), count


def _fill(parts: Parts, mask: Mask, depth: Distance) -> None:
    """Flood what has no part yet from what lies beside it."""
    unknown = mask & (parts == 0)
    beside = ndimage.binary_dilation(unknown, structure_of(mask.ndim, None)) & (parts > 0)
    flooded = _basins(depth, unknown | beside, np.where(beside, parts, 0).astype(np.int32))
    parts[unknown] = flooded[unknown]


def _without_small(parts: Parts, mask: Mask, spacing: Spacing, min_size: float) -> Parts:
    """Return parts with those that are too small flooded by their neighbours."""
    sizes = np.bincount(parts.ravel()) * float(np.prod(spacing))
    small = sizes < min_size * (1 - 1e-9)
    small[0] = False
    pieces, count = ndimage.label(mask, structure_of(mask.ndim, None))
    large = np.zeros(count + 1, np.bool_)
    large[pieces[mask & ~small[parts]]] = True
    # A piece of nothing but small parts stays as it is.
    lose = small[parts] & large[pieces]
    if not lose.any():
        return parts
    return _basins(_inside(mask, spacing), mask, np.where(lose, 0, parts).astype(np.int32))


def _on(mask: Mask, points: npt.NDArray[np.float64], spacing: Spacing) -> npt.NDArray[np.int64]:
    """Return the voxels of the object that are nearest to points."""
    result = np.floor(points + 0.5).astype(np.int64)
    inside = np.all((result >= 0) & (result < mask.shape), axis=1)
    inside[inside] = mask[tuple(result[inside].T)]
    if not inside.all():
        places = np.argwhere(mask)
        for k in np.flatnonzero(~inside):
            away = ((places - points[k]) * np.asarray(spacing)) ** 2
            result[k] = places[away.sum(1).argmin()]
    return result


def _climbed(
    distance: Distance, points: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Parts]:
    """Return which body each seed is in, counted from 1, and markers of the bodies.

    A marker is the way from the seed up to where its body is thickest: from near the border a
    flood would come too late, when others are through the neck. Seeds whose ways meet share one.
    """
    padded = np.pad(distance, 1)
    offsets = np.indices((3,) * distance.ndim).reshape(distance.ndim, -1).T - 1
    markers = np.zeros(distance.shape, np.int32)
    bodies = np.zeros(len(points), np.int64)
    for k, point in enumerate(points):
        path = [tuple(point.tolist())]
        while not markers[path[-1]]:
            around = np.asarray(path[-1]) + offsets
            depths = padded[tuple((around + 1).T)]
            best = int(depths.argmax())
            if depths[best] <= distance[path[-1]]:
                break
            path.append(tuple(around[best].tolist()))
        bodies[k] = markers[path[-1]] or bodies.max() + 1
        markers[tuple(np.transpose(path))] = bodies[k]
    return bodies, markers


def _shared(
    parts: Parts,
    points: npt.NDArray[np.int64],
    bodies: npt.NDArray[np.int64],
    spacing: Spacing,
) -> Parts:
    """Return the parts of seeds, from those of bodies: of several seeds in one the nearest."""
    result = np.zeros_like(parts)
    for body in np.unique(bodies):
        seeds = np.flatnonzero(bodies == body)
        inside = parts == body
        if len(seeds) == 1:
            result[inside] = seeds[0] + 1
            continue
        places = np.argwhere(inside)
        away = [(((places - points[k]) * np.asarray(spacing)) ** 2).sum(1) for k in seeds]
        result[inside] = seeds[np.argmin(away, axis=0)] + 1
    return result


def _draw(drawn: Mask, line: npt.NDArray[np.float64]) -> None:
    """Draw a line into a picture, as pixels that touch at corners at least."""
    vertices = np.floor(line + 0.5).astype(np.int64)
    for a, b in itertools.pairwise(vertices):
        rows, columns = line_pixels(*a, *b)  # type: ignore[no-untyped-call]
        inside = (rows >= 0) & (rows < drawn.shape[0])
        inside &= (columns >= 0) & (columns < drawn.shape[1])
        drawn[rows[inside], columns[inside]] = True


def _taken_in(parts: Parts, cut: Mask, faces: Mask) -> Parts:
    """Return parts with the voxels of the cut given to the ones beside them."""
    left = cut.copy()
    while left.any():
        around = ndimage.grey_dilation(parts, footprint=faces)
        new = left & (around > 0)
        if not new.any():
            parts[left] = 1
            break
        parts[new] = around[new]
        left &= ~new
    return parts
