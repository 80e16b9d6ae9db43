"""Histograms and scatter plots of what was measured, in which objects are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..labels.columns import Column, Columns
from ..labels.table import Ints
from .columns import number_text
from .measure_canvas import Chart, Drawn, Tool
from .measure_link import Chosen
from .measure_rows import meaning_of, numeric
from .measure_table import MeasureTable
from .parts import beside, form_rows, line

if TYPE_CHECKING:
    import napari

_COUNT = "How many: a histogram"
_TOOLS: dict[str, tuple[Tool, str]] = {
    "Lasso": ("lasso", "Draw around points to choose them; with Shift, more of them"),
    "Rectangle": ("rectangle", "Draw a box around points to choose them; with Shift, more"),
}


class MeasurePlots(QWidget):
    """A chart of one or two columns of the rows that the table has in sight.

    Parameters
    ----------
    viewer
        Whose colours it takes.
    table
        The table.
    chosen
        What is chosen.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        table: MeasureTable,
        chosen: Chosen,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._table, self._chosen = table, chosen
        self._columns: list[Column] = []
        self.across, self.up = QComboBox(), QComboBox()
        self.log_x, self.log_y = QCheckBox("log"), QCheckBox("log")
        self.tools: dict[Tool, QPushButton] = {}
        self.chart = Chart(viewer)
        self.about = line()
        # Always of two lines, as wide as there is room: the chart above keeps its size.
        self.about.setWordWrap(False)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._lay_out()
        for box in (self.across, self.up):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
            box.currentIndexChanged.connect(self._draw)
        for check, axis in ((self.log_x, "horizontal"), (self.log_y, "vertical")):
            check.setToolTip(f"Logarithmic {axis} axis; what is not above 0 is left out")
            check.toggled.connect(self._draw)
        table.filtered.connect(self._draw)
        chosen.changed.connect(self._on_chosen)
        self.chart.taken.connect(self._on_taken)
        self.clear()

    def _lay_out(self) -> None:
        rows = form_rows()
        for title, box, check in (("Across", self.across, self.log_x), ("Up", self.up, self.log_y)):
            row = beside(box, check)
            row.setStretch(0, 1)
            rows.addRow(title, row)
        for text, (tool, hint) in _TOOLS.items():
            made = QPushButton(text)
            made.setCheckable(True)
            made.setAutoExclusive(True)
            made.setToolTip(hint)
            made.toggled.connect(self._on_tool)
            self.tools[tool] = made
        self.tools["lasso"].setChecked(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(rows)
        layout.addLayout(beside(*self.tools.values()))
        layout.addWidget(self.chart, 1)
        layout.addWidget(self.about)

    # -- what is drawn ------------------------------------------------------------------------

    def show_measured(self, objects: Columns) -> None:
        """Offer the columns of a table; those that were drawn are so again, if they are there."""
        before = self.across.currentText(), self.up.currentText()
        self._columns = [c for c in numeric(objects) if c.name != "label"]
        titles = [c.title for c in self._columns]
        size = next((t for t in titles if t.startswith(("volume", "area"))), "")
        choices = (
            (self.across, titles, before[0] if before[0] in titles else size),
            (self.up, [_COUNT, *titles], before[1]),
        )
        for box, texts, wanted in choices:
            box.blockSignals(True)
            box.clear()
            box.addItems(texts)
            for at, column in enumerate(self._columns, start=len(texts) - len(titles)):
                box.setItemData(at, meaning_of(column.name), Qt.ItemDataRole.ToolTipRole)
            at = box.findText(wanted)
            box.setCurrentIndex(max(at, 0))
            box.blockSignals(False)
        self.setEnabled(bool(titles))
        self._draw()

    def clear(self) -> None:
        """Draw nothing: nothing is measured."""
        self._columns = []
        self.across.clear()
        self.up.clear()
        self.setEnabled(False)
        self.chart.show_drawn(None)
        self.about.setText("\n")

    def plot(self, x: str, y: str | None = None) -> None:
        """Draw columns by their titles: a histogram of one, or one against the other."""
        self.across.setCurrentText(x)
        self.up.setCurrentText(_COUNT if y is None else y)

    def _draw(self, _value: object = None) -> None:
        across, up = self.across.currentIndex(), self.up.currentIndex() - 1
        if not self._columns or across < 0 or self.up.currentIndex() < 0:
            return
        model = self._table.model
        rows, keys = model.rows, self._table.in_sight
        x = self._columns[across]
        y = self._columns[up] if up >= 0 else None
        self.chart.show_drawn(
            Drawn(
                keys,
                x.values[rows].astype(np.float64),
                None if y is None else y.values[rows].astype(np.float64),
                (x.title, "how many" if y is None else y.title),
                (self.log_x.isChecked(), self.log_y.isChecked()),
            )
        )
        self._tell()

    def _on_tool(self, _on: bool = False) -> None:
        self.chart.tool = next((t for t, b in self.tools.items() if b.isChecked()), "lasso")

    # -- what is chosen -----------------------------------------------------------------------

    def _on_chosen(self, _by: object = None) -> None:
        self.chart.choose(self._chosen.keys)
        self._tell()

    def _on_taken(self, keys: Ints, more: bool) -> None:
        if more:
            keys = np.union1d(self._chosen.keys, keys)
        self._chosen.choose(keys, self)
        if len(keys) == 1:
            self._table.went.emit(int(keys[0]))

    def _tell(self) -> None:
        """Say mean, median and spread of what is drawn across, and of what of it is chosen."""
        at = self.across.currentIndex()
        if not 0 <= at < len(self._columns):
            self.about.setText("\n")
            return
        column, model = self._columns[at], self._table.model
        chosen = np.isin(self._table.in_sight, self._chosen.keys)
        lines = _words("All", column, model.rows), _words("Chosen", column, model.rows[chosen])
        self.about.setText("\n".join(lines))
        self.about.setToolTip(f"{column.title}, mean ± SD:\n{self.about.text()}")


def _words(lead: str, column: Column, rows: npt.NDArray[np.intp]) -> str:
    values = column.values[rows].astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return f"{lead}: none"
    mean, spread, median = (
        number_text(float(v)) for v in (values.mean(), values.std(), np.median(values))
    )
    unit = f" {column.unit}" if column.unit else ""
    return f"{lead} {len(values):,}: {mean} ± {spread}{unit}, median {median}"
