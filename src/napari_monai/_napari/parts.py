"""Small parts that the widgets share."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton


def line() -> QLabel:
    """Return a label that wraps, and whose text can be selected and copied."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def button(text: str, hint: str, slot: Callable[[], object]) -> QPushButton:
    """Return a button that calls ``slot`` when it is clicked, with a tooltip."""
    made = QPushButton(text)
    made.setToolTip(hint)
    made.clicked.connect(slot)
    return made
