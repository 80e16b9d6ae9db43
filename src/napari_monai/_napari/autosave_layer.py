"""A labels layer as an autosave keeps it, and the layer that comes back from one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from .. import autosaving
from ..errors import NapariMonaiError, ReadError
from ..io.files import one_line
from ..volume import LabelVolume
from .arrays import finest
from .label_colours import LOCKED, class_look
from .layers import described, labels_layer, placement_of
from .placement import KEY, Placement, frames_of


def is_paintable(layer: Labels) -> bool:
    """Whether a layer can be painted at all."""
    return not layer.multiscale and not hasattr(layer.data, "__dask_graph__")


def in_its_file(layer: Labels) -> bool:
    """Whether what is painted goes straight into a file: a zarr, or a memory map of one."""
    data = layer.data
    if isinstance(data, np.memmap):
        return data.mode in ("r+", "w+")
    return hasattr(data, "store") and type(data.store).__name__ != "MemoryStore"


def source_of(layer: Layer) -> Path | None:
    """Return the file that a layer came from, if it came from one."""
    place = layer.metadata.get(KEY)
    if isinstance(place, Placement):
        return place.volume.source
    return None if layer.source.path is None else Path(layer.source.path)


@dataclass(eq=False)
class Kept:
    """Labels of a layer as they are to be kept.

    Parameters
    ----------
    array
        The layer's array, or a copy of it.
    blank
        All about the labels but their voxels.
    place
        How the layer lies on the canvas.
    files
        The files that they belong to.
    view
        How they are shown.
    """

    array: Any
    blank: LabelVolume
    place: Placement
    files: tuple[Path, ...]
    view: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the labels are called."""
        return self.blank.name

    def copy(self) -> None:
        """Have a copy of the array; from any thread."""
        self.array = np.array(self.array[...])

    def write(self, path: Path | None) -> Path:
        """Write them, to ``path`` if there is one, and return where they are.

        Raises WriteError.
        """
        data = np.asarray(self.array[...])
        if self.view["as"] == "grid":
            data = self.place.how.inverse().apply(data)
        labels = replace(self.blank, data=data)
        return autosaving.keep(labels, files=self.files, path=path, view=self.view)


def kept_of(layer: Labels, among: Iterable[Layer]) -> Kept:
    """Return what is to be kept of a layer; ``among`` are the layers that it lies among.

    Labels are kept on the grid of their file, those of a volume that is resampled to be shown on
    the grid on which they are shown, those of layers that others made as they are.

    Raises VolumeError if the layer has more axes than time and three of space.
    """
    there = list(among)
    place = placement_of(layer, there)
    blank = np.broadcast_to(np.zeros((), layer.data.dtype), layer.data.shape)
    view: dict[str, Any]
    if place.is_resampled and place.frame is not None:
        grid = place.frame.turned_back(place.canvas)
        labels, view = described(layer, place, blank, grid), {"as": "canvas"}
    elif "rotate" in place.transform:  # see napari_monai._napari.foreign
        view = {"as": "layer", "transform": _transform(layer)}
        labels = described(layer, place, blank)
    else:
        labels, view = described(layer, place, place.how.inverse().apply(blank)), {"as": "grid"}
    view["locked"] = [int(number) for number in layer.metadata.get(LOCKED, ())]
    files = dict.fromkeys([place.volume.source, *_files(layer, there)])
    return Kept(layer.data, labels, place, tuple(f for f in files if f is not None), view)


def _files(layer: Labels, among: Iterable[Layer]) -> list[Path | None]:
    """Return the files of the layers on the same voxels."""
    found = []
    for other in among:
        place = other.metadata.get(KEY)
        if not isinstance(other, Image | Labels):
            continue  # points and shapes have no voxels
        if isinstance(place, Placement):
            same = place.holds(layer)
        else:
            same = finest(other).shape[: other.ndim] == layer.data.shape
        found += [source_of(other)] * same
    return found


def _transform(layer: Labels) -> dict[str, Any]:
    """Return the keyword arguments that put a layer where this one is, as JSON holds them."""
    arrays = ("scale", "translate", "rotate", "shear")
    return {
        **{name: np.asarray(getattr(layer, name)).tolist() for name in arrays},
        "affine": layer.affine.affine_matrix.tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }


# -- the way back -----------------------------------------------------------------------------


def restored(autosave: autosaving.Autosave, among: Iterable[Layer]) -> Layer:
    """Return the layer of labels that were autosaved, on their image if it is ``among`` those.

    It reads a file: not for the window's thread.

    Raises ReadError where the file is damaged.
    """
    try:
        layer = _layer(autosave, list(among))
        if locked := [int(number) for number in autosave.view.get("locked", ())]:
            layer.metadata[LOCKED] = locked
    except (KeyError, TypeError, ValueError) as error:  # of a note that someone has edited
        if isinstance(error, NapariMonaiError):
            raise
        raise ReadError(f"{autosave.path} is damaged: {one_line(error)}. Delete it.") from error
    return layer


def _layer(autosave: autosaving.Autosave, there: list[Layer]) -> Layer:
    labels = autosave.labels()
    shown_as = autosave.view.get("as")
    for host in _hosts(autosave, there):
        volume = host.volume
        if shown_as == "canvas" and _is_shown_on(host, labels):
            return _as_shown(labels, host)
        if shown_as == "grid" and volume.grid.is_close(labels.grid):
            mine = replace(labels, grid=volume.grid, source=volume.source, meta=volume.meta)
            return Layer.create(*labels_layer(mine, on=host))
    if shown_as == "layer":
        transform = dict(autosave.view["transform"])
        look = class_look(labels.classes)
        return Layer.create(labels.numpy(), {"name": labels.name, **transform, **look}, "labels")
    return Layer.create(*labels_layer(labels, frames=frames_of(there)))


def _hosts(autosave: autosaving.Autosave, layers: Iterable[Layer]) -> list[Placement]:
    """Return the placements of the layers that labels belong to, those of the same file first."""
    places: list[tuple[int, int, Placement]] = []
    for layer in layers:
        place = layer.metadata.get(KEY)
        if isinstance(place, Placement) and place.holds(layer) and place.volume.source is not None:
            rank = autosave.rank(place.volume.source)
            places += [] if rank is None else [(rank, len(places), place)]
    return [place for _rank, _order, place in sorted(places, key=lambda item: item[:2])]


def _is_shown_on(host: Placement, labels: LabelVolume) -> bool:
    frame = host.frame
    return (
        host.is_resampled
        and frame is not None
        and frame.turned_back(host.canvas).is_close(labels.grid)
    )


def _as_shown(labels: LabelVolume, host: Placement) -> Layer:
    """Return labels that were painted on a volume that is resampled to be shown."""
    look = class_look(labels.classes) if labels.kind == "classes" else {}
    metadata = {KEY: replace(host, channel=None, shown=None)}
    settings = {"name": labels.name, "metadata": metadata, **host.transform, **look}
    return Layer.create(labels.numpy(), settings, "labels")
