"""Fill the slices between painted ones: shape-based interpolation in physical units.

After Raya and Udupa (1990), every painted slice becomes a map of the signed distance to the border
of the label. Between two slices the maps are blended along monotone cubics (Fritsch and Carlson
1980) through their painted neighbours, so that round shapes stay round, and the label is where
the blend is positive. Shapes that hardly overlap are moved onto each other for it; a piece with
no counterpart in the next slice ends half-way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import EditError
from .boxes import Box, moved, tight, whole
from .components import structure_of
from .counterparts import Group, counterparts

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Distance = npt.NDArray[np.float32]
Blend = Callable[[float], Distance]

SMOOTHING = 0.7  # standard deviation in pixels, found best on organs at 3 mm
HAIR = 0.25  # in pixels; a line of one free pixel between labels leaves each half a pixel
FAR = 1e4  # what stands for a border that is nowhere, in pixels


@dataclass(frozen=True, eq=False)
class Filled:
    """A slice of one label that was filled in.

    ``box`` is where in the slice, ``depth`` how many pixels inside of the label each one there
    lies: the label is where it is positive.
    """

    index: int
    value: int
    box: Box
    depth: npt.NDArray[np.float16]


def interpolate(
    labels: Labels,
    *,
    spacing: Sequence[float],
    axis: int = 0,
    values: Iterable[int] | None = None,
    largest_gap: int = 30,
    ends: bool = False,
    over: bool = False,
) -> Labels:
    """Return labels with the slices between painted ones filled.

    Parameters
    ----------
    labels
        Labels of shape (z, y, x); a slice is painted with a label where it holds it.
    spacing
        Distance between voxels along each axis, in one unit.
    axis
        The axis along which slices follow each other.
    values
        The labels to fill; ``None`` is all.
    largest_gap
        The most slices between two painted ones that are filled; a longer gap is left as it is.
    ends
        Whether the label also goes on beyond its first and last painted slice, where it closes
        within half of the nearest gap.
    over
        Whether other labels between are overwritten, and not the background alone.

    Returns
    -------
    New labels. Painted slices keep every voxel of the label that they are painted with. Where two
    labels would fill the same voxel it goes to the one whose border lies deeper.

    Raises
    ------
    EditError
        For labels that are not 3-D.
    """
    slices = filled_slices(
        labels, spacing=spacing, axis=axis, values=values, largest_gap=largest_gap, ends=ends
    )
    return placed(labels, list(slices), axis=axis, over=over)


def filled_slices(
    labels: Labels,
    *,
    spacing: Sequence[float],
    axis: int = 0,
    values: Iterable[int] | None = None,
    largest_gap: int = 30,
    ends: bool = False,
) -> Iterator[Filled]:
    """Yield every slice that `interpolate` fills, label by label; compare `placed`."""
    if labels.ndim != 3:
        raise EditError(f"Only 3-D labels have slices between, not {labels.ndim}-D ones.")
    stack = np.moveaxis(labels, axis, 0)
    plane = np.asarray([s for a, s in enumerate(spacing) if a != axis % 3], float)
    step = float(spacing[axis])
    for value in sorted({*np.unique(stack).tolist()} if values is None else {*values}):
        mask = stack == value
        painted = np.flatnonzero(mask.any((1, 2)))
        if value == 0 or len(painted) < 2:
            continue
        box = _plane_box(mask.any(0))
        shape = _Shape(mask[(slice(None), *box)], painted, plane, step)
        for index, depth in shape.between(largest_gap, ends=ends):
            pixels = depth / plane.min()
            part = tight(pixels > -HAIR)
            if part is not None:
                near = pixels[part].clip(-1, 999).astype(np.float16)
                yield Filled(index, int(value), moved(part, box), near)


def placed(
    labels: Labels, slices: Sequence[Filled], *, axis: int = 0, over: bool = False
) -> Labels:
    """Return labels with the filled slices put in; see `interpolate` for what goes before what."""
    result = labels.copy()
    stack = np.moveaxis(result, axis, 0)
    by_index: dict[int, list[Filled]] = {}
    for item in slices:
        by_index.setdefault(item.index, []).append(item)
    for index, items in by_index.items():
        stack[index] = slice_with(stack[index], items, over=over)
    return result


def slice_with(pixels: Labels, items: Sequence[Filled], *, over: bool = False) -> Labels:
    """Return a slice of labels with what is filled in there."""
    shape = pixels.shape
    best, second = np.full((2, *shape), -1, np.float16)
    value = np.zeros(shape, pixels.dtype)
    for item in items:
        depth, next_ = best[item.box], second[item.box]
        wins = item.depth > depth
        next_[...] = np.where(wins, depth, np.maximum(next_, item.depth))
        depth[wins] = item.depth[wins]
        value[item.box][wins] = item.value
    # Two labels that touch may both leave out what is a hair's breadth outside of them.
    inside = (best > 0) | (second > -HAIR)
    return np.where(inside & (over | (pixels == 0)), value, pixels)


def gaps(painted: Sequence[int], largest_gap: int) -> list[tuple[int, int]]:
    """Return the painted slices before and after each gap that is to be filled."""
    return [(int(a), int(b)) for a, b in pairwise(painted) if 1 < b - a <= largest_gap + 1]


def signed_distance(mask: Mask, spacing: npt.NDArray[np.float64]) -> Distance:
    """Return the distance to the border, positive inside; the border runs between pixels."""
    half = float(spacing.min()) / 2
    inside = _to_border(mask, spacing, half)
    outside = _to_border(~mask, spacing, half)
    return np.asarray(inside - outside, np.float32)


def _to_border(mask: Mask, spacing: npt.NDArray[np.float64], half: float) -> Labels:
    """Return how far the mask's pixels are from its border, 0 elsewhere."""
    if mask.all():
        return np.full(mask.shape, FAR * half)
    distance = ndimage.distance_transform_edt(mask, sampling=spacing)
    return np.where(mask, distance - half, 0.0)


