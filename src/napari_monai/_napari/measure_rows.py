"""What was measured of a layer, as rows of a table that know where in the layer they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..grid import Reorientation
from ..labels.boxes import Box
from ..labels.columns import Column as Written
from ..labels.columns import Columns
from ..labels.measure import measure
from ..labels.table import Floats, Ints
from ..measurement import Measurements
from .columns import Column
from .placement import Placement

# A key is the number of an object, after that of its time point.
_TIMES = 1 << 40

_MEANINGS = {
    "label": "The number of the object, or class",
    "time": "The time point, from 0",
    "object": "The number of the label that it is a piece of",
    "class": "What it is",
    "voxels": "How many voxels it has",
    "pixels": "How many pixels it has",
    "volume": "Volume of its voxels",
    "area": "Area of its pixels",
    "centroid": "Its middle, in voxels of the file",
    "world": "Its middle, in the world of the file",
    "start": "First voxel of its box along this axis",
    "stop": "Voxel after the last of its box along this axis",
    "border": "Whether it reaches the edge of the image, where it may be cut",
    "equivalent diameter": "Diameter of the ball, or disk, of the same size",
    "axis": "Length of a principal axis of the ellipsoid with the same moments, longest first",
    "roundness": "1 for a ball or disk, less for all else, by its moments",
    "pieces": "Of how many pieces it is",
    "surface area": "Area of its surface",
    "sphericity": "Surface of the ball of the same volume by its own: 1 for a ball",
    "perimeter": "Length of its outline",
    "circularity": "1 for a disk, less the longer its outline is for its area",
    "Feret diameter": "The greatest distance across",
    "neighbours": "How many others it touches",
    "mean": "Mean intensity in it",
    "SD": "Standard deviation of the intensities in it",
    "minimum": "Lowest intensity in it",
    "maximum": "Highest intensity in it",
    "median": "Median of the intensities in it",
    "percentile": "This part of its voxels, in percent, is darker",
    "objects": "How many there are",
    "density": "How many there are in a unit of space of the whole image",
    "part of the image": "How much of the image they fill",
}
# What is hidden until it is asked for.
_HIDDEN = ("start", "stop", "axis", "pieces", "minimum", "maximum", "roundness")


@dataclass(frozen=True, eq=False)
class Rows:
    """Where the rows of a table lie in the layer that was measured: n rows each.

    Parameters
    ----------
    key
        Tells rows apart: their number, after that of their time point.
    number
        Their number in ``numbers``.
    label
        Their number in the layer: of a piece, that of what it is a piece of.
    time
        Their time point; ``None`` without a time axis.
    centroid, start, stop
        In voxels of the layer, without time; shape (n, axes).
    numbers
        The array of the layer, or of the pieces, on the layer's voxels.
    """

    key: Ints
    number: Ints
    label: Ints
    time: Ints | None
    centroid: Floats
    start: Ints
    stop: Ints
    numbers: Any

    def __len__(self) -> int:
        return len(self.key)

    @property
    def of_pieces(self) -> bool:
        """Whether pieces have rows of their own."""
        return self.number is not self.label

    def find(self, keys: Iterable[int] | Ints) -> Ints:
        """Return the rows of keys; those there are none of are left out."""
        wanted = keys if isinstance(keys, np.ndarray) else np.fromiter(keys, np.int64)
        return np.flatnonzero(np.isin(self.key, wanted))

    def key_of(self, number: int, time: int | None) -> int | None:
        """Return the key of a number of ``numbers`` at a time point, if it has a row."""
        key = int(_keys(np.array([number]), None if time is None else np.array([time]))[0])
        return key if len(self.find([key])) else None

    def keys_of_label(self, label: int, time: int | None) -> Ints:
        """Return the keys of a label at a time point: of all its pieces."""
        hits = self.label == label
        if time is not None and self.time is not None:
            hits &= self.time == time
        return np.asarray(self.key[hits])

    def box(self, rows: Ints) -> Box:
        """Return the box around rows, in the spatial axes of the layer."""
        low, high = self.start[rows].min(axis=0), self.stop[rows].max(axis=0)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def rows_of(
    measured: Measurements,
    place: Placement,
    numbers: Any,
    owners: Sequence[Ints] | None = None,
) -> Rows:
    """Return where the rows of measurements lie in a layer.

    Parameters
    ----------
    measured
        On the grid of the volume that is placed.
    place
        How the layer lies on it.
    numbers
        The labels, or pieces, on the layer's voxels.
    owners
        Of pieces: for each time point the label that each is a piece of, by number from 1.
    """
    objects = measured.objects
    number = objects["label"].astype(np.int64)
    time = objects["time"].astype(np.int64) if "time" in objects else None
    label = number
    if owners is not None:
        at = np.zeros(len(number), np.int64) if time is None else time
        label = np.zeros(len(number), np.int64)
        for t, of in enumerate(owners):
            label[at == t] = of[number[at == t] - 1]
    if place.leaning is None:
        how, shape = place.how, place.volume.grid.shape
        centroid = _turned(_of_axes(objects, "centroid"), how, shape, 1)
        ends = [_turned(_of_axes(objects, word), how, shape, 0) for word in ("start", "stop")]
        low, high = np.minimum(*ends), np.maximum(*ends)
        start, stop = low.astype(np.int64), high.astype(np.int64)
    else:
        centroid, start, stop = _on_canvas(number, time, numbers)
    return Rows(
        _keys(number, time),
        number,
        label,
        time,
        centroid,
        start,
        stop,
        numbers,
    )


def _keys(number: Ints, time: Ints | None) -> Ints:
    return number if time is None else number + time * _TIMES


def _of_axes(objects: Columns, word: str) -> Floats:
    """Return the columns of all axes of one measure, shape (n, axes), in order."""
    columns = [c.values for c in objects.columns if c.name.rpartition(" ")[0] == word]
    return np.stack(columns, axis=1).astype(np.float64)


def _turned(places: Floats, how: Reorientation, shape: Sequence[int], inset: int) -> Floats:
    """Return voxels, or their edges with an inset of 0, in the axes of a reoriented array."""
    turned = places[:, list(how.axes)]
    for axis, flip in enumerate(how.flips):
        if flip:
            turned[:, axis] = shape[how.axes[axis]] - inset - turned[:, axis]
    return turned


def _on_canvas(number: Ints, time: Ints | None, numbers: Any) -> tuple[Floats, Ints, Ints]:
    """Return middles and boxes of what is shown resampled: some of it may not be seen at all."""
    n = len(numbers.shape) - (time is not None)
    centroid, start = np.zeros((len(number), n)), np.zeros((len(number), n), np.int64)
    stop = np.ones((len(number), n), np.int64)
    for t in [None] if time is None else np.unique(time).tolist():
        table = measure(numbers if t is None else numbers[t], spacing=(1,) * n, pieces=False)
        here = np.arange(len(number)) if time is None else np.flatnonzero(time == t)
        found = table.find(number[here])
        here, found = here[found >= 0], found[found >= 0]
        centroid[here], start[here] = table.centroid[found], table.start[found]
        stop[here] = table.stop[found]
    return centroid, start, stop


# -- as a table shows it ---------------------------------------------------------------------------


def shown_columns(columns: Columns) -> list[Column]:
    """Return columns as a table shows them: titles, what they mean, which are hidden at first."""
    return [_shown(column, columns) for column in columns.columns]


def _shown(column: Written, among: Columns) -> Column:
    name = column.name
    values = column.values
    if values.dtype.kind == "b":
        values = np.where(values, "yes", "")
    hidden = name.startswith(_HIDDEN) and not name.startswith("axis 1")
    # One middle is enough to see, and that of the world says more.
    doubled = name.startswith("centroid") and any(
        c.name.startswith("world") and c.unit not in ("", "pixels") for c in among.columns
    )
    useless = name.startswith("world") and column.unit in ("", "pixels")
    return Column(
        column.title,
        name[0].upper() + name[1:],
        meaning_of(name),
        values,
        unit=column.unit,
        shown=not (hidden or doubled or useless),
    )


def meaning_of(name: str) -> str:
    """Return in a sentence what a column is."""
    return next((text for word, text in _MEANINGS.items() if name.startswith(word)), name)


def numeric(columns: Columns) -> list[Written]:
    """Return the columns that can be drawn: of numbers, and of yes and no as 1 and 0."""
    return [c for c in columns.columns if c.values.dtype.kind in "iufb"]
