"""Sums over the voxels of each label, from which all measurements come; those of parts add up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .runs import Runs, numbered
from .table import Floats, Ints


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the voxels of labels in a part of the array; places are plane, row, column."""

    label: Ints
    voxels: Ints
    mean: Floats  # (n, 3): of the indices
    spread: Floats  # (n, 3, 3): sums of products of deviations from the mean
    start: Ints
    stop: Ints
    slices: Ints
    total: Floats  # of the image
    low: Floats
    high: Floats

    @classmethod
    def nothing(cls) -> Sums:
        """Return the sums of no label."""
        none, ends, sums = np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.zeros(0)
        mean, spread = np.zeros((0, 3)), np.zeros((0, 3, 3))
        return cls(none, none, mean, spread, ends, ends, none, sums, sums, sums)


def sums_of(runs: Runs, offset: Sequence[int], image: npt.NDArray[Any] | None) -> Sums:
    """Return the sums over the voxels of runs.

    Parameters
    ----------
    offset
        Plane, row and column of the first voxel of their part in the whole array.
    image
        The voxels of that part of an image, flat; sums of it are 0 where there is none.
    """
    label, at = numbered(runs.value)
    n, length = len(label), runs.length
    plane, row, column = runs.places()

    def summed(weights: npt.NDArray[Any]) -> Floats:
        return np.bincount(at, weights, minlength=n).astype(np.float64, copy=False)

    voxels = summed(length)
    places = (plane, row, column + (length - 1) / 2)
    mean = np.stack([summed(p * length) / voxels for p in places], axis=-1)
    away = [p - mean[at, axis] for axis, p in enumerate(places)]
    spread = np.empty((n, 3, 3))
    for a, b in itertools.combinations_with_replacement(range(3), 2):
        spread[:, a, b] = spread[:, b, a] = summed(away[a] * away[b] * length)
    spread[:, 2, 2] += summed(length * (length * length - 1.0) / 12)  # along each run
    start, stop = np.empty((n, 3), np.int64), np.empty((n, 3), np.int64)
    for axis, place in enumerate((plane, row, column)):
        start[:, axis] = reduced(np.minimum, place, at, n)
        stop[:, axis] = reduced(np.maximum, place + (length if axis == 2 else 1), at, n)
    there = np.zeros((n, runs.shape[0]), np.bool_)
    there[at, plane] = True
    total, low, high = (
        (np.zeros(n) for _ in range(3)) if image is None else _intensities(image, runs, at, n)
    )
    shift = np.asarray(offset)
    return Sums(
        label, voxels.astype(np.int64), mean + shift, spread, start + shift, stop + shift,
        there.sum(axis=1), total, low, high,
    )  # fmt: skip


def _intensities(
    image: npt.NDArray[Any], runs: Runs, at: Ints, n: int
) -> tuple[Floats, Floats, Floats]:
    """Return sum, least and greatest value of a flat image in each of n labels."""
    exact = np.float64 if image.dtype.kind == "f" or image.dtype == np.uint64 else np.int64
    total: Floats = np.zeros(n)
    np.add.at(total, at, runs.reduced(np.add, image, dtype=exact))
    low = reduced(np.minimum, runs.reduced(np.minimum, image), at, n)
    high = reduced(np.maximum, runs.reduced(np.maximum, image), at, n)
    return total, low.astype(np.float64), high.astype(np.float64)


def reduced(how: np.ufunc, values: npt.NDArray[Any], at: Ints, n: int) -> npt.NDArray[Any]:
    """Return the least or greatest of the values at each of n places."""
    result = np.empty(n, values.dtype)
    result[at] = values
    how.at(result, at, values)
    return result


def added(parts: Sequence[Sums]) -> Sums:
    """Return the sums over all parts of each label, by Chan's formula for the moments."""
    names = [f.name for f in fields(Sums)]
    some = parts or [Sums.nothing()]
    every = Sums(*(np.concatenate([getattr(p, name) for p in some]) for name in names))
    label, at = np.unique(every.label, return_inverse=True)
    n = len(label)

    def summed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        result = np.zeros((n, *values.shape[1:]), values.dtype)
        np.add.at(result, at, values)
        return result

    voxels = summed(every.voxels)
    mean = summed(every.mean * every.voxels[:, None]) / voxels[:, None]
    away = every.mean - mean[at]
    between = every.voxels[:, None, None] * away[:, :, None] * away[:, None, :]
    start, stop = np.empty((n, 3), np.int64), np.empty((n, 3), np.int64)
    for axis in range(3):
        start[:, axis] = reduced(np.minimum, every.start[:, axis], at, n)
        stop[:, axis] = reduced(np.maximum, every.stop[:, axis], at, n)
    return Sums(
        label, voxels, mean, summed(every.spread + between), start, stop, summed(every.slices),
        summed(every.total), reduced(np.minimum, every.low, at, n),
        reduced(np.maximum, every.high, at, n),
    )  # fmt: skip
