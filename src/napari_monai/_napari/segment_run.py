"""One segmentation in the viewer: its work, its preview, and its results put in."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..events import Event, Said, Segmented, WindowDone
from ..models import Model
from ..settings import InferenceSettings
from ..volume import Volume
from .jobs import Job, Outcome, Steps
from .layers import placement_of
from .pace import Pace
from .placement import Placement
from .preview import Preview
from .results import KEY, Result, find, is_edited, putting, result_of, warm_up
from .smooth import behind_the_window, load_torch, no_collections

if TYPE_CHECKING:
    import napari

State = Literal["waiting", "running", "cancelling", "done", "cancelled", "failed"]

# Seconds between two words of progress: a thousand small windows a second are no news.
_TOLD_EVERY = 0.05


def key_of(images: Sequence[Image], model: Model, settings: InferenceSettings) -> Hashable:
    """Return what stands for the very same work."""
    return tuple(x.unique_id for x in images), model.name, settings


class Run(QObject):
    """A segmentation of one image, from when it is asked for to when its layers are there.

    Parameters
    ----------
    parent
        The widget that it ends with.
    viewer
        Where it is shown.
    images
        The layer; of an image whose channels are layers of their own, all of them. The first is
        where the results go.
    volume, model, settings
        What is segmented, as it was when it was asked for.

    Raises
    ------
    VolumeError
        If the layer cannot be placed.
    """

    told = Signal()  # its state, its progress or its line is another
    ended = Signal(object)  # itself; nothing more comes after it

    def __init__(
        self,
        parent: QWidget,
        viewer: napari.viewer.Viewer,
        images: Sequence[Image],
        volume: Volume,
        model: Model,
        settings: InferenceSettings,
    ) -> None:
        image = images[0]
        place = placement_of(image)
        super().__init__(parent)
        self._parent = parent
        self._viewer = viewer
        self._volume = volume
        self._model = model
        self._settings = settings
        self._place = place
        self.image = image
        self.name = image.name
        self.key = key_of(images, model, settings)
        self.size = max(1, int(np.prod(volume.grid.shape)) * volume.times)
        self.state: State = "waiting"
        self.line = ""  # what there is to say of it
        self.done, self.total, self.words = 0, 0, ""
        self.abandoned = False  # whether the viewer was closed over it
        self.select = True  # whether its labels are selected when they are there
        self._stop = threading.Event()
        self._job: Job | None = None
        self._preview: Preview | None = None
        self._last: Labels | None = None
        self._hid_last = False
        self._touched = False
        self._putting: Iterator[None] | None = None
        self._turn = QTimer(self)
        self._turn.timeout.connect(self._put_next)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "cancelled", "failed")

    @property
    def pace(self) -> Pace:
        """How far the work has come."""
        return Pace() if self._job is None else self._job.pace

    def start(self) -> None:
        """Begin. The last result makes room for the preview meanwhile."""
        if self.image not in self._viewer.layers:
            self._end("failed", f"{self.name} is no longer open.")
            return
        self._preview = Preview(self._viewer, self._place, self._model.description, self._parent)
        self._last = find(self._viewer, self.image.unique_id, self._model.name)
        if self._last is not None:
            self._hid_last = self._last.visible
            self._last.visible = False
            self._last.events.paint.connect(self._touch)
        self._job = Job(self._steps(), f"Segmenting {self.name}", self._parent)
        self._job.happened.connect(self._on_event)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self._tell(
            "running", "Loading the model…" if "torch" in sys.modules else "Starting PyTorch…"
        )
        self._job.start()

    def cancel(self) -> None:
        """Stop after the window under way, and leave the layers as they were."""
        if self.state == "waiting":
            self._tell("cancelled", "Cancelled.")
        elif self.state == "running" and self._job is not None and self._putting is None:
            self._stop.set()
            self._job.cancel()
            self._tell("cancelling", "Cancelling…")

    def leave(self) -> None:
        """Cancel and tidy up at once, with no turn of the event loop to wait for."""
        self.cancel()
        self._turn.stop()
        self._tidy()

    # -- in another thread --------------------------------------------------------------------

    def _steps(self) -> Steps:
        """Return the work, which ends with layers instead of labels."""
        assert self._preview is not None
        return _segment(
            self._volume,
            self._model,
            self._settings,
            self._place,
            self.image,
            self._preview,
            self._last,
            self._stop,
        )

    # -- in the thread of the window ----------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Said):
            self._tell(self.state, event.message)
        elif isinstance(event, WindowDone) and self._preview is not None:
            self._preview.show_soon()
            if event.done == event.total:
                self._tell(self.state, "Finishing…")
        elif isinstance(event, Result):
            self.line = event.summary
            last = find(self._viewer, self.image.unique_id, self._model.name)
            edited = event.edited
            if last is not None and (last is not self._last or self._touched):
                edited = is_edited(last)
            assert self._preview is not None
            self._putting = putting(
                self._viewer, event, self._preview, edited=edited, select=self.select
            )

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.done, self.total, self.words = done, total, words
        self.told.emit()

    def _on_end(self, outcome: Outcome) -> None:
        if self._putting is not None and outcome == "done":
            self._turn.start(0)
            return
        self.abandoned = outcome == "cancelled" and self.state != "cancelling"
        error = "" if self._job is None else self._job.error
        self._end(outcome, {"cancelled": "Cancelled.", "failed": error}.get(outcome, self.line))

    def _put_next(self) -> None:
        """Put in one layer a turn of the event loop, and take the preview away at last."""
        if self._putting is not None:
            try:
                next(self._putting)
            except StopIteration:
                self._putting = None
        else:
            self._turn.stop()
            self._end("done", self.line)

    def _end(self, outcome: Outcome, line: str) -> None:
        self._tidy()
        self._tell(outcome, line)
        self.ended.emit(self)

    def _tidy(self) -> None:
        """Take the preview away and show the last result again; once."""
        preview, last = self._preview, self._last
        self._preview = self._last = self._putting = None
        self._volume = self._place = cast("Any", None)  # which hold the image
        if preview is not None:
            preview.close()
        if last is not None:
            last.events.paint.disconnect(self._touch)
            # An edited one that made room for a new result stays hidden.
            if self._hid_last and KEY in last.metadata:
                last.visible = True

    def _touch(self, _event: object = None) -> None:
        self._touched = True

    def _tell(self, state: State, line: str) -> None:
        self.state, self.line = state, line
        self.told.emit()


def _segment(
    volume: Volume,
    model: Model,
    settings: InferenceSettings,
    place: Placement,
    image: Image,
    preview: Preview,
    last: Labels | None,
    stop: threading.Event,
) -> Steps:
    """Segment, feed the preview, and end with layers. PyTorch is loaded here.

    Not every window is told of, so it looks itself whether it is to ``stop``.
    """
    with ExitStack() as stack, ExitStack() as loading:
        behind_the_window()
        loading.enter_context(no_collections())  # until the first window is through
        load_torch()
        from ..inference import segment_steps

        warm_up(model.description)
        steps = segment_steps(volume, model, settings=settings)
        stack.enter_context(closing(cast("Steps", steps)))
        told = 0.0
        for event in steps:
            if stop.is_set():
                return
            if isinstance(event, Segmented):
                yield result_of(event, place, image, model.description, last)
            elif isinstance(event, WindowDone):
                loading.close()
                preview.take(event)
                now = time.monotonic()
                if now - told >= _TOLD_EVERY or event.done == event.total:
                    told = now
                    yield WindowDone(event.done, event.total)
            else:
                yield event
