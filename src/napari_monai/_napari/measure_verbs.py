"""What can be done with measured objects: keep, delete, colour, export."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..labels.columns import Column, Columns
from .measure_colours import ColourBar, Scale
from .measure_rows import numeric
from .parts import beside, button

_OWN = "Colour by…"
FILTERS = "CSV (*.csv);;Parquet (*.parquet)"


class MeasureVerbs(QWidget):
    """Buttons below the table and the plots; what they do is done by who hears of it."""

    keep_wanted = Signal()
    delete_wanted = Signal()
    colour_wanted = Signal(object)  # a column, or None
    export_wanted = Signal(str, object)  # what: all, chosen, summary; a path

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: list[Column] = []
        self._name = "measurements"
        self._folder: Path | None = None
        self.keep_button = button(
            "Keep as new layer", "Put those that are chosen into a labels layer of their own",
            self.keep_wanted.emit,
        )  # fmt: skip
        self.delete_button = button("Delete", "", self.delete_wanted.emit)
        self.export_button = QPushButton("Export")
        self.export_button.setToolTip("Write the table to a file: CSV or Parquet")
        menu = QMenu(self.export_button)
        self.exports = {
            what: menu.addAction(text)
            for what, text in (
                ("all", "All rows…"),
                ("chosen", "Chosen rows…"),
                ("summary", "Summary…"),
            )
        }
        for what, action in self.exports.items():
            assert action is not None
            action.triggered.connect(lambda _on=False, what=what: self.ask_file(what))
        self.export_button.setMenu(menu)
        self.colours = QComboBox()
        self.colours.setToolTip("Show objects in colours by a column, in a layer over the labels")
        self.colours.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.colours.setMinimumContentsLength(8)
        self.colours.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.bar = ColourBar()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        first = beside(self.keep_button, self.delete_button, self.export_button)
        first.setStretch(0, 1)
        layout.addLayout(first)
        second = beside(self.colours, self.bar)
        second.setStretch(0, 1)
        second.setStretch(1, 1)
        layout.addLayout(second)
        self.colours.activated.connect(self._on_colour)
        self.clear()

    def show_measured(self, name: str, folder: Path | None, objects: Columns) -> None:
        """Offer the columns of a table; files are called like its labels."""
        self._name, self._folder = name, folder
        before = self.colours.currentText()
        self._columns = [c for c in numeric(objects) if c.name not in ("label", "time")]
        self.colours.clear()
        self.colours.addItems([_OWN, *(c.title for c in self._columns)])
        self.colours.setCurrentIndex(max(self.colours.findText(before), 0))
        self.colours.setEnabled(True)

    def clear(self) -> None:
        """Offer nothing: nothing is measured."""
        self._columns = []
        self.colours.clear()
        self.colours.addItem(_OWN)
        self.colours.setEnabled(False)
        self.bar.show_scale(None)
        self.offer(measured=False, chosen=0, why_not="", busy=False)

    def offer(self, *, measured: bool, chosen: int, why_not: str, busy: bool) -> None:
        """Enable what can be done; ``why_not`` says why nothing can be deleted."""
        self.keep_button.setEnabled(chosen > 0 and not busy)
        self.delete_button.setEnabled(chosen > 0 and not why_not and not busy)
        self.delete_button.setToolTip(
            why_not or "Make those that are chosen background; one step to undo (Ctrl-Z)"
        )
        self.export_button.setEnabled(measured and not busy)
        action = self.exports["chosen"]
        if action is not None:
            action.setEnabled(chosen > 0)

    def show_scale(self, scale: Scale | None) -> None:
        """Show what colours mean; ``None`` where there are none."""
        self.bar.show_scale(scale)
        if scale is None:
            self.colours.setCurrentIndex(0)

    @property
    def coloured_by(self) -> str:
        """The title of the column that colours stand for; empty where there are none."""
        return self.colours.currentText() if self.colours.currentIndex() > 0 else ""

    def colour_by(self, title: str) -> None:
        """Colour by the column of a title, as a person does who takes it from the list."""
        self.colours.setCurrentIndex(max(self.colours.findText(title), 0))
        self._on_colour()

    def _on_colour(self, _index: int = 0) -> None:
        at = self.colours.currentIndex() - 1
        self.colour_wanted.emit(self._columns[at] if at >= 0 else None)

    def ask_file(self, what: str) -> None:
        """Ask where to write a table, and have it written."""
        ending = "-summary" if what == "summary" else ""
        start = (self._folder or Path.cwd()) / f"{self._name}{ending}.csv"
        name, kind = QFileDialog.getSaveFileName(self, "Write the table", str(start), FILTERS)
        if name:
            self.export_wanted.emit(what, with_ending(Path(name), kind))


def with_ending(path: Path, kind: str) -> Path:
    """Return the path of a table with an ending: that of the kind of file that was chosen."""
    if path.suffix.lower() in (".csv", ".parquet"):
        return path
    return path.with_name(path.name + (".parquet" if "parquet" in kind else ".csv"))
