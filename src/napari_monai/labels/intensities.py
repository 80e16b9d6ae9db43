"""Intensities of an image in each label: mean, standard deviation, range, percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..volume import ArrayLike
from .runs import Runs, parts, rows_of, runs_of
from .sums import reduced
from .table import Floats, Ints


@dataclass(frozen=True, eq=False)
class Intensities:
    """What an image is like in each of n labels.

    Parameters
    ----------
    mean, deviation, minimum, maximum
        Of the voxels of each; the deviation is that of all voxels (``numpy.std``).
    percentiles
        Shape (n, percentiles), interpolated linearly between voxels (``numpy.percentile``).

    Of a label with a voxel that is NaN all are NaN.
    """

    mean: Floats
    deviation: Floats
    minimum: Floats
    maximum: Floats
    percentiles: Floats


def intensities(
    labels: ArrayLike,
    image: ArrayLike,
    numbers: Ints,
    voxels: Ints,
    *,
    percentiles: Sequence[float] = (),
) -> Intensities:
    """Return what the image is like in each label.

    Both are read slab by slab. For percentiles the voxels of all labels are held in memory.

    Parameters
    ----------
    labels, image
        Of one shape, two or three axes.
    numbers, voxels
        All labels in rising order, and how many voxels each has.
    percentiles
        From 0 to 100.

    Raises
    ------
    VolumeError
        If they do not fit each other, or the image has complex numbers.
    """
    if tuple(image.shape) != tuple(labels.shape):
        raise VolumeError(
            f"An image of {tuple(image.shape)} does not fit labels of {tuple(labels.shape)}."
        )
    if image.dtype.kind not in "iufb":
        raise VolumeError(f"Intensities are real numbers, not {image.dtype}.")
    moments = _Moments(len(numbers))
    sorter = _Sorter(voxels, image.dtype) if len(percentiles) else None
    for slab in parts(labels):
        runs = runs_of(rows_of(np.asarray(labels[slab])))
        at = np.searchsorted(numbers, runs.value)
        flat = np.ascontiguousarray(image[slab]).reshape(-1)
        if flat.dtype.kind == "b":
            flat = flat.view(np.uint8)
        order = np.argsort(at, kind="stable")
        runs, at = runs.take(order), at[order]
        values, of = flat[runs.voxels()], np.repeat(at, runs.length)
        moments.add(values, of)
        if sorter is not None:
            sorter.add(values, runs, at)
    ranked = np.zeros((len(numbers), 0))
    if sorter is not None:
        ranked = np.stack([sorter.percentile(p) for p in percentiles], axis=-1)
    return moments.result(ranked)


class _Moments:
    """Means and squared deviations so far; those of parts are added by Chan's formula."""

    def __init__(self, n: int) -> None:
        self._count, self._mean, self._squares = np.zeros(n), np.zeros(n), np.zeros(n)
        self._low, self._high = np.full(n, np.inf), np.full(n, -np.inf)

    def add(self, values: npt.NDArray[Any], at: Ints) -> None:
        """Take the voxels of a slab, with the place of the label of each."""
        with np.errstate(invalid="ignore"):  # what is infinite has no deviation
            self._add(values, at)

    def _add(self, values: npt.NDArray[Any], at: Ints) -> None:
        n = len(self._count)
        count = np.bincount(at, minlength=n).astype(np.float64)
        here = count > 0
        size = count[here]
        mean = np.zeros(n)
        mean[here] = np.bincount(at, values, minlength=n)[here] / size
        squares = np.bincount(at, (values - mean[at]) ** 2, minlength=n)[here]
        between = mean[here] - self._mean[here]
        total = self._count[here] + size
        self._squares[here] += squares + between**2 * self._count[here] * size / total
        self._mean[here] += between * size / total
        self._count[here] = total
        low, high = (reduced(how, values, at, n) for how in (np.minimum, np.maximum))
        self._low[here] = np.minimum(self._low[here], low[here])
        self._high[here] = np.maximum(self._high[here], high[here])

    def result(self, percentiles: Floats) -> Intensities:
        """Return what was gathered."""
        deviation = np.sqrt(self._squares / np.maximum(self._count, 1))
        return Intensities(self._mean, deviation, self._low, self._high, percentiles)


class _Sorter:
    """The voxels of each label side by side, sorted when all are there."""

    def __init__(self, voxels: Ints, dtype: np.dtype[Any]) -> None:
        self._ends = np.cumsum(voxels)
        self._starts = self._ends - voxels
        self._filled = self._starts.copy()
        self._values = np.empty(int(voxels.sum()), np.uint8 if dtype.kind == "b" else dtype)
        self._sorted = False

    def add(self, values: npt.NDArray[Any], runs: Runs, at: Ints) -> None:
        """Take the voxels of runs, which lie in the order of their labels' places."""
        sizes = np.bincount(at, runs.length, minlength=len(self._ends)).astype(np.int64)
        before = np.cumsum(sizes) - sizes
        place = np.arange(len(values)) + np.repeat(self._filled - before, sizes)
        self._values[place] = values
        self._filled += sizes

    def percentile(self, percent: float) -> Floats:
        """Return a percentile of each label."""
        if not self._sorted:
            pairs = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
            for start, end in pairs:
                self._values[start:end].sort()
            self._sorted = True
        last = self._ends - self._starts - 1
        rank = last * (percent / 100)
        low = np.floor(rank).astype(np.int64)
        highest = self._values[self._ends - 1]  # NaN is sorted to the end
        below = self._values[self._starts + low].astype(np.float64)
        above = self._values[self._starts + np.minimum(low + 1, last)].astype(np.float64)
        with np.errstate(invalid="ignore"):
            between = np.where(rank > low, (above - below) * (rank - low), 0.0)
        return np.where(highest == highest, below + between, np.nan)
