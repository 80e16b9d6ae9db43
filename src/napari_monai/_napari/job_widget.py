"""What widgets share that work in another thread: progress, a line on how it goes, their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

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