def _plane_box(seen: Mask) -> tuple[slice, ...]:
    """Return the box of what is seen, with room for the smoothing, cut at the border."""
    (box,) = ndimage.find_objects(seen.astype(np.uint8))
    pairs = zip(box, seen.shape, strict=True)
    return tuple(slice(max(0, s.start - 3), min(n, s.stop + 3)) for s, n in pairs)


class _Shape:
    """One label: its painted slices, and what lies between them."""

    def __init__(
        self, mask: Mask, painted: npt.NDArray[np.intp], plane: npt.NDArray[np.float64], step: float
    ) -> None:
        self.mask, self.painted, self.plane, self.step = mask, painted, plane, step
        self._kept: dict[int, Distance] = {}

    def between(self, largest_gap: int, *, ends: bool) -> Iterator[tuple[int, Distance]]:
        """Yield the slices of every gap with their depth."""
        found = gaps(self.painted.tolist(), largest_gap)
        for before, after in found:
            groups = counterparts(
                self.mask[before],
                self.mask[after],
                spacing=self.plane,
                reach=2 * self.step * (after - before),
            )
            blends = [self._blend(group, before, after) for group in groups]
            for index in range(before + 1, after):
                depth = np.full(self.mask.shape[1:], -FAR, np.float32)
                for box, blend in blends:
                    part = blend((index - before) / (after - before))
                    np.maximum(depth[box], part, out=depth[box])
                yield index, self._smooth(depth)
        if ends and found:
            yield from self._ends(found[0], found[-1])

    def _ends(
        self, first: tuple[int, int], last: tuple[int, int]
    ) -> Iterator[tuple[int, Distance]]:
        """Yield the slices that close the label at both sides, where a gap reaches that far."""
        sides = []
        if first[0] == self.painted[0]:
            sides.append((first[0], first[1] - first[0], -1))
        if last[1] == self.painted[-1]:
            sides.append((last[1], last[1] - last[0], 1))
        for start, length, way in sides:
            depth = self._distance(start)
            there, next_ = (np.count_nonzero(self.mask[i]) for i in (start, start - way * length))
            # Round tips lose as much area with every slice: how far it would last, or half a gap.
            lasts = length / 2
            if next_ > there:
                lasts = min(lasts, length * there / (next_ - there))
            for k in range(1, math.ceil(lasts)):
                index = start + way * k
                if 0 <= index < len(self.mask):
                    sunk = (1 - math.sqrt(1 - k / lasts)) * float(depth.max())
                    yield index, self._smooth(depth - np.float32(sunk))

    def _distance(self, index: int) -> Distance:
        if index not in self._kept:
            if len(self._kept) > 3:  # what a gap looks at
                self._kept.pop(next(iter(self._kept)))
            self._kept[index] = signed_distance(self.mask[index], self.plane)
        return self._kept[index]

    def _blend(self, group: Group, before: int, after: int) -> tuple[Box, Blend]:
        """Return the depth of one group of pieces as a function of the place in the gap.

        It is that in a box of the slice; outside of it the group is nowhere.
        """
        if group.whole and group.before is not None and group.after is not None:
            length = after - before
            wanted = (
                self._neighbour(before, length, -1),
                before,
                after,
                self._neighbour(after, length, 1),
            )
            known = [((i - before) / length, self._distance(i)) for i in wanted if i is not None]
            return whole(self.mask.shape[1:]), _between(known, group.shift / self.plane)
        both = [piece for piece in (group.before, group.after) if piece is not None]
        box = _plane_box(np.logical_or.reduce(both))
        ends = [signed_distance(piece[box], self.plane) for piece in both]
        if len(ends) == 2:
            return box, _between([(0.0, ends[0]), (1.0, ends[1])], group.shift / self.plane)
        deepest = _deepest(both[0][box], ends[0], self.plane)
        if group.after is None:
            return box, lambda t: _closing(ends[0], deepest, t)
        return box, lambda t: _closing(ends[0], deepest, 1 - t)

    def _neighbour(self, start: int, length: int, way: int) -> int | None:
        """Return the painted slice beyond that is nearest to a gap's length away, if any.

        The nearest ones of many painted in a row would give the slope of single pixels.
        """
        beyond = self.painted[(self.painted - start) * way > 0]
        far = np.abs(beyond - start)
        beyond, far = beyond[far <= 2 * length], far[far <= 2 * length]
        return int(beyond[np.abs(far - length).argmin()]) if len(beyond) else None

    def _smooth(self, depth: Distance) -> Distance:
        """Return the depth without the steps of single pixels, of the same area at 0."""
        sigma = SMOOTHING * self.plane.min() / self.plane
        # What is far outside would reach in, where a group's box ends.
        near = np.maximum(depth, np.float32(-3 * self.plane.min()))
        result: Distance = ndimage.gaussian_filter(near, sigma, mode="nearest")
        count = int(np.count_nonzero(depth > 0))
        if np.count_nonzero(result > 0) < 0.9 * count < depth.size:
            # Thin and small shapes would vanish.
            nth = np.partition(result.ravel(), (depth.size - count - 1, depth.size - count))
            result -= (nth[depth.size - count - 1] + nth[depth.size - count]) / 2
        return result


