"""A list to choose a model from: those that fit the image first, the others with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from ..models import catalogue, user_folder
from .choices import Choice, card_text, choices

if TYPE_CHECKING:
    from napari.layers import Image

# So many models are named where none fits.
_MOST_REASONS = 3


class ModelBox(QComboBox):
    """The models of the store, read again whenever the list is opened.

    A model that was chosen by hand stays the choice as long as it fits the image.
    """

    chosen = Signal()  # another model, or none, is the choice

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._layer: Image | None = None
        self._beside: tuple[Image, ...] = ()
        self._choices: list[Choice] = []
        self._problems: list[str] = []
        self._wanted: str | None = None
        self.activated.connect(self._picked)
        self.currentIndexChanged.connect(self._say)

    @property
    def choice(self) -> Choice | None:
        """The model that is chosen and what it would segment; ``None`` if there is none."""
        at = self.currentIndex()
        return self._choices[at] if 0 <= at < len(self._choices) else None

    def fit(self, layer: Image | None, beside: Iterable[Image] = ()) -> None:
        """Offer the models for an image layer, and choose one that fits.

        Layers ``beside`` it may be further channels of its image, see `choices`.

        Raises VolumeError for a layer that no model can take.
        """
        found = catalogue()
        self._layer, self._beside = layer, tuple(beside)
        self._problems = [str(problem) for problem in found.problems]
        self._choices = choices(found.models, layer, self._beside)
        self.blockSignals(True)
        self.clear()
        for at, choice in enumerate(self._choices):
            why = choice.why_not
            text = choice.model.name if why is None else f"{choice.model.name} {why}"
            self.addItem(text)
            tip = card_text(choice.model.description, choice.fit)
            self.setItemData(at, tip, Qt.ItemDataRole.ToolTipRole)
            item: Any = self.model().item(at)  # type: ignore[union-attr]
            item.setEnabled(why is None)
        fitting = [n for n, c in enumerate(self._choices) if c.why_not is None]
        wanted = [n for n in fitting if self._choices[n].model.name == self._wanted]
        self.setCurrentIndex((wanted or fitting or [-1])[0])
        self.setPlaceholderText("No model fits" if self._choices else "No models")
        self.blockSignals(False)
        self._show_tip()

    def choose(self, name: str) -> bool:
        """Choose a model of the store by its name, as if by hand; say whether it fits."""
        before, self._wanted = self._wanted, name
        self.fit(self._layer, self._beside)
        self.chosen.emit()
        found = self.choice is not None and self.choice.model.name == name
        if not found:
            self._wanted = before
        return found

    def why_none(self) -> str:
        """Return why no model can be chosen, and the cure."""
        lines = [f"{c.model.name} {c.why_not}." for c in self._choices if c.why_not]
        if len(lines) > _MOST_REASONS:
            rest = len(lines) - _MOST_REASONS
            lines = [*lines[:_MOST_REASONS], f"{rest} more do not fit: see the list."]
        if not self._choices:
            lines = [f"There are no models: put a model's folder into {user_folder()}."]
        return "\n".join(lines + self._problems)

    def showPopup(self) -> None:  # noqa: N802
        """Read the store again, and open wide enough for the reasons."""
        before = self.choice
        self.fit(self._layer, self._beside)
        if before is None or self.choice is None or self.choice.model.name != before.model.name:
            self.chosen.emit()
        view = self.view()
        if view is not None:
            view.setMinimumWidth(min(600, view.sizeHintForColumn(0) + 24))
        super().showPopup()

    def _picked(self, at: int) -> None:
        self._wanted = self._choices[at].model.name

    def _say(self, _at: int) -> None:
        self._show_tip()
        self.chosen.emit()

    def _show_tip(self) -> None:
        choice = self.choice
        tip = "" if choice is None else card_text(choice.model.description, choice.fit)
        self.setToolTip(tip)
