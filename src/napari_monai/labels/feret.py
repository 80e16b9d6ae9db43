"""Feret diameters: how far apart the two points of a label are that are farthest apart.

Only corners of the convex hull can be these points. What cannot be such a corner is left out of
all labels at once; of what is left all pairs are looked at, many labels together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..volume import ArrayLike
from .contacts import directions
from .runs import parts
from .table import Floats, Ints

# Points of which the convex hull is quicker than all pairs.
_MANY = 400
# Pairs that are looked at together.
_PAIRS = 1 << 21


def feret_diameters(labels: ArrayLike, numbers: Ints, spacing: Sequence[float]) -> Floats:
    """Return the greatest distance between two points of each label.

    Its points are the middles of the faces of its voxels, as in scikit-image's
    ``feret_diameter_max``, which takes the voxels of the convex hull, though: it may be larger by
    less than a voxel where a label is not convex.

    Parameters
    ----------
    labels
        Two or three axes.
    numbers
        The labels that count, in rising order.
    spacing
        Of the voxels, one number an axis.
    """
    step = np.asarray(spacing, np.float64)
    place, points = _corners(labels, numbers)
    found = np.zeros(len(numbers))
    there, first = np.unique(place, return_index=True)
    if not len(there):
        return found
    # About the first point of each: coordinates stay as small as the label.
    ends = (points - np.repeat(points[first], _lengths(first, len(points)), axis=0)) * step
    least = _widest(ends, first, step)
    ends, first = _far_out(ends, first, least, float(step.max()))
    for some, table in _tables(ends, first):
        found[there[some]] = _diameters(table, least[some], step)
    return found


def _lengths(first: Ints, count: int) -> Ints:
    return np.diff(first, append=count)


def _corners(labels: ArrayLike, numbers: Ints) -> tuple[Ints, Ints]:
    """Return what may be a corner of a hull, by rising label: its place among all, the indices."""
    places, corners = [np.zeros(0, np.int64)], [np.zeros((0, len(labels.shape)), np.int64)]
    for slab in parts(labels):
        crop = np.pad(np.asarray(labels[slab]), 1)
        flat, strides = crop.reshape(-1), np.array(crop.strides) // crop.itemsize
        ends = _ends(flat)
        for step in directions(crop.ndim)[1:]:
            # Between two others of its label lies no corner.
            away, own = int(step @ strides), flat[ends]
            ends = ends[(flat[ends - away] != own) | (flat[ends + away] != own)]
        own = flat[ends]
        at = np.searchsorted(numbers, own).clip(max=max(len(numbers) - 1, 0))
        known = numbers[at] == own if len(numbers) else np.zeros(len(ends), np.bool_)
        indices = np.stack(np.unravel_index(ends[known], crop.shape), axis=-1)
        places.append(at[known])
        corners.append(indices - 1 + [s.start for s in slab])
    place, points = np.concatenate(places), np.concatenate(corners)
    order = np.argsort(place, kind="stable")
    return place[order], points[order]


def _ends(flat: npt.NDArray[Any]) -> Ints:
    """Return where runs of labels but 0 begin or end, in rows with nothing at their ends."""
    change = flat[1:] != flat[:-1]
    ends = np.zeros(len(flat), np.bool_)
    ends[1:-1] = change[1:] | change[:-1]
    at = np.flatnonzero(ends)
    return np.asarray(at[flat[at] != 0])


def _widest(ends: Floats, first: Ints, step: Floats) -> Floats:
    """Return how far each label reaches in that of some directions in which it reaches farthest.

    No label has a smaller diameter.
    """
    widest = np.zeros(len(first))
    for side in directions(len(step)) * step:
        unit = side / np.linalg.norm(side)
        along = ends @ unit
        width = np.maximum.reduceat(along, first) - np.minimum.reduceat(along, first)
        # From the middle of a face to that of one across, half a voxel further at both ends.
        np.maximum(widest, width + np.abs(unit * step).max(), out=widest)
    return widest


def _far_out(ends: Floats, first: Ints, least: Floats, step: float) -> tuple[Floats, Ints]:
    """Return the points, and the first of each label, without those too near the label's middle.

    From a point to another there is no farther to go than to the middle, and on to what is
    farthest from that.
    """
    low, high = np.minimum.reduceat(ends, first), np.maximum.reduceat(ends, first)
    lengths = _lengths(first, len(ends))
    out = np.linalg.norm(ends - np.repeat((low + high) / 2, lengths, axis=0), axis=1)
    reach = least - np.maximum.reduceat(out, first) - step
    keep = out >= np.repeat(reach - 1e-6 * least, lengths)
    kept = np.add.reduceat(keep, first, dtype=np.int64)
    return ends[keep], np.cumsum(kept) - kept


def _tables(ends: Floats, first: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Yield the points of labels with about as many each: which labels, and their points.

    They have shape (labels, points, axes); the first point fills up what a label has too few.
    """
    lengths = _lengths(first, len(ends))
    order = np.argsort(lengths, kind="stable")
    rising = lengths[order]
    start, few = 0, int(np.searchsorted(rising, _MANY, "right"))
    while start < few:
        most = int(rising[start] * 1.25)
        stop = min(few, int(np.searchsorted(rising, most, "right")), start + 1 + _PAIRS // most**2)
        some = order[start:stop]
        inside = np.arange(rising[stop - 1])
        inside = np.where(inside < lengths[some, None], inside, 0)
        yield some, ends[first[some, None] + inside]
        start = stop
    for one in order[few:]:
        points = ends[first[one] : first[one] + lengths[one]]
        yield np.array([one]), _extreme(points)[None]


def _diameters(table: Floats, least: Floats, step: Floats) -> Floats:
    """Return the diameters of labels of which `_tables` made a table of points."""
    found = np.zeros(len(table))
    # Half the memory; what is too near by rounding only is looked at in full.
    small = table.astype(np.float32)
    square = (small**2).sum(axis=-1)
    enough = np.maximum(least - step.max(), 0) ** 2 - 1e-5 * (square.max(axis=-1) + least**2)
    rows = max(1, _PAIRS // max(table.shape[0] * table.shape[1], 1))
    for start in range(0, table.shape[1], rows):
        part = slice(start, start + rows)
        apart = small[:, part] @ small.transpose(0, 2, 1)
        apart *= -2
        apart += square[:, part, None]
        apart += square[:, None]
        label, one, other = np.nonzero(apart >= enough[:, None, None].astype(np.float32))
        once = other >= one + start
        label, one, other = label[once], one[once] + start, other[once]
        across = _across(np.abs(table[label, one] - table[label, other]), step)
        there, first = np.unique(label, return_index=True)
        found[there] = np.maximum(found[there], np.maximum.reduceat(across, first))
    return np.asarray(np.sqrt(found))


def _across(away: Floats, step: Floats) -> Floats:
    """Return the greatest squared distance between faces of voxels whose middles are so apart."""
    square = (away**2).sum(axis=-1)
    # From one voxel's middle to the other's, and half a voxel further at both ends: along one
    # axis, or along two.
    most = (square[:, None] + 2 * away * step + step**2).max(axis=-1)
    for a, b in itertools.combinations(range(len(step)), 2):
        more = away[:, a] * step[a] + away[:, b] * step[b]
        np.maximum(most, square + more + (step[a] ** 2 + step[b] ** 2) / 4, out=most)
    return np.asarray(most)


def _extreme(points: Floats) -> Floats:
    """Return the corners of the convex hull of points, or some more."""
    from scipy.spatial import ConvexHull

    # What lies in a plane or on a line has a hull in it only.
    middle = points - points[0]
    _, size, across = np.linalg.svd(middle.T @ middle)
    rank = int((size > 1e-12 * size[0]).sum())
    flat = middle @ across[:rank].T
    if rank == 1:
        return points[[int(flat.argmin()), int(flat.argmax())]]
    return np.asarray(points[ConvexHull(flat).vertices])