def _moved(depth: Distance, by: npt.NDArray[np.float64]) -> Distance:
    """Return the depth moved by some pixels."""
    if not np.abs(by).max() > 1e-3:
        return depth
    moved: Distance = ndimage.shift(depth, by, order=1, mode="nearest")
    return moved


def _between(known: Sequence[tuple[float, Distance]], shift: npt.NDArray[np.float64]) -> Blend:
    """Return what lies between the slices at 0 and 1, which moves by ``shift`` pixels.

    What lies beyond moves along in the same way.
    """
    return lambda t: _cubic([(at, _moved(depth, (t - at) * shift)) for at, depth in known], t)


def _deepest(mask: Mask, depth: Distance, spacing: npt.NDArray[np.float64]) -> Distance:
    """Return for each pixel the greatest depth of the piece that is nearest to it."""
    pieces, count = ndimage.label(mask, structure_of(mask.ndim, None))
    most = np.asarray(ndimage.maximum(depth, pieces, np.arange(count + 1)), np.float32)
    if count == 1:
        return np.full(mask.shape, most[1])
    near = ndimage.distance_transform_edt(
        ~mask, sampling=spacing, return_distances=False, return_indices=True
    )
    return np.asarray(most[pieces[tuple(near)]])


def _closing(depth: Distance, deepest: Distance, t: float) -> Distance:
    """Return the depth of pieces that round off to nothing at t = 0.5."""
    part = 1 - math.sqrt(1 - (2 * t) ** 2) if t < 0.5 else 2 * t
    return depth - np.float32(part) * deepest


def _cubic(known: Sequence[tuple[float, Distance]], t: float) -> Distance:
    """Return the value at t of the monotone cubic between those at 0 and 1.

    ``known`` are places and values in rising order, with one before 0 and one after 1 or without.
    """
    places = [at for at, _ in known]
    k = places.index(0.0)
    secants = [(d - c) / (y - x) for (x, c), (y, d) in pairwise(known)]
    lengths = [y - x for x, y in pairwise(places)]
    a, b = known[k][1], known[k + 1][1]
    first = _slope(secants, lengths, k - 1, k)
    last = _slope(secants[::-1], lengths[::-1], len(secants) - k - 2, len(secants) - k - 1)
    rest = 1 - t
    return np.asarray(
        a * ((1 + 2 * t) * rest**2)
        + b * (t**2 * (3 - 2 * t))
        + first * (t * rest**2)
        - last * (t**2 * rest),
        np.float32,
    )


def _slope(
    secants: Sequence[Distance], lengths: Sequence[float], beyond: int, here: int
) -> Distance:
    """Return the slope at the start of a piece that keeps the cubic monotone.

    The harmonic mean of the secants on both sides, weighted by their lengths, and 0 at an
    extremum; where nothing lies beyond, that of the parabola through three values.
    """
    own, length = secants[here], lengths[here]
    if beyond >= 0:
        other, long = secants[beyond], lengths[beyond]
        weight = (2 * long + length) / (3 * (long + length))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = 1 / (weight / own + (1 - weight) / other)
        return np.where(own * other > 0, mean, 0)
    if here + 1 == len(secants):
        return own
    following, long = secants[here + 1], lengths[here + 1]
    slope = ((2 * length + long) * own - length * following) / (length + long)
    return np.asarray(np.clip(slope, np.minimum(3 * own, 0), np.maximum(3 * own, 0)))
