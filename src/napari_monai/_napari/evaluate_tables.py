"""The tables of an evaluation: scores, cases, wrong objects, two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from .column_model import ColumnModel
from .column_view import ColumnView
from .columns import Column
from .evaluate_columns import (
    case_columns,
    class_columns,
    measure_columns,
    mistake_columns,
    no_columns,
    versus_columns,
)
from .evaluate_steps import Evaluated, Scored
from .forms import Folded
from .parts import line

if TYPE_CHECKING:
    from ..evaluation import Mistake, Scores

_SIZE = (300, 240)  # in pixels
_NO_SCORES = "No scores yet: choose labels under Data, and press Evaluate."


class ScoreTable(QWidget):
    """A line above a table of which one row is chosen, and a line to filter by if that is wanted.

    Parameters
    ----------
    filtered
        What the empty filter says; none where that is empty.
    """

    chosen = Signal(int)  # the key of the row that a person clicked

    def __init__(self, filtered: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.about = line()
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.model = ColumnModel(no_columns())
        self.view = ColumnView(self.model, _SIZE)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.hint(_NO_SCORES)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText(filtered)
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.setVisible(bool(filtered))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.about)
        layout.addWidget(self.filter_line)
        layout.addWidget(self.view, 1)
        self.filter_line.textChanged.connect(self._filter)
        self.view.chosen.connect(self._on_chosen)
        # A row that is chosen already can be clicked again, to go there again.
        self.view.clicked.connect(self._on_chosen)

    def show_columns(self, columns: Sequence[Column], about: str = "", hint: str = "") -> None:
        """Show other rows, with a line above them, and one where there are none."""
        self.model.show_columns(columns)
        self.about.setText(about)
        self.about.setVisible(bool(about))
        self.view.hint(hint)
        self.view.fit_columns()

    def select(self, key: int) -> None:
        """Choose a row without telling that it is chosen."""
        self.view.select([key])

    def _filter(self, text: str) -> None:
        self.model.filter(text)
        self.filter_line.setToolTip(self.model.problem)

    def _on_chosen(self, _index: object = None) -> None:
        selected = self.view.selected
        if len(selected):
            self.chosen.emit(int(selected[0]))


class EvaluateTables(QWidget):
    """All tables of an evaluation; which of them are in sight is for the widget to say."""

    class_chosen = Signal(str)  # "" for all
    case_chosen = Signal(int)
    mistake_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.scores = ScoreTable()
        self.cases = ScoreTable("Filter: Dice < 0.8, worst, a name…")
        self.errors = ScoreTable("Filter: missed, IoU < 0.1…")
        self.versus = ScoreTable("Filter: Dice, liver, p Holm < 0.05…")
        self._names: tuple[str, ...] = ()
        self._mistakes: tuple[Mistake, ...] = ()
        self._add_caveats()
        self.scores.chosen.connect(self._on_score)
        self.cases.chosen.connect(self.case_chosen)
        self.errors.chosen.connect(self._on_mistake)

    def _add_caveats(self) -> None:
        self.caveats = line()
        self.caveats.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        folded = Folded("What to know of the tests")
        folded.addWidget(self.caveats)
        layout = self.versus.layout()
        assert layout is not None
        layout.addWidget(folded)

    # -- what is shown ------------------------------------------------------------------------

    def show_scores(self, scores: Scores) -> None:
        """Show the scores of a model."""
        self._names = ("", *scores.classes)
        if scores.kind == "classes":
            about = "A click on a class shows what is right and wrong of it."
            self.scores.show_columns(class_columns(scores), about)
        else:
            self.scores.show_columns(measure_columns(scores))

    def show_cases(self, scores: Scores, class_name: str) -> None:
        """Show the cases of a model: the means over their classes, or one class."""
        of = f"Of {class_name}. " if class_name else ""
        about = f"{of}A click on a case shows it."
        self.cases.show_columns(case_columns(scores, class_name), about)

    def show_mistakes(self, mistakes: Sequence[Mistake], scored: Scored, case: int) -> None:
        """Show the wrong objects of a case."""
        self._mistakes = tuple(mistakes)
        name = scored.scores.cases[case].name
        about = f"{name}: {_counted(mistakes)}. A click on an object goes there."
        size = "pixels" if mistakes and len(mistakes[0].at) == 2 else "voxels"
        self.errors.show_columns(mistake_columns(mistakes, size), about, "Nothing is wrong.")

    def no_mistakes(self, hint: str) -> None:
        """Show that no case is looked at."""
        self._mistakes = ()
        self.errors.show_columns(mistake_columns((), "voxels"), "", hint)

    def show_versus(self, result: Evaluated) -> None:
        """Show two models side by side."""
        compared = result.versus
        if compared is None:
            return
        from ..evaluation.versus import CAVEATS

        scores = result.models[0].scores
        columns = versus_columns(compared, scores.space, scores.settings.confidence)
        self.versus.show_columns(columns, _verdict(result))
        self.caveats.setText("\n".join(f"• {text}" for text in CAVEATS))

    # -- clicks -------------------------------------------------------------------------------

    def _on_score(self, key: int) -> None:
        if len(self._names) > 1 and key < len(self._names):
            self.class_chosen.emit(self._names[key])

    def _on_mistake(self, key: int) -> None:
        if key < len(self._mistakes):
            self.mistake_chosen.emit(self._mistakes[key])


def _counted(mistakes: Sequence[Mistake]) -> str:
    """Return such as ``"3 missed, 1 false, 2 split"``."""
    words = ("missed", "false", "split", "merged")
    counts = {word: sum(word in one.what for one in mistakes) for word in words}
    said = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join(said) or "no object is wrong"


def _verdict(result: Evaluated) -> str:
    """Say in a sentence which model is better, of the measure that cases are ordered by."""
    from ..evaluation.measures import HEADLINE
    from ..evaluation.text import measured, p_value

    compared = result.versus
    assert compared is not None
    (row,) = (r for r in compared.overall if r.measure.name == HEADLINE[result.kind])
    name, measure = row.measure.name, row.measure
    both = f"{name} {measured(row.first, measure)} against {measured(row.second, measure)}"
    if row.difference != row.difference or row.difference == 0:
        return f"{both}: no difference."
    ahead, other = (compared.first, compared.second)[:: 1 if row.difference > 0 else -1]
    if row.holm != row.holm:
        return f"{both}: {ahead} is ahead of {other}, in one case: there is nothing to test."
    p = f"p = {p_value(row.holm)}".replace("= <", "<")
    if row.holm < 1 - result.models[0].scores.settings.confidence:
        return f"{both}: {ahead} is better than {other} ({p} after Holm, {row.cases} cases)."
    return f"{both}: {ahead} is ahead, but that may be chance ({p} after Holm, {row.cases} cases)."
