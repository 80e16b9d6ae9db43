"""The objects of the labels under correction: measured, sorted, found, flown to, put right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QHideEvent, QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from ..errors import NapariMonaiError
from .column_model import ColumnModel
from .column_view import ColumnView
from .columns import number_text
from .fly import fly_to, slice_of
from .jobs import report
from .kept_notes import kept_notes
from .measuring import Measurements
from .object_columns import no_objects, object_columns
from .object_notes import flagged, moved, settled
from .parts import button, line
from .quick_edits import edit_now

if TYPE_CHECKING:
    from .edit_session import EditSession

_SIZE = (320, 220)  # in pixels
_FILTER = "Filter: volume > 50, class = liver, flag…"
_NONE = "No objects yet: paint one, or run a model."


class ObjectsPanel(QWidget):
    """A table of objects; a click flies to one, and what is chosen is merged, deleted, noted.

    Parameters
    ----------
    session
        The labels.
    """

    def __init__(self, session: EditSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._kept = kept_notes(session)
        self.measurements = Measurements(session, self)
        self._model = ColumnModel(no_objects(session.ndim), swatch=self._swatch)
        self.table = ColumnView(self._model, _SIZE)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText(_FILTER)
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.setToolTip(
            "Words and numbers, and comparisons: volume > 50, class = liver, label = 3, 5-9"
        )
        self.progress = QProgressBar()
        self.status = line()
        self.alone = QCheckBox("Show only this")
        self.alone.setToolTip("Draw nothing but the object that was chosen last")
        self.merge_button = button("Merge", "Make one object of those chosen (M)", self.merge)
        self.delete_button = button("Delete", "Make them background (Delete)", self.delete)
        self.flag_button = button("Flag", "Flag them for later, or no longer (F)", self.flag)
        self.done_button = button("Done", "Note that they are right, or not yet (D)", self.done)
        self._build()
        self._connect()
        self._show()

    def _build(self) -> None:
        rows, verbs = QVBoxLayout(self), QHBoxLayout()
        rows.setContentsMargins(0, 6, 0, 0)
        rows.addWidget(self.filter_line)
        rows.addWidget(self.table)
        for verb in (self.merge_button, self.delete_button, self.flag_button, self.done_button):
            verbs.addWidget(verb)
        rows.addLayout(verbs)
        for part in (self.alone, self.progress, self.status):
            rows.addWidget(part)
        self.progress.hide()
        add = self.table.add_action
        add("Go there", self.go)
        add("Merge", self.merge, Qt.Key.Key_M)
        add("Delete", self.delete, QKeySequence.StandardKey.Delete)
        add("Flag or unflag", self.flag, Qt.Key.Key_F)
        add("Done or not", self.done, Qt.Key.Key_D)
        add("Lock or unlock", self.lock, Qt.Key.Key_L)

    def _connect(self) -> None:
        self._failure = ""  # why there are no measurements
        session, alone = self._session, self._session.layer.show_selected_label
        self.alone.setChecked(bool(alone))
        self.filter_line.textChanged.connect(self._filter)
        self.alone.toggled.connect(self._show_alone)
        self.table.chosen.connect(self._on_chosen)
        self.table.opened.connect(self.go)
        self.measurements.changed.connect(self._on_measured)
        self.measurements.progressed.connect(self._on_progress)
        self.measurements.failed.connect(self._on_failed)
        self._kept.changed.connect(self._renew)
        session.classes_changed.connect(self._renew)
        session.selected_changed.connect(self._follow)

    # -- what is there ------------------------------------------------------------------------

    @property
    def selected(self) -> tuple[int, ...]:
        """The objects that are chosen."""
        return tuple(self.table.selected.tolist())

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Measure what is not measured yet."""
        super().showEvent(event)
        self.measurements.ask()
        self._show()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Leave the labels alone while nobody looks."""
        super().hideEvent(event)
        self.measurements.rest()

    def _on_failed(self, error: str) -> None:
        self._failure = error
        self.progress.hide()
        self._show()

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self._failure = ""
        self.progress.setVisible(True)
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def _on_measured(self) -> None:
        table = self.measurements.table
        self.progress.hide()
        if table is not None:
            self._kept.set(moved(self._kept.notes, table))
        first = not self._model.total
        self._show()
        if first:
            self.table.fit_columns()
            self._follow()

    def _renew(self) -> None:
        """Show other notes and names, if anybody looks."""
        if self.isVisible():
            self._show()

    def _show(self) -> None:
        """Show what is known of the objects."""
        table = self.measurements.table
        if table is None:
            self._model.show_columns(no_objects(self._session.ndim))
        else:
            self._model.show_columns(
                object_columns(
                    table,
                    unit=self._session.unit,
                    names={c.number: c.name for c in self._session.classes},
                    notes=self._kept.notes,
                    locked=self._session.locked,
                )
            )
        self._tell()

    def _follow(self) -> None:
        """Choose the rows of what is selected elsewhere."""
        if set(self.selected) != set(self._session.selected):
            self.table.select(self._session.selected)
            self._tell()

    def _filter(self, text: str) -> None:
        self._model.filter(text)
        self._tell()

    def _tell(self) -> None:
        """Say how many objects there are, and enable what can be done with those chosen."""
        chosen, shown, total = self.selected, self._model.rowCount(), self._model.total
        for verb in (self.delete_button, self.flag_button, self.done_button):
            verb.setEnabled(bool(chosen))
        self.merge_button.setEnabled(len(chosen) > 1)
        waits = self.measurements.table is None
        hint = self._failure or "Measuring…"
        self.table.hint(hint if waits else _NONE if not total else "None is like this.")
        parts = [f"{total} object{'' if total == 1 else 's'}"]
        parts += [f"{shown} shown"] if shown != total else []
        parts += [f"{len(chosen)} chosen{self._sum(chosen)}"] if chosen else []
        self._say(self._model.problem or ("" if waits else ", ".join(parts)))

    def _say(self, text: str) -> None:
        self.status.setText(text)

    def _sum(self, chosen: Collection[int]) -> str:
        table = self.measurements.table
        if table is None or len(chosen) < 2:
            return ""
        rows = table.find(list(chosen))
        volume = next(c for c in self._model.columns if c.key == "volume")
        total = float(table.volume[rows[rows >= 0]].sum())
        return f", {number_text(total)} {volume.unit}"

    def _swatch(self, number: int) -> QColor | None:
        colour = self._session.layer.colormap.map(number)
        return QColor.fromRgbF(*(float(part) for part in colour[:3])) if colour[3] else None

    # -- going there --------------------------------------------------------------------------

    def _on_chosen(self) -> None:
        chosen = self.selected
        if chosen:
            # What was clicked last is what the brush paints with, and where the view goes.
            last = self._current()
            first = [last] if last in chosen else []
            self._session.select([*first, *(n for n in chosen if n not in first)])
            if first:
                self._session.layer.selected_label = last
                self.go(last)
        self._tell()

    def _current(self) -> int:
        row = self.table.currentIndex().row()
        return int(self._model.keys[row]) if 0 <= row < self._model.rowCount() else 0

    def go(self, number: int = 0) -> None:
        """Fly to an object: the one that is chosen, when left out."""
        table = self.measurements.table
        row = None if table is None else table.row(number or self._current())
        if table is None or row is None:
            return
        box, session = table.box(row), self._session
        at = slice_of(session, int(table.label[row]), table.centroid[row].tolist(), box)
        fly_to(session.viewer, session.layer, at, box)

    def _show_alone(self, alone: bool) -> None:
        self._session.layer.show_selected_label = alone

    # -- what is done -------------------------------------------------------------------------

    def merge(self) -> None:
        """Make one object of those that are chosen."""
        if len(self.selected) > 1:
            self._edit("merge")

    def delete(self) -> None:
        """Make those that are chosen background."""
        if self.selected:
            self._edit("delete")

    def _edit(self, name: str) -> None:
        try:
            edit = edit_now(self._session, name, selected=self.selected)
        except NapariMonaiError as error:
            report(error)
            return
        if edit is not None:
            left = {v for change in edit.changes for v in change.values}
            self._session.select([v for v in self.selected if v in left][:1])

    def flag(self) -> None:
        """Flag those that are chosen; if all of them are flagged, no longer."""
        self._kept.set(flagged(self._kept.notes, self.selected, self.measurements.table))

    def done(self) -> None:
        """Note that those that are chosen are right; if all are, that they are not yet."""
        self._kept.set(settled(self._kept.notes, self.selected, self.measurements.table))

    def lock(self) -> None:
        """Keep those that are chosen from all edits; if all are locked, no longer."""
        session, chosen = self._session, set(self.selected)
        on = not chosen <= session.locked
        named = {c.number for c in session.classes} & chosen
        if named:
            session.set_classes(
                [replace(c, locked=on) if c.number in named else c for c in session.classes]
            )
        session.lock(chosen - named if on else chosen, on)
