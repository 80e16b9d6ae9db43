"""What is chosen among measured objects, and its link with the layer that they are in."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..labels.boxes import Box
from ..labels.table import Ints
from .edit_arrays import at_time
from .fly import fly_to, slice_of
from .layer_box import disconnector, selection_kept
from .layers import MAP_OF
from .measure_lookup import Looked, Lookup
from .measure_rows import Rows
from .seen import plane_seen, slider_voxel, to_voxels

if TYPE_CHECKING:
    import napari

_NAME = "Selected"
#: Of what is chosen, in the layer and in plots: far from the colours of labels and of scales.
CHOSEN_COLOUR = "#ff2fb3"
_WIDTH = 2  # voxels of an outline
_COPIED = ("scale", "rotate", "shear", "affine", "units", "axis_labels")
# Pixels of the canvas that a mouse may move in a click.
_STILL = 4


class Chosen(QObject):
    """The keys of the objects that are chosen, wherever a person chooses them."""

    changed = Signal(object)  # who chose

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.keys: Ints = np.zeros(0, np.int64)

    def choose(self, keys: npt.ArrayLike, by: object) -> None:
        """Choose these, the first of which is gone to where there is a place to go."""
        wanted = np.asarray(keys, np.int64)
        if not np.array_equal(wanted, self.keys):
            self.keys = wanted
            self.changed.emit(by)


class Highlight:
    """A layer with the outlines of what is chosen, over the labels.

    Parameters
    ----------
    viewer, layer
        Where it is shown, and over what.
    rows
        Where in it objects lie.
    """

    def __init__(self, viewer: napari.viewer.Viewer, layer: Labels, rows: Rows) -> None:
        self._viewer, self._labels, self._rows = viewer, layer, rows
        self._layer: Any = None

    @property
    def layer(self) -> Any:
        """The layer; ``None`` as long as nothing was shown."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(self, at: Ints) -> None:
        """Show the objects of rows, and no others."""
        if not len(at):
            if self.layer is not None:
                self.layer.visible = False
            return
        rows, labels = self._rows, self._labels
        box = rows.box(at)
        data = looked(rows, at, 1, box, outline=_WIDTH)
        start = [0] * (rows.time is not None) + [s.start for s in box]
        # A layer's translation comes before its affine.
        there = labels.affine.inverse(np.asarray(labels.data_to_world(start)))
        shown = self.layer
        if shown is not None:
            shown.data, shown.translate, shown.visible = data, there, True
            return
        self._layer = Labels(
            data,
            name=_NAME,
            translate=there,
            colormap=DirectLabelColormap(
                color_dict={0: "transparent", 1: CHOSEN_COLOUR, None: CHOSEN_COLOUR}
            ),
            opacity=1.0,
            blending="translucent_no_depth",
            metadata={MAP_OF: ("napari-monai measured",)},  # which is not offered as labels
            **{name: getattr(labels, name) for name in _COPIED},
        )
        self._layer.editable = False
        with selection_kept(self._viewer):
            self._viewer.add_layer(self._layer)

    def hide(self) -> None:
        """Take the layer away."""
        shown, self._layer = self.layer, None
        if shown is not None:
            with selection_kept(self._viewer):
                self._viewer.layers.remove(shown)


def looked(
    rows: Rows, at: Ints, levels: Any, box: Box | None = None, *, outline: int = 0
) -> Looked:
    """Return levels of some rows as an array on the layer's voxels, or on those of a box."""
    levels = np.broadcast_to(np.asarray(levels, np.uint8), at.shape)
    if rows.time is None:
        return Looked(rows.numbers, Lookup(rows.number[at], levels, outline), box)
    times = rows.time[at]
    lookups = {
        int(t): Lookup(rows.number[at[times == t]], levels[times == t], outline)
        for t in np.unique(times)
    }
    return Looked(rows.numbers, lookups, box)


