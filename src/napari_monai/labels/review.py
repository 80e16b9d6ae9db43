"""What of a segmentation is worth looking at first: objects and slices, each with the reason.

Objects are looked for here, slices in `napari_monai.labels.review_slices`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import VolumeError
from ..volume import ArrayLike, LabelKind
from .findings import Finding, next_finding, percent, ranked, times
from .pairs import shared
from .review_slices import disagreeing_slices, odd_slices, uncertain_slices
from .runs import numbered
from .table import Floats, Table

__all__ = [
    "Finding",
    "disagreeing_objects",
    "disagreeing_slices",
    "next_finding",
    "odd_objects",
    "odd_slices",
    "ranked",
    "uncertain_objects",
    "uncertain_slices",
]

# The least spread that sizes and roundness are taken to have, so that of very equal objects none
# is odd: of the logarithm of the volume, and of the roundness.
_SIZES, _SHAPES = 0.1, 0.03


def odd_objects(
    table: Table, *, kind: LabelKind = "instances", limit: float = 3.5, fewest: int = 8
) -> tuple[Finding, ...]:
    """Return the objects of odd size or shape, and those of several pieces.

    Parameters
    ----------
    table
        Measurements of all objects.
    kind
        ``"instances"``: objects of a kind. ``"classes"``: organs, say, whose sizes and shapes have
        nothing to do with each other, so that only pieces are looked at.
    limit
        From which modified z score on a size or a roundness is odd: the distance from the median
        over 1.4826 times the median absolute deviation (Iglewicz and Hoaglin, 1993). An object
        that reaches the border is cut, so that it is neither too small nor of odd shape.
    fewest
        Of fewer objects than these, what is usual is not known, and only pieces are looked at.
    """
    found: list[Finding] = []
    if kind == "instances" and len(table) >= fewest:
        found += _odd_sizes(table, limit)
        found += _odd_shapes(table, limit)
    for row in np.flatnonzero(table.components > 1).tolist():
        pieces = int(table.components[row])
        found.append(_object(table, row, 1 - 1 / pieces, f"in {pieces} pieces"))
    return ranked(found)


def _odd_sizes(table: Table, limit: float) -> Iterator[Finding]:
    what = "volume" if table.ndim == 3 else "area"
    size = np.log(table.volume)
    z = _deviations(size, _SIZES)
    ratio = table.volume / np.exp(np.median(size))
    for row in np.flatnonzero((z > limit) | ((z < -limit) & ~table.border)).tolist():
        text = times(ratio[row]) if z[row] > 0 else f"{percent(ratio[row])} of"
        yield _object(table, row, _grade(z[row], limit), f"{what} {text} the median")


def _odd_shapes(table: Table, limit: float) -> Iterator[Finding]:
    z = _deviations(table.roundness, _SHAPES)
    usual = float(np.median(table.roundness))
    for row in np.flatnonzero((z < -limit) & ~table.border).tolist():
        reason = f"roundness {table.roundness[row]:.2f}, the median is {usual:.2f}"
        yield _object(table, row, _grade(z[row], limit), reason)


def _deviations(values: Floats, least: float) -> Floats:
    """Return how many spreads, but by no smaller one than ``least``, values are off the median."""
    away = values - np.median(values)
    return np.asarray(away / max(1.4826 * float(np.median(np.abs(away))), least))


def _grade(z: float, limit: float) -> float:
    """Return a score from a half, at the limit, towards 1."""
    return float(1 - limit / (2 * abs(z)))


def _object(table: Table, row: int, score: float, reason: str) -> Finding:
    at = tuple(table.centroid[row].tolist())
    return Finding("object", int(table.label[row]), float(score), reason, at)


def uncertain_objects(table: Table, *, least: float = 0.0) -> tuple[Finding, ...]:
    """Return the objects by how unsure the model was of them.

    Parameters
    ----------
    table
        Measured with the map of uncertainty, from 0 to 1, as its image.
    least
        The mean uncertainty above which an object is worth looking at.

    Raises
    ------
    VolumeError
        If the table was measured without a map.
    """
    if table.mean is None:
        raise VolumeError("The table has no uncertainty: measure it with the map as the image.")
    found = [
        _object(table, row, min(table.mean[row], 1.0), f"mean uncertainty {table.mean[row]:.2f}")
        for row in np.flatnonzero(table.mean > least).tolist()
    ]
    return ranked(found)


def disagreeing_objects(
    labels: ArrayLike,
    other: ArrayLike,
    *,
    kind: LabelKind = "classes",
    who: tuple[str, str] = ("labels", "model"),
    least: float = 0.05,
) -> tuple[Finding, ...]:
    """Return the objects, or classes, of two arrays of one shape that are not the same in both.

    Parameters
    ----------
    labels, other
        What is reviewed, and what it is compared with.
    kind
        ``"classes"``: a number stands for the same in both. ``"instances"``: an object is
        compared with the one of the other array that it overlaps most.
    who
        What to call the two.
    least
        The share of the union of both, above which they disagree: 1 - IoU.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    pairs = shared(labels, other)
    label, mine = numbered(pairs.one)
    their, theirs = numbered(pairs.other)
    size = np.bincount(mine, pairs.voxels, minlength=len(label))
    other_size = np.bincount(theirs, pairs.voxels, minlength=len(their))
    found = []
    met = np.flatnonzero((pairs.one != 0) & (pairs.other != 0))
    if kind == "classes":
        met = met[pairs.one[met] == pairs.other[met]]
    iou = pairs.voxels[met] / (size[mine[met]] + other_size[theirs[met]] - pairs.voxels[met])
    best = np.zeros(len(label))
    np.maximum.at(best, mine[met], iou)
    centre = np.stack(
        [np.bincount(mine, c * pairs.voxels, minlength=len(label)) for c in pairs.centre.T], axis=-1
    )
    for row in np.flatnonzero((label != 0) & (1 - best > least)).tolist():
        share = 1 - float(best[row])
        reason = f"{who[0]} and {who[1]} differ in {percent(share)} of it"
        if share == 1:
            reason = f"{who[1]} has nothing like it"
        at = tuple((centre[row] / size[row]).tolist())
        found.append(Finding("object", int(label[row]), share, reason, at))
    return ranked(found)
