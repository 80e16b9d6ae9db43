"""Which pieces of one slice go on as which pieces of another, and how far they move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .components import structure_of

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Group:
    """Pieces of two slices that belong together; ``None`` where one slice has none.

    ``shift`` is how far they move from one slice to the other, in the unit of the spacing;
    ``whole`` says that these are all the pieces of both slices.
    """

    before: Mask | None
    after: Mask | None
    shift: npt.NDArray[np.float64]
    whole: bool = False


def counterparts(
    before: Mask, after: Mask, *, spacing: npt.NDArray[np.float64], reach: float
) -> list[Group]:
    """Return the groups of pieces of two slices that belong together.

    Pieces that lie over each other do, and so do two that are alone and the nearest to each other,
    not further apart than ``reach`` and their radii. Of the way between their centroids they go
    the part 1 - Dice: shapes that overlap well change rather than move.
    """
    first, n_first = ndimage.label(before, structure_of(before.ndim, None))
    second, n_second = ndimage.label(after, structure_of(after.ndim, None))
    shared = np.unique(np.stack([first, second])[:, before & after], axis=1)
    alone = np.setdiff1d(np.arange(1, n_first + 1), shared[0])
    others = np.setdiff1d(np.arange(1, n_second + 1), shared[1])
    pairs = _nearest(first, alone, second, others, spacing, reach)
    groups = [_paired(first == i, second == j, spacing) for i, j in pairs]
    still = np.zeros(before.ndim)
    groups += [Group(first == i, None, still) for i in set(alone) - {i for i, _ in pairs}]
    groups += [Group(None, second == j, still) for j in set(others) - {j for _, j in pairs}]
    if shared.size:
        lasting = np.isin(first, shared[0]), np.isin(second, shared[1])
        groups.append(_paired(*lasting, spacing))
    if len(groups) == 1:
        return [replace(groups[0], whole=True)]
    return groups


def _paired(before: Mask, after: Mask, spacing: npt.NDArray[np.float64]) -> Group:
    """Return the group of two shapes with the way that it moves."""
    way = _centroid(after, spacing) - _centroid(before, spacing)
    shared = np.count_nonzero(before & after)
    dice = 2 * shared / (np.count_nonzero(before) + np.count_nonzero(after))
    return Group(before, after, way * (1 - dice))


def _nearest(
    first: Numbers,
    ones: npt.NDArray[np.intp],
    second: Numbers,
    others: npt.NDArray[np.intp],
    spacing: npt.NDArray[np.float64],
    reach: float,
) -> list[tuple[int, int]]:
    """Return pairs of pieces, the nearest first, each piece in one pair at most."""
    if not len(ones) or not len(others):
        return []
    here = {int(i): (_centroid(first == i, spacing), _radius(first == i, spacing)) for i in ones}
    there = {
        int(j): (_centroid(second == j, spacing), _radius(second == j, spacing)) for j in others
    }
    found = []
    for i, (centre, radius) in here.items():
        for j, (other, size) in there.items():
            distance = float(np.linalg.norm(centre - other))
            if distance <= reach + radius + size:
                found.append((distance, i, j))
    pairs: list[tuple[int, int]] = []
    for _, i, j in sorted(found):
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _centroid(mask: Mask, spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray([c.mean() for c in np.nonzero(mask)]) * spacing


def _radius(mask: Mask, spacing: npt.NDArray[np.float64]) -> float:
    """Return the radius of the disc of the same area."""
    return float(np.sqrt(np.count_nonzero(mask) * spacing.prod() / np.pi))
