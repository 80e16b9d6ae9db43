"""The classes of the labels under correction: named, coloured, shown, locked, selected."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QColor, QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .. import io
from ..errors import NapariMonaiError, ReadError
from ..labels import class_lists
from ..labels.boxes import slabs
from ..labels.settings_numbers import Merge
from ..models import list_models
from ..volume import LabelClass, LabelVolume
from .class_dialogs import Fate, RemoveDialog
from .class_model import LOCKED, NAME, NUMBER, SHOWN, ClassModel
from .jobs import report
from .kept_notes import kept_notes
from .label_colours import spare_colour
from .parts import button
from .placement import KEY
from .quick_edits import edit_now
from .row_view import RowView

if TYPE_CHECKING:
    from .edit_session import EditSession

_SIZE = (320, 180)  # in pixels
_SELECT = QItemSelectionModel.SelectionFlag
_NONE = "No classes: add one, or take a list from a file or a model."
_OBJECTS = (
    "These numbers are single objects, see Objects. A list of classes here names the numbers."
)


class ClassesPanel(QWidget):
    """A table of classes; what is chosen in it is what the tools work on.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        kept_notes(session)  # which say what is hidden and locked
        self._model = ClassModel(self)
        self._telling = True
        self.table = RowView(_SIZE)
        self.table.setModel(self._model)
        triggers = QAbstractItemView.EditTrigger
        self.table.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.add_button = button("Add", "Add a class for the number of the brush", self.add)
        self.remove_button = button("Remove", "Take the class off the list (Delete)", self.remove)
        self.only_button = button(
            "Show only", "Hide all classes but those chosen; again to show all", self.show_only
        )
        self.list_button = QPushButton("List from")
        self.list_button.setToolTip("Name the numbers as a file, or a model, does")
        self._build()
        for signal, slot in (
            (session.classes_changed, self._show),
            (session.selected_changed, self._follow),
        ):
            signal.connect(slot)
        self._model.edited.connect(self._session.set_classes)
        self._show()

    def _build(self) -> None:
        rows, buttons = QVBoxLayout(self), QHBoxLayout()
        rows.setContentsMargins(0, 6, 0, 0)
        rows.addWidget(self.table)
        for part in (self.add_button, self.remove_button, self.only_button, self.list_button):
            buttons.addWidget(part)
        rows.addLayout(buttons)
        menu = QMenu(self)
        menu.aboutToShow.connect(partial(self._fill_menu, menu))
        self.list_button.setMenu(menu)
        table = self.table
        table.add_action("Rename", self.rename, Qt.Key.Key_F2)
        table.add_action("Colour…", self.ask_colour)
        table.add_action("Show or hide", partial(self.toggle, "visible"), Qt.Key.Key_Space)
        table.add_action("Lock or unlock", partial(self.toggle, "locked"), Qt.Key.Key_L)
        table.add_action("Show only", self.show_only)
        table.add_action("Remove", self.remove, QKeySequence.StandardKey.Delete)
        table.doubleClicked.connect(self._on_double_click)
        selection, header = table.selectionModel(), table.horizontalHeader()
        if selection is not None and header is not None:
            selection.selectionChanged.connect(self._on_chosen)
            header.setStretchLastSection(True)

    # -- what is there ------------------------------------------------------------------------

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the classes that are chosen."""
        selection = self.table.selectionModel()
        rows = sorted(i.row() for i in selection.selectedRows()) if selection is not None else []
        return tuple(self._model.classes[row].number for row in rows)

    def _show(self) -> None:
        self._telling = False
        known = self._model.classes
        self._model.show_classes(self._session.classes)
        if len(known) != len(self._model.classes) or not known:
            for column in (SHOWN, LOCKED, NUMBER):
                self.table.resizeColumnToContents(column)
        self.table.hint(_OBJECTS if self._has_objects() else _NONE)
        self._telling = True
        self._follow()

    def _has_objects(self) -> bool:
        place = self._session.layer.metadata.get(KEY)
        volume = getattr(place, "volume", None)
        return isinstance(volume, LabelVolume) and volume.kind == "instances"

    def _follow(self) -> None:
        """Choose the rows of what is selected elsewhere."""
        selection = self.table.selectionModel()
        if selection is None or set(self.numbers) == set(self._session.selected):
            self._update()
            return
        wanted, rows = set(self._session.selected), QItemSelection()
        for row, one in enumerate(self._model.classes):
            if one.number in wanted:
                rows.select(self._model.index(row, SHOWN), self._model.index(row, NAME))
        self._telling = False
        selection.select(rows, _SELECT.ClearAndSelect)
        if rows.count():
            first = rows.indexes()[0]
            selection.setCurrentIndex(first, _SELECT.NoUpdate)
            self.table.scrollTo(first)
        self._telling = True
        self._update()

    def _on_chosen(self) -> None:
        if self._telling and self.numbers:
            self._session.select(self.numbers)
        self._update()

    def _update(self) -> None:
        chosen = bool(self.numbers)
        self.remove_button.setEnabled(chosen)
        self.only_button.setEnabled(chosen or self._solo())
        self.only_button.setText("Show all" if self._solo() else "Show only")

    def _solo(self) -> bool:
        """Whether the classes that are chosen are the only ones that are shown."""
        shown = {c.number for c in self._model.classes if c.visible}
        return shown == set(self.numbers) and len(shown) < len(self._model.classes)

    # -- what is done -------------------------------------------------------------------------

    def add(self) -> None:
        """Add a class for the number of the brush, or for the first one that is free."""
        taken = {c.number for c in self._session.classes}
        number = int(self._session.layer.selected_label)
        if number in taken or number <= 0:
            number = max(taken, default=0) + 1
        new = LabelClass(number, f"class {number}", spare_colour(number))
        classes = sorted((*self._session.classes, new), key=lambda c: c.number)
        self._session.set_classes(tuple(classes))
        self._session.select((number,))
        self.rename()

    def rename(self) -> None:
        """Type another name for the class that is chosen."""
        index = self._index(NAME)
        if index is not None:
            self.table.edit(index)

    def ask_colour(self) -> None:
        """Ask for a colour for the classes that are chosen."""
        numbers, index = self.numbers, self._index(NUMBER)
        if index is None:
            return
        now = self._model.data(index, Qt.ItemDataRole.DecorationRole)
        dialog = QColorDialog(now, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(partial(self.recolour, numbers))
        dialog.open()

    def recolour(self, numbers: Collection[int], colour: QColor) -> None:
        """Give classes another colour."""
        self._session.set_classes(self._model.changed(numbers, colour=colour.name()))

    def toggle(self, what: str) -> None:
        """Show or hide (``"visible"``), or lock and unlock (``"locked"``), what is chosen."""
        chosen = [c for c in self._model.classes if c.number in self.numbers]
        on = not all(getattr(c, what) for c in chosen)
        self._session.set_classes(self._model.changed(self.numbers, **{what: on}))

    def show_only(self) -> None:
        """Hide all classes but those that are chosen; show all if that is so already."""
        numbers, everything = set(self.numbers), self._solo()
        self._session.set_classes(
            tuple(
                replace(c, visible=everything or c.number in numbers) for c in self._model.classes
            )
        )

    def remove(self) -> None:
        """Take classes off the list; ask what becomes of their voxels where there are any."""
        numbers = self.numbers
        if not numbers:
            return
        if not _has_any(self._session, numbers):
            self._remove(numbers, "keep", None)
            return
        chosen = [c for c in self._model.classes if c.number in numbers]
        RemoveDialog(
            [c.name for c in chosen],
            [c for c in self._model.classes if c.number not in numbers and not c.locked],
            locked=any(c.locked for c in chosen),
            answered=partial(self._remove, numbers),
            parent=self,
        ).open()

    def _remove(self, numbers: Sequence[int], fate: Fate, into: int | None) -> None:
        try:
            if fate == "delete":
                edit_now(self._session, "delete", selected=numbers)
            elif fate == "merge":
                all_of_it = {*numbers, *([] if into is None else [into])}
                edit_now(self._session, "merge", Merge(into=into), selected=all_of_it)
        except NapariMonaiError as error:
            report(error)
            return
        left = [c for c in self._session.classes if c.number not in numbers]
        self._session.set_classes(left)

    # -- lists from elsewhere -----------------------------------------------------------------

    def _fill_menu(self, menu: QMenu) -> None:
        menu.clear()
        menu.addAction("A file…", self.ask_file)
        for model in list_models():
            labels = model.description.labels
            if model.description.outputs.kind == "classes" and labels:
                menu.addAction(f"{model.name}: {len(labels)}", partial(self.take, labels))

    def ask_file(self) -> None:
        """Ask for a file that lists classes, or labels that have names."""
        endings = (*class_lists.ENDINGS, *io.known_extensions())
        files = " ".join(f"*{e}" for e in dict.fromkeys(endings))
        name, _ = QFileDialog.getOpenFileName(
            self, "Classes from a file", "", f"Lists of classes and labels ({files});;All files (*)"
        )
        if name:
            self.take_file(name)

    def take_file(self, path: str | Path) -> None:
        """Name the numbers as a file does: a list of classes, or labels with names."""
        path = Path(path)
        try:
            if io.extension_of(path) in (None, *class_lists.ENDINGS):
                self.take(class_lists.read_class_list(path))
                return
            classes = io.read(path, labels=True).classes
            if not classes:
                raise ReadError(f"{path.name} has no names of classes: choose another file.")
            self.take(classes)
        except NapariMonaiError as error:
            report(error)

    def take(self, classes: Sequence[LabelClass]) -> None:
        """Name the numbers so; classes of other numbers stay as they are."""
        self._session.set_classes(class_lists.merged(self._session.classes, classes))

    # -- inside -------------------------------------------------------------------------------

    def _index(self, column: int) -> QModelIndex | None:
        numbers = self.numbers
        for row, one in enumerate(self._model.classes):
            if one.number in numbers:
                return self._model.index(row, column)
        return None

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() == NUMBER:
            self.ask_colour()


def _has_any(session: EditSession, numbers: Collection[int]) -> bool:
    """Whether any voxel of the time point that is seen has one of these numbers."""
    labels = session.scene().labels
    wanted = np.array(sorted(numbers))
    return any(bool(np.isin(labels[box], wanted).any()) for box in slabs(labels))
