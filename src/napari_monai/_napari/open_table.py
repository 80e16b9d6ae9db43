"""The table of the Open widget: what was found, one row an entry, with a tick for labels.

Qt keeps the texts. A model in Python would be asked for each cell whenever one is drawn, and would
wait for the interpreter each time while another thread looks into files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QStyle, QTableWidgetItem, QWidget

from ..io.contents import Entry
from .reading import sentence
from .row_table import PLAIN, RowTable

SIGN, NAME, PATIENT, TYPE, LABELS, SIZE, SPACING = range(7)
_HEADERS = {
    SIGN: ("", "Whether there is something to know about it"),
    NAME: ("Name", "Number and description of the series, or name of the file"),
    PATIENT: ("Patient", "Name and number of the patient"),
    TYPE: ("Type", "Modality of DICOM, or the file format"),
    LABELS: ("Labels", "Open as labels: numbers that name objects or classes"),
    SIZE: ("Size", "Voxels from left to right, down, and through the slices"),
    SPACING: ("Spacing", "Size of a voxel along the same axes"),
}
# In pixels: the size that the table asks for, and what names get of it where there is little room.
_WIDTH, _HEIGHT = 440, 300
_NARROWEST_NAME = 150
_SIGN_WIDTH = 24


class EntryTable(RowTable):
    """Entries to choose by mouse and keyboard, and a line in the middle while there are none."""

    opened = Signal()  # Enter or a double click on a row: what is selected is to be opened

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_HEADERS, (_WIDTH, _HEIGHT), parent)
        self._entries: list[Entry] = []
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        columns = self.horizontalHeader()
        if columns is not None:
            columns.setMinimumSectionSize(_SIGN_WIDTH)
            columns.setResizeContentsPrecision(0)  # by what is in sight: folders can be large
            columns.hide()
        self.setColumnHidden(PATIENT, True)
        self.cellDoubleClicked.connect(self._double_clicked)

    # -- entries ------------------------------------------------------------------------------

    @property
    def entries(self) -> Sequence[Entry]:
        """All entries, from the first row to the last."""
        return tuple(self._entries)

    @property
    def chosen(self) -> list[int]:
        """The rows that are selected, from the first to the last."""
        selection = self.selectionModel()
        return sorted(i.row() for i in selection.selectedRows()) if selection is not None else []

    def add(self, entry: Entry) -> None:
        """Put an entry into a row of its own, at the end."""
        row = self.rowCount()
        self._entries.append(entry)
        self.insertRow(row)
        texts = {
            NAME: entry.name,
            TYPE: entry.modality or entry.format,
            SIZE: entry.size,
            SPACING: entry.voxel or "not known",
        }
        tip = "\n".join((details(entry), *map(sentence, entry.notes)))
        for column in _HEADERS:
            item = QTableWidgetItem(texts.get(column, ""))
            item.setFlags(PLAIN)
            item.setToolTip(tip)
            self.setItem(row, column, item)
            if column == SIGN and entry.notes:
                item.setIcon(self._sign())
            elif column == LABELS and entry.may_be_labels:
                item.setFlags(PLAIN | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(_tick(entry.kind == "labels"))

    def clear_entries(self) -> None:
        """Take all rows away."""
        self._entries = []
        self.setRowCount(0)

    def as_labels(self, row: int) -> bool:
        """Whether the entry of a row is to be opened as labels."""
        item = self.item(row, LABELS)
        return item is not None and item.checkState() == Qt.CheckState.Checked

    def toggle_labels(self, rows: Sequence[int]) -> None:
        """Tick the rows that may be labels; if all of them are ticked, take the ticks away."""
        able = [row for row in rows if self._entries[row].may_be_labels]
        tick = _tick(not all(self.as_labels(row) for row in able))
        for row in able:
            item = self.item(row, LABELS)
            if item is not None:
                item.setCheckState(tick)

    def name_patients(self, patients: Mapping[Entry, str]) -> None:
        """Fill the column of the patients."""
        for row, entry in enumerate(self._entries):
            item = self.item(row, PATIENT)
            if item is not None and entry in patients:
                item.setText(patients[entry])

    # -- how it looks -------------------------------------------------------------------------

    def fit(self) -> None:
        """Give the columns the width of what is in them, and the names what is left."""
        columns, viewport = self.horizontalHeader(), self.viewport()
        if columns is None or viewport is None:
            return
        columns.setVisible(bool(self._entries))
        self.resizeColumnsToContents()
        self.setColumnWidth(SIGN, _SIGN_WIDTH)
        self.setColumnHidden(SIGN, not any(entry.notes for entry in self._entries))
        others = sum(self.columnWidth(c) for c in _HEADERS if c != NAME)
        left = viewport.width() - others
        self.setColumnWidth(NAME, max(left, min(self.columnWidth(NAME), _NARROWEST_NAME)))

    def _sign(self) -> QIcon:
        style = self.style()
        if style is None:
            return QIcon()
        return style.standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)

    # -- keys and clicks ----------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Open with Enter, tick labels with the space bar."""
        key = event.key() if event is not None else None
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.chosen:
            self.opened.emit()
        elif key == Qt.Key.Key_Space and self.chosen:
            self.toggle_labels(self.chosen)
        else:
            super().keyPressEvent(event)

    def _double_clicked(self, _row: int, column: int) -> None:
        if column != LABELS:  # two clicks on a tick are two ticks
            self.opened.emit()


def _tick(ticked: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked


def details(entry: Entry) -> str:
    """Return what the columns have no room for, in a line."""
    parts = [entry.name, entry.format, entry.dtype.name, _bytes(entry.nbytes)]
    if entry.files > 1:
        parts.append(f"{entry.files} files")
    return ", ".join(parts)


def _bytes(count: int) -> str:
    """Return such as ``"14 MB"``."""
    power = min(3, max(0, len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
