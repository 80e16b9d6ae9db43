"""Keeps what a person has painted: every minute and before every run, beside the window.

All that is looked at of a layer is looked at in the window's thread, between two of its events;
copying and writing go on in another. An edit that came while its voxels were copied has them copied
again, so that what is kept is one moment of the labels.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from napari.settings import get_plugin_settings
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QEvent, QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from .. import autosaving
from ..errors import NapariMonaiError, VolumeError, WriteError
from .autosave_layer import in_its_file, is_paintable, kept_of
from .autosave_state import State, Task
from .restore import Asking
from .results import KEY as RESULT
from .results import checksum
from .smooth import behind_the_window

if TYPE_CHECKING:
    import napari

# Copies that are made anew because the labels changed meanwhile; then one is kept as it is.
_TRIES = 4
# Seconds after which labels are kept again before a run.
_JUST_NOW = 5.0
# Seconds between two looks at the settings while autosaving is switched off.
_OFF = 60.0
# What a layer sends when its labels, or the names of its classes, are others.
_EVENTS = ("paint", "data", "labels_update", "features")

_savers: weakref.WeakSet[Autosaver] = weakref.WeakSet()


def start(viewer: napari.viewer.Viewer) -> Autosaver | None:
    """Keep the labels of a viewer from now on, and ask what becomes of those of an earlier one.

    ``None`` where there is no window.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # widgets are given a proxy
    menu = getattr(getattr(viewer, "window", None), "main_menu", None)
    if menu is None:
        return None
    for saver in _savers:
        if saver.viewer is viewer:
            return saver
    return Autosaver(viewer, menu.window())


def before_run(viewer: napari.viewer.Viewer) -> None:
    """Keep all labels of a viewer that have changed: something long or risky begins.

    But for those that were kept a few seconds ago: tools may follow each other quickly.
    """
    saver = start(viewer)
    if saver is not None and enabled():
        saver.keep_all(rested=_JUST_NOW)


def touched(layer: Labels) -> None:
    """Say that labels were changed by what sends no event of its own."""
    for state in _states(layer):
        state.changes += 1


def changes_of(layer: Labels) -> int:
    """Return a number that is another one after each change of labels; see `saved`."""
    return max((state.look() for state in _states(layer)), default=0)


def saved(layer: Labels, changes: int | None = None) -> None:
    """Say that labels were saved as they were at ``changes``, or as they are; see `changes_of`.

    Their autosave goes, unless they were changed since.
    """
    for saver in _savers:
        saver.saved(layer, changes)


def layer_with(data: Any, name: str) -> Labels | None:
    """Return the layer of the viewers that are kept whose array and name these are."""
    every = (layer for saver in _savers for layer in saver.layers)
    return next((layer for layer in every if layer.name == name and layer.data is data), None)


def enabled() -> bool:
    """Whether autosaving is switched on in the viewer's preferences."""
    return bool(_setting("enabled", True))


def _setting(name: str, default: Any) -> Any:
    try:
        return getattr(get_plugin_settings("napari-monai").autosave, name)
    except (KeyError, AttributeError):  # the plugin is imported, but not registered
        return default


def _states(layer: Labels) -> Iterable[State]:
    return [saver.states[layer] for saver in _savers if layer in saver.states]


def _leave(states: dict[Labels, State]) -> None:
    """Leave the autosaves of a window that is gone to whoever opens their images again."""
    for state in states.values():
        if state.path is not None:
            autosaving.forget(state.path)


