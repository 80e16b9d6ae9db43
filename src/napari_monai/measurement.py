"""Measurements of labels on their grid: a table of the objects, and one of the classes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from .errors import VolumeError
from .evaluation.compare import kind_of
from .events import BlockDone, Event, ImageMeasured, Started
from .grid import Grid
from .labels.columns import Column, Columns, stacked
from .labels.connected import components
from .labels.object_measures import Channel, class_measures, object_measures_steps, stages
from .labels.settings_measure import MeasureSettings
from .volume import LabelKind, LabelVolume, Volume


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured of an image.

    Parameters
    ----------
    name
        Of the labels.
    kind
        What their numbers are.
    objects
        A row for each object, or each class where the numbers are classes.
    classes
        A row for each class: how many objects, how densely, how much of the image.
    """

    name: str
    kind: LabelKind
    objects: Columns
    classes: Columns

    def __len__(self) -> int:
        return self.objects.rows

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column of the objects by its name."""
        return self.objects[name]


def measure(
    labels: LabelVolume | Volume,
    image: Volume | None = None,
    *,
    kind: LabelKind | None = None,
    settings: MeasureSettings = MeasureSettings(),
    intensity_unit: str | None = None,
) -> Measurements:
    """Measure labels, and the image in them.

    Lengths are in the unit of the labels' grid. World coordinates are (x, y, z) to the patient's
    right, front and head in medical images, and along the axes of the array in others. With a
    time axis each time point has rows of its own.

    Parameters
    ----------
    labels
        Two or three spatial axes; larger than memory too, unless ``settings.each`` is pieces.
    image
        On the same grid, with any number of channels, at one time point or as many as the labels;
        its axes may be permuted or reversed.
    kind
        Whether the numbers are objects or classes; when left out, what the labels say or what is
        guessed (`evaluation.guess_kind`).
    settings
        Which columns there are beside the cheap ones.
    intensity_unit
        Of the image; when left out "HU" for what looks like CT.

    Raises
    ------
    VolumeError
        If the image is on another grid.
    """
    steps = measure_steps(
        labels, image, kind=kind, settings=settings, intensity_unit=intensity_unit
    )
    return next(e.measurements for e in steps if isinstance(e, ImageMeasured))


def measure_steps(
    labels: LabelVolume | Volume,
    image: Volume | None = None,
    *,
    kind: LabelKind | None = None,
    settings: MeasureSettings = MeasureSettings(),
    intensity_unit: str | None = None,
) -> Iterator[Event]:
    """Yield the progress of `measure`, stage by stage, and at last `ImageMeasured`."""
    _check(labels, image, kind)
    each = stages(settings, 0 if image is None else image.channels)
    yield Started(labels.times * each, "stages")
    kind = kind or kind_of([(labels, labels)])
    if image is not None:
        image = on_grid_of(labels, image)
        intensity_unit = unit_of(image) if intensity_unit is None else intensity_unit
    objects, classes = [], []
    for time in range(labels.times):
        beside = None if image is None else image.at_time(time if image.times > 1 else 0)
        channels = [] if beside is None else list(channels_of(beside, intensity_unit or ""))
        steps = _at_time(labels.at_time(time), kind, channels, settings)
        rows, summary = yield from _later(steps, time * each, labels.times * each)
        objects.append(rows)
        classes.append(summary)
    timed = "t" in labels.leading
    yield ImageMeasured(
        Measurements(labels.name, kind, _over_time(objects, timed), _over_time(classes, timed))
    )


def _check(labels: Volume, image: Volume | None, kind: str | None) -> None:
    for what in (labels, *(() if image is None else (image,))):
        if not isinstance(what, Volume):
            raise VolumeError(
                f"A {type(what).__name__} has no grid to measure on: give a LabelVolume or Volume, "
                "such as LabelVolume(array, Grid.from_spacing(array.shape, spacing))."
            )
    if kind not in (None, *get_args(LabelKind)):
        raise VolumeError(f"No kind {kind!r} of labels: give 'instances' or 'classes'.")


Steps = Generator[Event, None, tuple[Columns, Columns]]


def _later(steps: Steps, before: int, total: int) -> Steps:
    """Yield what steps do, after so many of all."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield BlockDone(before + event.done, total) if isinstance(event, BlockDone) else event


