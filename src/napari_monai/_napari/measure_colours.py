"""Layers made of what was measured: objects coloured by a value, and those that are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from ..events import Event, Started
from ..labels.columns import Column
from .arrays import finest
from .columns import number_text
from .jobs import Steps
from .layer_box import add_unselected, selection_kept
from .layers import MAP_OF, described, labels_layer
from .measure_link import looked
from .measure_rows import Rows
from .placement import Placement

if TYPE_CHECKING:
    import napari

_COLOURS = "viridis"
_LEVELS = 255
# The colours reach from one to the other percentile: a few that are far off would hide the rest.
_ENDS = (1, 99)
_COPIED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


@dataclass(frozen=True)
class Scale:
    """What colours mean: a column, and its values at both ends."""

    title: str
    low: float
    high: float

    @property
    def ends(self) -> tuple[str, str]:
        """The values at both ends in words."""
        return number_text(self.low), number_text(self.high)


def colour(
    viewer: napari.viewer.Viewer, layer: Labels, rows: Rows, column: Column
) -> tuple[Labels, Scale]:
    """Show the objects of a layer in colours by a column, in a layer over it.

    The layer of an earlier column is used again. Nothing is read but what is seen.
    """
    values = column.values.astype(np.float64)
    known = np.isfinite(values)
    ends = np.percentile(values[known], _ENDS) if known.any() else (0.0, 1.0)
    low, high = float(ends[0]), float(ends[1])
    if low == high:
        low, high = low - 0.5, high + 0.5
    part = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    levels = np.where(known, 1 + np.round(part * (_LEVELS - 1)), 0).astype(np.uint8)
    data = looked(rows, np.arange(len(rows)), levels)
    steps = low + np.arange(_LEVELS) / (_LEVELS - 1) * (high - low)
    features: dict[str, Any] = {
        "index": np.arange(1, _LEVELS + 1),
        column.name: [f"about {number_text(v, 3)} {column.unit}".strip() for v in steps],
    }
    mark = ("napari-monai measured", layer.unique_id)
    name = f"{layer.name}: {column.title}"
    shown: Any = next((x for x in viewer.layers if x.metadata.get(MAP_OF) == mark), None)
    if shown is not None:
        shown.data, shown.features, shown.name, shown.visible = data, features, name, True
        return shown, Scale(column.title, low, high)
    table: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    table |= dict(enumerate(ensure_colormap(_COLOURS).map(np.linspace(0, 1, _LEVELS)), start=1))
    made = Labels(
        data,
        name=name,
        colormap=DirectLabelColormap(color_dict=table),
        opacity=1.0,
        features=features,
        metadata={MAP_OF: mark},  # which is not offered as labels
        **{field: getattr(layer, field) for field in _COPIED},
    )
    made.editable = False
    with selection_kept(viewer):
        at = viewer.layers.index(layer)
        viewer.layers.insert(at + 1, made)
    return made, Scale(column.title, low, high)


def uncolour(viewer: napari.viewer.Viewer, layer: Labels) -> None:
    """Take the colours over a layer away."""
    mark = ("napari-monai measured", layer.unique_id)
    for shown in [x for x in viewer.layers if x.metadata.get(MAP_OF) == mark]:
        with selection_kept(viewer):
            viewer.layers.remove(shown)


class ColourBar(QWidget):
    """A strip of the colours with the values at its ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale: Scale | None = None
        self.hide()

    def show_scale(self, scale: Scale | None) -> None:
        """Show what the colours mean; nothing hides the strip."""
        self._scale = scale
        self.setVisible(scale is not None)
        self.setToolTip("" if scale is None else f"Colours of {scale.title}; all beyond the ends"
                        " has the colour of the end")  # fmt: skip
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size of a line of text."""
        return QSize(120, self.fontMetrics().height() + 4)

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the strip between its ends."""
        if self._scale is None:
            return
        painter, metrics = QPainter(self), self.fontMetrics()
        low, high = self._scale.ends
        left, right = metrics.horizontalAdvance(low) + 6, metrics.horizontalAdvance(high) + 6
        area = QRectF(left, 4, max(self.width() - left - right, 10), self.height() - 8)
        gradient = QLinearGradient(area.topLeft(), area.topRight())
        for at, colour in zip(
            np.linspace(0, 1, 9), ensure_colormap(_COLOURS).map(np.linspace(0, 1, 9)), strict=True
        ):
            gradient.setColorAt(float(at), QColor.fromRgbF(*(float(c) for c in colour[:3])))
        painter.fillRect(area, gradient)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(self.palette().windowText().color())
        painter.drawText(self.rect(), int(middle | Qt.AlignmentFlag.AlignLeft), low)
        painter.drawText(self.rect(), int(middle | Qt.AlignmentFlag.AlignRight), high)
        painter.end()


# -- those that are chosen ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kept(Event):
    """A layer that holds some objects only, not shown yet."""

    layer: Layer


def keep_steps(layer: Labels, place: Placement, rows: Rows, at: Any) -> Steps:
    """Make a layer of some rows, with the numbers that they have in their layer."""
    yield Started(0, "")
    mask = looked(rows, at, 1)
    labels = finest(layer)
    data = np.zeros(mask.shape, labels.dtype)
    for plane in range(len(data)):
        hit = np.asarray(mask[plane])
        if hit.any():
            data[plane] = np.where(hit, np.asarray(labels[plane]), 0)
    native = place.native_labels(data) if place.leaning is not None else place.native(data)
    kept = described(layer, place, native)
    made, settings, kind = labels_layer(kept, on=place)
    settings["name"] = f"{layer.name}: {len(at)} chosen"
    yield Kept(Layer.create(made, settings, kind))


def put(viewer: napari.viewer.Viewer, layer: Layer) -> None:
    """Show a layer that was made, with what was selected as it was."""
    add_unselected(viewer, layer)
