"""The slices of a volume that are worth looking at: odd ones, unsure ones, and disagreement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..volume import ArrayLike
from .findings import Finding, percent, ranked, times
from .pairs import both
from .runs import numbered, parts, rows_of, runs_of
from .table import Floats, Ints

# More numbers than this are objects, of which a slice says nothing.
_CLASSES = 256
# By how much the area of a class has to stand out from those of the slices beside it: a share, and
# more than a rim of about half a pixel, which is 2 pixels for every pixel of the side of a square.
_JUMP, _RIM = 0.25, 2.0


def odd_slices(
    labels: ArrayLike,
    *,
    values: Iterable[int] | None = None,
    names: Mapping[int, str] | None = None,
) -> tuple[Finding, ...]:
    """Return the slices of a volume on which a class is missing, or jumps in size.

    A class is missing where it is on a slice before and on one after. It jumps where its area is
    a quarter or more above or below those of both slices beside it.
    Of labels in 2-D, and of more than 256 of them, there is nothing to say.

    Parameters
    ----------
    labels
        Classes, 0 for background.
    values
        The classes to look at; ``None`` is all.
    names
        What to call them; their numbers when left out.
    """
    if len(labels.shape) != 3:
        return ()
    profile = _profile(labels, values)
    if len(profile.label) > _CLASSES:
        return ()
    found: list[Finding] = []
    for row, number in enumerate(profile.label.tolist()):
        name = (names or {}).get(number, f"label {number}")
        where = np.flatnonzero(profile.area[row])
        found += _gaps(profile, row, name, where)
        found += _jumps(profile, row, name, where)
    return ranked(found)


@dataclass(frozen=True, eq=False)
class _Profile:
    """Area of each label on each slice, and the sums of rows and columns of its pixels."""

    label: Ints
    area: Floats
    rows: Floats
    columns: Floats

    def at(self, row: int, plane: int, near: int) -> tuple[float, ...]:
        """Return where to look on a slice: where the label is on one near it."""
        n = self.area[row, near]
        return (plane, float(self.rows[row, near] / n), float(self.columns[row, near] / n))


def _profile(labels: ArrayLike, values: Iterable[int] | None) -> _Profile:
    wanted = None if values is None else np.unique(np.fromiter(values, np.int64))
    counts: dict[int, npt.NDArray[Any]] = {}
    for part in parts(labels):
        runs = runs_of(rows_of(np.asarray(labels[part])))
        if wanted is not None:
            runs = runs.take(np.isin(runs.value, wanted))
        label, at = numbered(runs.value)
        plane, row, column = runs.places()
        size, planes = len(label), runs.shape[0]
        length = runs.length
        for k, weight in enumerate((length, row * length, (column + (length - 1) / 2) * length)):
            table = np.bincount(at * planes + plane, weight, minlength=size * planes)
            for number, counted in zip(label.tolist(), table.reshape(size, planes), strict=True):
                if number not in counts and len(counts) <= _CLASSES:
                    counts[number] = np.zeros((3, labels.shape[0]))
                if number in counts:
                    counts[number][k, part[0]] = counted
    numbers = np.array(sorted(counts), np.int64)
    every = np.array([counts[n] for n in numbers.tolist()]).reshape(-1, 3, labels.shape[0])
    return _Profile(numbers, every[:, 0], every[:, 1], every[:, 2])


def _gaps(profile: _Profile, row: int, name: str, where: Ints) -> Iterator[Finding]:
    steps = np.diff(where)
    for place in np.flatnonzero(steps > 1).tolist():
        first, count = int(where[place]) + 1, int(steps[place]) - 1
        here = "here" if count == 1 else f"on {count} slices from here"
        reason = f"{name} is missing {here}, but there before and after"
        at = profile.at(row, first, first - 1)
        yield Finding("slice", first, 0.5 + 0.5 / count, reason, at)


def _jumps(profile: _Profile, row: int, name: str, where: Ints) -> Iterator[Finding]:
    area = profile.area[row]
    inner = where[1:-1]
    inner = inner[(area[inner - 1] > 0) & (area[inner + 1] > 0)]
    for plane in inner.tolist():
        here, beside = area[plane], area[[plane - 1, plane + 1]]
        # An organ that grows or tapers off lies between the two.
        low, high = sorted((here, min(max(here, beside.min()), beside.max())))
        share = 1 - low / high
        if share >= _JUMP and high - low > _RIM * math.sqrt(high):
            ratio = float(here / beside.mean())
            text = times(ratio) if ratio > 1 else f"{percent(ratio)} of"
            reason = f"area of {name} {text} that on the slices beside it"
            yield Finding("slice", plane, float(share), reason, profile.at(row, plane, plane))


def uncertain_slices(
    labels: ArrayLike, uncertainty: ArrayLike, *, least: float = 0.0
) -> tuple[Finding, ...]:
    """Return the slices of a volume by how unsure the model was of them.

    Counted are voxels with a label, and those without one that are unsure by more than a half.

    Parameters
    ----------
    labels
        Of shape (z, y, x).
    uncertainty
        From 0 to 1, of the same shape.
    least
        The mean above which a slice is worth looking at.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    _check_shapes(labels, uncertainty)
    found = []
    for part in parts(labels) if len(labels.shape) == 3 else ():
        first = part[0].start
        array, unsure = np.asarray(labels[part]), np.asarray(uncertainty[part])
        for plane, (here, doubt) in enumerate(zip(array, unsure, strict=True), start=first):
            rows, columns = np.nonzero((here != 0) | (doubt > 0.5))
            weights = doubt[rows, columns].astype(np.float64)
            mean = float(weights.mean()) if len(weights) else 0.0
            if mean > least:
                at = (
                    float(plane),
                    float(np.average(rows, weights=weights)),
                    float(np.average(columns, weights=weights)),
                )
                found.append(
                    Finding("slice", plane, min(mean, 1.0), f"mean uncertainty {mean:.2f}", at)
                )
    return ranked(found)