def _at_time(
    labels: Volume, kind: LabelKind, channels: Sequence[Channel], settings: MeasureSettings
) -> Steps:
    data, grid, of = labels.data, labels.grid, None
    if settings.each == "piece":
        data, of = pieces_of(labels)
    steps = object_measures_steps(data, grid, channels=channels, settings=settings)
    table, columns = yield from steps
    named = {c.number: c.name for c in labels.classes} if isinstance(labels, LabelVolume) else {}
    owner = table.label if of is None else of
    counted = table.components if of is None else np.ones(len(table), np.int64)
    if kind == "instances":
        only = next(iter(named), 1) if len(named) <= 1 else 0
        called = named.get(only, "object")
        number, counted = np.full(len(table), only), np.ones(len(table), np.int64)
        summary = class_measures(table, number, counted, np.array([only]), grid)
        summary = _with_names(summary, {only: called})
        extra = () if of is None else (Column("object", owner),)
        return Columns((columns.columns[0], *extra, *columns.columns[1:])), summary
    numbers = np.union1d(owner, np.array(sorted(named), np.int64)).astype(np.int64)
    names = {int(n): named.get(int(n), f"class {n}") for n in numbers}
    summary = _with_names(class_measures(table, owner, counted, numbers, grid), names)
    texts = np.array([names[int(n)] for n in owner], np.str_)
    extra = (Column("class", texts),)
    return Columns((columns.columns[0], *extra, *columns.columns[1:])), summary


def pieces_of(labels: Volume) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return labels with a number for each piece, from 1, and the label that each is of."""
    array = labels.numpy()
    found = components(array)
    pieces = np.zeros(array.shape, np.int32)
    pieces.reshape(-1)[found.runs.voxels()] = np.repeat(found.number + 1, found.runs.length)
    return pieces, found.values.astype(np.int64)


def _with_names(summary: Columns, names: dict[int, str]) -> Columns:
    numbers = summary["class"]
    texts = np.array([names[int(n)] for n in numbers], np.str_)
    return Columns((Column("class", texts), *summary.columns[1:]))


def _over_time(tables: list[Columns], timed: bool) -> Columns:
    if not timed:
        return tables[0]
    found = stacked([(str(time), table) for time, table in enumerate(tables)])
    return Columns((Column("time", found["image"].astype(np.int64)), *found.columns[1:]))


# -- the image ------------------------------------------------------------------------------------


def channels_of(image: Volume, unit: str = "") -> Iterator[Channel]:
    """Yield the channels of one time point, each an array of the grid's shape that may be lazy."""
    if "c" not in image.leading:
        yield Channel(image.data, unit=unit)
        return
    # A channel is to be had as a time point is, without reading the others.
    apart = Volume(image.data, image.grid, leading="t", name=image.name)
    names = list(image.channel_names)
    for place, name in enumerate(names):
        called = "" if image.channels == 1 else name
        if names.count(name) > 1:
            called = f"{name} ({place + 1})"
        yield Channel(apart.at_time(place).data, called, unit)


def unit_of(image: Volume) -> str:
    """Return the unit of an image's intensities: "HU" for what looks like CT, else nothing."""
    from .models.fitting import modality_of

    return "HU" if modality_of(image) == "CT" else ""


def on_grid_of(labels: Volume, image: Volume) -> Volume:
    """Return the image with its axes as the labels', or raise VolumeError."""
    if image.times not in (1, labels.times):
        raise VolumeError(
            f"{image.name} has {image.times} time points and the labels {labels.times}."
        )
    if _fits(image.grid, labels.grid):
        return image
    turned = image
    if image.grid.ndim == labels.grid.ndim:
        how, back = image.grid.reorientation_to(), labels.grid.reorientation_to().inverse()
        grid = image.grid.reoriented(how).reoriented(back)
        if _fits(grid, labels.grid):
            turned = replace(image, data=back.apply(how.apply(image.numpy())), grid=grid)
            return turned
    raise VolumeError(
        f"{image.name} is on another grid ({image.grid.shape}, {image.grid.unit}) than the labels "
        f"({labels.grid.shape}, {labels.grid.unit}): resample one to the other."
    )


def _fits(one: Grid, other: Grid) -> bool:
    if "pixel" in (one.unit, other.unit):
        return one.shape == other.shape
    return one.is_close(other, tolerance=0.01)
