"""Other labels shown for a moment in place of a layer's own, which stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from ..labels.boxes import Box
from .history import History
from .layer_box import selection_kept
from .layers import MAP_OF

if TYPE_CHECKING:
    from .edit_session import EditSession

_LOOK = ("colormap", "opacity", "blending", "rendering", "iso_gradient_mode")
_PLACE = ("scale", "rotate", "shear", "affine", "units", "axis_labels")


class Ghost:
    """Shows labels as they were, or would be, on the slice that is seen, or in 3-D all of them.

    Meanwhile the layer is hidden and cannot be painted on.

    Parameters
    ----------
    session
        The labels.
    name
        What the layer that is shown is called.
    """

    def __init__(self, session: EditSession, name: str) -> None:
        self._session = session
        self._name = name
        self._layer: Labels | None = None
        self._mode = "pan_zoom"
        self._was_visible = True
        self._labels: Callable[[Box], npt.NDArray[Any]] | None = None
        session.viewer.dims.events.connect(self._on_dims)
        session.viewer.layers.events.removed.connect(self._on_removed)
        session.closed.connect(self.close)

    @property
    def shown(self) -> bool:
        """Whether it is shown."""
        return self._layer is not None

    def show(self, labels: Callable[[Box], npt.NDArray[Any]]) -> None:
        """Show labels, which a function gives for a box of the spatial axes."""
        session = self._session
        if not self.shown:
            self._mode, self._was_visible = session.layer.mode, session.layer.visible
        self._labels = labels
        box = session.seen_box
        ghost = self._made(box, labels(box))
        with selection_kept(session.viewer):
            self._remove()
            session.viewer.layers.insert(session.viewer.layers.index(session.layer) + 1, ghost)
        self._layer = ghost
        session.layer.mode = "pan_zoom"
        session.layer.visible = False

    def hide(self) -> None:
        """Show the layer itself again."""
        if not self.shown:
            return
        self._labels = None
        with selection_kept(self._session.viewer):
            self._remove()
        self._session.layer.visible = self._was_visible
        self._session.layer.mode = self._mode

    def close(self) -> None:
        """Hide, for good."""
        self._session.viewer.dims.events.disconnect(self._on_dims)
        self._session.viewer.layers.events.removed.disconnect(self._on_removed)
        self.hide()

    def _remove(self) -> None:
        ghost, self._layer = self._layer, None
        if ghost is not None and ghost in self._session.viewer.layers:
            self._session.viewer.layers.remove(ghost)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:  # by the user
            self.hide()

    def _made(self, box: Box, crop: npt.NDArray[Any]) -> Labels:
        layer, timed = self._session.layer, self._session.timed
        start = np.array([*([self._session.time] * timed), *(s.start for s in box)], np.float64)
        matrix = np.linalg.inv(np.asarray(layer.affine.affine_matrix))
        place = matrix @ [*layer.data_to_world(start), 1.0]
        ghost = Labels(
            np.ascontiguousarray(crop)[(None,) * timed],
            name=self._name,
            translate=place[:-1],
            metadata={MAP_OF: layer.unique_id},
            **{name: getattr(layer, name) for name in (*_LOOK, *_PLACE)},
        )
        ghost.contour = layer.contour
        return ghost

    def _on_dims(self, event: Any) -> None:
        if self._labels is not None and event.type in ("current_step", "order", "ndisplay"):
            self.show(self._labels)


class BeforeAfter:
    """Shows the labels as they were before the last edit, or before all edits.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession) -> None:
        self._session = session
        self._ghost = Ghost(session, f"{session.layer.name} before")
        self._start = len(History(session.layer).done)

    @property
    def shown(self) -> bool:
        """Whether what was before is shown."""
        return self._ghost.shown

    def show(self, *, all_edits: bool = False) -> bool:
        """Show what was before, and say whether there is anything to show."""
        session = self._session
        entries = list(History(session.layer).done)
        entries = entries[min(self._start, len(entries)) :] if all_edits else entries[-1:]
        if not entries:
            return False
        self._ghost.show(lambda box: session.past(entries, box))
        return True

    def hide(self) -> None:
        """Show what is."""
        self._ghost.hide()
