"""What was measured of a layer, and whether the layer is still as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from .. import io
from ..events import Event, Said
from ..labels.columns import Columns, stacked
from ..measurement import Measurements
from ..measurement_files import write_table
from .history import History
from .jobs import Steps
from .layer_box import disconnector
from .measure_rows import Rows
from .measure_steps import LayerMeasured, Wanted


class Watch(QObject):
    """Hears of all that makes measurements of a layer old."""

    changed = Signal()

    def __init__(self, layer: Labels, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.stale = False
        self._history = History(layer)
        events = layer.events
        follow = (
            (events.paint, self._on_paint),
            (events.set_data, self._on_drawn),
            (events.data, self._on_changed),
            (events.scale, self._on_changed),
            (events.units, self._on_changed),
        )
        for emitter, slot in follow:
            emitter.connect(slot)
        # The layer outlives it.
        self.destroyed.connect(disconnector(follow))
        self._follow: Any = follow

    def close(self) -> None:
        """Hear of nothing any more."""
        for emitter, slot in self._follow:
            emitter.disconnect(slot)
        self._follow = ()
        self.deleteLater()

    def _on_paint(self, _event: object = None) -> None:
        self._history.mark()
        self._on_changed()

    def _on_drawn(self, _event: object = None) -> None:
        boxes, _ = self._history.moved()  # by undo and redo, of which no other event tells
        if boxes:
            self._on_changed()

    def _on_changed(self, _event: object = None) -> None:
        if not self.stale:
            self.stale = True
            self.changed.emit()


@dataclass(frozen=True, eq=False)
class Result:
    """A layer that is measured.

    Parameters
    ----------
    wanted
        What was asked for.
    measurements, rows
        What came of it.
    watch
        Tells whether the layer has changed since.
    """

    wanted: Wanted
    measurements: Measurements
    rows: Rows
    watch: Watch

    @classmethod
    def of(cls, wanted: Wanted, event: LayerMeasured, watch: Watch) -> Result:
        """Return the result of a measurement."""
        return cls(wanted, event.measurements, event.rows, watch)

    @property
    def layer(self) -> Labels:
        """The labels."""
        return self.wanted.layer

    @property
    def source(self) -> Path | None:
        """The file that the labels came from, or that of their image."""
        return self.wanted.place.volume.source

    @property
    def name(self) -> str:
        """What rows of it are called in files: as the command does, by the file of the labels."""
        path = self.layer.source.path
        return io.stem_of(path) if path else self.layer.name

    @property
    def why_not_deleted(self) -> str:
        """Why nothing of it can be deleted; empty where it can."""
        if self.watch.stale:
            return "Labels changed: measure again first."
        if self.rows.of_pieces:
            return "Pieces are not deleted alone: measure with a row for each label."
        return ""

    def table(self, what: str, at: Any = None) -> Columns:
        """Return a table as the command writes it: "all" rows, those "chosen", the "summary"."""
        if what == "summary":
            return stacked([(self.name, self.measurements.classes)])
        objects = self.measurements.objects
        return stacked([(self.name, objects if what == "all" else objects.take(at))])


def export_steps(path: Path, table: Columns) -> Steps:
    """Write a table to a file."""
    write_table(path, table)
    found: Event = Said(f"{path.name}: {table.rows:,} row{'s' * (table.rows != 1)} written.")
    yield found
