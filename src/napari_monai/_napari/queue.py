"""Segmentations that wait for each other: one at a time, in the order in which they were asked for.

One that fails or is cancelled does not stop the others.
"""

from __future__ import annotations

from collections.abc import Hashable

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from .pace import Countdown
from .segment_run import Run

_FINE = 1000  # steps of the progress of several runs


class Queue(QObject):
    """The runs of a widget.

    Those that are over stay in ``runs``, to be looked at, until the next one is added to a queue
    that is at rest.
    """

    changed = Signal()  # a run is added, removed, or in another state, or says another line
    progressed = Signal(int, int, str)  # done, total, and the same in words
    emptied = Signal()  # the last run is over

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.runs: list[Run] = []
        self._done = 0
        self._end = Countdown()
        # In a turn of its own: a run ends in the middle of what its work says.
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.timeout.connect(self._go_on)

    @property
    def running(self) -> Run | None:
        """The run that is under way."""
        return next((r for r in self.runs if r.state in ("running", "cancelling")), None)

    @property
    def waiting(self) -> list[Run]:
        """The runs whose turn has not come."""
        return [r for r in self.runs if r.state == "waiting"]

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs or waits."""
        return all(r.is_over for r in self.runs)

    def holds(self, key: Hashable) -> bool:
        """Whether the very same work waits or runs."""
        return any(r.key == key and not r.is_over for r in self.runs)

    def add(self, run: Run) -> None:
        """Let a run wait for its turn."""
        if self.at_rest:
            self._clear()
        for other in (*self.runs, run):  # the user is not taken from one result to the next
            other.select = not self.runs
        self.runs.append(run)
        self._done = 0
        run.told.connect(self._on_told)
        run.ended.connect(self._on_ended)
        self.changed.emit()
        self._go_on()

    def cancel(self, run: Run) -> None:
        """Take a run that waits out of the queue, or stop the one that runs; the next goes on."""
        if run.state == "waiting":
            self.runs.remove(run)
            run.deleteLater()
            self.changed.emit()
        run.cancel()

    def cancel_all(self) -> None:
        """Stop what runs and take out all that waits."""
        for run in (*self.waiting, *filter(None, [self.running])):
            self.cancel(run)

    def leave(self) -> None:
        """Cancel all and tidy up at once."""
        self._next.stop()
        self.cancel_all()
        for run in self.runs:
            run.leave()

    def _clear(self) -> None:
        for run in self.runs:
            run.deleteLater()
        self.runs = []
        self._end = Countdown()

    def _go_on(self) -> None:
        if self.running is None and self.waiting:
            self.waiting[0].start()

    def _on_told(self) -> None:
        self.changed.emit()
        run = self.running
        if run is not None and run.total:
            self.progressed.emit(*self._progress(run))

    def _on_ended(self, run: Run) -> None:
        if run.abandoned:
            self.leave()
        self._next.start(0)
        if self.at_rest:
            self.emptied.emit()

    def _progress(self, run: Run) -> tuple[int, int, str]:
        """Return how far all has come: of one run in its own steps, of several in parts."""
        if len(self.runs) == 1:
            return run.done, run.total, run.words
        sizes = {True: 0.0, False: 0.0}
        for other in self.runs:
            part = run.done / run.total if other is run else float(other.is_over)
            sizes[True] += part * other.size
            sizes[False] += (1 - part) * other.size
        # Objects that are told apart after the windows are counted from none again.
        self._done = max(self._done, round(_FINE * sizes[True] / sum(sizes.values())))
        words = f"Image {1 + sum(r.is_over for r in self.runs)} of {len(self.runs)}"
        each = run.pace.seconds_each
        if each is not None and run.pace.what == "windows":
            # What waits is taken to be as fast, voxel by voxel, as what runs.
            left = each * run.total / run.size * sizes[False]
            self._end.hear(left, run.pace.now)
        said = self._end.words(run.pace.now)
        return self._done, _FINE, f"{words}, {said}" if said else words
