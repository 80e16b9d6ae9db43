"""Labels that grow at once, each voxel to the nearest of them.

Distances are Euclidean, in physical units, between the centres of voxels, as the crow flies.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .distance import SLACK, reach

Labels = npt.NDArray[Any]
Keys = npt.NDArray[np.int64]

# A key is a squared distance and, in its lower bits, the place of the label in the order of
# numbers: the smallest key is the nearest label, of several as near the lowest number. The
# squared limit is some 2^36 units, so that three axes of it and the place stay below 2^62.
_PLACE_BITS = 24
_LIMIT = 1 << 36
_FAR = np.int64(1 << 62)


def spread(
    labels: Labels,
    *,
    distance: float | None,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
    over: bool = False,
) -> Labels:
    """Return labels grown without collisions, each voxel to the label that is nearest to it.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background, 2-D or 3-D; not changed.
    distance
        How far, in the unit of ``spacing``; ``None`` is without a limit.
    spacing
        Size of a voxel along each axis; infinity keeps the slices across that axis apart.
    values
        The labels that grow; ``None`` is all. Of several as near, the lowest number wins.
    over
        Whether they grow over labels that are not among them, and not over background alone.
    """
    return drained(spreading(labels, distance=distance, spacing=spacing, values=values, over=over))


def spreading(
    labels: Labels,
    *,
    distance: float | None,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
    over: bool = False,
) -> Generator[None, None, Labels]:
    """Do the work of `spread` in steps of one plane, returning what it returns."""
    if distance is not None:
        return (yield from _spreading(labels, distance, spacing, values, over))
    # Most gaps are small: try short distances first. What is nearest within one stays nearest.
    finite = [(n, s) for n, s in zip(labels.shape, spacing, strict=True) if not math.isinf(s)]
    most = math.hypot(*(n * s for n, s in finite))
    tried = 16 * min((s for _, s in finite), default=1.0)
    while tried < most:
        result = yield from _spreading(labels, tried, spacing, values, over)
        if not over and result.all():
            return result
        tried *= 4
    return (yield from _spreading(labels, most, spacing, values, over))


def drained(steps: Generator[None, None, Labels]) -> Labels:
    """Do all steps of some work and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Labels = done.value
            return result


def parted(labels: Labels, before: Labels, *, spacing: Sequence[float]) -> Labels:
    """Return labels that have grown, with a line of background between those that meet.

    Of two neighbours that share a face and differ, one voxel that was background before becomes
    so again: of the higher number, if both were. Slices with an infinite spacing do not touch.
    """
    result = labels.copy()
    new = before == 0
    for axis, size in enumerate(spacing):
        if math.isinf(size):
            continue
        one = (slice(None),) * axis + (slice(-1),)
        two = (slice(None),) * axis + (slice(1, None),)
        meet = (labels[one] != labels[two]) & (labels[one] != 0) & (labels[two] != 0)
        higher = labels[one] > labels[two]
        result[one][meet & new[one] & (higher | ~new[two])] = 0
        result[two][meet & new[two] & (~higher | ~new[one])] = 0
    return result


def _spreading(
    labels: Labels,
    distance: float,
    spacing: Sequence[float],
    values: Iterable[int] | None,
    over: bool,
) -> Generator[None, None, Labels]:
    result = labels.copy()
    numbers = np.unique(labels)
    chosen = numbers[numbers != 0]
    if values is not None:
        chosen = chosen[np.isin(chosen, list(values))]
    if not len(chosen) or not any(reach(distance, spacing)):
        return result
    missing = 3 - labels.ndim
    planes = labels.reshape((1,) * missing + labels.shape)
    into = result.reshape(planes.shape)
    steps = _steps(distance, (math.inf,) * missing + tuple(spacing), planes.shape)
    limit = int(distance**2 * (1 + SLACK) / _unit(distance, spacing))
    window: deque[Keys | None] = deque(maxlen=2 * len(steps[0]) + 1)
    window.extend([None] * (len(steps[0]) + 1))
    window.extend(_flat(p, chosen, steps) for p in planes[: len(steps[0])])
    for z, plane in enumerate(into):
        ahead = z + len(steps[0])
        window.append(_flat(planes[ahead], chosen, steps) if ahead < len(planes) else None)
        keys = _least(window, steps[0])
        if keys is not None:
            near = keys >> _PLACE_BITS <= limit
            near &= ~np.isin(plane, chosen) if over else plane == 0
            plane[near] = chosen[keys[near] & ((1 << _PLACE_BITS) - 1)]
        yield
    return result


def _steps(distance: float, spacing: tuple[float, ...], shape: tuple[int, ...]) -> list[list[int]]:
    """Return what 1, 2, ... voxels along each axis add to a key, up to the distance."""
    wide = reach(distance, spacing)
    unit = _unit(distance, spacing)
    return [
        [k * k * round(s * s / unit) << _PLACE_BITS for k in range(1, min(w, n - 1) + 1)]
        for s, w, n in zip(spacing, wide, shape, strict=True)
    ]


def _unit(distance: float, spacing: Sequence[float]) -> float:
    """Return the squared distance that counts as one in a key."""
    unit = distance**2 / _LIMIT
    least = min(spacing) ** 2
    # Sizes of voxels are mostly in simple proportions: with these numbers their squares are whole
    # multiples, so that what is just as far is so to the last bit.
    whole = round(least / unit / 3600) * 3600
    return least / whole if whole else unit


def _flat(plane: Labels, chosen: Labels, steps: list[list[int]]) -> Keys | None:
    """Return the least key of each pixel of a plane within the plane; None where nothing is."""
    place = np.searchsorted(chosen, plane)
    place[place == len(chosen)] = 0
    there = chosen[place] == plane
    if not there.any():
        return None
    keys = np.where(there, place, _FAR)
    for axis in (1, 0):
        start, spare = keys.copy(), np.empty_like(keys)
        for k, more in enumerate(steps[axis + 1], start=1):
            for to, source in ((slice(k, None), slice(-k)), (slice(-k), slice(k, None))):
                one = (slice(None),) * axis
                out = np.add(start[(*one, source)], more, out=spare[(*one, to)])
                target = keys[(*one, to)]
                np.minimum(target, out, out=target)
    return keys


def _least(window: Sequence[Keys | None], steps: list[int]) -> Keys | None:
    """Return the least key across the planes around the middle one."""
    middle = len(steps)
    best = window[middle]
    best = None if best is None else best.copy()
    for k, more in enumerate(steps, start=1):
        for plane in (window[middle - k], window[middle + k]):
            if plane is not None:
                moved = plane + np.int64(more)
                best = moved if best is None else np.minimum(best, moved, out=best)
    return best
