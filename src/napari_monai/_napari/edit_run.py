"""Operations on the labels of a session: short ones at once, long ones beside a living window."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..errors import NapariMonaiError
from ..events import Edited, Event, Started
from ..labels.boxes import Boxes
from ..labels.operations import operation, run
from ..settings import Settings
from .jobs import Job, Outcome, Steps, report

if TYPE_CHECKING:
    from ..labels.changes import Edit
    from ..labels.scene import Scene
    from .edit_session import EditSession

# Voxels up to which the window waits for an operation, and how many seconds it does.
_SMALL = 1 << 22
_PATIENCE = 0.15


class EditRun(QObject):
    """Runs operations, one at a time, and applies what they want to change.

    Parameters
    ----------
    session
        What they work on.
    """

    begun = Signal(str)  # title: it takes long, and can be cancelled
    progressed = Signal(int, int, str)
    said = Signal(str)  # a line on what was done, or why it was not
    ended = Signal(str)  # an Outcome

    def __init__(self, session: EditSession) -> None:
        super().__init__()
        self._session = session
        self._job: Job | None = None
        self._edit: Edit | None = None
        self._time: int | None = None

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self._job is not None

    def start(self, name: str, settings: Settings | None = None, **changes: Any) -> None:
        """Run an operation on the scene of the session with these changes."""
        session = self._session
        if self._job is not None:
            self.said.emit("Wait until the tool that runs is done, or cancel it.")
            return
        self._edit, self._time = None, session.time
        title = operation(name).title
        try:
            if math.prod(session.shape) <= _SMALL:
                _ = session.boxes  # worked out now, for all tools to come
            scene = session.scene(**changes)
            steps = run(name, scene, settings)
            edit, started = _at_once(steps) if _is_small(scene) else (None, None)
        except NapariMonaiError as error:
            self._fail(str(error))
        except Exception as error:
            report(error)
            self._fail(f"{title} failed: {error}")
        else:
            if edit is None:
                self._go_on(title, started, steps)
            else:
                self._finish(edit)

    def cancel(self) -> None:
        """Stop what is under way; nothing of it stays."""
        if self._job is not None:
            self._job.cancel()

    def locate(self) -> None:
        """Look where each label lies, beside the window, so that the first tool need not."""
        session = self._session
        # A small array is looked at when the first tool is applied.
        if session.known_boxes.known is None and math.prod(session.shape) > _SMALL:
            job = Job(_located(session.known_boxes.search()), "Looking at the labels", self)
            job.happened.connect(self._on_located)
            job.start()

    def _on_located(self, event: Event) -> None:
        if isinstance(event, Located):
            self._session.known_boxes.found(event.ticket, event.boxes)

    # -- one operation ------------------------------------------------------------------------

    def _go_on(self, title: str, started: Started | None, steps: Iterator[Event]) -> None:
        self._job = Job(_rest(started, steps), title, self)
        self._job.happened.connect(self._on_event)
        self._job.progressed.connect(self.progressed)
        self._job.ended.connect(self._on_ended)
        self.begun.emit(title)
        self._job.start()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Edited):
            self._edit = event.edit

    def _on_ended(self, outcome: Outcome) -> None:
        job, self._job = self._job, None
        if outcome == "cancelled":
            self.said.emit("Cancelled: nothing was changed.")
            self.ended.emit(outcome)
        elif outcome == "failed" or self._edit is None:
            self._fail(job.error if job is not None else "")
        elif not self._still_holds(self._edit):
            self._fail("The labels were changed meanwhile: nothing was done. Do it again.")
        else:
            self._finish(self._edit)

    def _still_holds(self, edit: Edit) -> bool:
        """Whether the labels are still what the operation saw where it wants to change them."""
        session = self._session
        return all(
            np.array_equal(session.crop(change.box, time=self._time), change.before)
            for change in edit.changes
        )

    def _finish(self, edit: Edit) -> None:
        self._edit = None
        try:
            self._session.apply(edit, time=self._time)
        except Exception as error:  # a full disk, a file that is gone
            report(error)
            self._fail(f"{edit.title}: it could not be written, and nothing was changed.")
            return
        n = edit.voxels
        what = f"{n:,} voxel{'s' * (n != 1)} changed" if n else "there is nothing to change"
        self.said.emit(" ".join((f"{edit.title}: {what}.", *edit.notes)))
        self.ended.emit("done")

    def _fail(self, line: str) -> None:
        self._edit = None
        self.said.emit(line)
        self.ended.emit("failed")


@dataclass(frozen=True)
class Located(Event):
    """Where each label lies, and whose search that was."""

    ticket: object
    boxes: Boxes


def _at_once(steps: Iterator[Event]) -> tuple[Edit | None, Started | None]:
    """Go through the steps for as long as a person does not notice."""
    started, end = None, time.monotonic() + _PATIENCE
    for event in steps:
        if isinstance(event, Edited):
            return event.edit, started
        if isinstance(event, Started):
            started = event
        if time.monotonic() > end:
            break
    return None, started


def _located(search: Callable[[], tuple[object, Boxes]]) -> Steps:
    yield Located(*search())


def _rest(started: Started | None, steps: Iterator[Event]) -> Steps:
    if started is not None:
        yield started
    yield from steps


def _is_small(scene: Scene) -> bool:
    """Whether an operation on the scene may be tried in the window's own thread."""
    voxels = math.prod(s.stop - s.start for s in scene.box)
    if scene.boxes is None:
        return math.prod(scene.shape) <= _SMALL
    around = scene.boxes.around(scene.selected) if scene.selected else None
    if around is not None:
        voxels = min(voxels, math.prod(s.stop - s.start for s in around))
    return bool(voxels <= _SMALL)
