"""What widgets share that work in another thread: progress, a line on how it goes, their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from ..events import Event
from .jobs import Job, Outcome, Steps
from .parts import line

if TYPE_CHECKING:
    import napari


class JobWidget(QWidget):
    """A dock widget with a progress bar, which is there while it works, and a line of status.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.progress = QProgressBar()
        self.progress.hide()
        self.status = line()

    def _rows(self) -> QVBoxLayout:
        """Return the layout that the parts of the widget go into, one below the other."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.setSpacing(6)
        return layout

    def _show_progress(self) -> None:
        """Show that work has begun, before it is known how much there is of it."""
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.progress.show()

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setToolTip("")
        self.status.setVisible(bool(text))

    def leave(self) -> None:
        """Stop all work: the dock that holds the widget is closed."""
        raise NotImplementedError

    def event(self, event: QEvent | None) -> bool:
        """Leave when the dock that holds the widget is closed."""
        moved = event is not None and event.type() == QEvent.Type.ParentChange
        if moved and self.parent() is None:
            self.leave()
        return bool(super().event(event))


class OneJobWidget(JobWidget):
    """A dock widget that does one thing at a time."""

    _job: Job | None = None  # here, because Qt sends events before __init__ is through

    def _update(self) -> None:
        """Offer what can be done now."""
        raise NotImplementedError

    def _work(
        self,
        steps: Steps,
        title: str,
        on_event: Callable[[Event], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """Begin, with the methods that hear of it; the last of them has to call `_over`."""
        self._job = Job(steps, title, self)
        self._job.happened.connect(on_event)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(on_end)
        self._show_progress()
        self._job.start()
        self._update()

    def _over(self, outcome: Outcome) -> None:
        """Say how the work ended, if not well; from here on there is none."""
        error = self._job.error if self._job is not None else ""
        self._job = None
        self.progress.hide()
        if outcome == "failed":
            self._say(error)
        elif outcome == "cancelled":
            self._say("Cancelled.")

    def cancel(self) -> None:
        """Stop what is under way."""
        if self._job is not None:
            self._job.cancel()
            self._say("Cancelling…")
            self._update()
