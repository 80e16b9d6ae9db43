"""A line that holds a file or folder: typed, dropped, or chosen."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QLineEdit, QMenu, QToolButton, QWidget

from .parts import beside, dragged

_HINT = "Folder or file: drop it here"


class PathLine(QWidget):
    """A line for a path, with a button that asks for it.

    Parameters
    ----------
    title
        What is asked for, as the title of the dialog.
    hint
        What it says while it is empty.
    """

    changed = Signal()

    def __init__(self, title: str, hint: str = _HINT, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.line = QLineEdit()
        self.line.setPlaceholderText(hint)
        self.line.setClearButtonEnabled(True)
        self.line.setAcceptDrops(False)  # which would take the web address of a file
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip("Choose a folder or a file")
        # Else an arrow is drawn over the dots.
        self.browse.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.browse)
        menu.addAction("Folder…", self.ask_folder)
        menu.addAction("File…", self.ask_file)
        self.browse.setMenu(menu)
        row = beside(self.line, self.browse)
        row.setSpacing(4)
        self.setLayout(row)
        self.setAcceptDrops(True)
        self.line.textChanged.connect(self._on_text)

    @property
    def path(self) -> Path | None:
        """The path, or ``None`` of an empty line."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    @path.setter
    def path(self, path: Path | None) -> None:
        self.line.setText("" if path is None else str(path))

    def ask_folder(self) -> None:
        """Ask for a folder."""
        self._take(QFileDialog.getExistingDirectory(self, self._title, self._start()))

    def ask_file(self) -> None:
        """Ask for a file."""
        self._take(QFileDialog.getOpenFileName(self, self._title, self._start())[0])

    def _start(self) -> str:
        return str(self.path.parent) if self.path is not None else ""

    def _take(self, chosen: str) -> None:
        if chosen:
            self.line.setText(chosen)

    def _on_text(self, text: str) -> None:
        self.line.setToolTip(text)
        self.changed.emit()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take a file or folder that is dragged here."""
        if event is not None and _paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Take the first file or folder that was dropped here."""
        paths = _paths(event) if event is not None else []
        if event is not None and paths:
            event.acceptProposedAction()
            self.path = paths[0]


def _paths(event: QDropEvent) -> list[Path]:
    return [path for path in dragged(event.mimeData()) if isinstance(path, Path)]
