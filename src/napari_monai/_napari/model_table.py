"""The table of the Models widget: one row a model, with what tells it from the others."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem, QWidget

from ..models.card import bytes_word, classes, task
from ..models.fitting import Fit
from .model_jobs import Entry
from .row_table import PLAIN, RowTable

NAME, FITS, TASK, MODALITY, DIMS, CLASSES, SIZE, LICENCE, TRUST = range(9)
_HEADERS = {
    NAME: ("Name", "What it is called"),
    FITS: ("Fits", "Whether it can take the image; the card below says why not"),
    TASK: ("Task", "Instances: each object gets a number. Classes: each class has one"),
    MODALITY: ("Modality", "What kind of image it was made for"),
    DIMS: ("Dims", "2D or 3D; a 2D model looks at each slice of a volume"),
    CLASSES: ("Classes", "What it finds"),
    SIZE: ("Size", "What it takes on the disk"),
    LICENCE: ("Licence", "Under which it may be used"),
    TRUST: ("Trust", "Data only, or code that runs with it"),
}
_WIDTH, _HEIGHT = 440, 170  # in pixels
_WIDEST_NAME = 240
# Seen, and seen to be another thing.
_DIM = 0.5


class ModelTable(RowTable):
    """Models to choose one of; those that do not fit are dim, and say why in their tooltip."""

    chosen = Signal()  # another model, or none, is chosen

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_HEADERS, (_WIDTH, _HEIGHT), parent)
        self._entries: list[Entry] = []
        self._shown: list[Entry] = []  # a row each
        self._sorted: tuple[int, bool] | None = None
        self._words = ""
        self._only_fitting = False
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        columns = self.horizontalHeader()
        if columns is not None:
            columns.setSectionsClickable(True)
            columns.sectionClicked.connect(self._sort)
        self.itemSelectionChanged.connect(self.chosen)

    # -- models -------------------------------------------------------------------------------

    @property
    def entries(self) -> Sequence[Entry]:
        """All models, the best first."""
        return tuple(self._entries)

    @property
    def entry(self) -> Entry | None:
        """The model that is chosen, if it is in sight."""
        row = self.currentRow()
        if not self.selectedItems() or row < 0 or self.isRowHidden(row):
            return None
        return self._shown[row]

    def show_entries(self, entries: Sequence[Entry], *, wanted: str = "") -> None:
        """Show these models, and choose the one that is wanted; or the same, or the best."""
        before = self.entry
        self._entries = list(entries)
        self._arrange(wanted or (before.model.name if before is not None else ""))
        self.resizeColumnsToContents()
        self.setColumnWidth(NAME, min(self.columnWidth(NAME), _WIDEST_NAME))
        self.chosen.emit()

    def filter(self, words: str, only_fitting: bool) -> None:
        """Show only models in whose card all words are, and that fit the image."""
        self._words, self._only_fitting = words.casefold(), only_fitting
        self._filter()
        if self.entry is None:
            self._choose(-1)
        self.chosen.emit()

    def row_of(self, name: str) -> int:
        """Return the row of a model, -1 for none."""
        rows = range(self.rowCount())
        return next((row for row in rows if self._shown[row].model.name == name), -1)

    def _arrange(self, wanted: str) -> None:
        """Fill the rows in the order that is asked for, and choose a model."""
        self._shown = list(self._entries)
        if self._sorted is not None:
            column, down = self._sorted
            self._shown.sort(key=lambda entry: self._key(entry, column), reverse=down)
        self.blockSignals(True)
        self.setRowCount(len(self._shown))
        for row, entry in enumerate(self._shown):
            self._fill(row, entry)
        self._filter()
        self._choose(self.row_of(wanted))
        self.blockSignals(False)

    def _fill(self, row: int, entry: Entry) -> None:
        tip = fit_words(entry.fit) or entry.model.description.title
        colour = self.palette().text().color()
        colour.setAlphaF(_DIM)
        for column, text in _texts(entry).items():
            item = QTableWidgetItem(text)
            item.setFlags(PLAIN)
            item.setToolTip(tip)
            if entry.fit.why_not:
                item.setForeground(colour)
            self.setItem(row, column, item)

    def _choose(self, row: int) -> None:
        """Choose a row; if it is not in sight, the best model that is."""
        rows = [r for r in range(self.rowCount()) if not self.isRowHidden(r)]
        best = [r for e in self._entries for r in rows if self._shown[r] is e]
        if row not in rows and not best:
            self.clearSelection()
            return
        row = row if row in rows else best[0]
        self.setCurrentCell(row, NAME)
        self.selectRow(row)

    def _filter(self) -> None:
        for row in range(self.rowCount()):
            self.setRowHidden(row, not self._matches(self._shown[row]))
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def _matches(self, entry: Entry) -> bool:
        if self._only_fitting and entry.fit.why_not:
            return False
        text = " ".join((*entry.card.values(), entry.trust)).casefold()
        return all(word in text for word in self._words.split())

    # -- how it looks -------------------------------------------------------------------------

    def _sort(self, column: int) -> None:
        """Sort by a column, and the other way round at the next click; by *Fits* is best first."""
        down = self._sorted == (column, False)
        self._sorted = column, down
        self._arrange(self.entry.model.name if self.entry is not None else "")
        header = self.horizontalHeader()
        if header is not None:
            order = Qt.SortOrder.DescendingOrder if down else Qt.SortOrder.AscendingOrder
            header.setSortIndicatorShown(True)
            header.setSortIndicator(column, order)

    def _key(self, entry: Entry, column: int) -> tuple[float, str]:
        if column == FITS:
            return float(self._entries.index(entry)), ""
        if column == SIZE:
            return float(entry.size), ""
        return 0.0, _texts(entry)[column].casefold()


def _texts(entry: Entry) -> dict[int, str]:
    """Return what the columns say of a model."""
    told = entry.model.description
    fit = entry.fit
    return {
        NAME: told.name,
        FITS: "no" if fit.why_not else "with a note" if fit.notes else "yes",
        TASK: task(told),
        MODALITY: told.inputs.modality,
        DIMS: f"{told.inputs.spatial_dims}D",
        CLASSES: classes(told),
        SIZE: bytes_word(entry.size),
        LICENCE: told.licence,
        TRUST: entry.trust,
    }


def fit_words(fit: Fit) -> str:
    """Return why a model does not fit, or what to know of it, as sentences."""
    if fit.why_not:
        return f"It {fit.why_not.rstrip('.')}."
    return " ".join(f"It {note.rstrip('.')}." for note in fit.notes)
