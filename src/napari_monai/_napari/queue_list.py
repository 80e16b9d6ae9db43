"""The list of a queue: which image, how far it is, and a button that takes it out."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from .queue import Queue
from .segment_run import Run

_MOST_ROWS = 5  # that are seen at once
_NAME, _STATE, _OUT = range(3)


class QueueList(QTreeWidget):
    """The runs of a queue, as long as there is more than one.

    Parameters
    ----------
    queue
        The queue.
    parent
        The widget that it is part of.
    """

    def __init__(self, queue: Queue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self._rows: dict[Run, QTreeWidgetItem] = {}
        self.setColumnCount(3)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(_STATE, QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(_OUT, QHeaderView.ResizeMode.Fixed)
            header.setMinimumSectionSize(20)
            header.resizeSection(_OUT, 24)
        queue.changed.connect(self._update)
        self.hide()

    def _update(self) -> None:
        if list(self._rows) != self._queue.runs:
            self._fill()
        for run, row in self._rows.items():
            row.setText(_STATE, state_of(run))
            for column in (_NAME, _STATE):
                row.setToolTip(column, f"{run.name}\n{run.line}".strip())
            out = self.itemWidget(row, _OUT)
            if out is not None:
                out.setVisible(run.state in ("waiting", "running"))
                out.setToolTip(
                    "Take it out of the queue" if run.state == "waiting" else "Stop it; go on"
                )

    def _fill(self) -> None:
        self.clear()
        self._rows = {}
        for run in self._queue.runs:
            row = QTreeWidgetItem([run.name, "", ""])
            self.addTopLevelItem(row)
            out = QToolButton()
            out.setText("✕")
            out.setAutoRaise(True)
            out.clicked.connect(lambda _checked=False, run=run: self._queue.cancel(run))
            self.setItemWidget(row, _OUT, out)
            self._rows[run] = row
        height = max(22, self.sizeHintForRow(0)) if self._rows else 22
        self.setFixedHeight(height * min(_MOST_ROWS, len(self._rows)) + 2)
        self.setVisible(len(self._rows) > 1)
        running = self._queue.running
        if running is not None and running in self._rows:
            self.scrollToItem(self._rows[running])


def state_of(run: Run) -> str:
    """Return the state of a run in a word or two."""
    if run.state == "running" and run.total:
        return f"{100 * run.done // run.total} %"
    return {"running": "starting…", "cancelling": "stopping…"}.get(run.state, run.state)
