"""Columns as Qt wants them: sorted, filtered, and asked only for the cells that are in sight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor

from .columns import Column
from .row_filter import matching

_ROLE = Qt.ItemDataRole
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_NO_INDEX = QModelIndex()


class ColumnModel(QAbstractTableModel):
    """Rows that are told apart by a whole number each, the key.

    Parameters
    ----------
    keys
        Of all rows; the first column when left out.
    swatch
        The colour that a key has, to be shown beside it; ``None`` for none.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        keys: npt.NDArray[np.int64] | None = None,
        *,
        swatch: Callable[[int], QColor | None] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._columns = tuple(columns)
        self._keys = _keys_of(self._columns, keys)
        self._swatch = swatch
        self._filter = ""
        self._sorted: tuple[str, bool] | None = None  # key of a column, whether descending
        self._rows: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self.problem = ""  # what of the filter is not understood
        self._arrange()

    # -- what is shown ------------------------------------------------------------------------

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, with all rows."""
        return self._columns

    @property
    def total(self) -> int:
        """Number of rows, in sight or not."""
        return len(self._columns[0].values)

    @property
    def keys(self) -> npt.NDArray[Any]:
        """The keys of the rows that are shown, from the first to the last."""
        return np.asarray(self._keys[self._rows])

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """Which of all rows are shown, from the first to the last."""
        return self._rows

    def show_columns(
        self, columns: Sequence[Column], keys: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Show other values, in the order and through the filter of before."""
        self.beginResetModel()
        self._columns = tuple(columns)
        self._keys = _keys_of(self._columns, keys)
        self._arrange()
        self.endResetModel()

    def filter(self, text: str) -> None:
        """Show only the rows that a line of text asks for, see `matching`."""
        self.beginResetModel()
        self._filter = text
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is equal stays in the order of the keys' column."""
        self.beginResetModel()
        known = 0 <= column < len(self._columns)
        descending = order == Qt.SortOrder.DescendingOrder
        self._sorted = (self._columns[column].key, descending) if known else None
        self._arrange()
        self.endResetModel()

    def rows_of(self, keys: Iterable[int]) -> npt.NDArray[np.intp]:
        """Return the rows in which keys are shown, in order; those out of sight are left out."""
        wanted = keys if isinstance(keys, np.ndarray) else np.fromiter(keys, np.int64)
        return np.flatnonzero(np.isin(self.keys, wanted))

    def repaint(self) -> None:
        """Have what is in sight drawn again: colours have changed."""
        if len(self._rows):
            last = self.index(len(self._rows) - 1, len(self._columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def _arrange(self) -> None:
        found = matching(self._filter, self._columns)
        self.problem = found.problem
        rows = np.arange(self.total)
        if self._sorted is not None:
            key, descending = self._sorted
            column = next((c for c in self._columns if c.key == key), None)
            rows = rows if column is None else column.order(descending=descending)
        self._rows = rows[found.rows[rows]]

    # -- what Qt asks -------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Return the number of rows that are shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        column, row = self._columns[index.column()], self._rows[index.row()]
        if role in (_ROLE.DisplayRole, _ROLE.ToolTipRole):
            return column.text(int(row))
        if role == _ROLE.TextAlignmentRole:
            return _LEFT if column.is_text else _RIGHT
        if role == _ROLE.DecorationRole and index.column() == 0 and self._swatch is not None:
            return self._swatch(int(self._keys[row]))
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return the title, or the meaning, of a column."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role == _ROLE.DisplayRole:
            return column.heading
        if role == _ROLE.ToolTipRole:
            return column.meaning
        return _LEFT if role == _ROLE.TextAlignmentRole else None


def _keys_of(
    columns: Sequence[Column], keys: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    return np.asarray(columns[0].values if keys is None else keys).astype(np.int64, copy=False)
