"""A table of columns on the screen: rows chosen by key, copied as text, columns shown or not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    Qt,
    Signal,
)
from qtpy.QtGui import QAction, QGuiApplication, QKeyEvent, QKeySequence  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMenu, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from .column_model import ColumnModel
from .row_view import RowView

# In pixels: the most that a text gets, and room beside a title for the sign that rows are sorted.
_WIDEST, _SIGN = 120, 10
# Qt takes time by the square of the stretches of rows that are chosen: more are marked by us.
_STRETCHES = 500
_SELECT = QItemSelectionModel.SelectionFlag


class ColumnView(RowView):
    """The rows of a `ColumnModel`, any number of which are chosen.

    What is chosen stays so while rows are sorted, filtered and measured anew, as far as it is in
    sight.
    """

    chosen = Signal()  # a person chose other rows
    opened = Signal(object)  # a double click, or Enter, on the row of this key
    widest = _WIDEST  # that a text gets

    def __init__(self, model: ColumnModel, size: tuple[int, int], parent: QWidget | None = None):
        super().__init__(size, parent)
        self._columns = model
        self._kept: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._telling = True
        self._marked: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.setItemDelegate(_Marks(self))
        model.setParent(self)  # else either may be gone before the other
        self.setModel(model)
        header = self.horizontalHeader()
        if header is not None:
            # Else it asks at each drawing whether all rows are chosen, one by one.
            header.setSelectionModel(QItemSelectionModel(model, header))
            header.setStretchLastSection(True)
            header.setResizeContentsPrecision(50)  # rows that are looked at: there may be many
            header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            header.customContextMenuRequested.connect(self._offer_columns)
            header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self._asked: dict[str, bool] = {}  # columns that a person has shown or hidden
        self._hide_columns()
        self.copying = self.add_action("Copy", self.copy, QKeySequence.StandardKey.Copy)
        model.modelAboutToBeReset.connect(self._keep)
        model.modelReset.connect(self._restore)
        selection = self.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._on_selection)
        self.doubleClicked.connect(self._open_at)

    # -- rows ---------------------------------------------------------------------------------

    @property
    def selected(self) -> npt.NDArray[np.int64]:
        """The keys of the rows that are chosen, in the order in which they are shown."""
        selection, keys = self.selectionModel(), self._columns.keys
        if selection is None or not len(keys):
            return np.zeros(0, np.int64)
        taken = np.isin(keys, self._marked)
        ranges = selection.selection()
        for part in (ranges[at] for at in range(len(ranges))):
            taken[part.top() : part.bottom() + 1] = True
        return keys[taken].astype(np.int64)

    def select(self, keys: Iterable[int], *, scroll: bool = True) -> None:
        """Choose the rows of these keys, without telling that they are chosen."""
        rows, model, selection = self._columns.rows_of(keys), self._columns, self.selectionModel()
        if selection is None:
            return
        ranges = QItemSelection()
        last = model.columnCount() - 1
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        few = len(breaks) < _STRETCHES
        for run in np.split(rows, breaks) if few else ():
            if len(run):
                ranges.select(model.index(int(run[0]), 0), model.index(int(run[-1]), last))
        self._telling = False
        self._mark(np.zeros(0, np.int64) if few else model.keys[rows])
        selection.select(ranges, _SELECT.ClearAndSelect)
        if len(rows):
            first = model.index(int(rows[0]), self._first_shown())
            selection.setCurrentIndex(first, _SELECT.NoUpdate)
            if scroll:
                self.scrollTo(first)
        self._telling = True

    def _first_shown(self) -> int:
        columns = range(self._columns.columnCount())
        return next((at for at in columns if not self.isColumnHidden(at)), 0)

    def _hide_columns(self) -> None:
        for at, column in enumerate(self._columns.columns):
            self.setColumnHidden(at, not self._asked.get(column.key, column.shown))

    def _ask(self, column: str, shown: bool) -> None:
        self._asked[column] = shown
        self._hide_columns()

    def _keep(self) -> None:
        self._kept, self._telling = self.selected, False

    def _restore(self) -> None:
        self._hide_columns()
        self.select(self._kept, scroll=False)
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def is_marked(self, row: int) -> bool:
        """Whether a row is one of too many that are chosen for Qt to know of them."""
        return bool(len(self._marked)) and bool(self._marks[row])

    def _mark(self, keys: npt.NDArray[np.int64]) -> None:
        self._marked = keys
        self._marks = np.isin(self._columns.keys, keys)
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def _on_selection(self, more: QItemSelection) -> None:
        if not self._telling:
            return
        if len(self._marked):
            self._take_over(more)
        self.chosen.emit()

    def _take_over(self, more: QItemSelection) -> None:
        """Take the marks away, or with Ctrl have them changed by what was clicked."""
        selection = self.selectionModel()
        if not QGuiApplication.keyboardModifiers() & Qt.KeyboardModifier.ControlModifier:
            self._mark(np.zeros(0, np.int64))
        elif selection is not None:
            spans = [np.arange(more[at].top(), more[at].bottom() + 1) for at in range(len(more))]
            rows = np.concatenate([np.zeros(0, np.intp), *spans])
            twice = self._columns.keys[rows[self._marks[rows]]]
            if len(twice):  # it was chosen, and no longer is
                self._telling = False
                selection.select(more, _SELECT.Deselect)
                self._telling = True
                self._mark(np.setdiff1d(self._marked, twice))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Open a row with Enter, else do what the menu has this key for."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open_at()
        else:
            super().keyPressEvent(event)

    def _open_at(self, _index: object = None) -> None:
        row = self.currentIndex().row()
        if 0 <= row < self._columns.rowCount():
            self.opened.emit(int(self._columns.keys[row]))

    # -- what can be done ---------------------------------------------------------------------

    def copy(self) -> None:
        """Put the chosen rows, or all where none is, on the clipboard: text with tabs."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.as_text())

    def as_text(self) -> str:
        """Return the chosen rows, or all where none is, as lines with tabs; first the titles."""
        model, selected = self._columns, self.selected
        keys = selected if len(selected) else model.keys
        columns = [c for at, c in enumerate(model.columns) if not self.isColumnHidden(at)]
        rows = model.rows[model.rows_of(keys)]
        lines = ["\t".join(c.heading for c in columns)]
        lines += ["\t".join(c.text(row) for c in columns) for row in rows.tolist()]
        return "\n".join(lines)

    def column_actions(self) -> list[QAction]:
        """Return an action a column that shows or hides it, the first one excepted."""
        actions = []
        for at, column in list(enumerate(self._columns.columns))[1:]:
            action = QAction(column.title)
            action.setToolTip(column.meaning)
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(at))
            action.toggled.connect(partial(self._ask, column.key))
            actions.append(action)
        return actions

    def _offer_columns(self, where: QPoint) -> None:
        header = self.horizontalHeader()
        if header is None:
            return
        menu = QMenu(self)
        actions = self.column_actions()
        menu.addActions(actions)
        menu.exec(header.mapToGlobal(where))

    # -- how it looks -------------------------------------------------------------------------

    def fit_columns(self) -> None:
        """Give the columns the width of what is in sight, and long texts a fair part of it."""
        self.resizeColumnsToContents()
        for at, column in enumerate(self._columns.columns):
            width = self.columnWidth(at)
            self.setColumnWidth(at, min(width, self.widest) if column.is_text else width + _SIGN)


class _Marks(QStyledItemDelegate):
    """Draws the rows that are marked as those that are chosen."""

    def __init__(self, view: ColumnView) -> None:
        super().__init__(view)
        self._view = view

    def initStyleOption(  # noqa: N802
        self, option: QStyleOptionViewItem | None, index: QModelIndex
    ) -> None:
        """Say of a cell that it is chosen, where its row is marked."""
        super().initStyleOption(option, index)
        if option is not None and self._view.is_marked(index.row()):
            option.state |= QStyle.StateFlag.State_Selected
