"""The outline of a region, drawn over the labels that it is a proposal for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from ..labels.boxes import Box
from .layer_box import selection_kept
from .layers import MAP_OF

if TYPE_CHECKING:
    from .edit_session import EditSession

_NAME = "Proposal"
_COLOUR = "#ffe000"
_WIDTH = 2  # voxels
_MARK = ("napari-monai outline",)
_COPIED = ("scale", "rotate", "shear", "affine", "units", "axis_labels")


class Outline:
    """A small layer with a region in it, put where the region is."""

    def __init__(self, session: EditSession) -> None:
        self._session = session
        self._layer: Any = None
        session.closed.connect(self.hide)

    @property
    def layer(self) -> Any:
        """The layer; ``None`` as long as nothing is shown."""
        return self._layer if self._layer in self._session.viewer.layers else None

    def show(self, box: Box, mask: npt.NDArray[np.bool_]) -> None:
        """Draw the outline of what is true in a box of the labels."""
        session, labels = self._session, self._session.layer
        start = [s.start for s in box]
        data = mask.astype(np.uint8)
        if session.timed:
            start, data = [session.time or 0, *start], data[np.newaxis]
        # A layer's translation comes before its affine.
        there = labels.affine.inverse(np.asarray(labels.data_to_world(start)))
        shown = self.layer
        if shown is not None and shown.data.ndim == data.ndim:
            shown.data, shown.translate = data, there
            return
        self.hide()
        self._layer = Labels(
            data,
            name=_NAME,
            translate=there,
            colormap=DirectLabelColormap(color_dict={0: "transparent", 1: _COLOUR, None: _COLOUR}),
            opacity=1.0,
            metadata={MAP_OF: _MARK},  # which is not offered as labels of the image
            **{name: getattr(labels, name) for name in _COPIED},
        )
        self._layer.contour = _WIDTH
        self._layer.editable = False
        with selection_kept(session.viewer):
            session.viewer.add_layer(self._layer)

    def hide(self) -> None:
        """Take the outline away."""
        shown, self._layer = self.layer, None
        if shown is not None:
            with selection_kept(self._session.viewer):
                self._session.viewer.layers.remove(shown)
