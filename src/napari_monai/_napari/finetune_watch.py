"""A training as it goes, and what came of it: curves, time left, scores, the new model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QHeaderView,
    QProgressBar,
    QSizePolicy,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..events import EpochDone, Event, Said, Trained
from .finetune_curves import Curves, rows, short
from .finetune_preview import Validation
from .finetune_steps import Begun, Previewed
from .jobs import Outcome
from .pace import span
from .parts import beside, button, line
from .row_table import PLAIN, RowTable

if TYPE_CHECKING:
    import napari

_HEADERS = {
    0: ("Score", "On the validation images: 1 is perfect"),
    1: ("Before", "Of the model that the training began with"),
    2: ("After", "Of the best state of the new model"),
    3: ("Change", "What the training brought"),
}
_MOST_ROWS = 6  # of scores that are seen at once
_MOST_LINES = 4  # of warnings


class Watch(QWidget):
    """Shows one training, until the next one.

    Parameters
    ----------
    viewer
        Where the validation image is shown.
    """

    stop_wanted = Signal()
    use_wanted = Signal()
    card_wanted = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.validation = Validation(viewer, self)
        self.trained: Trained | None = None
        self.is_kept = False
        self._warnings: list[str] = []
        self.title = line()
        self.progress = QProgressBar()
        self.curves = Curves(viewer)
        self.status = line()
        self.warnings = line()
        self.stop_button = button(
            "Stop and keep best",
            "End the training after this step; the best state so far becomes the model",
            self.stop_wanted.emit,
        )
        self.stays = QCheckBox("Goes on when napari is closed")
        self.stays.setToolTip("Otherwise it stops then, and can be resumed under Runs")
        self.show_validation = QCheckBox("Show the validation image")
        self.show_validation.setToolTip(
            "As layers: the image, the truth as an outline, and what the model says now"
        )
        self.show_validation.setChecked(True)
        self.scores = RowTable(_HEADERS, (280, 60), self)
        self.beside_button = button(
            "Before and after", "Show both next to each other on the validation image", self._flip
        )
        self.beside_button.setCheckable(True)
        self.use_button = button(
            "Use this model",
            "Put the new model into the store, and choose it in the Segment widget",
            self.use_wanted.emit,
        )
        self.card_button = button("Open card", "Show all about the model", self.card_wanted.emit)
        self._lay_out()
        self.show_validation.toggled.connect(self._show_validation)
        self.begin("")

    def _lay_out(self) -> None:
        header = self.scores.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        for part in (self.title, self.progress, self.curves, self.status, self.warnings):
            layout.addWidget(part)
        layout.addWidget(self.scores)
        layout.addLayout(beside(self.use_button, self.card_button))
        layout.addWidget(self.beside_button)
        layout.addWidget(self.show_validation)
        layout.addWidget(self.stays)
        layout.addWidget(self.stop_button)
        layout.addStretch(1)
        for text in (self.title, self.status, self.warnings):
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    # -- a training ---------------------------------------------------------------------------

    def begin(self, title: str) -> None:
        """Start to show another training; nothing for ``""``."""
        going = bool(title)
        self.trained = None
        self.is_kept = False
        self.use_button.setText("Use this model")
        self._warnings = []
        self.title.setText(title or "No training yet: choose data, and press Start.")
        self.curves.begin()
        self.validation.begin()
        self.say("")
        self._warn()
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        while_it_goes = (self.progress, self.stop_button, self.stays, self.show_validation)
        for part in while_it_goes:
            part.setVisible(going)
        self.stop_button.setEnabled(False)
        at_its_end = (self.scores, self.use_button, self.card_button, self.beside_button)
        for shown_later in at_its_end:
            shown_later.hide()

    def take(self, event: Event) -> None:
        """Show what the training says."""
        self.curves.take(event)
        if isinstance(event, Begun):
            self.stop_button.setEnabled(True)
        elif isinstance(event, Said):
            if event.level == "warning":
                self._warnings.append(event.message)
                self._warn()
            else:
                self.say(event.message)
        elif isinstance(event, EpochDone):
            self._on_validation(event)
        elif isinstance(event, Previewed):
            self.validation.take(event.seen)
        elif isinstance(event, Trained):
            self._on_trained(event)

    def on_progress(self, done: int, total: int, words: str) -> None:
        """Show how far it is, and the time left."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(words)

    def end(self, outcome: Outcome, error: str) -> None:
        """Show that it is over, for good or for ill."""
        self.progress.hide()
        self.stop_button.hide()
        self.stays.hide()
        self.show_validation.setVisible(self.validation.there)
        if outcome == "failed":
            self.say(error)
        elif self.trained is None:
            self.say("Stopped. It can be resumed under Runs.")

    def kept(self) -> None:
        """Show that the model is in the store."""
        self.is_kept = True
        self.use_button.setText("In the store")

    def say(self, text: str) -> None:
        """Say a line on how it goes."""
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _warn(self) -> None:
        lines = self._warnings[-_MOST_LINES:]
        self.warnings.setText("\n".join(f"⚠ {text}" for text in lines))
        self.warnings.setToolTip("\n".join(self._warnings))
        self.warnings.setVisible(bool(lines))

    def _on_validation(self, event: EpochDone) -> None:
        if not event.scores:
            return
        name, value = next(iter(event.scores.items()))
        best = ", the best so far" if event.best else ""
        self.say(f"Validation after {event.step} steps: {score_name(name)} {value:.3f}{best}.")

    def _on_trained(self, event: Trained) -> None:
        self.trained = event
        before = event.before
        self.curves.end(before)
        self.say(f"Trained in {span(event.seconds)}. {self._verdict(event, before)}".strip())
        table = list(rows(before, event.scores))
        self.scores.setRowCount(len(table))
        for at, (name, *values) in enumerate(table):
            for column, text in enumerate((score_name(name), *values)):
                item = QTableWidgetItem(text)
                item.setFlags(PLAIN)
                self.scores.setItem(at, column, item)
        self._fit_scores(len(table))
        self.use_button.show()
        self.card_button.show()
        self.beside_button.setVisible(self.validation.comparable)
        self.beside_button.setChecked(False)

    def _verdict(self, event: Trained, before: Mapping[str, float]) -> str:
        if not event.scores:
            return "Nothing was held out, so nobody knows how good it is."
        name = next(iter(event.scores))
        if name not in before or before[name] != before[name]:
            return ""
        if event.scores[name] > before[name]:
            return "It is better than the model it began with."
        return "It is not better than the model it began with."

    def _fit_scores(self, count: int) -> None:
        """Make the table as high as its rows, up to a limit."""
        header, side = self.scores.horizontalHeader(), self.scores.verticalHeader()
        high = header.sizeHint().height() if header is not None else 24
        each = side.defaultSectionSize() if side is not None else 24
        self.scores.setFixedHeight(high + each * min(_MOST_ROWS, count) + 4)
        self.scores.setVisible(count > 0)

    # -- the validation image -----------------------------------------------------------------

    def _show_validation(self, shown: bool) -> None:
        self.beside_button.setChecked(False)
        self.validation.show(shown)

    def _flip(self, on: bool = False) -> None:
        if on:
            self.show_validation.blockSignals(True)
            self.show_validation.setChecked(True)
            self.show_validation.blockSignals(False)
            self.validation.shown = True
            self.validation.side_by_side()
        else:
            self.validation.together()


def score_name(name: str) -> str:
    """Return the name of a score as a table has it: ``"AP at IoU 0.5"`` of ``"AP50"``."""
    known = {"AP": "AP, mean", "AP50": "AP at IoU 0.5", "Dice": "Dice, mean"}
    return known.get(name, f"Dice {short(name)}" if name.startswith("Dice ") else name)
