"""The question what becomes of labels that an earlier session left unsaved."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari.layers import Labels, Layer
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMessageBox, QWidget

from ..autosaving import Autosave, Finds, find
from ..errors import NapariMonaiError
from ..events import Event, Said
from .autosave_layer import restored, source_of
from .jobs import Job, Steps, report

if TYPE_CHECKING:
    import napari

# Milliseconds in which layers that are opened together arrive.
_TOGETHER = 300
# Lines of a list that are shown.
_LISTED = 8


@dataclass(frozen=True)
class Restored(Event):
    """A layer that is ready to be shown again."""

    layer: Layer
    autosave: Autosave


class Asking(QObject):
    """Looks for autosaves of the layers of a viewer, and asks what becomes of them.

    Parameters
    ----------
    viewer
        Whose layers they are.
    adopt
        Called with a layer that was restored, once it is shown, and its autosave.
    parent
        The window.
    """

    _found = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        adopt: Callable[[Labels, Path], object],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        # Weakly, for the sake of a thread that looks still when the window is closed.
        self._viewer, self._adopt = weakref.ref(viewer), adopt
        self._looked: set[Path | None] = set()
        self._asked: set[Path] = set()
        self._waiting: set[Path | None] = set()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._look)
        self._found.connect(self._on_found)
        self.dialog: RestoreDialog | None = None

    def look(self, layers: Iterable[Layer], *, first: bool = False) -> None:
        """Look soon for autosaves of layers; with ``first`` of those without a file too."""
        files = {source_of(layer) for layer in layers} - {None}
        self._waiting |= (files | ({None} if first else set())) - self._looked
        if self._waiting:
            self._soon.start(_TOGETHER)

    def _look(self) -> None:
        files, self._waiting = self._waiting, set()
        self._looked |= files
        # Folders of a server take their time.
        threading.Thread(target=self._find, args=(files,), name="autosaves", daemon=True).start()

    def _find(self, files: set[Path | None]) -> None:
        finds = [find(file) for file in files]
        with suppress(RuntimeError):  # the window was closed just now
            self._found.emit(finds)

    def _on_found(self, finds: list[Finds]) -> None:
        autosaves: dict[Path, Autosave] = {}
        for found in finds:
            autosaves |= {a.path: a for a in found.autosaves}
            for problem in found.problems:
                show_warning(str(problem))
        new = [a for path, a in autosaves.items() if path not in self._asked]
        self._asked |= autosaves.keys()
        if new:
            self.dialog = RestoreDialog(new, self._restore, cast("QWidget", self.parent()))
            self.dialog.show()

    def _restore(self, autosaves: Sequence[Autosave]) -> None:
        viewer, window = self._viewer(), cast("QWidget", self.parent())
        layers = [] if viewer is None else list(viewer.layers)
        job = Job(_read(autosaves, layers), "Restoring labels", window)
        job.happened.connect(self._on_restored)
        job.start()

    def _on_restored(self, event: Event) -> None:
        if isinstance(event, Said) and event.level == "info":
            show_info(event.message)
        elif isinstance(event, Restored) and (viewer := self._viewer()) is not None:
            autosave = event.autosave
            for layer in viewer.layers:
                file = source_of(layer) if layer.name == autosave.name else None
                if isinstance(layer, Labels) and file is not None and autosave.rank(file) == 0:
                    layer.visible = False  # an earlier state of the same labels
            viewer.add_layer(event.layer)
            self._adopt(event.layer, autosave.path)


def _read(autosaves: Sequence[Autosave], layers: Sequence[Layer]) -> Steps:
    for autosave in autosaves:
        try:
            if autosave.now().in_use:
                yield Said(f"{autosave.name} is open in another napari.")
            else:
                yield Restored(restored(autosave, layers), autosave)
        except NapariMonaiError as error:  # the others are to be restored all the same
            yield Said(str(error), "warning")


class RestoreDialog(QMessageBox):
    """Asks what becomes of labels that were not saved; the window stays alive meanwhile.

    Parameters
    ----------
    autosaves
        What was found.
    restore
        Called with them if they are wanted.
    parent
        The window.
    """

    def __init__(
        self,
        autosaves: Sequence[Autosave],
        restore: Callable[[Sequence[Autosave]], object],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._autosaves, self._restore = autosaves, restore
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(False)
        self.setWindowTitle("Unsaved labels")
        self.setIcon(QMessageBox.Icon.Question)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names are not to be markup
        self.setText("Restore the labels that an earlier session did not save?")
        lines = [f"• {_line(autosave)}" for autosave in autosaves]
        if len(lines) > _LISTED:
            lines[_LISTED - 1 :] = [f"• and {len(lines) - _LISTED + 1} more"]
        self.setInformativeText("\n".join(lines))
        self.restore_button = self.addButton("Restore", QMessageBox.ButtonRole.AcceptRole)
        self.delete_button = self.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        self.later_button = self.addButton("Later", QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(self.restore_button)
        self.setEscapeButton(self.later_button)
        self.buttonClicked.connect(self._answered)

    def _answered(self, pressed: object) -> None:
        if pressed is self.restore_button:
            self._restore(self._autosaves)
        elif pressed is self.delete_button:
            for autosave in self._autosaves:
                try:
                    if not autosave.now().in_use:
                        autosave.delete()
                except NapariMonaiError as error:
                    report(error)


def _line(autosave: Autosave) -> str:
    """Return such as ``"organs, on ct.nii.gz, today at 16:42"``."""
    on = f", on {autosave.files[0].name}" if autosave.files else ""
    day = autosave.saved.date()
    when = "today" if day == datetime.now().date() else f"{day:%d %B %Y}"
    return f"{autosave.name}{on}, {when} at {autosave.saved:%H:%M}"