class Autosaver(QObject):
    """Keeps the labels layers of a viewer.

    Parameters
    ----------
    viewer
        Whose layers are kept.
    window
        Its window, which this ends with.
    """

    _copied = Signal(object)
    _written = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer, window: QWidget) -> None:
        super().__init__(window)
        # What is still being written does not hold a window that is closed.
        self._viewer = weakref.ref(viewer)
        self.states: dict[Labels, State] = {}
        # Of layers that were taken out, and may be put elsewhere in the list.
        self._gone: weakref.WeakKeyDictionary[Labels, dict[str, Any]]
        self._gone = weakref.WeakKeyDictionary()
        self._thread = ThreadPoolExecutor(1, "autosave", initializer=behind_the_window)
        self._asking = Asking(viewer, self.adopt, window)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._copied.connect(self._on_copied)
        self._written.connect(self._on_written)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        window.installEventFilter(self)
        window.destroyed.connect(partial(_leave, self.states))
        _savers.add(self)
        for layer in viewer.layers:
            self._watch(layer)
        self._asking.look(viewer.layers, first=True)
        self._wind()

    @property
    def viewer(self) -> napari.viewer.Viewer | None:
        """The viewer, as long as it is there."""
        return self._viewer()

    @property
    def layers(self) -> tuple[Labels, ...]:
        """The layers that are kept."""
        return tuple(self.states)

    # -- what changes -------------------------------------------------------------------------

    def _watch(self, layer: Layer) -> None:
        if not isinstance(layer, Labels) or layer in self.states:
            return
        self.states[layer] = State(layer, **self._gone.pop(layer, {}))
        for name in _EVENTS:
            getattr(layer.events, name).connect(self._on_change)

    def _on_change(self, event: Any) -> None:
        state = self.states.get(event.source)
        if state is not None:
            state.hear(event)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._asking.look([event.value])

    def _on_removed(self, event: Any) -> None:
        state = self.states.pop(event.value, None)
        if state is None:
            return
        for name in _EVENTS:
            getattr(state.layer.events, name).disconnect(self._on_change)
        self._keep_last(state)
        self._gone[state.layer] = state.past

    def adopt(self, layer: Labels, path: Path) -> None:
        """Keep a layer that was restored: its autosave is this one's from now on."""
        state = self.states.get(layer)
        if state is not None:
            autosaving.take(path)
            state.path = path
            state.changes += 1
            self._keep(state)

    def saved(self, layer: Labels, changes: int | None = None) -> None:
        """Say that a layer was saved; see `saved`."""
        state = self.states.get(layer)
        if state is not None:
            state.saved = state.look() if changes is None else changes
            self._drop_saved(state)

    def _drop_saved(self, state: State) -> None:
        """Remove the autosave of labels that are saved as they are."""
        if state.look() == state.saved and state.path is not None and not state.busy:
            path, state.path = state.path, None
            try:
                autosaving.delete(path)
            except WriteError as error:
                show_warning(str(error))

    # -- keeping ------------------------------------------------------------------------------

    def _wind(self) -> None:
        minutes = float(_setting("minutes", 1.0))
        self._timer.start(round(1000 * (60 * minutes if enabled() else _OFF)))

    def _tick(self) -> None:
        if enabled():
            self.keep_all()
        self._wind()

    def keep_all(self, *, rested: float = 0.0) -> None:
        """Keep all labels that have changed since they were saved or kept.

        But for those that were kept less than ``rested`` seconds ago.
        """
        for state in self.states.values():
            if state.is_due and time.monotonic() - state.kept_at >= rested:
                self._keep(state)

    def _keep(self, state: State) -> None:
        """Begin to keep a layer, or do so when what is under way is done."""
        if state.busy:
            state.again = True
        elif (task := self._task(state)) is not None:
            state.busy, state.kept_at = True, time.monotonic()
            self._thread.submit(self._copy, task)

    def _keep_last(self, state: State) -> None:
        """Keep a layer without a word to the window, which may be gone before it is done."""
        task = self._task(state) if state.is_due and enabled() else None
        if task is None:
            self._release(state)
            return
        state.busy = True
        self._thread.submit(self._write, task).add_done_callback(lambda _done: self._release(state))

    def _release(self, state: State) -> None:
        """Leave the autosave of a layer that is gone to whoever opens its image again."""
        if state.path is not None and state.layer not in self.states:
            autosaving.forget(state.path)

    def _task(self, state: State) -> Task | None:
        """Return what is to be kept of a layer; ``None``, and a line, where that cannot be."""
        layer = state.layer
        if not is_paintable(layer):
            return None
        if in_its_file(layer):
            self._say_once(state, f"{layer.name} is edited in its own file: no autosave is needed.")
            return None
        try:
            kept = kept_of(layer, () if self.viewer is None else self.viewer.layers)
        except VolumeError as error:
            self._say_once(state, f"{layer.name} is not autosaved: {error}")
            return None
        return Task(state, state.look(), kept)

    def _say_once(self, state: State, line: str) -> None:
        if line not in state.said:
            state.said.add(line)
            show_info(line)

    # -- in another thread --------------------------------------------------------------------

    def _copy(self, task: Task) -> None:
        task.kept.copy()
        with suppress(RuntimeError):  # the window was closed just now
            self._copied.emit(task)

    def _write(self, task: Task) -> None:
        state, kept = task.state, task.kept
        mark = state.layer.metadata.get(RESULT)
        try:
            if mark is None or checksum(np.asarray(kept.array)) != mark.checksum:
                task.where = state.path = kept.write(state.path)
        except NapariMonaiError as error:
            task.error = str(error)
        except Exception as error:
            task.error = f"{kept.name} is not autosaved: {error}. Save it yourself."
        kept.array = None
        with suppress(RuntimeError):
            self._written.emit(task)

    # -- in the thread of the window ----------------------------------------------------------

    def _on_copied(self, task: Task) -> None:
        state = task.state
        if state.layer not in self.states:
            return  # it was kept when it was taken out
        if state.look() == task.changes:
            self._thread.submit(self._write, task)
            return
        again = None if task.tries >= _TRIES else self._task(state)
        if again is not None:
            again.tries = task.tries + 1
            self._thread.submit(self._copy, again)
        else:
            task.changes -= 1  # of two moments: better than nothing, and soon to be kept again
            self._thread.submit(self._write, task)

    def _on_written(self, task: Task) -> None:
        state = task.state
        state.busy = False
        if task.error:
            if task.error not in state.said:
                state.said.add(task.error)
                show_warning(task.error)
            return
        state.kept = task.changes
        if task.where is not None:
            files = task.kept.files
            if files and task.where.parent == autosaving.user_folder():
                self._say_once(
                    state,
                    f"{files[0].parent} cannot be written: unsaved labels of {task.kept.name} are "
                    f"kept in {task.where.parent}.",
                )
        self._drop_saved(state)
        if state.again:
            state.again = False
            if state.is_due and state.layer in self.states:
                self._keep(state)

    # -- the end ------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Keep what has changed when the window is closed; what becomes of it is asked later."""
        if event is not None and event.type() == QEvent.Type.Close:
            for state in self.states.values():
                self._keep_last(state)
        return False
