"""Notes on a labels layer: with the layer while it is open, beside its file otherwise."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ..errors import NapariMonaiError
from ..labels.notes import Notes, notes_path, read_notes, write_notes
from ..volume import LabelVolume
from .placement import KEY, Placement
from .results import KEY as RESULT

if TYPE_CHECKING:
    from napari.layers import Layer

    from .edit_session import EditSession

#: Metadata of layers: the notes on their labels.
NOTES = "napari-monai notes"

_SOON = 1000  # milliseconds from a change to the file


def labels_file(layer: Layer) -> Path | None:
    """Return the file that the labels of a layer were read from; ``None`` of new ones."""
    if layer.source.path is not None:
        return Path(layer.source.path)
    place = layer.metadata.get(KEY)
    # What a run found says which image it was of, and has no file yet.
    if RESULT in layer.metadata or not isinstance(place, Placement):
        return None
    return place.volume.source if isinstance(place.volume, LabelVolume) else None


class KeptNotes(QObject):
    """The notes on the labels of a session, read from and written to their file.

    What could not be written, as beside a file that can be read only, is said once; the notes
    stay with the layer, and go with the labels wherever they are saved.
    """

    changed = Signal()
    _unwritten = Signal(str)

    def __init__(self, session: EditSession) -> None:
        super().__init__(session)
        self._session = session
        self._file = labels_file(session.layer)
        self._said = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON)
        self._timer.timeout.connect(self._write_aside)
        self._writer: threading.Thread | None = None
        self._written: object = None
        self._unwritten.connect(self._on_unwritten)
        known = session.layer.metadata.get(NOTES)
        self._notes = known if isinstance(known, Notes) else self._read()
        self._keep()
        # Of a format that has no room for names, the notes have them.
        seen = self._notes.seen(session.classes) if session.classes else self._notes.classes
        if tuple(seen) != session.classes:
            session.set_classes(seen)
        session.classes_changed.connect(self._on_classes)
        session.closed.connect(self._on_closed)

    @property
    def notes(self) -> Notes:
        """The notes of the moment."""
        return self._notes

    def set(self, notes: Notes) -> None:
        """Keep other notes, and write them soon."""
        if notes == self._notes:
            return
        self._notes = notes
        self._keep()
        self._timer.start()
        self.changed.emit()

    def write(self) -> None:
        """Write the notes beside the file of the labels, if there is one."""
        self._timer.stop()
        if self._writer is not None:
            self._writer.join()
        self._write(self._notes)

    def _write_aside(self) -> None:
        """Write in a thread of its own: of a hundred thousand notes it takes a second."""
        if self._writer is not None and self._writer.is_alive():
            self._timer.start()
            return
        self._writer = threading.Thread(target=self._write, args=(self._notes,), name="notes")
        self._writer.start()

    def _write(self, notes: Notes) -> None:
        if self._file is None:
            return
        path = notes_path(self._file)
        try:
            own = self._written is not None and self._written == _stamp(path)
            write_notes(self._file, notes, readable=own)
            self._written = _stamp(path)
        except (NapariMonaiError, OSError) as error:
            self._unwritten.emit(str(error))

    def _on_unwritten(self, error: str) -> None:
        if not self._said:
            self._said = True
            show_warning(f"Notes on {self._session.layer.name} are not kept: {error}")

    def _read(self) -> Notes:
        if self._file is None:
            return Notes()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            notes = read_notes(self._file)
        for one in said:
            show_warning(str(one.message))
        return notes

    def _keep(self) -> None:
        self._session.layer.metadata[NOTES] = self._notes
        self._session.notes = self._notes

    def _on_classes(self) -> None:
        self.set(self._notes.with_classes(self._session.classes))

    def _on_closed(self) -> None:
        if self._timer.isActive():
            self.write()
        elif self._writer is not None:
            self._writer.join()


def _stamp(path: Path) -> object:
    """Return what tells a file from what others made of it; ``None`` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def kept_notes(session: EditSession) -> KeptNotes:
    """Return the notes of a session: the same ones for all who ask."""
    found: KeptNotes | None = session.findChild(KeptNotes)
    return KeptNotes(session) if found is None else found
