"""Listing and reading for the Open widget, in a thread beside the window."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..errors import NapariMonaiError, VolumeWarning
from ..events import Event, FileDone, Said, Stopped
from ..grid import Grid
from ..io.contents import Entry, contents_steps
from .jobs import Steps
from .layers import LayerData
from .opening import main_of, shown_layers
from .placement import Frame

_FINE = 1000  # steps of the progress bar an image
_EVERY = 0.05  # seconds between two words on how far it is
_BREATH = 0.0003  # seconds that the window is given after each file


def sentence(note: str) -> str:
    """Return a note as a sentence."""
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


@dataclass(frozen=True)
class Loaded(Event):
    """Layers that are ready to be shown; of the main image, or of others."""

    layers: Sequence[Layer]
    main: bool


@dataclass(frozen=True)
class Failed(Event):
    """One of several images cannot be opened."""

    error: NapariMonaiError


@dataclass(frozen=True)
class Patients(Event):
    """The patients of some entries."""

    names: dict[Entry, str]


class Reading(QObject):
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
            self._say(image * _FINE, "")

    def __call__(self, done: int, total: int) -> bool:
        """Say how many files of an image are read; return whether to go on."""
        now = time.monotonic()
        if self._stop.is_set():
            return False
        if total > 1 and now - self._said >= _EVERY:
            self._said = now
            at = self._image * _FINE + done * _FINE // total
            self._say(at, f"{done} of {total} files")
        return True

    def _say(self, at: int, words: str) -> None:
        image = f"image {self._image + 1} of {self._images}" if self._images > 1 else ""
        with suppress(RuntimeError):  # the window was closed just now
            self.told.emit(at, self._images * _FINE, ", ".join(filter(None, (image, words))))


def scan_steps(paths: Sequence[Path]) -> Steps:
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


def patient_steps(entries: Sequence[Entry]) -> Steps:
    """Read the names of the patients."""
    for entry in entries:
        yield Patients({entry: entry.patient()})


def load_steps(
    chosen: Sequence[tuple[Entry, bool]], reading: Reading, frames: Sequence[Frame]
) -> Steps:
    """Read images and make layers of them, the main one first, or the next if that fails.

    ``frames`` are those of the layers in the viewer, into which they are put.
    """
    known = list(frames)
    first = main_of([(entry.grid, labels) for entry, labels in chosen])
    order = [first, *(n for n in range(len(chosen)) if n != first)]
    main: Grid | None = None
    for number, at in enumerate(order):
        entry, labels = chosen[at]
        reading.begin(number)
        try:
            layers, remarks = _layers(entry, labels, main, reading, known)
        except Stopped:
            return
        except NapariMonaiError as error:
            yield Failed(error)
            continue
        for remark in remarks:
            yield Said(remark, "warning")
        yield Loaded([Layer.create(*layer) for layer in layers], main is None)
        main = main or entry.grid


def _layers(
    entry: Entry, labels: bool, main: Grid | None, reading: Reading, frames: list[Frame]
) -> tuple[list[LayerData], list[str]]:
    """Return the layers of an entry, and what was odd about it when it was read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volumes = entry.read(labels=labels, told=reading)
        over = main or entry.grid
        layers = shown_layers(volumes, shown=main is None, over=over, frames=frames)
    return layers, [str(w.message) for w in caught if issubclass(w.category, VolumeWarning)]
