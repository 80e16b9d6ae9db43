"""Rows that say which image layer is which channel of a model that takes several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from .choices import Choice

if TYPE_CHECKING:
    from napari.layers import Image


class ChannelRows(QWidget):
    """One list of image layers a channel, as long as a choice joins layers; hidden else.

    Each layer is one channel: two that are asked to be the same one change places.
    """

    changed = Signal()  # another layer is a channel

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.boxes: list[QComboBox] = []
        self._offered: tuple[Image, ...] = ()
        self._at: list[int] = []
        self._built: tuple[str, ...] = ()
        self._key: tuple[str, ...] = ()
        self._by_hand: dict[tuple[str, ...], list[str]] = {}
        self._form = QFormLayout(self)
        self._form.setContentsMargins(12, 0, 0, 0)  # they belong to the row above
        self._form.setVerticalSpacing(4)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.hide()

    @property
    def layers(self) -> tuple[Image, ...]:
        """The layers in the order of the channels; none where nothing is joined."""
        return tuple(self._offered[at] for at in self._at)

    def show_choice(self, choice: Choice | None, image: Image | None) -> None:
        """Show the channels of a choice for the chosen image, as far as it joins layers.

        What was changed by hand for both stays as it is while these layers are there.
        """
        self._offered = () if choice is None else choice.offered
        if choice is None or image is None or not choice.layers:
            self._at = []
            self.hide()
            return
        channels = choice.model.description.inputs.channels
        self._key = (choice.model.name, image.unique_id, *channels)
        ids = [layer.unique_id for layer in self._offered]
        wanted = self._by_hand.get(self._key, [])
        if not wanted or not set(wanted) <= set(ids):
            wanted = [layer.unique_id for layer in choice.layers]
        self._at = [ids.index(one) for one in wanted]
        self._fill(channels)
        self.show()

    def _fill(self, channels: tuple[str, ...]) -> None:
        if self._built != channels:
            self._build(channels)
        names = [layer.name for layer in self._offered]
        for box, channel in zip(self.boxes, channels, strict=True):
            box.blockSignals(True)
            box.clear()
            box.addItems(names)
            box.setToolTip(f"The image that is the channel {channel} of the model")
            box.blockSignals(False)
        self._show()

    def _build(self, channels: tuple[str, ...]) -> None:
        while self._form.rowCount():
            self._form.removeRow(0)
        self.boxes = []
        self._built = channels
        for row, channel in enumerate(channels):
            box = QComboBox()
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
            box.currentIndexChanged.connect(lambda at, row=row: self._pick(row, at))
            self._form.addRow(channel, box)
            self.boxes.append(box)

    def _show(self) -> None:
        for box, at in zip(self.boxes, self._at, strict=True):
            box.blockSignals(True)
            box.setCurrentIndex(at)
            box.blockSignals(False)

    def _pick(self, row: int, at: int) -> None:
        if at in self._at:
            self._at[self._at.index(at)] = self._at[row]
        self._at[row] = at
        self._by_hand[self._key] = [layer.unique_id for layer in self.layers]
        self._show()
        self.changed.emit()
