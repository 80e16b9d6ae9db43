"""Small parts that the widgets share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QMimeData, Qt
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QWidget


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


def form_rows(parent: QWidget | None = None) -> QFormLayout:
    """Return rows of a label and a field each, as close as those of a form of settings."""
    rows = QFormLayout(parent)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setVerticalSpacing(4)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def beside(*parts: QWidget) -> QHBoxLayout:
    """Return parts in a row."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        row.addWidget(part)
    return row


def dragged(data: QMimeData | None) -> list[Path | str]:
    """Return the files and folders, and the web addresses, that are dragged."""
    urls = data.urls() if data is not None else []
    files = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
    return [*files, *(url.toString() for url in urls if url.scheme() in ("http", "https"))]
