"""A generator of events -> a worker with progress, time left, Cancel, and errors said in a line.

The generator runs in another thread, so that the window stays alive; all that is said of it
arrives in the window's own thread. Cancelling closes the generator between two of its events.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any, Literal

from napari.qt.threading import create_worker
from napari.utils import progress
from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_error,
    show_warning,
)
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..errors import NapariMonaiError
from ..events import (
    BlockDone,
    BytesDone,
    ClassDone,
    Event,
    FileDone,
    Said,
    Started,
    StepDone,
    WindowDone,
)
from .pace import Pace

Outcome = Literal["done", "cancelled", "failed"]
Steps = Generator[Event, None, None]

# Events that say how far the work is.
_STEPS = (WindowDone, StepDone, FileDone, BlockDone, BytesDone, ClassDone)
# Seconds between two updates of the viewer's own progress bar, each of which redraws the window.
_ACTIVITY_EVERY = 0.2


class JobError(Exception):
    """A RuntimeError of the work, under a class that workers do not swallow."""


class Job(QObject):
    """Work that takes long, beside a window that stays alive.

    Signals arrive in the thread of the window. Warnings and errors become notifications; what is
    only said is left to the parent, so that nothing pops up where all is well. Nothing is sent
    after the parent is gone: the work is then cancelled.

    Parameters
    ----------
    steps
        The work; nothing of it runs before `start`, and all of it in another thread.
    title
        What the viewer's activity list calls it.
    parent
        The widget, or other object of the window, that it belongs to.
    """

    happened = Signal(object)  # an event of the work
    progressed = Signal(int, int, str)  # done, total, and the same in words
    ended = Signal(str)  # an Outcome; after it nothing more is sent

    def __init__(self, steps: Steps, title: str, parent: QObject) -> None:
        super().__init__(parent)
        self._steps = steps
        self._title = title
        self.pace = Pace()
        self._outcome: Outcome = "done"
        self.error = ""  # what went wrong, in a line
        self._bar: progress | None = None
        self._bar_drawn = 0.0
        self._drawing = False
        self._worker: Any = None

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop."""
        return self._outcome == "cancelled"

    def start(self) -> None:
        """Begin, in another thread."""
        worker = create_worker(_guarded, self._steps, _ignore_errors=True)
        self._bar = progress(total=0, desc=self._title)
        # Not methods of widgets, so that they work when this object is gone with its window.
        # The bar first: whoever hears that the work ended finds it gone from the activity list.
        worker.finished.connect(self._bar.close)
        self.destroyed.connect(worker.quit)
        worker.yielded.connect(self._on_event)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        worker.start()

    def cancel(self) -> None:
        """Stop after the step that is under way."""
        if self._worker is not None and self._outcome == "done":
            self._outcome = "cancelled"
            self._worker.quit()

    def _on_event(self, event: Event) -> None:
        if self._outcome != "done":
            return  # sent before the work heard of it
        if isinstance(event, Said):
            if event.level == "warning":
                show_warning(event.message)
        elif isinstance(event, Started):
            self.pace.begin(event.total, event.what)
            self.progressed.emit(0, event.total, self.pace.words())
        elif isinstance(event, _STEPS):
            done = event.step if isinstance(event, StepDone) else event.done
            self.pace.reach(done)
            self.progressed.emit(done, self.pace.total, self.pace.words())
        self.happened.emit(event)
        self._draw_activity()  # last: it lets other events in, the closing of the window too

    def _draw_activity(self) -> None:
        now = time.monotonic()
        if self._bar is None or self._drawing or now - self._bar_drawn < _ACTIVITY_EVERY:
            return
        # While it is drawn the next events come in, each on top of the last: not also drawn, or
        # they would pile up on a machine that is busy.
        self._drawing = True
        if self._bar.total != self.pace.total:
            self._bar.total = self.pace.total
        self._bar.update(self.pace.done - self._bar.n)
        self._bar_drawn, self._drawing = time.monotonic(), False

    def _on_error(self, error: Exception) -> None:
        if self._outcome == "done":
            self._outcome = "failed"
            self.error = str(error)
            report(error)

    def _on_finished(self) -> None:
        # A generator that was left behind holds its memory, and its file handles, until closed.
        self._steps.close()
        if self._outcome == "done" and self._worker.abort_requested:
            self._outcome = "cancelled"  # by the viewer, which is being closed
        self._worker = None
        self.ended.emit(self._outcome)
        self.deleteLater()


def report(error: Exception) -> None:
    """Notify the user: in one line of what they can cure, with a traceback of what is our fault."""
    if isinstance(error, NapariMonaiError | OSError):  # such as a folder that cannot be written to
        show_error(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))


def _guarded(steps: Iterator[Event]) -> Steps:
    """Run the steps, and turn a RuntimeError, which workers swallow, into one that they report."""
    try:
        yield from steps
    except RuntimeError as error:
        raise JobError(f"{type(error).__name__}: {error}") from error