def disagreeing_slices(
    labels: ArrayLike,
    other: ArrayLike,
    *,
    who: tuple[str, str] = ("labels", "model"),
    least: float = 0.05,
) -> tuple[Finding, ...]:
    """Return the slices of two volumes of labels on which these are not the same.

    Objects that have other numbers in the other volume are to be given the same ones first, by
    `napari_monai.labels.pairs.numbered_like`. The score of a slice on which there is little at
    all is lower than the share in which it differs.

    Parameters
    ----------
    labels, other
        What is reviewed, and what it is compared with, of shape (z, y, x).
    who
        What to call the two.
    least
        The share of the voxels labelled in either, above which they disagree.

    Raises
    ------
    VolumeError
        If the shapes differ.
    """
    _check_shapes(labels, other)
    if len(labels.shape) != 3:
        return ()
    counts = np.zeros((4, labels.shape[0]))  # labelled voxels, different ones, their sums
    for first, a, b in both(labels, other):
        plane, row, column = a.places()
        length, differ = a.length, a.value != b.value
        middle = column + (length - 1) / 2
        weights = (length, length * differ, length * differ * row, length * differ * middle)
        for k, weight in enumerate(weights):
            counts[k, first : first + a.shape[0]] += np.bincount(plane, weight, a.shape[0])
    some = np.maximum(counts[0], 1)
    share = counts[1] / some
    usual = float(np.median(counts[0][counts[0] > 0])) if counts[0].any() else 1.0
    found = []
    for at in np.flatnonzero(share > least).tolist():
        score = float(counts[1, at] / max(some[at], usual))
        reason = f"{who[0]} and {who[1]} differ in {percent(share[at])} of this slice"
        centre = counts[2:, at] / counts[1, at]
        found.append(Finding("slice", at, score, reason, (float(at), *centre.tolist())))
    return ranked(found)


def _check_shapes(labels: ArrayLike, other: ArrayLike) -> None:
    if tuple(labels.shape) != tuple(other.shape):
        raise VolumeError(
            f"Arrays of {tuple(labels.shape)} and {tuple(other.shape)} cannot be compared: take "
            "those of one image."
        )
