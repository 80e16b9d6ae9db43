"""The Open widget: a folder, file, zip or OME-Zarr; what is in it; and the chosen as layers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer
from napari.utils.history import get_open_history, update_open_history
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
)

from ..events import Event, Found, Said
from ..io.contents import Entry, looked_for
from .autosave import start as start_autosaving
from .job_widget import JobWidget
from .jobs import Job, Outcome, Steps, report
from .open_table import PATIENT, EntryTable, details
from .opening import widen_sliders
from .parts import button, line
from .placement import frames_of
from .reading import (
    Failed,
    Loaded,
    Patients,
    Reading,
    load_steps,
    patient_steps,
    scan_steps,
    sentence,
)

if TYPE_CHECKING:
    import napari

_HINT = "Drop a folder, file, zip or OME-Zarr here, or choose one above."


class OpenWidget(JobWidget):
    """Lists the images in a folder or file, and opens those that are chosen.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        start_autosaving(napari_viewer)
        self._paths: tuple[Path, ...] = ()
        self._problems: list[str] = []
        self._main: Layer | None = None
        self._job: Job | None = None
        self._stop: threading.Event | None = None

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
        layout = self._rows()
        layout.addLayout(top)
        layout.addWidget(self.place)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.about)
        layout.addWidget(self.patients)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        for text in (self.place, self.about, self.status):
            policy = text.sizePolicy()  # a long name does not make the dock wide
            policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
            text.setSizePolicy(policy)
        self.place.hide()
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
        self._say("")
        self._start(scan_steps(self._paths), f"Looking into {self._paths[0].name}", self._scanned)

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
            self._start(patient_steps(self.table.entries), "Patients", self._patients_named)
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
        self._reading = Reading(self._stop, len(chosen), self)
        self._reading.told.connect(self._on_reading)
        # Nobody waits for what is read when the widget is gone.
        self.destroyed.connect(self._stop.set)
        self._title = chosen[0][0].name if len(chosen) == 1 else f"{len(chosen)} images"
        widen_sliders(self._viewer)
        steps = load_steps(chosen, self._reading, list(frames_of(self._viewer.layers)))
        self._start(steps, f"Opening {self._title}", self._opened)
        self._say(f"Opening {self._title}…")

    def _opened(self, outcome: Outcome, error: str) -> None:
        self._stop = None
        self._reading.deleteLater()
        if self._main is not None and self._main in self._viewer.layers:
            self._viewer.layers.selection.active = self._main
        self._main = None
        if outcome == "cancelled":
            self._say("Cancelled.")
        else:
            self._say(error or "\n".join(self._problems[:3]) or f"Opened {self._title}.")

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
        self._show_progress()
        self._job.start()
        self._update_buttons()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Found):
            self.table.add(event.entry)
            if len(self.table.entries) in (1, 10, 100):
                self.table.fit()
        elif isinstance(event, Loaded):
            for layer in event.layers:
                self._viewer.add_layer(layer)
            if event.main:
                self._main = event.layers[0]
        elif isinstance(event, Failed):
            self._problems.append(str(event.error))
            report(event.error)
        elif isinstance(event, Said):
            self._problems.append(event.message)
        elif isinstance(event, Patients):
            self.table.name_patients(event.names)

    def _on_reading(self, done: int, total: int, words: str) -> None:
        if self._stop is not None:
            self._on_progress(done, total, words)

    def _on_end(self, outcome: Outcome) -> None:
        error = self._job.error if self._job is not None else ""
        self._job = None
        self.progress.hide()
        self._end(outcome, error)
        self._update_buttons()

    def _patients_named(self, _outcome: Outcome, error: str) -> None:
        if error:
            self._say(error)
        self.table.fit()

    def leave(self) -> None:
        """Stop what is under way."""
        self.cancel()


def _local_paths(event: QDropEvent) -> list[Path]:
    data = event.mimeData()
    urls = data.urls() if data is not None else []
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
