"""A labels layer that grows while a segmentation runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from ..events import WindowDone
from ..models import ModelDescription
from ..volume import LabelVolume
from .layer_box import add_unselected, selection_kept
from .layers import labels_layer
from .placement import Placement
from .smooth import remove_layer

if TYPE_CHECKING:
    import napari

# Milliseconds between two redraws at least, in 2-D and in 3-D, where one takes up to a second.
_FLAT, _SOLID = 100, 1000
# A redraw may take up this part of the time.
_SHARE = 0.2


class Preview(QObject):
    """What is known of the labels so far, over the image; goes when the work ends.

    Parameters
    ----------
    viewer
        Where it is shown.
    place
        Placement of the image.
    model
        Whose classes the numbers are. Of instances, one colour: they are told apart at the end.
    parent
        The widget that it ends with.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        place: Placement,
        model: ModelDescription,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        volume = place.volume
        most = max((label.number for label in model.labels), default=1)
        timed = "t" in volume.leading
        shape = volume.data.shape[:1] * timed + volume.grid.shape
        # Small numbers: 3-D textures of 8 bits are drawn ten times as fast as of 32.
        self._labels = np.zeros(shape, np.uint8 if most < 256 else np.uint16)
        self._volume = LabelVolume(
            self._labels,
            volume.grid,
            leading="t" * timed,
            name="Preview",
            classes=model.labels,
            time_step=volume.time_step,
        )
        self._place = place
        self._layer: Any = None
        self._closed = False
        self._is_new = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)
        self._pause = _FLAT

    def take(self, event: WindowDone) -> None:
        """Take over a finished part; from any thread."""
        if event.region is not None and event.labels is not None:
            self._labels[event.region] = event.labels
            self._is_new = True

    def show_soon(self) -> None:
        """Show what was taken over, not too often."""
        if self._is_new and not self._closed and not self._timer.isActive():
            self._is_new = False
            self._timer.start(self._pause)

    def hand_over(self) -> Any:
        """Give the layer away, and show nothing more in it; ``None`` where there is none."""
        self._closed = True
        self._timer.stop()
        layer, self._layer = self._layer, None
        return layer if layer in self._viewer.layers else None

    def close(self) -> None:
        """Take the layer away."""
        self._closed = True
        self._timer.stop()
        self.deleteLater()
        layer, self._layer = self._layer, None
        if layer in self._viewer.layers:
            with selection_kept(self._viewer):
                remove_layer(self._viewer, layer)

    def _draw(self) -> None:
        began = time.monotonic()
        if self._layer is None:
            self._layer = self._add()
        elif self._layer not in self._viewer.layers:
            self._closed = True  # the user has had enough of it
        else:
            self._layer.refresh(extent=False, thumbnail=False)
        took = 1000 * (time.monotonic() - began)
        least = _SOLID if self._viewer.dims.ndisplay == 3 else _FLAT
        self._pause = max(least, round(took / _SHARE))

    def _add(self) -> Any:
        """Add the layer, over the array that is still being filled."""
        data, settings, kind = labels_layer(self._volume, on=self._place, live=True)
        layer = Layer.create(data, {**settings, "metadata": {}}, kind)
        layer.editable = False
        return add_unselected(self._viewer, layer)
