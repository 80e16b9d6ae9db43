"""What to train, from what, and how: the part of the Fine-tune widget that is filled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QEnterEvent
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from ..errors import NapariMonaiError
from ..models.shelf import check_free
from ..settings import TrainingSettings
from ..volume import LabelVolume
from .finetune_data import Counted, Row
from .finetune_pairs import PairList
from .forms import SettingsForm
from .label_colours import classes_of
from .parts import form_rows, line
from .placement import KEY, Placement
from .results import KEY as RESULT
from .results import Mark
from .start_box import StartBox

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

_COUNTED: dict[Counted, tuple[str, str]] = {
    "all": ("All", "Every voxel of the labels is right, the background too"),
    "corrected": ("Corrected ones", "The slices that were changed by hand in Edit labels"),
    "labelled": ("Those with labels", "The slices on which something is drawn"),
}
_COMPLETE, _SCRIBBLES = "Complete", "Scribbles: 0 is not labelled"
# What is not folded away.
_PLAIN = ("target", "goal", "minutes", "augmentation")
# Of labels that were drawn on fewer slices than this part, the others are taken to be undone.
_FEW = 0.5


class TrainingForm(QWidget):
    """The pairs, what of them counts, the model to start from, and the settings."""

    changed = Signal()
    said = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pairs = PairList(viewer, self)
        self.counted = QComboBox()
        self.complete = QComboBox()
        self.complete.addItems([_COMPLETE, _SCRIBBLES])
        self.complete.setToolTip(
            "Whether all voxels are labelled, or only those that a brush went over"
        )
        self.background = QSpinBox()
        self.background.setRange(0, 65535)
        self.background.setSpecialValueText("none")
        self.background.setToolTip("The label with which the background was scribbled")
        self.start = StartBox(self)
        self.name = QLineEdit()
        self.name.setToolTip("What to call the new model")
        self.form = SettingsForm(TrainingSettings, skip=("only_corrected",), plain=_PLAIN)
        self.form.fields["minutes"].widget.native.setSpecialValueText("no limit")
        self.validation = line()
        self.unlabelled = line()
        self._by_hand = False
        self._lay_out()

        self.pairs.changed.connect(self._on_pairs)
        self.pairs.said.connect(self.said)
        self.counted.activated.connect(self._counted_picked)
        self.complete.currentIndexChanged.connect(self._on_complete)
        self.start.chosen.connect(self._on_start)
        self.form.changed.connect(self._on_settings)
        self._on_complete()
        self._on_pairs()

    def _lay_out(self) -> None:
        self._rows = form_rows()
        self._rows.addRow("Slices", self.counted)
        self._rows.addRow("Labels are", self.complete)
        self._rows.addRow("Background", self.background)
        self._rows.addRow("Start from", self.start)
        self._rows.addRow("New name", self.name)
        for box in (self.counted, self.complete):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
        for at in range(self._rows.rowCount()):
            item = self._rows.itemAt(at, self._rows.ItemRole.LabelRole)
            label, field = item.widget() if item else None, self._field(at)
            if isinstance(label, QLabel) and field is not None:
                label.setToolTip(field.toolTip())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.pairs)
        layout.addWidget(self.validation)
        layout.addWidget(self.unlabelled)
        layout.addLayout(self._rows)
        layout.addWidget(self.form)

    def _field(self, at: int) -> QWidget | None:
        item = self._rows.itemAt(at, self._rows.ItemRole.FieldRole)
        return item.widget() if item is not None else None

    # -- what is chosen -----------------------------------------------------------------------

    @property
    def which(self) -> Counted:
        """Which slices count."""
        return cast("Counted", self.counted.currentData() or "all")

    @property
    def suggested_name(self) -> str:
        """A name for the new model that nobody has yet."""
        model = self.start.start
        stem = "my-model" if model is None else f"{model.name.removesuffix('-tuned')}-tuned"
        return next(name for name in _numbered(stem) if _is_free(name))

    @property
    def chosen_name(self) -> str:
        """The name of the new model; raises ModelError where another one has it."""
        name = self.name.text().strip()
        if not name:
            return self.suggested_name
        check_free(name)
        return name

    def settings(self) -> TrainingSettings:
        """Return the settings; raises SettingsError with the cure for what does not fit."""
        settings = self.form.value()
        if self.complete.currentText() != _SCRIBBLES:
            return settings
        return replace(settings, ignore_label=0, background_label=self.background.value() or None)

    # -- what follows from what ---------------------------------------------------------------

    def refresh(self) -> None:
        """Count the slices anew: somebody has painted."""
        self._offer_slices(self.pairs.rows)

    def enterEvent(self, event: QEnterEvent | None) -> None:  # noqa: N802
        """Count anew when the mouse comes back from the canvas."""
        super().enterEvent(event)
        if any(row.layers for row in self.pairs.rows):
            self.refresh()

    def _on_pairs(self) -> None:
        rows = [row for row in self.pairs.rows if row.labels is not None]
        self._offer_slices(rows)
        self._suggest_start(rows)
        held_out = sum(row.validation for row in rows)
        part = self.form.fields["validation_part"].value
        text = ""
        if rows and not held_out:
            text = (
                f"For validation {part:.0%} is held out by itself: whole images, or slices of one."
                if part
                else "Nothing is held out for validation."
            )
        self.validation.setText(text)
        self.validation.setVisible(bool(text))
        self._show_name()
        self._on_settings()

    def _on_settings(self) -> None:
        """Say what images without labels are for, where they are missing or of no use."""
        fields = self.form.fields
        alone = any(row.labels is None for row in self.pairs.rows)
        remember = self.start.start is not None and fields["remember"].value > 0
        warm = fields["warm_start"].value != "none"
        text = ""
        if alone and not remember and not warm:
            text = "Images without labels need Remember or Warm start, under More settings."
        elif remember and not alone:
            text = "Remember needs images without labels, of the kind that the model knows: add."
        elif warm and not alone:
            text = "The warm start learns from more images, too: add some without labels."
        self.unlabelled.setText(text)
        self.unlabelled.setVisible(bool(text))
        self.changed.emit()

    def _offer_slices(self, rows: list[Row]) -> None:
        """Offer which slices count, with how many there are; choose what is likely."""
        counts = {"corrected": 0, "labelled": 0}
        slices, few = 0, False
        for row in (r for r in rows if not r.validation):
            corrected, drawn, there = row.corrected(), row.labelled(), row.slices
            counts["corrected"] += len(corrected)
            counts["labelled"] += len(drawn)
            slices += there
            few = few or 0 < len(drawn) <= _FEW * there
        before = self.which
        self.counted.clear()
        for which, (text, hint) in _COUNTED.items():
            count = counts.get(which, slices)
            if which != "all" and not count:
                continue
            known = f"{text}: {count} of {slices}" if which != "all" and slices else text
            self.counted.addItem(known, which)
            self.counted.setItemData(self.counted.count() - 1, hint, Qt.ItemDataRole.ToolTipRole)
        likely: Counted = "corrected" if counts["corrected"] else "labelled" if few else "all"
        at = self.counted.findData(before if self._by_hand else likely)
        self.counted.setCurrentIndex(max(0, at))
        self._rows.setRowVisible(self.counted, self.counted.count() > 1)
        self._show_tip()

    def _counted_picked(self, _at: int) -> None:
        self._by_hand = True
        self._show_tip()
        self.changed.emit()

    def _show_tip(self) -> None:
        self.counted.setToolTip(_COUNTED[self.which][1])

    def _suggest_start(self, rows: list[Row]) -> None:
        """Start from the model that made the labels, where one did."""
        for row in rows:
            if row.labels is not None and not isinstance(row.labels, Path):
                self.start.suggest(_maker(row.labels))
                return

    def _on_start(self) -> None:
        self.form.offer(
            ("network", "network_size", "network_arguments", "start_weights"),
            self.start.start is None,
        )
        self.form.offer(
            ("freeze", "unfreeze", "layer_decay", "remember"), self.start.start is not None
        )
        self._show_name()
        self._on_settings()

    def _on_complete(self) -> None:
        scribbles = self.complete.currentText() == _SCRIBBLES
        self._rows.setRowVisible(self.background, scribbles)
        self.form.offer(("ignore_label", "background_label"), not scribbles)
        if scribbles and not self.background.value():
            self.background.setValue(self._named_background())
        self.changed.emit()

    def _named_background(self) -> int:
        """Return the number of the class that is called background, 0 for none."""
        for row in self.pairs.rows:
            if row.labels is not None and not isinstance(row.labels, Path):
                for item in classes_of(row.labels):
                    if item.name.casefold() == "background":
                        return item.number
        return 0

    def _show_name(self) -> None:
        self.name.setPlaceholderText(self.suggested_name)


def _maker(labels: Labels) -> str:
    """Return the name of the model that made labels, as far as they say."""
    mark, place = labels.metadata.get(RESULT), labels.metadata.get(KEY)
    if isinstance(mark, Mark):
        return mark.model
    volume = place.volume if isinstance(place, Placement) else None
    made = volume.made_by if isinstance(volume, LabelVolume) else None
    return made.algorithm if made is not None else ""


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _is_free(name: str) -> bool:
    try:
        check_free(name)
    except NapariMonaiError:
        return False
    return True
