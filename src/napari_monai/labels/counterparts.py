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
    pairs = _nearest(_Pieces.of(first, alone, spacing), _Pieces.of(second, others, spacing), reach)
    groups = [_paired(first == i, second == j, spacing) for i, j in pairs]
    still = np.zeros(before.ndim)
    left = np.setdiff1d(alone, [i for i, _ in pairs])
    new = np.setdiff1d(others, [j for _, j in pairs])
    if len(left):
        groups.append(Group(np.isin(first, left), None, still))
    if len(new):
        groups.append(Group(None, np.isin(second, new), still))
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


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Some pieces of a slice: numbers, centroids, and radii of discs of the same area."""

    numbers: npt.NDArray[np.intp]
    centres: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, found: Numbers, numbers: npt.NDArray[np.intp], spacing: npt.NDArray[np.float64]
    ) -> _Pieces:
        """Look at the pieces of these numbers."""
        there = found > 0
        areas = np.bincount(found[there], minlength=int(found.max()) + 1)[numbers]
        sums = [
            np.bincount(found[there], weights=places, minlength=int(found.max()) + 1)[numbers]
            for places in np.nonzero(there)
        ]
        centres = np.stack(sums, axis=1) / areas[:, None] * spacing
        return cls(numbers, centres, np.sqrt(areas * spacing.prod() / np.pi))


def _nearest(ones: _Pieces, others: _Pieces, reach: float) -> list[tuple[int, int]]:
    """Return pairs of pieces, the nearest first, each piece in one pair at most."""
    away = np.linalg.norm(ones.centres[:, None] - others.centres[None], axis=2)
    near = np.argwhere(away <= reach + ones.radii[:, None] + others.radii[None])
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for i, j in near[np.argsort(away[tuple(near.T)], kind="stable")].tolist():
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return [(int(ones.numbers[i]), int(others.numbers[j])) for i, j in pairs.items()]


def _centroid(mask: Mask, spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray([c.mean() for c in np.nonzero(mask)]) * spacing
