"""What of an evaluation is looked at: which model, which class; and the key of the colours."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QComboBox, QSizePolicy, QVBoxLayout, QWidget

from .evaluate_columns import ALL
from .parts import beside, form_rows, line

# As evaluation.difference has them, which is not imported before there is something to show: a
# test holds them together.
COLOURS = (
    ("true positive", "#009e73"),
    ("false positive", "#d55e00"),
    ("false negative", "#56b4e9"),
    ("mistaken", "#f0e442"),
)
_MEANINGS = (
    "true positive: both have it. false positive: only the prediction has it. false negative: only "
    "the truth has it. mistaken: both have something there, of another class or object."
)


class Look(QWidget):
    """Chooses a model and a class, and says what the colours of the difference mean."""

    changed = Signal()
    toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = QComboBox()
        self.label = QComboBox()
        self.visible = QCheckBox("Show the difference")
        self.visible.setToolTip("As a layer over the truth")
        self.visible.setChecked(True)
        self.key = line()
        self.key.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._rows = form_rows()
        self._rows.addRow("Model", self.model)
        self._rows.addRow("Class", self.label)
        for box in (self.model, self.label):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._rows)
        layout.addLayout(beside(self.visible))
        layout.addWidget(self.key)
        self.model.currentIndexChanged.connect(self._say)
        self.label.currentIndexChanged.connect(self._say)
        self.visible.toggled.connect(self.toggled)
        self.show_counts(())

    @property
    def class_name(self) -> str:
        """The class that is looked at; empty for all."""
        return self.label.currentText() if self.label.currentIndex() > 0 else ""

    def offer(self, models: Sequence[str], classes: Sequence[str]) -> None:
        """Offer models and classes, the first model and all classes chosen."""
        for box, names in ((self.model, list(models)), (self.label, [ALL, *classes])):
            box.blockSignals(True)
            box.clear()
            box.addItems(names)
            box.blockSignals(False)
        self._rows.setRowVisible(self.model, len(models) > 1)
        self._rows.setRowVisible(self.label, bool(classes))
        self.show_counts(())

    def choose_class(self, name: str) -> None:
        """Look at a class; all for an empty name."""
        self.label.setCurrentIndex(max(0, self.label.findText(name)) if name else 0)

    def show_counts(self, counts: Sequence[int], noun: str = "voxels") -> None:
        """Show the key of the colours, with how many voxels have each where that is known."""
        entries = []
        for number, (name, colour) in enumerate(COLOURS, start=1):
            count = f" {counts[number]:,}".replace(",", " ") if len(counts) > number else ""
            words = f" {name}{count}  ".replace(" ", "&nbsp;")  # a line ends between entries only
            entries.append(f'<span style="color: {colour}">■</span>{words}')
        self.key.setText(" ".join(entries))
        self.key.setToolTip(f"{_MEANINGS} Numbers are {noun} of this case.")

    def _say(self, _at: int) -> None:
        self.changed.emit()