class LayerLink(QObject):
    """Shows in a layer what is chosen, and chooses what is clicked there.

    Parameters
    ----------
    viewer, layer
        Of what was measured.
    rows
        Where in the layer objects lie.
    chosen
        What is chosen.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, layer: Labels, rows: Rows, chosen: Chosen
    ) -> None:
        super().__init__(chosen)
        self.viewer, self.layer, self.rows = viewer, layer, rows
        self.listening = True  # to clicks
        self._chosen = chosen
        self.highlight = Highlight(viewer, layer, rows)
        self._following = False
        self._closed = False
        viewer.mouse_drag_callbacks.append(self._on_press)
        layer.events.selected_label.connect(self._on_selected)
        follow = ((layer.events.selected_label, self._on_selected),)
        self.destroyed.connect(disconnector(follow))
        chosen.changed.connect(self._show)

    def close(self) -> None:
        """Leave the layer, and clicks, alone."""
        if self._closed:
            return
        self._closed = True
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)
        self.layer.events.selected_label.disconnect(self._on_selected)
        self._chosen.changed.disconnect(self._show)
        self.highlight.hide()
        self.deleteLater()

    # -- shown --------------------------------------------------------------------------------

    @property
    def time(self) -> int | None:
        """The time point that is seen; ``None`` without a time axis."""
        if self.rows.time is None:
            return None
        at = slider_voxel(self.viewer, self.layer)[0]
        return min(max(at, 0), int(self.rows.numbers.shape[0]) - 1)

    @property
    def plane(self) -> tuple[int, int] | None:
        """The spatial axis and index of the slice that is seen."""
        first = int(self.rows.time is not None)
        return plane_seen(self.viewer, self.layer, self.rows.numbers.shape[first:])

    def crop(self, box: Box) -> npt.NDArray[Any]:
        """Return the numbers in a box, at the time point that is seen."""
        return np.asarray(at_time(self.rows.numbers, self.time)[box])

    def _show(self, _by: object = None) -> None:
        self.highlight.show(self.rows.find(self._chosen.keys))

    def go(self, key: int) -> None:
        """Fly to an object, and have the layer's own tools take its number."""
        rows = self.rows
        found = rows.find([key])
        if not len(found) or self.layer not in self.viewer.layers:
            return
        row = int(found[0])
        self._following = True
        self.layer.selected_label = int(rows.label[row])
        self._following = False
        box, at = rows.box(found), tuple(rows.centroid[row].tolist())
        if rows.time is not None:
            fly_to(self.viewer, self.layer, (float(rows.time[row]), *at))
        at = slice_of(self, int(rows.number[row]), at, box)
        fly_to(self.viewer, self.layer, at, box)

    # -- clicked ------------------------------------------------------------------------------

    def _on_selected(self, _event: object = None) -> None:
        """Follow the layer's own picker, and other widgets."""
        if not self._following and self.listening:
            keys = self.rows.keys_of_label(int(self.layer.selected_label), self.time)
            if len(keys) and not len(np.intersect1d(keys, self._chosen.keys)):
                self._chosen.choose(keys, self)

    def _on_press(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        active = self.viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        if not self.listening or event.button != 1 or event.handled or mode != "pan_zoom":
            return
        start, more = np.asarray(event.pos), {"Shift", "Control"} & set(event.modifiers)
        position, direction = event.position, event.view_direction
        shown = event.dims_displayed
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos) - start).max() > _STILL or not self.layer.visible:
            return
        keys = self._under(position, direction, shown)
        if len(keys):
            self._take(keys, bool(more))

    def _under(self, position: Any, direction: Any, shown: Any) -> Ints:
        """Return the keys of what is at a place of the canvas; none beside all objects."""
        value = self.layer.get_value(
            position, view_direction=direction, dims_displayed=list(shown), world=True
        )
        value = value[1] if isinstance(value, tuple) else value  # after its level of resolution
        if not value:
            return np.zeros(0, np.int64)
        if self.rows.of_pieces and len(shown) == 2:
            voxel = np.round(to_voxels(self.viewer, self.layer, position)).astype(int)
            piece = int(np.asarray(self.rows.numbers[tuple(slice(v, v + 1) for v in voxel)]).item())
            key = self.rows.key_of(piece, self.time)
            return np.array([] if key is None else [key], np.int64)
        return self.rows.keys_of_label(int(value), self.time)

    def _take(self, keys: Ints, more: bool) -> None:
        before = self._chosen.keys
        if more and len(np.intersect1d(keys, before)):
            keys = np.setdiff1d(before, keys)
        elif more:
            keys = np.concatenate([before, keys])
        self._chosen.choose(keys, self)
        if len(keys) and not more:
            row = self.rows.find(keys[:1])
            self._following = True
            self.layer.selected_label = int(self.rows.label[row[0]])
            self._following = False
