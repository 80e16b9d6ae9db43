"""Measurements of objects and classes: slab by slab, and again only where labels have changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..events import BlockDone, Event, Measured, Started
from ..volume import ArrayLike
from .boxes import Box, shape_of, union, whole
from .connected import numbers, part_of
from .runs import Runs, joined, numbered, parts, rows_of, runs_of
from .sums import Sums, added, sums_of
from .table import Floats, Ints, Table
from .table import joined as joined_tables

# What it costs to look into one more box, in voxels.
_EACH = 2**16


def measure(
    labels: ArrayLike,
    *,
    spacing: Sequence[float],
    affine: npt.ArrayLike | None = None,
    image: ArrayLike | None = None,
    values: Iterable[int] | None = None,
    pieces: bool = True,
) -> Table:
    """Return what there is to measure of each label.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background, two or three axes: numpy, memory-mapped, zarr or dask.
        It is read slab by slab along its first axis.
    spacing
        Of the voxels, one number an axis, in the unit that lengths and volumes are wanted in.
    affine
        From indices to the world, shape (axes + 1, axes + 1); ``spacing`` when left out.
    image
        Of the same shape: its mean, minimum and maximum are measured.
    values
        The labels to measure; ``None`` is all.
    pieces
        Whether the pieces of each label are counted; they are said to be one otherwise.

    Raises
    ------
    VolumeError
        If labels, image, spacing and affine do not fit each other.
    """
    for event in measure_steps(
        labels, spacing=spacing, affine=affine, image=image, values=values, pieces=pieces
    ):
        if isinstance(event, Measured):
            return event.table
    raise AssertionError("a measurement ends with its table")


def measure_steps(
    labels: ArrayLike,
    *,
    spacing: Sequence[float],
    affine: npt.ArrayLike | None = None,
    image: ArrayLike | None = None,
    values: Iterable[int] | None = None,
    pieces: bool = True,
) -> Iterator[Event]:
    """Yield the progress of `measure`, slab by slab, and at last `Measured`."""
    frame = _Frame.of(labels, spacing, affine, image)
    wanted = None if values is None else np.unique(np.fromiter(values, np.int64))
    gathered = _Gathered(pieces)
    slabs = list(parts(labels))
    yield Started(len(slabs), "slabs")
    for done, slab in enumerate(slabs, start=1):
        gathered.add(labels, image, slab, wanted)
        yield BlockDone(done, len(slabs))
    yield Measured(frame.table(gathered, intensity=image is not None))


def remeasure(
    table: Table,
    labels: ArrayLike,
    values: Iterable[int],
    *,
    changed: Sequence[Box] | None = None,
    image: ArrayLike | None = None,
) -> Table:
    """Return a table in which some labels are measured again.

    Parameters
    ----------
    table
        What was measured before; the rows of other labels stay as they are.
    labels
        The labels as they are now.
    values
        The numbers of all objects that have changed, that are gone, or that are new.
    changed
        The boxes outside of which nothing has changed since; ``None`` is everywhere.
    image
        The image, if the table has measurements of one.

    Raises
    ------
    VolumeError
        If the labels have another shape than the table's, or the image is lacking.
    """
    if table.mean is not None and image is None:
        raise VolumeError("The table has intensities: give the image to measure them again.")
    frame = _Frame.of(labels, table.spacing, table.affine, image)
    if frame.shape != table.shape:
        raise VolumeError(f"The table is of labels of {table.shape}, not {frame.shape}.")
    wanted = np.setdiff1d(np.fromiter(values, np.int64), [0])
    gathered = _Gathered(pieces=True)
    for box, some in _where(table, labels, wanted, changed):
        for slab in parts(labels, box):
            gathered.add(labels, image, slab, some)
        gathered.rest()
    kept = table.take(~np.isin(table.label, wanted))
    return joined_tables(kept, frame.table(gathered, intensity=image is not None))


def _where(
    table: Table, labels: ArrayLike, wanted: Ints, changed: Sequence[Box] | None
) -> Iterator[tuple[Box, Ints]]:
    """Yield where to look for which labels."""
    around = whole(table.shape)
    if changed is None or sum(_size(box) for box in changed) > _size(around) / 2:
        yield around, wanted
        return
    boxes = {
        int(v): table.box(row)
        for v, row in zip(wanted, table.find(wanted), strict=True)
        if row >= 0
    }
    for box in changed:
        there, _ = numbered(runs_of(rows_of(np.asarray(labels[box]))).value)
        for value in np.intersect1d(there, wanted).tolist():
            boxes[value] = union(boxes.get(value, box), box)
    if not boxes:
        return
    around = reduce(union, boxes.values())
    if sum(_size(box) + _EACH for box in boxes.values()) < _size(around):
        yield from ((box, np.array([value])) for value, box in boxes.items())
    else:
        yield around, wanted


def _size(box: Box) -> int:
    return math.prod(shape_of(box))


# -- all together ---------------------------------------------------------------------------------


class _Gathered:
    """The parts of labels in all slabs so far, and which of their pieces hang together."""

    def __init__(self, pieces: bool) -> None:
        self.parts: list[Sums] = []
        self._pieces = pieces
        self._labels: list[Ints] = []  # of the pieces in each slab
        self._edges: list[tuple[Ints, Ints]] = []
        self._count = 0
        self._last: tuple[Runs, Ints] | None = None  # of the plane before the next slab

    def add(
        self, labels: ArrayLike, image: ArrayLike | None, slab: Box, wanted: Ints | None
    ) -> None:
        """Take a slab; those of one box follow each other."""
        array = rows_of(np.asarray(labels[slab]))
        runs = runs_of(array)
        if array.dtype.kind == "i" and runs.value.min(initial=0) < 0:
            raise VolumeError(f"The labels hold {runs.value.min()}: they go from 0 up.")
        if array.dtype == np.uint64 and int(array.max(initial=0)) >= 2**63:
            raise VolumeError(f"The labels hold {array.max()}: they go up to 2^63 - 1.")
        if wanted is not None:
            runs = runs.take(np.isin(runs.value, wanted))
        flat = None if image is None else np.asarray(image[slab]).reshape(-1)
        first = [s.start for s in slab]
        offset = (first[0], 0, first[1]) if len(first) == 2 else first
        self.parts.append(sums_of(runs, offset, flat))
        if self._pieces:
            self._connect(runs)

    def rest(self) -> None:
        """Say that the next slab does not follow the last one."""
        self._last = None

    def _connect(self, runs: Runs) -> None:
        piece = numbers(runs, connectivity=3).astype(np.int64) + self._count
        label = np.empty(int(piece.max(initial=self._count - 1)) + 1 - self._count, np.int64)
        label[piece - self._count] = runs.value
        self._labels.append(label)
        self._count += len(label)
        if self._last is not None:
            before, pieces = self._last
            after, _ = part_of(runs, 0, 1)
            group = numbers(_over(before, after), connectivity=3)
            both = np.concatenate([pieces, piece[: len(after)]])
            _, first = np.unique(group, return_index=True)
            self._edges.append((both[first][group], both))
        planes = runs.shape[0]
        last, earlier = part_of(runs, planes - 1, planes)
        self._last = last, piece[earlier:]

    def components(self) -> tuple[Ints, Ints]:
        """Return the label of each component of the whole, by label, and how many each has."""
        labels = np.concatenate([np.zeros(0, np.int64), *self._labels])
        group, count = np.arange(self._count), self._count
        if self._edges:
            a, b = (np.concatenate(side) for side in zip(*self._edges, strict=True))
            group, count = joined(a, b, self._count)
        of = np.empty(count, np.int64)
        of[group] = labels
        return np.unique(of, return_counts=True)


def _over(before: Runs, after: Runs) -> Runs:
    """Return the runs of one plane and of the next one together."""
    size = before.shape[1] * before.shape[2]
    return Runs(
        np.concatenate([before.start, after.start + size]),
        np.concatenate([before.stop, after.stop + size]),
        np.concatenate([before.value, after.value]),
        (2, *before.shape[1:]),
    )


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where the labels lie."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    affine: Floats

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        spacing: Sequence[float],
        affine: npt.ArrayLike | None,
        image: ArrayLike | None,
    ) -> _Frame:
        """Check what belongs together."""
        shape, n = tuple(labels.shape), len(labels.shape)
        if n not in (2, 3) or labels.dtype.kind not in "iub":
            raise VolumeError(
                f"Labels are whole numbers on 2 or 3 axes, not {labels.dtype} on {n}."
            )
        if len(spacing) != n or not all(math.isfinite(s) and s > 0 for s in spacing):
            raise VolumeError(f"Spacing {tuple(spacing)} does not fit labels of {n} axes.")
        if image is not None and tuple(image.shape) != shape:
            raise VolumeError(f"An image of {tuple(image.shape)} does not fit labels of {shape}.")
        matrix = np.diag([*map(float, spacing), 1.0]) if affine is None else np.asarray(affine)
        if matrix.shape != (n + 1, n + 1):
            raise VolumeError(f"An affine of {matrix.shape} does not fit labels of {n} axes.")
        return cls(shape, tuple(map(float, spacing)), matrix.astype(np.float64))

    def table(self, gathered: _Gathered, *, intensity: bool) -> Table:
        """Return the measurements of all that was gathered."""
        sums = added(gathered.parts)
        n = len(self.shape)
        axes = [0, 2] if n == 2 else [0, 1, 2]
        pieces = np.ones(len(sums.label), np.int64)
        named, counts = gathered.components()
        pieces[np.searchsorted(sums.label, named)] = counts
        spacing = np.array(self.spacing)
        covariance = sums.spread[:, axes][:, :, axes] / sums.voxels[:, None, None]
        covariance = covariance * spacing[:, None] * spacing
        volume = sums.voxels * spacing.prod()
        centroid, start, stop = sums.mean[:, axes], sums.start[:, axes], sums.stop[:, axes]
        inner = np.array(self.shape) > 1
        border = ((start == 0) | (stop == np.array(self.shape)))[:, inner].any(axis=1)
        return Table(
            label=sums.label,
            voxels=sums.voxels,
            volume=volume,
            centroid=centroid,
            world=centroid @ self.affine[:n, :n].T + self.affine[:n, n],
            start=start,
            stop=stop,
            slices=sums.slices if n == 3 else np.ones_like(sums.slices),
            border=border,
            components=pieces,
            axes=_axes(covariance),
            roundness=_roundness(volume, covariance, spacing),
            mean=sums.total / sums.voxels if intensity else None,
            minimum=sums.low if intensity else None,
            maximum=sums.high if intensity else None,
            spacing=self.spacing,
            affine=self.affine,
            shape=self.shape,
        )


def _axes(covariance: Floats) -> Floats:
    """Return the axes of the ellipses or ellipsoids of n covariance matrices, longest first."""
    n = covariance.shape[-1]
    squares = np.linalg.eigvalsh(covariance)[:, ::-1].clip(min=0)
    return np.asarray(2 * np.sqrt((n + 2) * squares))


def _roundness(volume: Floats, covariance: Floats, spacing: Floats) -> Floats:
    """Return how much smaller the second moments of a ball of each volume are."""
    n = len(spacing)
    moment = np.trace(covariance, axis1=1, axis2=2) + (spacing**2).sum() / 12
    radius = np.sqrt(volume / math.pi) if n == 2 else np.cbrt(volume * 3 / (4 * math.pi))
    return np.asarray(radius**2 * n / (n + 2) / moment)
