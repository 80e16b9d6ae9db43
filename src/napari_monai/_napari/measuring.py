"""The measurements of the labels under correction, kept up to date beside a living window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..events import Event, Measured
from ..labels.boxes import Box, overlap, union, whole
from ..labels.measure import measure_steps, remeasure
from ..labels.scene import Scene
from ..labels.table import Table
from .jobs import Job, JobError, report

if TYPE_CHECKING:
    from .edit_session import EditSession

# Milliseconds without a change after which labels are measured again: a stroke is many changes.
_REST = 250
# Boxes beyond these are put together.
_MOST_BOXES = 64


class Measurements(QObject):
    """The table of the labels of a session: of all of them at first, then of what changes.

    Nothing is measured before `ask`, and nothing while nobody wants it (`rest`).
    """

    changed = Signal()  # there is another table
    progressed = Signal(int, int, str)  # of the first measurement, as of a Job
    failed = Signal(str)

    def __init__(self, session: EditSession, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._parent = parent
        self.table: Table | None = None
        self._image: object = None  # that was measured
        self._wanted = False
        self._job: Job | None = None
        self._worker: Any = None
        self._stale: list[Box] = []  # changed since the table was measured
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self._renew)
        session.changed.connect(self._on_changed)
        session.closed.connect(self.stop)

    @property
    def is_busy(self) -> bool:
        """Whether something is being measured, or about to be."""
        return self._job is not None or self._worker is not None or self._timer.isActive()

    def ask(self) -> None:
        """Measure what has not been measured, and go on doing so."""
        self._wanted = True
        self._renew()

    def rest(self) -> None:
        """Measure nothing until it is asked for again."""
        self._wanted = False

    def stop(self) -> None:
        """Give up what is under way."""
        self._wanted = False
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()

    # -- what changes -------------------------------------------------------------------------

    def _on_changed(self, boxes: Sequence[Box]) -> None:
        everything = whole(self._session.shape)
        if any(tuple(box) == everything for box in boxes):
            self.table, self._stale = None, []  # other labels, or another time point
            if self._job is not None:
                self._job.cancel()
        elif self.table is not None or self._job is not None:
            self._stale += [tuple(box) for box in boxes]
        if self._wanted:
            self._timer.start()

    def _renew(self) -> None:
        """Measure all, or what has changed, if nothing is under way."""
        if not self._wanted or self._job is not None or self._worker is not None:
            return
        if self.table is None or self._session.image is not self._image:
            self._measure_all()
        elif self._stale:
            self._measure_again(self.table)

    # -- all ----------------------------------------------------------------------------------

    def _measure_all(self) -> None:
        self._stale, self._image = [], self._session.image
        scene = self._session.scene()
        steps = measure_steps(scene.labels, spacing=scene.spacing, image=scene.image)
        self._job = job = Job(_generator(steps), "Measuring", self._parent)
        job.happened.connect(self._on_event)
        job.progressed.connect(self.progressed)
        job.ended.connect(self._on_ended)
        job.start()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Measured):
            self.table = event.table

    def _on_ended(self, outcome: str) -> None:
        job, self._job = self._job, None
        if outcome == "failed" and job is not None:
            self._wanted = False
            self.failed.emit(job.error)
            return
        if outcome == "cancelled":
            self.table = None
        else:
            self.changed.emit()
        if self._wanted:
            self._timer.start()

    # -- what has changed ---------------------------------------------------------------------

    def _measure_again(self, table: Table) -> None:
        boxes, self._stale = _few(self._stale, self._session.shape), []
        self._worker = worker = create_worker(
            _again, table, self._session.scene(), boxes, _ignore_errors=True
        )
        worker.returned.connect(self._on_again)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_finished)
        worker.start()

    def _on_again(self, table: Table) -> None:
        if self.table is not None:  # else all is to be measured by now
            self.table = table
            self.changed.emit()

    def _on_error(self, error: Exception) -> None:
        self._wanted, self.table = False, None
        report(error)
        self.failed.emit(str(error))

    def _on_finished(self) -> None:
        self._worker = None
        if self._wanted and (self._stale or self.table is None):
            self._timer.start()


def _again(table: Table, scene: Scene, boxes: Sequence[Box]) -> Table:
    """Return the table with what was, or is, in some boxes measured anew; in a thread of its own.

    What was there before is not known any more: it is one of the labels whose box is touched.
    """
    try:
        touched = np.zeros(len(table), bool)
        values: set[int] = set()
        for box in boxes:
            low, high = np.array([(s.start, s.stop) for s in box]).T
            touched |= ((table.start < high) & (table.stop > low)).all(axis=1)
            values.update(np.unique(np.asarray(scene.labels[box])).tolist())
        values.update(table.label[touched].tolist())
        image = None if table.mean is None else scene.image
        return remeasure(table, scene.labels, values - {0}, changed=boxes, image=image)
    except RuntimeError as error:
        raise JobError(f"{type(error).__name__}: {error}") from error


def _few(boxes: Sequence[Box], shape: Sequence[int]) -> list[Box]:
    """Return boxes that hold the same, inside the array, each of them once and not too many."""
    inside = [overlap(box, whole(shape)) for box in boxes]
    found = list({str(box): box for box in inside if box is not None}.values())
    while len(found) > _MOST_BOXES:
        pairs = zip(found[::2], found[1::2], strict=False)
        rest = found[len(found) // 2 * 2 :]
        found = [union(a, b) for a, b in pairs] + rest
    return found


def _generator(steps: Any) -> Any:
    yield from steps
