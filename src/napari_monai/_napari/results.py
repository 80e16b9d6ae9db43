"""The layers that a run leaves: made in its thread, then put in place of the last ones."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer, Tracks

from ..events import Event, Segmented
from ..grid import Grid
from ..models import ModelDescription
from ..volume import LabelVolume
from .label_colours import classes_of
from .layer_box import add_unselected, selection_kept
from .layers import MAP_OF, labels_layer, map_layers, smallest_type
from .pace import span
from .placement import Placement
from .preview import Preview
from .smooth import remove_layer
from .track_layer import track_layer

if TYPE_CHECKING:
    import napari

KEY = "napari-monai result"

MAP_NAME = "napari-monai map name"

# Where a layer is; how it looks is left as the user has it.
_PLACED = ("axis_labels", "units", "scale", "translate", "rotate", "shear", "affine")

_DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}


@dataclass(frozen=True)
class Result(Event):
    """The end of a segmentation as a layer, with a line on what was found.

    ``maps`` are the layers of probabilities and uncertainty, where they were asked for, and of
    tracks, where objects were linked over time.
    ``edited`` says whether a person has edited the last result, and is ``None`` without one.
    """

    layer: Layer
    summary: str
    maps: Sequence[Layer] = ()
    edited: bool | None = None


@dataclass(frozen=True)
class Mark:
    """Which run made a layer, and the checksum of what it found."""

    image: Hashable
    model: str
    checksum: int


def result_of(
    event: Segmented,
    place: Placement,
    image: Image,
    model: ModelDescription,
    last: Labels | None = None,
) -> Result:
    """Return the layer of a segmentation. It may take a second: not for the window's thread.

    Parameters
    ----------
    event
        What the segmentation ended with.
    place
        Placement of the image that was segmented.
    image, model
        Its layer, and the model.
    last
        The last result of both.
    """
    found = event.labels
    labels = replace(
        found,
        data=smallest_type(found.numpy()),
        name=f"{image.name} ({model.name})",
        source=place.volume.source,
        meta=place.volume.meta,
    )
    data, settings, kind = labels_layer(labels, on=place)
    mark = Mark(image.unique_id, model.name, checksum(data))
    settings["metadata"] = {**settings["metadata"], KEY: mark}
    maps = _maps_of(event, place, image, model)
    if event.tracks:
        name = f"{image.name} tracks ({model.name})"
        placed = {key: settings[key] for key in _PLACED if key in settings}
        tracks = track_layer(data, event.tracks, name=name, placed=placed)
        maps += [] if tracks is None else [_as_map(tracks, image, model)]
    return Result(
        Layer.create(data, settings, kind),
        summary(labels, event.seconds, event.device),
        maps,
        edited=None if last is None else is_edited(last),
    )


def _maps_of(
    event: Segmented, place: Placement, image: Image, model: ModelDescription
) -> list[Layer]:
    """Return the layers of probabilities and uncertainty, which are not shown at first."""
    found: list[Layer] = []
    for volume, colours in ((event.probabilities, "viridis"), (event.uncertainty, "magma")):
        if volume is None:
            continue
        what = "probability" if volume is event.probabilities else volume.name.split()[-1]
        named = replace(volume, name=f"{image.name} {what} ({model.name})")
        look = {"colormap": colours, "visible": False, "blending": "translucent"}
        for data, settings, kind in map_layers(named, on=place, **look):
            found.append(_as_map(Layer.create(data, settings, kind), image, model))
    return found


def _as_map(layer: Layer, image: Image, model: ModelDescription) -> Layer:
    """Mark a layer as one of what a run finds beside the labels, and return it."""
    mark = {MAP_OF: (image.unique_id, model.name), MAP_NAME: layer.name}
    layer.metadata = {**layer.metadata, **mark}
    return layer


def warm_up(model: ModelDescription) -> None:
    """Have napari import and compile what it needs to show the labels of a model.

    The first layers of a session take seconds: here in the thread of a run, not of the window.
    """
    grid = Grid.from_spacing((1, 1))
    for kind in (np.uint8, np.uint16):
        dot = LabelVolume(np.zeros((1, 1), kind), grid, classes=model.labels)
        Layer.create(*labels_layer(dot))
    if model.outputs.kind == "instances":
        Labels(np.zeros((1, 1), np.uint16))
    with suppress(ImportError, AttributeError):
        # Patterns of dashes, for the outline of the polygon tool that each labels layer has.
        importlib.import_module("vispy.visuals.line.dash_atlas").DashAtlas()


def putting(
    viewer: napari.viewer.Viewer,
    result: Result,
    preview: Preview,
    *,
    edited: bool | None,
    select: bool,
) -> Iterator[None]:
    """Show a result, in place of the last one of the same image and model, step by step.

    Each step takes as long as one layer; events may be let in between them. A layer that was
    edited since is not lost: it is kept, hidden and called so.

    Parameters
    ----------
    viewer
        Where it is shown.
    result
        What is shown.
    preview
        The preview, whose layer becomes the result where there is none yet.
    edited
        Whether the last result was edited.
    select
        Whether to select the labels; else what is selected stays so.
    """
    mark = result.layer.metadata[KEY]
    stale = [x for x in viewer.layers if x.metadata.get(MAP_OF) == (mark.image, mark.model)]
    for new in result.maps:
        same = next((x for x in stale if x.metadata[MAP_NAME] == new.metadata[MAP_NAME]), None)
        if same is not None and _renew(same, new):
            stale.remove(same)
        else:
            add_unselected(viewer, new)
        yield
    for layer in stale:
        with selection_kept(viewer):
            remove_layer(viewer, layer)
        yield
    shown = find(viewer, mark.image, mark.model)
    if shown is not None and edited:
        shown.name, shown.visible = f"{shown.name}, edited", False
        del shown.metadata[KEY]
        shown = None
    with selection_kept(viewer):
        if shown is None:
            shown = _become(preview.hand_over(), result.layer)
            shown = shown or add_unselected(viewer, result.layer)
        elif not _renew(shown, result.layer):
            at = viewer.layers.index(shown)
            remove_layer(viewer, shown)
            viewer.layers.insert(at, result.layer)
            shown = result.layer
    if select:
        viewer.layers.selection.active = shown


def _become(preview: Any, new: Labels) -> Any:
    """Turn the layer of the preview into the result and return it, if there is one."""
    if preview is None or not _renew(preview, new):
        return None
    preview.name = new.name
    preview.features, preview.colormap = new.features, new.colormap
    return preview


def _renew(layer: Any, new: Any) -> bool:
    """Have a layer show what a new one would, and look as it does; return whether it can.

    To take layers out and put others in is what the window would stand still for.
    """
    if layer.ndim != new.ndim:
        return False
    for name in _PLACED:
        setattr(layer, name, getattr(new, name))
    layer.data = new.data
    layer.metadata = dict(new.metadata)
    if isinstance(layer, Tracks):
        layer.graph, layer.tail_length = new.graph, new.tail_length
    if isinstance(layer, Labels):
        layer.editable = False  # which forgets what could be undone in the last labels
        layer.editable = True
        if _named(layer) != _named(new):
            layer.features, layer.colormap = new.features, new.colormap
    return True


def _named(layer: Labels) -> list[tuple[int, str]]:
    return [(c.number, c.name) for c in classes_of(layer)]


def find(viewer: napari.viewer.Viewer, image: Hashable, model: str) -> Labels | None:
    """Return the layer that shows the result of a model for the image layer of this id."""
    for layer in viewer.layers:
        mark = layer.metadata.get(KEY)
        if isinstance(mark, Mark) and (mark.image, mark.model) == (image, model):
            return layer
    return None


def is_edited(layer: Labels) -> bool:
    """Whether the labels differ from what the run found."""
    mark = layer.metadata[KEY]
    return bool(checksum(layer.data) != mark.checksum)


def summary(labels: LabelVolume, seconds: float, device: str) -> str:
    """Return such as ``"213 nuclei in 3.2 s on CPU"``, or the names of the classes found."""
    numbers = [_numbers_in(part) for part in _time_points(labels)]
    if labels.kind == "instances":
        count = sum(len(n) for n in numbers)
        noun = labels.classes[0].name if labels.classes else "object"
        what = f"{count} {noun if count == 1 else plural(noun)}"
    else:
        present = set().union(*numbers)
        names = [c.name for c in labels.classes if c.number in present]
        few = ", ".join(names) or "nothing"
        many = f"{len(names)} of {len(labels.classes)} classes"
        what = f"Found {few if len(names) <= 3 else many}"
    return f"{what} in {span(seconds)} on {_DEVICES.get(device.split(':')[0], device)}"


def plural(noun: str) -> str:
    """Return the plural of a name for an object, as English and anatomists' Latin form it."""
    if noun.endswith("us"):
        return f"{noun[:-2]}i"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    return f"{noun}s"


def _time_points(labels: LabelVolume) -> list[npt.NDArray[Any]]:
    return [labels.at_time(t).numpy() for t in range(labels.times)]


def _numbers_in(labels: npt.NDArray[Any]) -> set[int]:
    """Return the numbers in use but 0; plane by plane, since an index takes eight bytes a voxel."""
    seen = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for plane in labels if labels.ndim > 2 else labels[np.newaxis]:
        seen[plane] = True
    return set(np.flatnonzero(seen).tolist()) - {0}


def checksum(labels: npt.NDArray[Any]) -> int:
    """Return a number that other labels are very unlikely to have."""
    return zlib.crc32(np.ascontiguousarray(labels).data)
