"""A table of rows to choose, as the Open and the Models widget have it."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QAbstractItemView, QTableView, QTableWidget, QTableWidgetItem, QWidget

#: What an item of such a table can do.
PLAIN = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
_ALIGNED = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_MARGIN = 24  # pixels
_NARROWEST = 150


class RowTable(QTableWidget):
    """Rows without a grid that are chosen and not edited; a line where none is in sight.

    Parameters
    ----------
    headers
        Title and meaning of each column.
    size
        Width and height that it asks for, in pixels.
    """

    def __init__(
        self,
        headers: Mapping[int, tuple[str, str]],
        size: tuple[int, int],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(0, len(headers), parent)
        self._hint = ""
        self._wanted = QSize(*size)
        for column, (title, meaning) in headers.items():
            header = QTableWidgetItem(title)
            header.setToolTip(meaning)
            header.setTextAlignment(_ALIGNED)
            self.setHorizontalHeaderItem(column, header)
        look_plain(self)

    def hint(self, text: str) -> None:
        """Say something in the middle of the table as long as no row is in sight."""
        self._hint = text
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that it asks for."""
        return self._wanted

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size that a narrow dock and a low window have."""
        return QSize(_NARROWEST, _NARROWEST // 2)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the rows, or the line where there are none."""
        super().paintEvent(event)
        rows = range(self.rowCount())
        if self._hint and all(self.isRowHidden(r) for r in rows):
            draw_hint(self, self._hint)


def look_plain(table: QTableView) -> None:
    """Have a table show rows that are chosen whole, without a grid and without numbers."""
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setTabKeyNavigation(False)
    table.setShowGrid(False)
    table.setWordWrap(False)
    rows, columns = table.verticalHeader(), table.horizontalHeader()
    if rows is not None and columns is not None:
        rows.hide()
        rows.setDefaultSectionSize(rows.minimumSectionSize() + 4)
        columns.setHighlightSections(False)


def draw_hint(table: QTableView, text: str) -> None:
    """Draw a line of text in the middle of a table."""
    viewport = table.viewport()
    if viewport is None:
        return
    painter = QPainter(viewport)
    painter.setOpacity(0.7)
    area = viewport.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)
    painter.end()
