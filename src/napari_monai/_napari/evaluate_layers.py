"""A case on the canvas: its image, both sides, and over them what is right and wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer

from ..volume import LabelVolume
from .evaluate_steps import Shown
from .fly import fly_to
from .layer_box import add_unselected
from .layers import MAP_OF, LayerData, image_layers, labels_layer
from .placement import KEY, Frame, Placement, frames_of
from .results import checksum
from .seen import displayed_axes
from .smooth import remove_layer

if TYPE_CHECKING:
    import napari

    from ..evaluation import Mistake

_OPACITY = 0.7
_MARK = "evaluation"
# What is kept of a layer that another takes the place of.
_LOOK = ("visible", "opacity", "blending")


class CaseLayers:
    """The layers of the case that is looked at; those of the one before go.

    Parameters
    ----------
    viewer
        Where they are shown.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, list[Layer]] = {}
        self._sums: dict[Layer, int] = {}  # of labels that a person may change
        self.difference: Labels | None = None
        self._covered: list[Labels] = []  # layers that are hidden below the difference

    def show(self, shown: Shown, place: Placement | None, *, visible: bool) -> None:
        """Show a case.

        Parameters
        ----------
        shown
            The case.
        place
            Where its truth lies, if that is a layer: only the difference is added then.
        visible
            Whether the difference is seen.
        """
        roles: dict[str, list[LayerData]] = {}
        frames = list(frames_of(self._of_others()))
        if place is None:
            opened = shown.opened
            if opened.image is not None:
                roles["image"] = image_layers(opened.image, frames=frames)
                frames += _frames_in(roles["image"])
            for role, labels in (("truth", opened.truth), ("prediction", opened.prediction)):
                assert isinstance(labels, LabelVolume)  # of a file that was read as such
                named = replace(labels, name=f"{labels.name} ({role})")
                roles[role] = [labels_layer(named, frames=frames)]
                frames += _frames_in(roles[role])
            place = roles["truth"][0][1]["metadata"][KEY]
        on = place if place.volume.grid == shown.difference.grid else None
        roles["difference"] = [labels_layer(shown.difference, on=on, frames=frames)]
        for role, found in roles.items():
            self._put(role, [Layer.create(*data) for data in found], visible=visible)
        self._to_time(shown.opened.time)
        selection = self._viewer.layers.selection
        if not selection and self.difference is not None:
            selection.active = self.difference

    def _of_others(self) -> list[Layer]:
        own = {layer for layers in self._layers.values() for layer in layers}
        return [layer for layer in self._viewer.layers if layer not in own]

    def _put(self, role: str, layers: list[Layer], *, visible: bool) -> None:
        """Have these layers in place of those of the case before, and look as they did."""
        before = self._layers.pop(role, [])
        looks = [{name: getattr(layer, name) for name in _LOOK} for layer in before]
        for layer in before:
            self._remove(layer)
        for at, layer in enumerate(layers):
            if role == "difference":
                layer.opacity = _OPACITY
            elif role in ("truth", "prediction"):
                layer.visible = False  # the difference says all
            if at < len(looks) and role != "image":
                for name, value in looks[at].items():
                    setattr(layer, name, value)
            if role == "difference":
                assert isinstance(layer, Labels)
                layer.metadata[MAP_OF] = _MARK
                layer.editable = False
                layer.visible = visible
                self.difference = layer
            elif isinstance(layer, Labels):
                self._sums[layer] = checksum(np.asarray(layer.data))
            add_unselected(self._viewer, layer)
        self._layers[role] = layers

    def cover(self, labels: Iterable[Labels]) -> None:
        """Hide the labels that the difference was made of: they would change its colours."""
        self.uncover()
        self._covered = [layer for layer in labels if layer.visible]
        for layer in self._covered:
            layer.visible = False

    def uncover(self) -> None:
        """Show the labels again that were hidden."""
        for layer in self._covered:
            if layer in self._viewer.layers:
                layer.visible = True
        self._covered = []

    def _remove(self, layer: Layer) -> None:
        """Take a layer out, unless a person has painted on it or has done so before."""
        known = self._sums.pop(layer, None)
        painted = known is not None and checksum(np.asarray(layer.data)) != known
        if layer in self._viewer.layers and not painted:
            remove_layer(self._viewer, layer)

    def clear(self, *, keep: Collection[Layer]) -> None:
        """Take the layers of the case out, but for some."""
        for layers in self._layers.values():
            for layer in layers:
                if layer not in keep:
                    self._remove(layer)
        self._layers, self.difference = {}, None

    # -- going there --------------------------------------------------------------------------

    def _to_time(self, time: int) -> None:
        layer = self.difference
        place = None if layer is None else layer.metadata[KEY]
        if layer is not None and place is not None and "t" in place.volume.leading:
            axis = self._viewer.dims.ndim - layer.ndim
            world = layer.data_to_world((time, *(0,) * (layer.ndim - 1)))[0]
            self._viewer.dims.set_point(axis, float(world))

    def go(self, mistake: Mistake, time: int) -> None:
        """Fly to an object of the case."""
        layer = self.difference
        if layer is None or layer not in self._viewer.layers:
            return
        place: Placement = layer.metadata[KEY]
        corners = [[getattr(s, end) for s in mistake.box] for end in ("start", "stop")]
        low, high = _on_canvas(place, np.array([corners[0], np.array(corners[1]) - 1]))
        at = _on_canvas(place, np.array([mistake.at]))[0]
        low, high = np.minimum(low, high), np.maximum(low, high)
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
        timed = "t" in place.volume.leading
        fly_to(self._viewer, layer, [*[time] * timed, *at.tolist()], box)

    def go_to_errors(self, shown: Shown) -> None:
        """Show the slice on which most is wrong, if the case has slices."""
        layer = self.difference
        if layer is None or self._viewer.dims.ndisplay != 2:
            return
        place: Placement = layer.metadata[KEY]
        data = np.asarray(layer.data)
        moment = data[shown.opened.time] if "t" in place.volume.leading else data
        lead = layer.ndim - moment.ndim
        drawn = displayed_axes(self._viewer, layer)
        axis = next((a for a in range(moment.ndim) if a + lead not in drawn), None)
        if axis is None or moment.ndim != 3:
            return
        wrong = np.count_nonzero(moment > 1, axis=tuple(a for a in range(3) if a != axis))
        if wrong.any():
            corner = np.zeros(layer.ndim)
            corner[axis + lead] = int(wrong.argmax())
            world = layer.data_to_world(corner)[axis + lead]
            missing = self._viewer.dims.ndim - layer.ndim
            self._viewer.dims.set_point(axis + lead + missing, float(world))


def _frames_in(found: list[LayerData]) -> list[Frame]:
    frames = [settings["metadata"][KEY].frame for _, settings, _ in found]
    return [frame for frame in frames if frame is not None]


def _on_canvas(place: Placement, voxels: Any) -> Any:
    """Return voxels of the volume as voxels of what is shown, rounded."""
    grid = place.volume.grid
    turned = place.leaning
    if turned is None:
        turned = grid if place.frame is None else place.frame.turned(grid)
    found = place.canvas.world_to_index(turned.index_to_world(voxels))
    return np.clip(np.rint(found), 0, np.array(place.canvas.shape) - 1).astype(int)
