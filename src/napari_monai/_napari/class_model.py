"""The classes of a labels layer as the rows of a table, changed in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor

from ..volume import LabelClass
from .label_colours import spare_colour

SHOWN, LOCKED, NUMBER, NAME = range(4)
_HEADERS = {
    SHOWN: ("Show", "Whether it is drawn"),
    LOCKED: ("Lock", "Whether its voxels are kept from all edits, and none become its"),
    NUMBER: ("No.", "Its number in the labels, and its colour: double-click to change that"),
    NAME: ("Class", "What it is called: double-click to change it"),
}
_ROLE = Qt.ItemDataRole
_CHECKED, _UNCHECKED = Qt.CheckState.Checked, Qt.CheckState.Unchecked
_NO_INDEX = QModelIndex()


class ClassModel(QAbstractTableModel):
    """Classes to look at; what a person changes of them is told, and shown when it is set."""

    edited = Signal(object)  # the classes as a person wants them

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[LabelClass, ...] = ()

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes, a row each."""
        return self._classes

    def show_classes(self, classes: Sequence[LabelClass]) -> None:
        """Show these classes; what is chosen stays so where only their looks have changed."""
        same = [c.number for c in classes] == [c.number for c in self._classes]
        if same:
            self._classes = tuple(classes)
            if classes:
                self.dataChanged.emit(self.index(0, 0), self.index(len(classes) - 1, NAME))
            return
        self.beginResetModel()
        self._classes = tuple(classes)
        self.endResetModel()

    def changed(self, numbers: Iterable[int], **changes: Any) -> tuple[LabelClass, ...]:
        """Return the classes, some of them with other values."""
        wanted = set(numbers)
        return tuple(replace(c, **changes) if c.number in wanted else c for c in self._classes)

    # -- what Qt asks -------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Return the number of classes."""
        return 0 if parent.isValid() else len(self._classes)

    def columnCount(self, parent: QModelIndex = _NO_INDEX) -> int:  # noqa: N802
        """Return the number of columns."""
        return 0 if parent.isValid() else len(_HEADERS)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return what can be done with a cell."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() in (SHOWN, LOCKED):
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        elif index.column() == NAME:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        one, column = self._classes[index.row()], index.column()
        if role == _ROLE.CheckStateRole and column in (SHOWN, LOCKED):
            return _CHECKED if (one.visible if column == SHOWN else one.locked) else _UNCHECKED
        if role == _ROLE.DecorationRole and column == NUMBER:
            return QColor(one.colour or spare_colour(one.number))
        if role in (_ROLE.DisplayRole, _ROLE.EditRole):
            return {NUMBER: str(one.number), NAME: one.name}.get(column)
        if role == _ROLE.ToolTipRole:
            state = ["" if one.visible else "hidden", "locked" if one.locked else ""]
            return ", ".join([f"{one.number}: {one.name}", *filter(None, state)])
        return None

    def setData(  # noqa: N802
        self, index: QModelIndex, value: Any, role: int = _ROLE.EditRole
    ) -> bool:
        """Tell what a person wants of a class: to tick it, or to give it another name."""
        one, column = self._classes[index.row()], index.column()
        if role == _ROLE.CheckStateRole and column in (SHOWN, LOCKED):
            on = Qt.CheckState(value) == _CHECKED
            change: dict[str, Any] = {"visible" if column == SHOWN else "locked": on}
        elif role == _ROLE.EditRole and column == NAME and str(value).strip():
            change = {"name": str(value).strip()}
        else:
            return False
        self.edited.emit(self.changed([one.number], **change))
        return True

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return the title, or the meaning, of a column."""
        if orientation != Qt.Orientation.Horizontal or section not in _HEADERS:
            return None
        if role == _ROLE.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        title, meaning = _HEADERS[section]
        if role == _ROLE.ToolTipRole:
            return meaning
        return title if role == _ROLE.DisplayRole else None
