"""What the viewer's own brush, eraser, fill bucket and polygon may paint over, as a form."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QSpinBox,
    QWidget,
)

from .edit_session import EditSession
from .paint_guard import PaintGuard
from .parts import beside, form_rows

ANYTHING, BACKGROUND, SELECTED = "Anything", "Background only", "One label only"
_MOST = 1e9


class PaintingBox(QWidget):
    """Steers a `PaintGuard`."""

    def __init__(self) -> None:
        super().__init__()
        self._guard: PaintGuard | None = None
        self._session: EditSession | None = None
        self.over = QComboBox()
        self.over.addItems([ANYTHING, BACKGROUND, SELECTED])
        self.over.setToolTip("What brush, eraser, fill bucket and polygon may change")
        self.number = QSpinBox()
        self.number.setRange(1, 2**31 - 1)
        self.number.setToolTip("The label that may be painted over")
        self.within = QCheckBox("Only where the image is between")
        self.within.setToolTip("Nothing is painted or erased where the image is darker or brighter")
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, hint in ((self.low, "Lowest value"), (self.high, "Highest value")):
            box.setRange(-_MOST, _MOST)
            box.setToolTip(hint)
            box.setMinimumWidth(60)
            box.valueChanged.connect(self._take)
        limits = beside(self.low, self.high)
        self._rows = form_rows(self)
        self._rows.addRow("Paint over", self.over)
        self._rows.addRow("Label", self.number)
        self._rows.addRow(self.within)
        self._rows.addRow("Values", limits)
        self.over.currentTextChanged.connect(self._take)
        self.number.valueChanged.connect(self._take)
        self.within.toggled.connect(self._take)
        self._take()

    def follow(self, session: EditSession | None, guard: PaintGuard | None) -> None:
        """Steer the painting on the labels of a session."""
        self._session, self._guard = session, guard
        image = None if session is None else session.image
        limits = getattr(image, "contrast_limits", None)
        if limits is not None and self.low.value() == self.high.value() == 0:
            for box, value in zip((self.low, self.high), limits, strict=True):
                box.blockSignals(True)
                box.setValue(float(value))
                box.blockSignals(False)
        self.within.setEnabled(image is not None)
        self._take()

    def _take(self, _value: object = None) -> None:
        over, bounded = self.over.currentText(), self.within.isChecked()
        self._rows.setRowVisible(self.number, over == SELECTED)
        for box in (self.low, self.high):
            box.setEnabled(bounded)
        if self._guard is None:
            return
        one = {ANYTHING: None, BACKGROUND: 0, SELECTED: self.number.value()}
        self._guard.over = one[over]
        self._guard.intensity = (self.low.value(), self.high.value()) if bounded else None
