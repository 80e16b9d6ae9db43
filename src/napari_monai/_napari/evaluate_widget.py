"""The Evaluate widget: labels and the truth, Evaluate; scores, cases, errors, a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from ..errors import NapariMonaiError
from ..events import Event, Said
from . import autosave
from .evaluate_form import EvaluateForm
from .evaluate_layers import CaseLayers
from .evaluate_look import Look
from .evaluate_steps import (
    Evaluated,
    Scored,
    Shown,
    Written,
    evaluate_steps,
    report_steps,
    show_steps,
    write_table,
)
from .evaluate_tables import EvaluateTables
from .job_widget import OneJobWidget
from .jobs import Outcome, Steps
from .parts import beside, button, line
from .scroll import Scroll

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from ..evaluation import Mistake

# Problems that are listed; the others are counted, and in the tooltip.
_LISTED = 4
_CLICK = "Click a case under Cases first."


class EvaluateWidget(OneJobWidget):
    """Scores labels against the truth, and shows where they are wrong.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _evaluated: Evaluated | None = None  # by the job that is about to end

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        autosave.start(napari_viewer)
        self.result: Evaluated | None = None
        self.shown: Shown | None = None  # the case that is looked at
        self._case: int | None = None
        self._looks: tuple[int, int, str] | None = None  # model, case and class that are shown
        self._scored: list[Labels] = []  # the layers, if layers are scored
        self._jump = False
        self._again = False  # another look was asked for meanwhile
        self.report: Path | None = None
        self.layers = CaseLayers(napari_viewer)
        self.data = EvaluateForm(napari_viewer)
        self.tables = EvaluateTables()
        self.look = Look()
        self.problems = line()
        self.run_button = button(
            "Evaluate", "Score the prediction against the truth", self.evaluate
        )
        self.cancel_button = button("Cancel", "Stop what is under way", self.cancel)
        self.table_button = button(
            "Save table…", "Write the values of all cases as CSV", self.ask_table
        )
        self.report_button = button(
            "Save report…",
            "Write a page with tables, plots and pictures of the best and worst cases, in one file",
            self.ask_report,
        )
        self.open_button = button(
            "Open report", "Open the report that was saved in the browser", self.open_report
        )
        self._lay_out()
        self.data.changed.connect(self._update)
        self.look.changed.connect(self._look_changed)
        self.look.toggled.connect(self._show_difference)
        self.tables.class_chosen.connect(self._class_chosen)
        self.tables.case_chosen.connect(self.show_case)
        self.tables.mistake_chosen.connect(self._go)
        self.tabs.currentChanged.connect(self._update)
        self._say("")
        self._problems_are(())
        self._update()

    def _lay_out(self) -> None:
        first = QWidget()
        inside = QVBoxLayout(first)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(Scroll(self.data))
        inside.addWidget(self.run_button)
        inside.addStretch(1)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(first, "Data")
        tables = self.tables
        for table, title in (
            (tables.scores, "Scores"),
            (tables.cases, "Cases"),
            (tables.errors, "Errors"),
            (tables.versus, "Models"),
        ):
            self.tabs.addTab(table, title)
            self.tabs.setTabVisible(self.tabs.indexOf(table), False)
        layout = self._rows()
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.look)
        layout.addLayout(beside(self.table_button, self.report_button, self.open_button))
        layout.addWidget(self.problems)
        layout.addWidget(self.progress)
        layout.addLayout(beside(self.cancel_button))
        layout.addWidget(self.status)
        for text in (self.problems, self.status):  # a long path does not make the dock wide
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    @property
    def busy(self) -> bool:
        """Whether something is scored, read or written."""
        return self._job is not None

    def _update(self, _what: object = None) -> None:
        result, missing = self.result, self.data.missing
        self.run_button.setEnabled(not self.busy and not missing)
        self.run_button.setToolTip(missing or "Score the prediction against the truth")
        self.cancel_button.setVisible(self.busy)
        self.cancel_button.setEnabled(self._job is not None and not self._job.cancelled)
        in_result = result is not None and self.tabs.currentIndex() > 0
        self.look.setVisible(in_result and self.tabs.currentWidget() is not self.tables.versus)
        for part in (self.table_button, self.report_button, self.open_button):
            part.setVisible(in_result)
        self.table_button.setEnabled(result is not None)
        self.report_button.setEnabled(result is not None and not self.busy)
        self.open_button.setEnabled(self.report is not None)

    def _problems_are(self, lines: tuple[str, ...]) -> None:
        shown = [f"⚠ {text}" for text in lines[:_LISTED]]
        more = len(lines) - len(shown)
        shown += [f"and {more} more"] if more else []
        self.problems.setText("\n".join(shown))
        self.problems.setToolTip("\n".join(lines))
        self.problems.setVisible(bool(lines))

    # -- scoring ------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Score what is chosen."""
        if self.busy:
            return
        try:
            wanted = self.data.wanted()
        except NapariMonaiError as error:
            self._say(str(error))
            return
        self.layers.uncover()
        self._scored = self.data.labels if self.data.from_layers.isChecked() else []
        self._say("")
        self._problems_are(())
        self._begin(evaluate_steps(wanted), "Evaluating")

    def _on_evaluated(self, result: Evaluated) -> None:
        self.layers.clear(keep=self._scored)
        self.result, self.report = result, None
        self._case, self._looks, self.shown = None, None, None
        self.data.show_kind(result.kind if result.guessed else None)
        self._problems_are(result.problems)
        tabs, tables = self.tabs, self.tables
        for table in (tables.scores, tables.cases):
            tabs.setTabVisible(tabs.indexOf(table), True)
        tabs.setTabVisible(tabs.indexOf(tables.errors), result.kind == "instances")
        tabs.setTabVisible(tabs.indexOf(tables.versus), result.versus is not None)
        classes = result.models[0].scores.classes
        self.look.offer([m.name for m in result.models], classes)
        self._show_tables()
        tables.show_versus(result)
        tables.no_mistakes(_CLICK)
        tabs.setCurrentWidget(tables.scores if result.versus is None else tables.versus)
        self._say(_summary(result))
        if result.place is not None:
            self._case = 0
            self._cover()
            self._look()

    @property
    def _model(self) -> Scored:
        assert self.result is not None
        return self.result.models[max(0, self.look.model.currentIndex())]

    def _show_tables(self) -> None:
        scores = self._model.scores
        self.tables.show_scores(scores)
        self.tables.show_cases(scores, self.look.class_name)
        if scores.kind == "classes":
            self.tables.scores.select(self.look.label.currentIndex())
        if self._case is not None:
            self.tables.cases.select(self._case)

    # -- a case -------------------------------------------------------------------------------

    def show_case(self, case: int) -> None:
        """Show a case, on the slice with most errors."""
        self._case, self._jump = case, True
        self._look()

    def _class_chosen(self, name: str) -> None:
        self._jump = True
        if name == self.look.class_name:
            self._look()
        self.look.choose_class(name)

    def _look_changed(self) -> None:
        if self.result is None:
            return
        name = self._model.scores.cases[self._case].name if self._case is not None else ""
        self._case = self._find(name)
        self._show_tables()
        self._look()

    def _find(self, name: str) -> int | None:
        """Return the place of a case of the model that is looked at."""
        cases = self._model.scores.cases
        return next((at for at, case in enumerate(cases) if case.name == name), None)

    def _look(self) -> None:
        """Show the case, model and class that are chosen; later where something is under way."""
        if self.result is None:
            return
        if self._case is None:
            self.tables.no_mistakes(_CLICK)
            return
        wanted = self.look.model.currentIndex(), self._case, self.look.class_name
        self.tables.cases.select(self._case)
        if wanted == self._looks:  # shown, or being opened
            self._jump_there()
        elif self.busy:
            self._again = True
        else:
            self._looks, self.shown = wanted, None
            self.tables.no_mistakes("")
            steps = show_steps(
                self._model, self._case, wanted[2], of_files=self.result.place is None
            )
            self._begin(steps, "Opening a case")

    def _on_shown(self, shown: Shown) -> None:
        if self.result is None or self._case is None or self._again:
            return
        self.shown = shown
        visible = self.look.visible.isChecked()
        self.layers.show(shown, self.result.place, visible=visible)
        flat = shown.difference.grid.ndim == 2
        self.look.show_counts(shown.counts, "pixels" if flat else "voxels")
        self.tables.show_mistakes(shown.mistakes, self._model, self._case)
        self._say(shown.opened.unread or _summary(self.result))
        self._jump_there()

    def _jump_there(self) -> None:
        if self._jump and self.shown is not None:
            self._jump = False
            self.layers.go_to_errors(self.shown)

    def _show_difference(self, visible: bool) -> None:
        layer = self.layers.difference
        if layer is not None:
            layer.visible = visible
        self._cover()

    def _cover(self) -> None:
        """Hide the layers that were scored while the difference is seen over them."""
        there = set(self._viewer.layers)
        if self.look.visible.isChecked():
            self.layers.cover(layer for layer in self._scored if layer in there)
        else:
            self.layers.uncover()

    def _go(self, mistake: Mistake) -> None:
        if self.shown is not None:
            self.layers.go(mistake, self.shown.opened.time)

    # -- files --------------------------------------------------------------------------------

    def ask_table(self) -> None:
        """Ask where to, and write the values of all cases."""
        path = self._ask("Save the table", "evaluation.csv", "CSV (*.csv)")
        if path is not None:
            self.save_table(path)

    def save_table(self, path: Path) -> None:
        """Write the values of all cases as the command does."""
        if self.result is None:
            return
        try:
            write_table(self.result, path)
        except (NapariMonaiError, OSError) as error:
            self._say(str(error))
        else:
            self._say(f"Saved {path}")

    def ask_report(self) -> None:
        """Ask where to, and write the report."""
        path = self._ask("Save the report", "evaluation.html", "HTML (*.html)")
        if path is not None:
            self.save_report(path)

    def save_report(self, path: Path) -> None:
        """Write the report as the command does."""
        if self.result is not None and not self.busy:
            self._begin(report_steps(self.result, path), "Writing a report")

    def _ask(self, title: str, name: str, kinds: str) -> Path | None:
        chosen, _ = QFileDialog.getSaveFileName(self, title, name, kinds)
        if not chosen:
            return None
        path = Path(chosen)
        return path if path.suffix else path.with_suffix(Path(name).suffix)

    def open_report(self) -> None:
        """Open the report that was saved in the browser."""
        if self.report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.report.resolve())))

    # -- jobs ---------------------------------------------------------------------------------

    def _begin(self, steps: Steps, title: str) -> None:
        self._again = False
        self._work(steps, title, self._on_event, self._on_ended)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Said) and event.level == "info":
            self._say(event.message)
        elif isinstance(event, Evaluated):
            self._evaluated = event  # shown when the work has ended
        elif isinstance(event, Shown):
            self._on_shown(event)
        elif isinstance(event, Written):
            self.report = event.path
            self._say(f"Saved {event.path}")

    def _on_ended(self, outcome: Outcome) -> None:
        self._over(outcome)
        found, self._evaluated = self._evaluated, None
        if outcome != "done":
            self._looks = None
        elif found is not None:
            self._on_evaluated(found)
        if self._again:
            self._again = False
            self._look()
        self._update()

    def cancel(self) -> None:
        """Stop what is under way."""
        if self._job is not None:
            self._again = False
        super().cancel()

    def leave(self) -> None:
        """Stop what is under way: the dock that holds the widget is closed."""
        if self._job is not None:
            self._job.cancel()


def _summary(result: Evaluated) -> str:
    """Say in a line how good the first model is, and what its labels were taken for."""
    from ..evaluation.measures import HEADLINE
    from ..evaluation.text import images, number, scored

    scores = result.models[0].scores
    name = HEADLINE[scores.kind]
    low, high = scores.intervals[name]
    between = f" [{number(low)}, {number(high)}]" if low == low else ""
    how = f"Scored as {scored(scores)}" + (" (auto)" if result.guessed else "")
    return f"{how}: {name} {number(scores.mean[name])}{between}, {images(scores)}."
