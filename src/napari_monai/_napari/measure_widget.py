"""The Measure widget: labels, Measure; then a table, plots, and the objects in the layer."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from ..errors import NapariMonaiError
from ..events import Event, FileFailed, Said
from ..labels.columns import Columns
from . import autosave
from .arrays import finest
from .edit_session import EditSession
from .job_widget import OneJobWidget
from .jobs import Outcome, Steps, report
from .measure_colours import Kept, colour, keep_steps, put, uncolour
from .measure_delete import Deletion, delete, delete_steps
from .measure_folder import MeasureFolder
from .measure_link import Chosen, LayerLink
from .measure_plots import MeasurePlots
from .measure_result import Result, Watch, export_steps
from .measure_setup import MeasureSetup
from .measure_steps import FolderMeasured, LayerMeasured, Wanted, layer_steps
from .measure_table import MeasureTable, MeasureView, empty_model, summarized
from .measure_verbs import MeasureVerbs
from .parts import beside, button, line
from .scroll import Scroll

if TYPE_CHECKING:
    import napari

_NO_LABELS = "Open labels, add a labels layer, or segment an image first."
_STALE = "⚠ Labels changed: measure again."
_SETUP, _OBJECTS, _PLOTS, _SUMMARY, _FOLDER = range(5)


class MeasureWidget(OneJobWidget):
    """Measures a labels layer, and shows its objects as rows, as points, and where they are.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _link: LayerLink | None = None

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        autosave.start(napari_viewer)
        self._results: dict[Any, Result] = {}
        self._wanted: tuple[Wanted, Watch] | None = None
        self._begun = 0.0
        self._failed = 0
        self._session: EditSession | None = None
        self.chosen = Chosen(self)
        self.setup = MeasureSetup(napari_viewer)
        self.objects = MeasureTable(self.chosen)
        self.plots = MeasurePlots(napari_viewer, self.objects, self.chosen)
        self.summary = MeasureView(empty_model(), (300, 160))
        self.summary.show_whole()
        self.folder = MeasureFolder()
        self.verbs = MeasureVerbs()
        self.notice = line()
        self.measure_button = button("Measure", "Measure the labels", self.measure)
        self.cancel_button = button("Cancel", "Stop; nothing of it stays", self.cancel)
        self._lay_out()
        self.setup.chosen.connect(self._on_layer)
        self.chosen.changed.connect(self._update)
        self.objects.went.connect(self._go)
        self.tabs.currentChanged.connect(self._tab_shown)
        self.verbs.keep_wanted.connect(self.keep)
        self.verbs.delete_wanted.connect(self.delete)
        self.verbs.colour_wanted.connect(self._colour)
        self.verbs.export_wanted.connect(self.export)
        self.folder.run_wanted.connect(self.measure_folder)
        napari_viewer.layers.events.removed.connect(self._on_removed)
        self._on_layer()
        self._tab_shown()

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(True)
        for title, part in (
            ("Setup", _at_the_top(self.setup)),
            ("Objects", self.objects),
            ("Plots", self.plots),
            ("Summary", self.summary),
            ("Folder", self.folder),
        ):
            self.tabs.addTab(part, title)
        self.summary.hint("Nothing is measured yet: press Measure.")
        self.foot = QWidget()
        foot = QVBoxLayout(self.foot)
        foot.setContentsMargins(0, 0, 0, 0)
        foot.setSpacing(6)
        foot.addWidget(self.notice)
        foot.addLayout(beside(self.measure_button, self.cancel_button))
        layout = self._rows()
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.verbs)
        layout.addWidget(self.foot)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        for text in (self.status, self.notice):  # a long path does not make the dock wide
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    # -- what is shown ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is measured, made or written."""
        return self._job is not None

    @property
    def result(self) -> Result | None:
        """What was measured of the labels that are chosen."""
        layer = self.setup.layer.layer
        return None if layer is None else self._results.get(layer.unique_id)

    def _tab_shown(self, _at: int = 0) -> None:
        at = self.tabs.currentIndex()
        self.verbs.setVisible(at in (_OBJECTS, _PLOTS))
        self.foot.setVisible(at != _FOLDER or self.busy)
        self.measure_button.setVisible(at != _FOLDER)
        if at == _OBJECTS:  # what was chosen in a plot meanwhile
            self.objects.table.scrollTo(self.objects.table.currentIndex())

    def _on_layer(self) -> None:
        """Show what was measured of the labels that are chosen, if it was."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self.chosen.choose([], self)
        self.verbs.show_scale(None)
        result = self.result
        if result is None:
            self.objects.clear()
            self.plots.clear()
            self.summary.show_table(Columns(()))
            self.verbs.clear()
            self._say("" if self.setup.layer.layer is not None else _NO_LABELS)
        else:
            self._show(result)
        self._update()

    def _show(self, result: Result) -> None:
        measured, rows = result.measurements, result.rows
        self._link = LayerLink(self._viewer, result.layer, rows, self.chosen)
        self._link.listening = self.isVisible()
        self.objects.show_measured(result.layer, measured, rows)
        self.plots.show_measured(measured.objects)
        self.summary.show_table(summarized(measured.classes))
        folder = result.source.parent if result.source is not None else None
        self.verbs.show_measured(result.name, folder, measured.objects)

    def _update(self, _by: object = None) -> None:
        result, idle = self.result, not self.busy
        stale = result is not None and result.watch.stale
        self.notice.setText(_STALE if stale else "")
        self.notice.setVisible(stale)
        self.measure_button.setText("Measure" if result is None else "Measure again")
        self.measure_button.setEnabled(idle and self.setup.layer.layer is not None)
        self.folder.run_button.setEnabled(idle)
        job = self._job
        self.cancel_button.setVisible(job is not None)
        self.cancel_button.setEnabled(job is not None and not job.cancelled)
        self.verbs.offer(
            measured=result is not None,
            chosen=len(self.chosen.keys),
            why_not="" if result is None else result.why_not_deleted,
            busy=not idle,
        )

    def _on_removed(self, event: Any) -> None:
        result = self._results.pop(event.value.unique_id, None)
        if result is not None:
            if self._link is not None and self._link.layer is result.layer:
                self._link.close()
                self._link = None
            result.watch.close()
            uncolour(self._viewer, result.layer)
            self._on_layer()

    def _go(self, key: int) -> None:
        if self._link is not None:
            self._link.go(key)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Hear of clicks in the canvas."""
        super().showEvent(event)
        if self._link is not None:
            self._link.listening = True

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Leave clicks in the canvas alone while nobody sees the table."""
        super().hideEvent(event)
        if self._link is not None:
            self._link.listening = False

    # -- measuring ----------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure the labels that are chosen."""
        if self.busy:
            return
        try:
            wanted = self.setup.wanted()
        except NapariMonaiError as error:
            self._say(str(error))
            return
        if wanted is None:
            self._say(_NO_LABELS)
            return
        self._wanted = wanted, Watch(wanted.layer, self)
        self._begin(layer_steps(wanted), f"Measuring {wanted.layer.name}")

    def measure_folder(self) -> None:
        """Measure the folder that is chosen, with the columns of the setup."""
        if self.busy:
            return
        try:
            settings = self.setup.settings()
            steps, table = self.folder.steps(self.setup.chosen_kind, settings)
        except (NapariMonaiError, OSError) as error:
            self._say(str(error))
            return
        self._table = table
        self._begin(steps, "Measuring a folder")

    def _begin(self, steps: Steps, title: str) -> None:
        self._say(f"{title}…")
        self._begun, self._failed = time.monotonic(), 0
        self._work(steps, title, self._on_event, self._on_ended)
        self._tab_shown()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, LayerMeasured):
            self._on_measured(event)
        elif isinstance(event, Kept):
            put(self._viewer, event.layer)
            self._say(f"{event.layer.name}: a new layer.")
        elif isinstance(event, Deletion):
            self._on_deletion(event)
        elif isinstance(event, FileFailed):
            self._failed += 1
            self.folder.add_problem(event)
        elif isinstance(event, FolderMeasured):
            self._on_folder(event)
        elif isinstance(event, Said) and event.level == "info":
            self._say(event.message)

    def _on_measured(self, event: LayerMeasured) -> None:
        assert self._wanted is not None
        (wanted, watch), self._wanted = self._wanted, None
        if wanted.layer not in self._viewer.layers:
            watch.close()
            self._say("The labels are gone.")
            return
        key, kept, coloured = wanted.layer.unique_id, self.chosen.keys, self.verbs.coloured_by
        before = self._results.get(key)
        if before is not None:
            before.watch.close()
        watch.changed.connect(self._update)
        self._results[key] = Result.of(wanted, event, watch)
        self._on_layer()
        if before is not None and before.rows.of_pieces == event.rows.of_pieces:
            rows = event.rows
            self.chosen.choose(rows.key[rows.find(kept)], self)
        if before is not None and coloured:
            self.verbs.colour_by(coloured)  # by what it is now
        count, seconds = len(event.rows), time.monotonic() - self._begun
        noun = "class" if event.measurements.kind == "classes" else "object"
        noun = "piece" if event.rows.of_pieces else noun
        many = {"class": "classes"}.get(noun, f"{noun}s")
        said = f"{count:,} {noun if count == 1 else many} measured in {seconds:.1f} s."
        self._say(said)
        if self.tabs.currentIndex() == _SETUP and self.setup.layer.layer is wanted.layer:
            self.tabs.setCurrentIndex(_OBJECTS)

    def _on_folder(self, event: FolderMeasured) -> None:
        failed = f"; {self._failed} failed" if self._failed else ""
        images = f"{event.done} image{'s' * (event.done != 1)}"
        self._say(f"{self._table.name}: {event.objects.rows:,} rows of {images}{failed}.")

    def _on_ended(self, outcome: Outcome) -> None:
        self._over(outcome)
        if self._wanted is not None:
            self._wanted[1].close()
            self._wanted = None
        if outcome == "done" and self.status.text().endswith("…"):
            failed = f"{self._failed} file{'s' * (self._failed != 1)} failed; nothing was written."
            self._say(failed if self._failed else "")
        self._update()
        self._tab_shown()

    def leave(self) -> None:
        """Stop what is under way, and leave the layers as they were."""
        if self._job is not None:
            self._job.cancel()
        if self._link is not None:
            self._link.close()
            self._link = None
        with suppress(RuntimeError):
            self._viewer.layers.events.removed.disconnect(self._on_removed)

    # -- what is done with objects ------------------------------------------------------------

    def keep(self) -> None:
        """Put the objects that are chosen into a layer of their own."""
        result = self.result
        if result is None or self.busy or not len(self.chosen.keys):
            return
        at = result.rows.find(self.chosen.keys)
        if finest(result.layer).shape != result.rows.numbers.shape:
            self._say(_STALE)
            return
        steps = keep_steps(result.layer, result.wanted.place, result.rows, at)
        self._begin(steps, "Keeping objects")

    def delete(self) -> None:
        """Make the objects that are chosen background, as Edit labels does."""
        result = self.result
        if result is None or self.busy or result.why_not_deleted or not len(self.chosen.keys):
            return
        try:
            session = EditSession(self._viewer, result.layer)
        except NapariMonaiError as error:
            self._say(str(error))
            return
        at = result.rows.find(self.chosen.keys)
        self._begin(delete_steps(session, result.rows, at), "Deleting objects")
        session.close()

    def _on_deletion(self, event: Deletion) -> None:
        result = self.result
        if result is None or result.watch.stale:
            self._say("The labels were changed meanwhile: nothing was deleted.")
            return
        autosave.before_run(self._viewer)
        try:
            said = delete(self._viewer, result.layer, event)
        except (NapariMonaiError, OSError) as error:
            report(error)
            self._say(str(error))
            return
        self.chosen.choose([], self)
        self._say(said)

    def _colour(self, column: Any) -> None:
        result = self.result
        if result is None:
            return
        if column is None:
            uncolour(self._viewer, result.layer)
            self.verbs.show_scale(None)
        else:
            self.verbs.show_scale(colour(self._viewer, result.layer, result.rows, column)[1])

    def export(self, what: str, path: Path) -> None:
        """Write "all" rows, those "chosen", or the "summary", to a CSV or Parquet file."""
        result = self.result
        if result is None or self.busy:
            return
        table = result.table(what, result.rows.find(self.chosen.keys))
        self._begin(export_steps(path, table), f"Writing {path.name}")


def _at_the_top(part: QWidget) -> QWidget:
    """Return a page with a part that scrolls where it is too low, and is no higher than it."""
    page = QWidget()
    rows = QVBoxLayout(page)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.addWidget(Scroll(part))
    rows.addStretch(1)
    return page
