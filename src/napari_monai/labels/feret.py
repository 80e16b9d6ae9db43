"""Feret diameters: how far apart the two points of a label are that are farthest apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..volume import ArrayLike
from .runs import parts, rows_of, runs_of
from .table import Floats, Ints

# Points of which all pairs are quicker than their convex hull.
_FEW = 48
# Rows of the table of all pairs that are worked out together.
_ROWS = 512


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
    at, ends = _ends(labels, numbers)
    step = np.asarray(spacing, np.float64)
    bounds = np.searchsorted(at, np.arange(len(numbers) + 1))
    pairs = itertools.pairwise(bounds.tolist())
    return np.array([_diameter(ends[a:b], step) for a, b in pairs], np.float64)


def _ends(labels: ArrayLike, numbers: Ints) -> tuple[Ints, Ints]:
    """Return the ends of all runs by rising label: its place among all, and the indices."""
    ats, ends = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.int64)]
    for slab in parts(labels):
        runs = runs_of(rows_of(np.asarray(labels[slab])))
        at = np.searchsorted(numbers, runs.value).clip(max=max(len(numbers) - 1, 0))
        known = numbers[at] == runs.value if len(numbers) else np.zeros(len(runs), np.bool_)
        some = runs.take(known)
        plane, row, column = some.places()
        plane = plane + slab[0].start
        first = np.stack([plane, row, column], axis=-1)
        last = np.stack([plane, row, column + some.length - 1], axis=-1)
        ats += [at[known], at[known]]
        ends += [first, last]
    place, points = np.concatenate(ats), np.concatenate(ends)
    order = np.argsort(place, kind="stable")
    return place[order], points[order][:, [0, 2] if len(labels.shape) == 2 else [0, 1, 2]]


def _diameter(points: Ints, spacing: Floats) -> float:
    """Return the diameter of voxels of which the middles are given, as indices."""
    ends = _extreme(points) * spacing
    best = 0.0
    for first in range(0, len(ends), _ROWS):
        away = np.abs(ends[first : first + _ROWS, None] - ends)
        square = (away**2).sum(axis=-1)
        # From one voxel's middle to the other's, and half a voxel further at both ends: along
        # one axis, or along two.
        for axis, step in enumerate(spacing):
            best = max(best, float((square + 2 * away[..., axis] * step).max() + step**2))
        for a, b in itertools.combinations(range(len(spacing)), 2):
            more = away[..., a] * spacing[a] + away[..., b] * spacing[b]
            best = max(best, float((square + more).max() + (spacing[a] ** 2 + spacing[b] ** 2) / 4))
    return float(np.sqrt(best))


def _extreme(points: Ints) -> Floats:
    """Return the corners of the convex hull of points, or some more."""
    whole = points.astype(np.float64)
    if len(points) <= _FEW:
        return whole
    from scipy.spatial import ConvexHull

    # What lies in a plane or on a line has a hull in it only.
    middle = whole - whole[0]
    _, _, across = np.linalg.svd(middle.T @ middle)
    rank = int(np.linalg.matrix_rank(middle.T @ middle))
    flat = middle @ across[:rank].T
    if rank == 1:
        return whole[[int(flat.argmin()), int(flat.argmax())]]
    return np.asarray(whole[ConvexHull(flat).vertices])
