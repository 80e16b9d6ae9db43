"""What is measured of labels as columns with units: of each object, and of each class."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..events import BlockDone, Busy, Event, Measured
from ..grid import Grid
from ..volume import ArrayLike
from .columns import Column, Columns
from .contacts import touching
from .feret import feret_diameters
from .intensities import intensities
from .measure import measure_steps
from .near import neighbours_within
from .settings_measure import MeasureSettings
from .surface_area import surface_areas
from .table import Floats, Ints, Table


@dataclass(frozen=True, eq=False)
class Channel:
    """A channel of an image: its voxels, what it is called in titles, the unit of its numbers."""

    data: ArrayLike
    name: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Units:
    """What lengths, areas and volumes are called in titles."""

    length: str
    area: str
    volume: str

    @classmethod
    def of(cls, unit: str) -> Units:
        """Return those of a grid in this unit of length."""
        if unit == "pixel":
            return cls("pixels", "pixels", "voxels")
        return cls(unit, f"{unit}²", f"{unit}³")


def object_measures(
    labels: ArrayLike,
    grid: Grid,
    *,
    channels: Sequence[Channel] = (),
    settings: MeasureSettings = MeasureSettings(),
) -> tuple[Table, Columns]:
    """Return what there is to measure of each label, as a table and as columns with units.

    Parameters
    ----------
    labels
        Whole numbers of the grid's shape, 0 for background; read slab by slab.
    grid
        Says what lengths are in, and where in the world the labels are.
    channels
        Of the image, of the same shape each.
    settings
        Which of the slower columns there are.

    Raises
    ------
    VolumeError
        If they do not fit each other.
    """
    steps = object_measures_steps(labels, grid, channels=channels, settings=settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def object_measures_steps(
    labels: ArrayLike,
    grid: Grid,
    *,
    channels: Sequence[Channel] = (),
    settings: MeasureSettings = MeasureSettings(),
) -> Generator[Event, None, tuple[Table, Columns]]:
    """Return what `object_measures` does, and yield `BlockDone` after each of its `stages`."""
    done, total = itertools.count(1), stages(settings, len(channels))
    for event in measure_steps(labels, spacing=grid.spacing):
        if isinstance(event, Measured):
            table = event.table
        yield Busy()
    # The volume of a voxel of a sheared grid is less than the product of its sides.
    table = replace(table, volume=np.asarray(table.voxels * grid.voxel_volume, np.float64))
    units = Units.of(grid.unit)
    columns = [*_sizes(table, units), *_places(table, grid, units), *_shapes(table, units)]
    yield BlockDone(next(done), total)
    if settings.surface:
        columns += _surface(table, surface_areas(labels, table.label, grid.spacing), units)
        yield BlockDone(next(done), total)
    if settings.feret:
        across = feret_diameters(labels, table.label, grid.spacing)
        columns.append(Column("Feret diameter", across, units.length))
        yield BlockDone(next(done), total)
    if settings.neighbours:
        columns.append(Column("neighbours", touching(labels, table.label)))
        yield BlockDone(next(done), total)
    if settings.within is not None:
        near = neighbours_within(labels, table.label, settings.within, grid.spacing)
        columns.append(Column(f"neighbours within {settings.within:g} {units.length}", near))
        yield BlockDone(next(done), total)
    for channel in channels:
        columns += _intensities(labels, channel, table, settings.percentiles or ())
        yield BlockDone(next(done), total)
    return table, Columns((Column("label", table.label), *columns))


def stages(settings: MeasureSettings, channels: int) -> int:
    """Return in how many stages labels are measured in an image of so many channels."""
    near = settings.within is not None
    return 1 + settings.surface + settings.feret + settings.neighbours + near + channels


def _sizes(table: Table, units: Units) -> list[Column]:
    solid = table.ndim == 3
    size, unit = ("volume", units.volume) if solid else ("area", units.area)
    return [
        Column("voxels" if solid else "pixels", table.voxels),
        Column(size, table.volume, unit),
    ]


def _places(table: Table, grid: Grid, units: Units) -> list[Column]:
    """Return middles in voxels and in the world, boxes, and what reaches the border."""
    named = ("i", "j", "k")[: table.ndim] if grid.anatomical else ("z", "y", "x")[-table.ndim :]
    found = [Column(f"centroid {n}", table.centroid[:, a]) for a, n in enumerate(named)]
    world = grid.index_to_world(table.centroid)
    if grid.anatomical:
        found += [Column(f"world {n}", world[:, a], units.length) for a, n in enumerate("xyz")]
    else:
        found += [
            Column(f"world {n}", world @ grid.direction[:, a], units.length)
            for a, n in enumerate(named)
        ]
    for title, ends in (("start", table.start), ("stop", table.stop)):
        found += [Column(f"{title} {n}", ends[:, a]) for a, n in enumerate(named)]
    return [*found, Column("border", table.border)]


def _shapes(table: Table, units: Units) -> list[Column]:
    n = table.ndim
    diameter = (2 * n * table.volume / math.pi) ** (1 / n)
    return [
        Column("equivalent diameter", diameter, units.length),
        *(Column(f"axis {a + 1}", table.axes[:, a], units.length) for a in range(n)),
        Column("roundness", table.roundness),
        Column("pieces", table.components),
    ]


def _surface(table: Table, surface: Floats, units: Units) -> list[Column]:
    """Return the surface, and that of the ball, or disk, of the same volume by it."""
    if table.ndim == 2:
        circularity = 4 * math.pi * table.volume / surface**2
        return [Column("perimeter", surface, units.length), Column("circularity", circularity)]
    sphericity = np.cbrt(math.pi * (6 * table.volume) ** 2) / surface
    area = units.area if units.area != "pixels" else "pixels²"
    return [Column("surface area", surface, area), Column("sphericity", sphericity)]


def _intensities(
    labels: ArrayLike, channel: Channel, table: Table, percentiles: Sequence[int]
) -> list[Column]:
    found = intensities(labels, channel.data, table.label, table.voxels, percentiles=percentiles)
    titled = {
        "mean": found.mean,
        "SD": found.deviation,
        "minimum": found.minimum,
        "maximum": found.maximum,
        **{percentile_name(p): found.percentiles[:, i] for i, p in enumerate(percentiles)},
    }
    after = f" {channel.name}" if channel.name else ""
    return [Column(title + after, values, channel.unit) for title, values in titled.items()]


def percentile_name(percent: int) -> str:
    """Return what the column of a percentile is called."""
    return "median" if percent == 50 else f"percentile {percent}"


def class_measures(
    table: Table, classes: Ints, objects: Ints, numbers: Ints, grid: Grid
) -> Columns:
    """Return what there is of each class: how many objects, how densely, how much of the image.

    Parameters
    ----------
    table
        Of the labels.
    classes, objects
        Of each row: the class, and for how many objects it counts.
    numbers
        The classes that have a row, in rising order; those of all labels are among them.
    """
    units = Units.of(grid.unit)
    at, n = np.searchsorted(numbers, classes), len(numbers)
    count = np.bincount(at, objects, minlength=n).astype(np.int64)
    voxels = np.bincount(at, table.voxels, minlength=n).astype(np.int64)
    whole = math.prod(grid.shape)
    volume = voxels * grid.voxel_volume
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, volume / np.maximum(count, 1), np.nan)
    size, unit = ("volume", units.volume) if table.ndim == 3 else ("area", units.area)
    return Columns(
        (
            Column("class", numbers),
            Column("objects", count),
            Column("density", count / (whole * grid.voxel_volume), f"1/{unit}"),
            Column("voxels" if table.ndim == 3 else "pixels", voxels),
            Column(size, volume, unit),
            Column("part of the image", voxels / whole * 100, "%"),
            Column(f"mean {size}", mean, unit),
        )
    )
