"""Erode, dilate, open and close labels by distances in millimetres.

Arrays of labels are taken as they are, 2-D or 3-D; new ones are returned. The results hold for a
crop as for the whole where the crop reaches beyond the labels: by one voxel for `erode`,
`opening` and `closing`, by `distance.reach` for `dilate`. The border of the array is neutral, see
`distance.closed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .boxes import Box, boxes_in, grown, tight
from .distance import closed, dilated, eroded, opened, reach
from .nearest import spread

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def erode(
    labels: Labels,
    *,
    distance: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
) -> Labels:
    """Return labels without what lies within a distance of what is not the label.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background.
    distance
        In the unit of ``spacing``, between the centres of voxels: a voxel that has another one
        just as far is removed.
    spacing
        Size of a voxel along each axis; infinity keeps the slices across that axis apart.
    values
        The labels that are eroded, each by itself; others stay. ``None`` is all.

    Raises
    ------
    EditError
        If the distance is negative or a spacing not above 0.
    """
    return _less(labels, values, lambda m: eroded(m, distance=distance, spacing=spacing))


def opening(
    labels: Labels,
    *,
    distance: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
) -> Labels:
    """Return labels without what is thinner than a ball: eroded, and dilated again.

    Necks and spikes go, corners are rounded; a label that the border of the image cuts keeps its
    cut. ``distance`` is the radius of the ball. See `erode` for the arguments.
    """
    return _less(labels, values, lambda m: opened(m, distance=distance, spacing=spacing))


def closing(
    labels: Labels,
    *,
    distance: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
) -> Labels:
    """Return labels with gaps filled that are narrower than a ball: dilated, and eroded again.

    Background alone is filled; where two labels fill the same gap, the lower number has it.
    ``distance`` is the radius of the ball. See `erode` for the arguments.
    """
    result = labels.copy()
    for value, box in places(labels, values):
        filled = closed(labels[box] == value, distance=distance, spacing=spacing)
        here = result[box]
        here[filled & (here == 0)] = value
    return result


def dilate(
    labels: Labels,
    *,
    distance: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
    over: bool = False,
) -> Labels:
    """Return labels grown by a distance.

    Parameters
    ----------
    labels, spacing
        See `erode`.
    distance
        In the unit of ``spacing``, between the centres of voxels.
    values
        The labels that grow, at once: each voxel becomes the label that is nearest to it, of
        several as near the lowest number. ``None`` is all.
    over
        Whether they grow over labels that are not among them, and not over background alone.
    """
    chosen = None if values is None else sorted({int(v) for v in values} - {0})
    if chosen is None or len(chosen) > 1:
        return spread(labels, distance=distance, spacing=spacing, values=chosen, over=over)
    result = labels.copy()
    for value, box in places(labels, chosen, margin=reach(distance, spacing)):
        wide = dilated(labels[box] == value, distance=distance, spacing=spacing)
        here = result[box]
        here[wide if over else wide & (here == 0)] = value
    return result


def _less(labels: Labels, values: Iterable[int] | None, keep: Callable[[Mask], Mask]) -> Labels:
    """Return labels with the part of each that ``keep`` says of its mask."""
    result = labels.copy()
    for value, box in places(labels, values):
        mask = labels[box] == value
        result[box][mask & ~keep(mask)] = 0
    return result


def places(
    labels: Labels, values: Iterable[int] | None, *, margin: int | Sequence[int] = 1
) -> Iterator[tuple[int, Box]]:
    """Yield labels, by rising number, with the box each lies in and a margin of voxels."""
    wanted = None if values is None else {int(v) for v in values} - {0}
    if wanted is not None and len(wanted) == 1:
        (value,) = wanted
        box = tight(labels == value)
        if box is not None:
            yield value, grown(box, margin, labels.shape)
        return
    for value, box in boxes_in(labels):
        if wanted is None or value in wanted:
            yield value, grown(box, margin, labels.shape)
