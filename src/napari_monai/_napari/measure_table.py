"""The table of what was measured: sorted, filtered, chosen, copied; linked with the layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLineEdit, QMenu, QPushButton, QVBoxLayout, QWidget

from ..labels.columns import Column as Written
from ..labels.columns import Columns, csv_text
from ..labels.table import Ints
from .column_model import ColumnModel
from .column_view import ColumnView
from .columns import Column, number_text
from .measure_link import Chosen
from .measure_rows import Rows, shown_columns
from .parts import beside, button, line

if TYPE_CHECKING:
    from napari.layers import Labels

    from ..measurement import Measurements

_SIZE = (320, 260)  # in pixels
_FILTER = "Filter: volume > 50, border = yes, class = liver…"
_NOTHING = "Nothing is measured yet: press Measure."
_NO_COLUMNS = Columns(())
_WHOLE = 1000  # pixels
# Classes that a summary has a column each for.
_FEW = 3


class MeasureView(ColumnView):
    """A table of columns that is copied as it is written to a file, with all digits."""

    def __init__(self, model: ColumnModel, size: tuple[int, int], parent: QWidget | None = None):
        super().__init__(model, size, parent)
        self.written = _NO_COLUMNS  # the same columns, as files have them
        self.copying.setText("Copy rows")

    def show_whole(self) -> None:
        """Give all columns the width of what is in them, the last one too."""
        self.widest = _WHOLE
        header = self.horizontalHeader()
        if header is not None:
            header.setStretchLastSection(False)

    def as_text(self) -> str:
        """Return the chosen rows, or all where none is, as lines with tabs; first the titles."""
        model, selected = self._columns, self.selected
        rows = model.rows[model.rows_of(selected)] if len(selected) else model.rows
        shown = [c for at, c in enumerate(self.written.columns) if not self.isColumnHidden(at)]
        return csv_text(Columns(tuple(shown)).take(rows), delimiter="\t")

    def show_table(self, written: Columns, keys: Ints | None = None) -> None:
        """Show a table as it is written to files."""
        self.written = written
        columns = shown_columns(written) if written.columns else [_empty()]
        keys = np.arange(written.rows) if keys is None else keys
        self._columns.show_columns(columns, keys)
        self.fit_columns()


def empty_model() -> ColumnModel:
    """Return the model of a table without rows."""
    return ColumnModel([_empty()])


def _empty() -> Column:
    # Of a key that no other has: what comes stays in its own order until it is sorted.
    return Column("", "Label", "", np.zeros(0, np.int64))


def summarized(classes: Columns) -> Columns:
    """Return the table of classes as it is read best: of a few, a row for each measure."""
    if not 0 < classes.rows <= _FEW or "time" in classes:
        return classes
    first, *measures = classes.columns
    values = [
        np.array([c.values[row] for c in measures], np.float64) for row in range(classes.rows)
    ]
    titles = np.array([_spoken(c) for c in measures], np.str_)
    named = zip(first.values.tolist(), values, strict=True)
    return Columns((Written("measure", titles), *(Written(name, v) for name, v in named)))


def _spoken(column: Written) -> str:
    title = f"{column.name} ({column.unit})" if column.unit else column.name
    return title[0].upper() + title[1:]


class ColumnsMenu(QMenu):
    """Which columns a table shows; made when it is opened, and open until it is left."""

    def __init__(self, table: ColumnView) -> None:
        super().__init__(table)
        self._table = table
        self.aboutToShow.connect(self._fill)

    def _fill(self) -> None:
        self.clear()
        for action in self._table.column_actions():
            action.setParent(self)
            self.addAction(action)

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802
        """Show or hide a column, and stay open for the next."""
        action = self.activeAction()
        if action is None:
            super().mouseReleaseEvent(event)
        else:
            action.trigger()


class MeasureTable(QWidget):
    """The rows of a measurement: what is chosen here is so everywhere, and the other way.

    Parameters
    ----------
    chosen
        What is chosen.
    """

    filtered = Signal()  # other rows are in sight
    went = Signal(object)  # to the object of a key, which is more than a C++ int holds

    def __init__(self, chosen: Chosen, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen = chosen
        self._layer: Labels | None = None
        self._rows: Rows | None = None
        self._noun = "object"
        self._colours: dict[int, QColor | None] = {}
        self.model = ColumnModel([_empty()], swatch=self._swatch)
        self.table = MeasureView(self.model, _SIZE)
        self.table.hint(_NOTHING)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText(_FILTER)
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.setToolTip(
            "Words and numbers, and comparisons: volume > 50 border = yes, label = 3, 5-9"
        )
        self.columns_button = QPushButton("Columns")
        self.columns_button.setToolTip("Which columns are shown")
        self.columns_button.setMenu(ColumnsMenu(self.table))
        self.copy_button = button(
            "Copy", "Copy the rows that are chosen, or all in sight (Ctrl-C)", self.table.copy
        )
        self.none_button = button("Choose none", "Choose no row", self._choose_none)
        self.counts = line()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.filter_line)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.counts)
        layout.addLayout(beside(self.columns_button, self.copy_button, self.none_button))
        self.filter_line.textChanged.connect(self._filter)
        self.table.chosen.connect(self._on_chosen)
        self.table.opened.connect(self.went)
        chosen.changed.connect(self._follow)
        self._tell()

    # -- what is there ------------------------------------------------------------------------

    @property
    def in_sight(self) -> Ints:
        """The keys of the rows that the filter lets through, in the order of the table."""
        return self.model.keys.astype(np.int64)

    def show_measured(self, layer: Labels, measured: Measurements, rows: Rows) -> None:
        """Show the table of a layer."""
        self._layer, self._rows, self._colours = layer, rows, {}
        objects = measured.kind == "instances" or rows.of_pieces
        self._noun = "object" if objects else "class"
        self.table.hint("None is like this." if len(rows) else f"No {self._noun} is there.")
        self.table.show_table(measured.objects, rows.key)
        self.filter_line.setPlaceholderText(_filter_hint(measured.objects))
        self._tell()

    def clear(self) -> None:
        """Show nothing: nothing is measured."""
        self._layer = self._rows = None
        self.table.hint(_NOTHING)
        self.table.show_table(_NO_COLUMNS)
        self._tell()

    def _filter(self, text: str) -> None:
        self.model.filter(text)
        # What is out of sight is not chosen: it would be kept, or deleted, unseen.
        self._chosen.choose(self.table.selected, self)
        self._tell()
        self.filtered.emit()

    def _follow(self, by: object) -> None:
        if by is not self:
            self.table.select(self._chosen.keys)
        self._tell()

    def _on_chosen(self) -> None:
        keys = self.table.selected
        self._chosen.choose(keys, self)
        row = self.table.currentIndex().row()
        if 0 <= row < self.model.rowCount():
            key = int(self.model.keys[row])
            if key in keys:
                self.went.emit(key)
        self._tell()

    def _choose_none(self) -> None:
        self.table.clearSelection()
        self._chosen.choose([], None)

    def _tell(self) -> None:
        """Say how many there are, are in sight, and are chosen; and how large these are."""
        total, shown, chosen = self.model.total, self.model.rowCount(), self._chosen.keys
        for part in (self.columns_button, self.copy_button):
            part.setEnabled(self._rows is not None)
        self.none_button.setEnabled(bool(len(chosen)))
        many = "classes" if self._noun == "class" else "objects"
        parts = [f"{total:,} {self._noun if total == 1 else many}"]
        parts += [f"{shown:,} shown"] if shown != total else []
        parts += [f"{len(chosen):,} chosen{self._sum(chosen)}"] if len(chosen) else []
        words = self.model.problem or ", ".join(parts)
        self.counts.setText(words if self._rows is not None else "")

    def _sum(self, chosen: Ints) -> str:
        if self._rows is None:
            return ""
        sized = (c for c in self.table.written.columns if c.name in ("volume", "area"))
        column = next(sized, None)
        if column is None:
            return ""
        total = float(column.values[self._rows.find(chosen)].sum())
        return f" of {number_text(total)} {column.unit}"

    def _swatch(self, key: int) -> QColor | None:
        if self._rows is None or self._layer is None:
            return None
        if key not in self._colours:
            label = int(self._rows.label[self._rows.find([key])[0]])
            colour = self._layer.colormap.map(label)
            shown = QColor.fromRgbF(*(float(part) for part in colour[:3])) if colour[3] else None
            self._colours[key] = shown
        return self._colours[key]


def _filter_hint(objects: Columns) -> str:
    return _FILTER if "volume" in objects else _FILTER.replace("volume", "area")
