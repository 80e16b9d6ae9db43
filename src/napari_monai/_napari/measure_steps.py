"""The work of the Measure widget, beside the window: a layer is measured, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..events import BlockDone, Event, ImageMeasured
from ..labels.columns import Columns
from ..labels.settings_measure import MeasureSettings
from ..measurement import Measurements, measure_steps, on_grid_of, pieces_of, unit_of
from ..measurement_files import FileMeasured, Task, in_one, measure_files, write_table
from ..volume import LabelKind, LabelVolume, Volume
from .arrays import finest
from .jobs import Steps
from .layers import described, placement_of, volume_of
from .measure_rows import Rows, rows_of
from .placement import KEY, Placement

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be measured: a layer, the images that it is of, and how."""

    layer: Labels
    images: tuple[Image, ...]
    place: Placement
    kind: LabelKind | None
    settings: MeasureSettings
    intensity_unit: str | None = None

    @classmethod
    def of(
        cls,
        layer: Labels,
        images: Sequence[Image],
        among: Sequence[Layer],
        kind: LabelKind | None,
        settings: MeasureSettings,
        intensity_unit: str | None = None,
    ) -> Wanted:
        """Take note of where the layer lies now; raises VolumeError as `placement_of` does."""
        place = placement_of(layer, among)
        return cls(layer, tuple(images), place, kind, settings, intensity_unit)


@dataclass(frozen=True, eq=False)
class LayerMeasured(Event):
    """A layer is measured: the table, and where in the layer its rows lie."""

    measurements: Measurements
    rows: Rows


def layer_steps(wanted: Wanted) -> Steps:
    """Measure a layer; yields `LayerMeasured` at last."""
    labels = native_labels(wanted.layer, wanted.place)
    image, unit = _image(wanted, labels)
    steps = measure_steps(
        labels, image, kind=wanted.kind, settings=wanted.settings, intensity_unit=unit
    )
    for event in steps:
        if not isinstance(event, ImageMeasured):
            yield event
            continue
        numbers, owners = finest(wanted.layer), None
        if wanted.settings.each == "piece":
            numbers, owners = _pieces(labels, wanted.place)
        rows = rows_of(event.measurements, wanted.place, numbers, owners)
        _import_plots()
        yield LayerMeasured(event.measurements, rows)


def native_labels(layer: Labels, place: Placement) -> LabelVolume:
    """Return the labels of a layer on their file's own grid; nothing is read unless it leans."""
    data = finest(layer)
    if place.leaning is None:
        return described(layer, place, place.native(data))
    own = place is layer.metadata.get(KEY)
    before = place.volume.data if own and isinstance(place.volume, LabelVolume) else None
    return described(layer, place, place.native_labels(np.asarray(data[...]), before))


def _pieces(labels: LabelVolume, place: Placement) -> tuple[Any, list[Any]]:
    """Return the pieces on the layer's voxels, and what each is a piece of, by time point."""
    found = [pieces_of(labels.at_time(t)) for t in range(labels.times)]
    shown = [np.asarray(place.displayed(array, nearest=True)[...]) for array, _ in found]
    return np.stack(shown) if "t" in labels.leading else shown[0], [of for _, of in found]


def _import_plots() -> None:
    """Import what draws here, and not in the window's thread."""
    import matplotlib.backends.backend_qtagg
    import matplotlib.figure  # noqa: F401


# -- the image ------------------------------------------------------------------------------------


def _image(wanted: Wanted, labels: LabelVolume) -> tuple[Volume | None, str | None]:
    """Return the image to measure, with a channel for each of several layers, and its unit."""
    if not wanted.images:
        return None, None
    volumes = [on_grid_of(labels, volume_of(layer)) for layer in wanted.images]
    unit = unit_of(volumes[0]) if wanted.intensity_unit is None else wanted.intensity_unit
    if len(volumes) == 1:
        return volumes[0], unit
    parts = _Channels(volumes)
    names = channel_names(wanted.images, volumes)
    return Volume(parts, labels.grid, leading=parts.leading, channel_names=names), unit


def channel_names(layers: Sequence[Image], volumes: Sequence[Volume]) -> tuple[str, ...]:
    """Return what the channels of several layers are called: as their file does, if one does."""
    places = [layer.metadata.get(KEY) for layer in layers]
    sources = {p.volume.source for p in places if isinstance(p, Placement)}
    one_file = len(sources) == 1 and all(isinstance(p, Placement) for p in places)
    names: list[str] = []
    for layer, volume in zip(layers, volumes, strict=True):
        own = list(volume.channel_names)
        if volume.channels > 1:
            names += [f"{layer.name} {name}" for name in own]
        else:
            names += own if one_file and "c" in volume_leading(layer) else [layer.name]
    if len(set(names)) < len(names):
        names = [f"{name} {at}" for at, name in enumerate(names, start=1)]
    return tuple(names)


def volume_leading(layer: Image) -> str:
    """Return the leading axes of the volume that a layer shows a channel of."""
    place = layer.metadata.get(KEY)
    return place.volume.leading if isinstance(place, Placement) else ""


class _Channels:
    """The channels of several volumes as one array, read where it is indexed."""

    def __init__(self, volumes: Sequence[Volume]) -> None:
        self._parts = [(v, c) for v in volumes for c in range(v.channels)]
        times = max(v.times for v in volumes)
        timed = any("t" in v.leading for v in volumes)
        self.leading = "tc" if timed else "c"
        self.shape = (*((times,) if timed else ()), len(self._parts), *volumes[0].grid.shape)
        self.dtype = np.result_type(*(v.dtype for v in volumes))
        self.chunks = (*((1,) * len(self.leading)), *volumes[0].grid.shape)

    def __getitem__(self, key: Any, /) -> npt.NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        lead = len(self.leading)
        if len(keys) < lead or not all(isinstance(k, int | np.integer) for k in keys[:lead]):
            raise IndexError("Channels are had one by one, at one time point.")
        volume, channel = self._parts[int(keys[lead - 1])]
        time = int(keys[0]) if lead == 2 and volume.times > 1 else 0
        one = volume.at_time(time) if "t" in volume.leading else volume
        place = (channel,) if "c" in one.leading else ()
        return np.asarray(one.data[(*place, *keys[lead:])])


# -- a folder -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FolderMeasured(Event):
    """The files of a folder are measured and the tables written."""

    objects: Columns
    classes: Columns
    done: int


def folder_steps(
    tasks: Sequence[Task],
    kind: LabelKind | None,
    settings: MeasureSettings,
    objects_file: Path,
    summary_file: Path | None,
) -> Steps:
    """Measure files one by one, then write their tables; nothing is written when cancelled."""
    done: list[tuple[str, Measurements]] = []
    for event in measure_files(tasks, kind=kind, settings=settings):
        if isinstance(event, FileMeasured):
            done.append((event.task.name, event.measurements))
        if not isinstance(event, BlockDone):
            yield event
    if done:
        objects, classes = in_one(done)
        write_table(objects_file, objects)
        if summary_file is not None:
            write_table(summary_file, classes)
        yield FolderMeasured(objects, classes, len(done))
