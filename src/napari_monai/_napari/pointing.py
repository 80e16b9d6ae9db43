"""Selecting labels with the mouse, and drawing an outline straight on the canvas."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from .layer_box import selection_kept
from .layers import MAP_OF
from .seen import to_voxels

if TYPE_CHECKING:
    from .edit_session import EditSession

# Pixels of the canvas that a mouse may move in a click.
_STILL = 4
# Pixels between two corners of an outline.
_APART = 3


class Picker:
    """A click in pan/zoom mode selects the label under the mouse; with Shift it adds or removes it.

    Parameters
    ----------
    session
        Whose labels.
    """

    def __init__(self, session: EditSession) -> None:
        self._session = session
        session.layer.mouse_drag_callbacks.append(self._on_press)
        session.closed.connect(self.close)

    def close(self) -> None:
        """Leave clicks alone."""
        if self._on_press in self._session.layer.mouse_drag_callbacks:
            self._session.layer.mouse_drag_callbacks.remove(self._on_press)

    def pick(self, *, more: bool = False) -> None:
        """Select the label under the mouse pointer."""
        viewer, layer = self._session.viewer, self._session.layer
        shown, direction = list(viewer.dims.displayed), None
        if len(shown) == 3:
            direction = viewer.scene.camera.calculate_nd_view_direction(viewer.dims.ndim, shown)
        value = layer.get_value(
            viewer.cursor.position, view_direction=direction, dims_displayed=shown, world=True
        )
        self._take(value, more)

    def _on_press(self, layer: Any, event: Any) -> Generator[None, None, None]:
        if str(layer.mode) != "pan_zoom" or event.button != 1:
            return
        start, more = np.asarray(event.pos), "Shift" in event.modifiers
        position, direction = event.position, event.view_direction
        shown = event.dims_displayed
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos) - start).max() <= _STILL:
            value = layer.get_value(
                position, view_direction=direction, dims_displayed=shown, world=True
            )
            self._take(value, more)

    def _take(self, value: Any, more: bool) -> None:
        number = 0 if value is None else int(value)
        if not number:
            return  # beside all labels: those that are selected stay
        session = self._session
        if not more:
            session.select((number,))
        elif number in session.selected:
            session.select([v for v in session.selected if v != number])
        else:
            session.select((*session.selected, number))


class Lasso(QObject):
    """One outline drawn on the canvas with the mouse held down, as in 3-D no shapes layer takes it.

    Its corners lie in one plane across the direction of view.

    Parameters
    ----------
    session
        The labels in whose voxels it is given.
    """

    drawn = Signal(object)  # corners in voxels, shape (n, axes)

    def __init__(self, session: EditSession) -> None:
        super().__init__()
        self._session = session
        self._trace: Shapes | None = None
        self._before = True, True
        self.active = False
        session.closed.connect(self.stop)

    def start(self) -> None:
        """Take the next stroke of the mouse for an outline; the camera stays meanwhile.

        The view is from then on without perspective.
        """
        if self.active:
            return
        viewer = self._session.viewer
        self.active = True
        camera = viewer.scene.camera
        self._before = camera.mouse_pan, camera.mouse_zoom  # a brush has them otherwise
        camera.perspective = 0  # lines of sight that meet make another shape of each depth
        camera.mouse_pan = camera.mouse_zoom = False
        viewer.mouse_drag_callbacks.append(self._on_press)

    def stop(self) -> None:
        """Leave the mouse to the camera again."""
        if not self.active:
            return
        viewer = self._session.viewer
        self.active = False
        viewer.mouse_drag_callbacks.remove(self._on_press)
        viewer.scene.camera.mouse_pan, viewer.scene.camera.mouse_zoom = self._before
        trace, self._trace = self._trace, None
        if trace is not None and trace in viewer.layers:
            with selection_kept(viewer):
                viewer.layers.remove(trace)

    def _on_press(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        event.handled = True
        places, pixels = [np.asarray(event.position)], [np.asarray(event.pos)]
        yield
        while event.type == "mouse_move":
            event.handled = True
            if np.abs(np.asarray(event.pos) - pixels[-1]).max() >= _APART:
                places.append(np.asarray(event.position))
                pixels.append(np.asarray(event.pos))
                self._show(np.array(places))
            yield
        self.stop()
        if len(places) >= 3:
            session = self._session
            corners = np.array([to_voxels(session.viewer, session.layer, p) for p in places])
            self.drawn.emit(corners[:, -session.ndim :])

    def _show(self, places: npt.NDArray[Any]) -> None:
        """Show the outline so far."""
        viewer = self._session.viewer
        if len(places) < 2:
            return
        if self._trace is None:
            self._trace = Shapes(
                ndim=places.shape[1],
                name="Lasso",
                edge_color="yellow",
                face_color="transparent",
                blending="translucent_no_depth",
                units=viewer.dims.units,
                metadata={MAP_OF: "lasso"},
            )
            with selection_kept(viewer):
                viewer.add_layer(self._trace)
        self._trace.data = []
        extent = float(np.ptp(places, axis=0).max())
        self._trace.add(places, shape_type="path", edge_width=max(extent / 100, 1e-6))
