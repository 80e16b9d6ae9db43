"""What the two halves of a review share: a search beside the window, a list to go through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..events import Event
from .column_model import ColumnModel
from .column_view import ColumnView
from .columns import Column
from .jobs import Job, Steps
from .parts import button, line

if TYPE_CHECKING:
    from .edit_session import EditSession

_SIZE = (320, 180)  # in pixels


class ReviewPart(QWidget):
    """A button that searches, a table of what was found, a bar of how much of it is done.

    Parameters
    ----------
    session
        The labels.
    columns
        Of the table, as long as it is empty.
    verb, hint
        What the button is called, and what it does.
    """

    def __init__(
        self, session: EditSession, columns: Sequence[Column], *, verb: str, hint: str
    ) -> None:
        super().__init__()
        self._session = session
        self._job: Job | None = None
        self._verb = verb
        self._model = ColumnModel(columns)
        self.table = ColumnView(self._model, _SIZE)
        self.search_button = button(verb, hint, self._search_or_cancel)
        self.progress = QProgressBar()
        self.progress.setFormat("")
        self.progress.setRange(0, 1)
        self.status = line()
        self.table.chosen.connect(self._on_chosen)
        self.table.opened.connect(lambda _: self.go())
        session.closed.connect(self._cancel)

    def _lay_out(self, choices: Sequence[QWidget], verbs: Sequence[QPushButton]) -> None:
        rows, first, last = QVBoxLayout(self), QHBoxLayout(), QHBoxLayout()
        rows.setContentsMargins(0, 0, 0, 0)
        for choice in choices:
            first.addWidget(choice, 1)
        first.addWidget(self.search_button)
        for verb in verbs:
            last.addWidget(verb)
        rows.addLayout(first)
        rows.addWidget(self.table)
        rows.addLayout(last)
        rows.addWidget(self.progress)
        rows.addWidget(self.status)

    # -- the search ---------------------------------------------------------------------------

    def search(self) -> None:
        """Look for what there is to review."""
        raise NotImplementedError

    def _found(self, event: Event) -> None:
        """Take an event of the search."""
        raise NotImplementedError

    def _search_or_cancel(self) -> None:
        self._cancel() if self._job is not None else self.search()

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _start(self, steps: Steps, title: str) -> None:
        self._job = Job(steps, title, self)
        self._job.happened.connect(self._found)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_ended)
        self.search_button.setText("Cancel")
        self.status.setText("")
        self.progress.setRange(0, 0)
        self._job.start()

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def _on_ended(self, outcome: str) -> None:
        job, self._job = self._job, None
        self.search_button.setText(self._verb)
        if outcome == "failed" and job is not None:
            self.status.setText(job.error)
        self._tell()

    # -- the list -----------------------------------------------------------------------------

    @property
    def chosen(self) -> tuple[int, ...]:
        """The keys of the rows that are chosen."""
        return tuple(self.table.selected.tolist())

    def go(self) -> None:
        """Show in the viewer what is chosen."""
        raise NotImplementedError

    def _choose(self, key: int | None) -> None:
        if key is not None:
            self.table.select([key])
            if self.isVisible():  # who looks at something else is not taken away from it
                self.go()
        self._tell()

    def _on_chosen(self) -> None:
        if len(self.chosen) == 1:
            self.go()
        self._tell()

    def _tell(self) -> None:
        """Say how far it is, and enable what can be done with what is chosen."""
        raise NotImplementedError

    def _bar(self, done: int, total: int, words: str) -> None:
        if self._job is None:
            self.progress.setRange(0, max(total, 1))
            self.progress.setValue(done)
            self.progress.setFormat(words)
