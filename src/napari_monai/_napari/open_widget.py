"""The Open widget: a folder, file, zip or OME-Zarr; what is in it; and the chosen as layers."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer
from napari.utils.history import get_open_history, update_open_history
from qtpy.QtCore import QEvent, QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from ..errors import NapariMonaiError, VolumeWarning
from ..events import Event, FileDone, Found, Said, Stopped
from ..io.contents import Entry, contents_steps, looked_for
from .jobs import Job, Outcome, Steps, report
from .open_table import PATIENT, EntryTable, details, sentence
from .opening import layers_of, main_of
from .parts import button, line

if TYPE_CHECKING:
    import napari

_HINT = "Drop a folder, file, zip or OME-Zarr here, or choose one above."
_FINE = 1000  # steps of the progress bar an image
_EVERY = 0.05  # seconds between two words on how far it is
_BREATH = 0.0003  # seconds that the window is given after each file


class OpenWidget(QWidget):
    """Lists the images in a folder or file, and opens those that are chosen.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _job: Job | None = None
    _stop: threading.Event | None = None

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._paths: tuple[Path, ...] = ()
        self._problems: list[str] = []
        self._main: Layer | None = None

        self.folder_button = button(
            "Folder…", "List all DICOM series in a folder, and the files in it", self.ask_folder
        )
        self.file_button = button(
            "File…", "List what is in a file, a zip, or the series of a DICOM file", self.ask_file
        )
        self.place = QLabel()
        self.table = EntryTable(self)
        self.about = line()
        self.patients = QCheckBox("Show patient names")
        self.patients.setToolTip("Names and numbers of patients, which are hidden otherwise")
        self.open_button = button("Open", "Open what is selected as layers", self.open)
        self.cancel_button = button("Cancel", "Stop what is under way", self.cancel)
        self.progress = QProgressBar()
        self.status = line()
        self._lay_out()

        self.setAcceptDrops(True)
        self.table.opened.connect(self.open)
        self.table.itemSelectionChanged.connect(self._selected)
        self.patients.toggled.connect(self._show_patients)
        self.table.hint(_HINT)
        self._selected()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.folder_button)
        top.addWidget(self.file_button)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 6, 9, 6)
        layout.setSpacing(6)
        layout.addLayout(top)
        layout.addWidget(self.place)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.about)
        layout.addWidget(self.patients)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        self.place.hide()
        self.progress.hide()
        self.progress.setTextVisible(True)
        self._say("")

    # -- where to look ------------------------------------------------------------------------

    def ask_folder(self) -> None:
        """Ask for a folder, and list what is in it."""
        start = get_open_history()[0]
        folder = QFileDialog.getExistingDirectory(self, "Open a folder", start)
        if folder:
            self.scan(folder)

    def ask_file(self) -> None:
        """Ask for files, and list what is in them."""
        files, _ = QFileDialog.getOpenFileNames(
            self, "Open files", get_open_history()[0], "All files (*)"
        )
        if files:
            self.scan(*files)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files and folders that are dragged here."""
        if event is not None and _local_paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """List what is in what was dropped here."""
        paths = _local_paths(event) if event is not None else []
        if event is not None and paths:
            event.acceptProposedAction()
            self.scan(*paths)

    def scan(self, *paths: str | Path) -> None:
        """List what is in folders and files, in place of what was listed before."""
        if self._job is not None:
            return
        self._paths = tuple(Path(p) for p in paths)
        self._problems = []
        update_open_history(str(self._paths[0]))
        self.table.clear_entries()
        self.table.hint("Looking…")
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self.place.setText(f"{self._paths[0].name or self._paths[0]}{more}")
        self.place.setToolTip("\n".join(map(str, self._paths)))
        self.place.show()
        self._start(_scan(self._paths), f"Looking into {self._paths[0].name}", self._scanned)

    def _scanned(self, outcome: Outcome, error: str) -> None:
        count = len(self.table.entries)
        self.table.hint(error or "\n".join(looked_for(path) for path in self._paths))
        if outcome == "cancelled":
            self.table.hint(_HINT)
            self._say(f"Cancelled, {count} found before.")
        elif outcome == "failed":
            self._say(error)
        else:
            found = f"{count} found." if count else ""
            self._say("\n".join(filter(None, (found, *self._problems[:3]))))
            self.status.setToolTip("\n".join(self._problems))
        self.table.fit()
        if count and not self.table.chosen:
            self.table.selectRow(0)
            self.table.setFocus()
        if self.patients.isChecked():
            self._show_patients(True)

    # -- what is chosen -----------------------------------------------------------------------

    @property
    def chosen(self) -> list[tuple[Entry, bool]]:
        """The entries that are selected, and whether each is to be opened as labels."""
        entries = self.table.entries
        return [(entries[row], self.table.as_labels(row)) for row in self.table.chosen]

    def _selected(self) -> None:
        chosen = [entry for entry, _ in self.chosen]
        lines = []
        if len(chosen) == 1:
            lines = [details(chosen[0]), *map(sentence, chosen[0].notes)]
        if len(chosen) > 1:
            lines = [f"{len(chosen)} selected"]
        self.about.setText("\n".join(lines))
        self.about.setVisible(bool(lines))
        self._update_buttons()

    def _update_buttons(self) -> None:
        running = self._job is not None
        for part in (self.folder_button, self.file_button, self.patients):
            part.setEnabled(not running)
        self.open_button.setEnabled(not running and bool(self.table.chosen))
        self.cancel_button.setEnabled(self._job is not None and not self._job.cancelled)

    def _show_patients(self, show: bool) -> None:
        self.table.setColumnHidden(PATIENT, not show)
        if show and self._job is None and self.table.entries:
            self._start(_name_patients(self.table.entries), "Patients", self._at_rest)
        self.table.fit()

    # -- opening ------------------------------------------------------------------------------

    def open(self) -> None:
        """Open what is selected as layers of the viewer."""
        chosen = self.chosen
        if self._job is not None or not chosen:
            return
        self._main = None
        self._problems = []
        self._stop = threading.Event()
        reading = _Reading(self._stop, len(chosen), self)
        reading.told.connect(self._on_reading)
        # Nobody waits for what is read when the widget is gone.
        self.destroyed.connect(self._stop.set)
        title = chosen[0][0].name if len(chosen) == 1 else f"{len(chosen)} images"
        self._start(_load(chosen, reading), f"Opening {title}", self._opened)
        self._say(f"Opening {title}…")

    def _opened(self, outcome: Outcome, error: str) -> None:
        self._stop = None
        if self._main is not None and self._main in self._viewer.layers:
            self._viewer.layers.selection.active = self._main
        self._main = None
        if outcome == "cancelled":
            self._say("Cancelled.")
        else:
            self._say(error or "\n".join(self._problems[:3]))

    def cancel(self) -> None:
        """Stop looking or opening; layers that are open stay."""
        if self._job is not None:
            if self._stop is not None:
                self._stop.set()
            self._job.cancel()
            self._say("Cancelling…")
            self._update_buttons()

    # -- jobs ---------------------------------------------------------------------------------

    def _start(self, steps: Steps, title: str, end: Callable[[Outcome, str], None]) -> None:
        self._end = end
        self._job = Job(steps, title, self)
        self._job.happened.connect(self._on_event)
        self._job.progressed.connect(self._on_progress)
        self._job.ended.connect(self._on_end)
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.progress.show()
        self._say("")
        self._job.start()
        self._update_buttons()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Found):
            self.table.add(event.entry)
            if len(self.table.entries) in (1, 10, 100):
                self.table.fit()
        elif isinstance(event, _Loaded):
            for layer in event.layers:
                self._viewer.add_layer(layer)
            if event.main:
                self._main = event.layers[0]
        elif isinstance(event, _Failed):
            self._problems.append(str(event.error))
            report(event.error)
        elif isinstance(event, Said):
            self._problems.append(event.message)
        elif isinstance(event, _Patients):
            self.table.name_patients(event.names)

    def _on_progress(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def _on_reading(self, done: int, total: int, words: str) -> None:
        if self._stop is not None:
            self._on_progress(done, total, words)

    def _on_end(self, outcome: Outcome) -> None:
        error = self._job.error if self._job is not None else ""
        self._job = None
        self.progress.hide()
        self._end(outcome, error)
        self._update_buttons()

    def _at_rest(self, _outcome: Outcome, error: str) -> None:
        self._say(error)
        self.table.fit()

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setToolTip("")
        self.status.setVisible(bool(text))

    def event(self, event: QEvent | None) -> bool:
        """Stop when the dock that holds the widget is closed."""
        moved = event is not None and event.type() == QEvent.Type.ParentChange
        if moved and self.parent() is None:
            self.cancel()
        return bool(super().event(event))


# -- the work, in its own thread --------------------------------------------------------------


@dataclass(frozen=True)
class _Loaded(Event):
    """Layers that are ready to be shown; of the main image, or of others."""

    layers: Sequence[Layer]
    main: bool


@dataclass(frozen=True)
class _Failed(Event):
    """One of several images cannot be opened."""

    error: NapariMonaiError


@dataclass(frozen=True)
class _Patients(Event):
    """The patients of some entries."""

    names: dict[Entry, str]


class _Reading(QObject):
    """How far reading is, said from the thread that reads, and whether it is to go on."""

    told = Signal(int, int, str)

    def __init__(self, stop: threading.Event, images: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._stop, self._images = stop, images
        self._image = 0
        self._said = 0.0

    def begin(self, image: int) -> None:
        """Start with an image, counted from 0."""
        self._image = image
        if self._images > 1 and not self._stop.is_set():
            self.told.emit(image * _FINE, self._images * _FINE, self._words())

    def __call__(self, done: int, total: int) -> bool:
        """Say how many files of an image are read; return whether to go on."""
        now = time.monotonic()
        if self._stop.is_set():
            return False
        if total > 1 and now - self._said >= _EVERY:
            self._said = now
            at = self._image * _FINE + done * _FINE // total
            self.told.emit(at, self._images * _FINE, f"{self._words()}{done} of {total} files")
        return True

    def _words(self) -> str:
        return f"image {self._image + 1} of {self._images}, " if self._images > 1 else ""


def _scan(paths: Sequence[Path]) -> Steps:
    """List what is in folders and files; problems are only said."""
    said = time.monotonic()
    for path in paths:
        with closing(contents_steps(path)) as steps:
            for event in steps:
                if isinstance(event, FileDone):
                    # The window needs the interpreter for each of its events.
                    time.sleep(_BREATH)
                    if time.monotonic() - said < _EVERY:
                        continue
                    said = time.monotonic()
                # Among many files some are no images: that is worth a line, and no alarm.
                if isinstance(event, Said):
                    yield Said(sentence(event.message.removeprefix(f"{path}: ")))
                else:
                    yield event


def _name_patients(entries: Sequence[Entry]) -> Steps:
    for entry in entries:
        yield _Patients({entry: entry.patient()})


def _load(chosen: Sequence[tuple[Entry, bool]], reading: _Reading) -> Steps:
    """Read images and make layers of them, the main one first."""
    main = main_of([(entry.grid, labels) for entry, labels in chosen])
    order = [main, *(n for n in range(len(chosen)) if n != main)]
    for number, at in enumerate(order):
        entry, labels = chosen[at]
        reading.begin(number)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                volumes = entry.read(labels=labels, told=reading)
                layers = layers_of(volumes, shown=at == main, over=chosen[main][0].grid)
            except Stopped:
                return
            except NapariMonaiError as error:
                yield _Failed(error)
                continue
        for warning in caught:
            if issubclass(warning.category, VolumeWarning):
                yield Said(str(warning.message), "warning")
        yield _Loaded([Layer.create(*layer) for layer in layers], at == main)


def _local_paths(event: QDropEvent) -> list[Path]:
    data = event.mimeData()
    urls = data.urls() if data is not None else []
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
