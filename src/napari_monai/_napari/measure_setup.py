"""What to measure, and how: the part of the Measure widget that is filled in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..errors import NapariMonaiError, SettingsError
from ..labels.settings_measure import MeasureSettings
from ..volume import LabelKind
from .forms import SettingsForm
from .label_colours import classes_of
from .layer_box import disconnector
from .layer_choice import LayerChoice
from .layers import MAP_OF, placement_of
from .measure_steps import Wanted
from .parts import form_rows, line

if TYPE_CHECKING:
    import napari

_KINDS: dict[str, tuple[LabelKind | None, str]] = {
    "Auto": (None, "As the labels say, or else by what they look like"),
    "Objects": ("instances", "Each number is an object"),
    "Classes": ("classes", "Each number is a class, such as an organ"),
}
_MOST_ROWS = 4  # of the list of images that are in sight at once
_NAMED = 3  # classes


class MeasureSetup(QWidget):
    """The labels, the images that are measured in them, and which columns there are to be."""

    chosen = Signal()  # other labels

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer = LayerChoice(viewer, Labels, nothing="Open labels first", parent=self)
        self.space = line()
        self.kind = QComboBox()
        for text, (_, meaning) in _KINDS.items():
            self.kind.addItem(text)
            self.kind.setItemData(self.kind.count() - 1, meaning, Qt.ItemDataRole.ToolTipRole)
        self.kind.setToolTip("What the numbers are")
        self.images = ImageList(viewer, self)
        self.form = SettingsForm(MeasureSettings, skip=("percentiles",))
        near = self.form.fields["within"].widget.native
        near.setSpecialValueText("none")  # nothing works it out, as "auto" would say
        self.percentiles = QLineEdit()
        self.percentiles.setPlaceholderText("none; such as 5, 50, 95")
        self.percentiles.setToolTip(
            next(o.help for o in MeasureSettings.options() if o.name == "percentiles")
        )
        self.unit = QLineEdit()
        self.unit.setPlaceholderText("auto: HU of CT")
        self.unit.setToolTip("Unit of the intensities, for the header of the table")
        self._lay_out()
        self.layer.chosen.connect(self._on_layer)
        self.layer.choose(viewer.layers.selection.active)
        self._on_layer()

    def _lay_out(self) -> None:
        rows = form_rows()
        rows.addRow("Labels", self.layer)
        rows.addRow("", self.space)
        rows.addRow("They are", self.kind)
        rows.addRow("Images", self.images)
        below = form_rows()
        below.addRow("Percentiles", self.percentiles)
        below.addRow("Intensities in", self.unit)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(rows)
        layout.addWidget(self.form)
        layout.addLayout(below)
        labels = [*self._labels(rows), *self._labels(below), *self.form.findChildren(QLabel)]
        width = max(label.sizeHint().width() for label in labels)
        for label in labels:  # three forms, one column of fields
            label.setMinimumWidth(width)

    @staticmethod
    def _labels(rows: QFormLayout) -> list[QLabel]:
        items = (rows.itemAt(at, QFormLayout.ItemRole.LabelRole) for at in range(rows.rowCount()))
        found = (item.widget() for item in items if item is not None)
        return [widget for widget in found if isinstance(widget, QLabel)]

    # -- what is asked for --------------------------------------------------------------------

    def settings(self) -> MeasureSettings:
        """Return the settings; raises SettingsError with the cure for what does not fit."""
        return replace(self.form.value(), percentiles=_percentiles(self.percentiles.text()))

    @property
    def chosen_kind(self) -> LabelKind | None:
        """What the numbers are; ``None`` where that is to be found out."""
        return _KINDS[self.kind.currentText()][0]

    def wanted(self) -> Wanted | None:
        """Return what is to be measured; raises NapariMonaiError with what stands against it."""
        layer = self.layer.layer
        if layer is None:
            return None
        return Wanted.of(
            layer,
            self.images.checked,
            self._viewer.layers,
            self.chosen_kind,
            self.settings(),
            self.unit.text().strip() or None,
        )

    def _on_layer(self) -> None:
        layer = self.layer.layer
        self.images.show_for(layer)
        self.space.setText("" if layer is None else self._about(layer))
        self.space.setVisible(layer is not None)
        self.chosen.emit()

    def _about(self, layer: Labels) -> str:
        """Return the size of a voxel and the names of the classes, in a line."""
        try:
            grid = placement_of(layer, self._viewer.layers).canvas
        except NapariMonaiError as error:
            return str(error)
        size = " × ".join(f"{s:.4g}" for s in grid.spacing)
        parts = ["Voxel size not known: lengths in pixels"]
        if grid.unit != "pixel":
            parts = [f"Voxels of {size} {grid.unit}"]
        names = [c.name for c in classes_of(layer)]
        if names:
            more = ", …" if len(names) > _NAMED else ""
            count = f"{len(names)} class{'es' * (len(names) != 1)}"
            parts.append(f"{count}: {', '.join(names[:_NAMED])}{more}")
        return "; ".join(parts)


class ImageList(QListWidget):
    """The image layers on the voxels of labels, each of which is measured if it has its tick.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._labels: Labels | None = None
        self._layers: list[Any] = []
        self._left_out: set[str] = set()
        self.setToolTip("Whose intensities are measured: each image that has its tick")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        events = viewer.layers.events
        emitters = (events.inserted, events.removed, events.reordered, events.renamed)
        follow = tuple((emitter, self.refill) for emitter in emitters)
        for emitter, slot in follow:
            emitter.connect(slot)
        # The viewer outlives this list, and must not call it when it is gone.
        self.destroyed.connect(disconnector(follow))
        self.itemChanged.connect(self._on_tick)
        self.refill()

    @property
    def checked(self) -> tuple[Any, ...]:
        """The layers that have their tick, in the order of the viewer."""
        return tuple(x for x in reversed(self._layers) if x.unique_id not in self._left_out)

    def show_for(self, labels: Labels | None) -> None:
        """Offer the images on the voxels of a layer."""
        self._labels = labels
        self.refill()

    def refill(self, _event: object = None) -> None:
        """List the layers there are; each has a tick until a person takes it away."""
        self._layers = [x for x in reversed(self._viewer.layers) if self._fits(x)]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            item = QListWidgetItem(layer.name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            ticked = layer.unique_id not in self._left_out
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.addItem(item)
        if not self._layers:
            item = QListWidgetItem("none on the voxels of the labels")
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.addItem(item)
        self.blockSignals(False)
        self.setFixedHeight(self.sizeHint().height())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size that shows a few rows."""
        rows = min(self.count(), _MOST_ROWS)
        height = max(self.sizeHintForRow(0), 16) * rows + 2 * self.frameWidth() + 4
        return QSize(120, height)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a width that a narrow dock has."""
        return QSize(80, self.sizeHint().height())

    def _fits(self, layer: Any) -> bool:
        if not isinstance(layer, Image) or MAP_OF in layer.metadata or self._labels is None:
            return False
        try:
            ours = placement_of(self._labels, self._viewer.layers).canvas
            return placement_of(layer).canvas.shape == ours.shape
        except NapariMonaiError:
            return False

    def _on_tick(self, item: QListWidgetItem) -> None:
        layer = self._layers[self.row(item)]
        if item.checkState() == Qt.CheckState.Checked:
            self._left_out.discard(layer.unique_id)
        else:
            self._left_out.add(layer.unique_id)


def _percentiles(text: str) -> tuple[int, ...] | None:
    words = [w for w in re.split(r"[\s,;%]+", text.strip()) if w]
    try:
        return tuple(int(w) for w in words) or None
    except ValueError:
        raise SettingsError(
            f"Percentiles are whole numbers from 0 to 100, such as 5, 50, 95, not {text!r}."
        ) from None
