"""A view of rows that are chosen whole, with a menu whose lines have keys."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QAction, QKeyEvent, QKeySequence, QPaintEvent  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

from .row_table import draw_hint, look_plain

_NARROWEST = QSize(150, 75)  # in pixels


class RowView(QTableView):
    """Rows without a grid, any number of which are chosen; a line where there are none.

    Parameters
    ----------
    size
        Width and height that it asks for, in pixels.
    """

    def __init__(self, size: tuple[int, int], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hint = ""
        self._wanted = QSize(*size)
        look_plain(self)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def add_action(
        self,
        text: str,
        slot: Callable[[], object],
        key: QKeySequence.StandardKey | Qt.Key | None = None,
    ) -> QAction:
        """Add a line to the menu of the rows, with a key that works while the table has focus."""
        action = QAction(text, self)
        if key is not None:
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(lambda *_: slot())
        self.addAction(action)
        return action

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Do what the menu has this key for."""
        if event is None:
            return
        pressed = QKeySequence(event.keyCombination())
        action = next((a for a in self.actions() if pressed in a.shortcuts()), None)
        if action is None:
            super().keyPressEvent(event)
        elif action.isEnabled():
            action.trigger()

    def hint(self, text: str) -> None:
        """Say something in the middle of the table as long as no row is in sight."""
        self._hint = text
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that it asks for."""
        return self._wanted

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size that a narrow dock and a low window have."""
        return _NARROWEST

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the rows, or the line where there are none."""
        super().paintEvent(event)
        model = self.model()
        if self._hint and model is not None and not model.rowCount():
            draw_hint(self, self._hint)
