"""The trainings there have been: those that go on, those that can be resumed, the results."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QHeaderView,
    QMessageBox,
    QSizePolicy,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .parts import beside, button, line
from .row_table import PLAIN, RowTable

if TYPE_CHECKING:
    from ..training.process import Run

NAME, STATE, SCORE = range(3)
_HEADERS = {
    NAME: ("Training", "The name of the new model"),
    STATE: ("State", "How far it came"),
    SCORE: ("Score", "The best validation so far"),
}
_VERBS = {
    "running": ("Follow", "Show the curves of this training, which goes on"),
    "unfinished": ("Resume", "Go on where this training stopped"),
    "failed": ("Resume", "Go on from the last state that was kept"),
    "finished": ("Show", "Show the curves and the scores of this training"),
}


class Runs(QWidget):
    """Lists the trainings of the user's own folder, read again whenever it is shown."""

    wanted = Signal(object)  # the run to resume, follow or show

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runs: tuple[Run, ...] = ()
        self.table = RowTable(_HEADERS, (280, 200), self)
        self.table.hint("No training yet.")
        self.about = line()
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = button("Resume", "", self._open)
        self.delete_button = button(
            "Delete…", "Delete the folder of this training; models in the store stay", self._ask
        )
        header = self.table.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.about)
        layout.addLayout(beside(self.open_button, self.delete_button))
        self.table.itemSelectionChanged.connect(self._update)
        self._busy = False
        self._update()

    @property
    def run(self) -> Run | None:
        """The training that is chosen."""
        at = self.table.currentRow()
        return self.runs[at] if self.table.selectedItems() and at < len(self.runs) else None

    def refresh(self, *, busy: bool | None = None) -> None:
        """Read the list again; while the widget is ``busy`` with one nothing can be opened."""
        from ..training.process import list_runs

        self._busy = self._busy if busy is None else busy
        chosen = self.run
        self.runs = list_runs()
        self.table.setRowCount(len(self.runs))
        for at, run in enumerate(self.runs):
            for column, text in enumerate((run.name, state_words(run), score_words(run))):
                item = QTableWidgetItem(text)
                item.setFlags(PLAIN)
                item.setToolTip(str(run.folder))
                self.table.setItem(at, column, item)
        folders = [run.folder for run in self.runs]
        if folders:
            same = folders.index(chosen.folder) if chosen and chosen.folder in folders else 0
            self.table.setCurrentCell(same, NAME)
            self.table.selectRow(same)
        self._update()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Read the list again."""
        super().showEvent(event)
        self.refresh()

    def _update(self) -> None:
        run = self.run
        text, hint = _VERBS[run.state] if run is not None else ("Resume", "")
        self.open_button.setText(text)
        self.open_button.setToolTip(hint)
        self.open_button.setEnabled(run is not None and not self._busy)
        self.delete_button.setEnabled(run is not None and run.state != "running" and not self._busy)
        said = "" if run is None else run.error or ""
        self.about.setText(said)
        self.about.setVisible(bool(said))

    def _open(self) -> None:
        if self.run is not None:
            self.wanted.emit(self.run)

    def _ask(self) -> None:
        run = self.run
        if run is None:
            return
        box = QMessageBox(self)
        box.setText(f"Delete the training {run.name}?")
        box.setInformativeText(f"{run.folder}\nIts curves and its state go; it cannot be resumed.")
        box.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.buttonClicked.connect(lambda chosen: self._answered(box, chosen, run))
        box.open()

    def _answered(self, box: QMessageBox, chosen: Any, run: Run) -> None:
        if box.buttonRole(chosen) == QMessageBox.ButtonRole.DestructiveRole:
            shutil.rmtree(run.folder, ignore_errors=True)
            self.refresh()


def state_words(run: Run) -> str:
    """Return the state of a training in a word or two: ``"running, 40 %"``."""
    part = f", {100 * run.step // run.steps} %" if run.steps and run.state != "finished" else ""
    return f"{run.state}{part}"


def score_words(run: Run) -> str:
    """Return the first score of a training."""
    return next((f"{value:.3f}" for value in run.scores.values()), "")
