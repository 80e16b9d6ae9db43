"""A list to choose what a training starts from: a new network, or a model that can be trained."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QWidget

from ..models import Model, catalogue
from .choices import card_text

_NEW = "A new network"
_NEW_TIP = "Planned from the data and trained from scratch: it takes more of both, data and time"
# What the format of a model lacks that cannot be trained.
_WHY_NOT = {
    "onnx": "is ONNX, which can only be run",
    "torchscript": "is TorchScript, which can only be run",
}


class StartBox(QComboBox):
    """The models of the store, read again whenever the list is opened, and a new network.

    A model that was chosen by hand stays the choice.
    """

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._models: list[Model | None] = []
        self._by_hand = False
        self.refill()
        self.activated.connect(self._picked)
        self.currentIndexChanged.connect(self._say)

    @property
    def start(self) -> Model | None:
        """The model to start from; ``None`` for a new network."""
        at = self.currentIndex()
        return self._models[at] if 0 <= at < len(self._models) else None

    def refill(self) -> None:
        """List what there is, and keep the choice if it is still there."""
        before = self.start
        name = before.name if before is not None else ""
        self._models = [None, *catalogue().models]
        self.blockSignals(True)
        self.clear()
        for at, model in enumerate(self._models):
            why = None if model is None else why_not(model)
            text = _NEW if model is None else model.name
            self.addItem(f"{text} {why}" if why else text)
            tip = _NEW_TIP if model is None else card_text(model.description)
            self.setItemData(at, tip, Qt.ItemDataRole.ToolTipRole)
            item: Any = self._item(at)
            item.setEnabled(why is None)
        self.setCurrentIndex(self._at(name))
        self.blockSignals(False)
        self._show_tip()

    def _item(self, at: int) -> Any:
        """Return the item of a line of the list."""
        items: Any = self.model()
        return items.item(at)

    def suggest(self, name: str) -> None:
        """Choose a model by its name, unless a person has chosen; a new network for ``""``."""
        at = self._at(name)
        if not self._by_hand and self._item(at).isEnabled():
            self.setCurrentIndex(at)

    def choose(self, name: str) -> None:
        """Choose a model by its name, as if by hand."""
        self._by_hand = True
        self.setCurrentIndex(self._at(name))

    def _at(self, name: str) -> int:
        names = ["" if model is None else model.name for model in self._models]
        return names.index(name) if name in names else 0

    def showPopup(self) -> None:  # noqa: N802
        """Read the store again, and open wide enough for the reasons."""
        self.refill()
        view = self.view()
        if view is not None:
            view.setMinimumWidth(min(600, view.sizeHintForColumn(0) + 24))
        super().showPopup()

    def _picked(self, _at: int) -> None:
        self._by_hand = True

    def _say(self, _at: int) -> None:
        self._show_tip()
        self.chosen.emit()

    def _show_tip(self) -> None:
        model = self.start
        self.setToolTip(_NEW_TIP if model is None else card_text(model.description))


def why_not(model: Model) -> str | None:
    """Return why a model cannot be trained, such as ``"is ONNX, …"``; ``None`` where it can."""
    if model.description.blockers:
        return "cannot run here"
    return _WHY_NOT.get(model.description.network.source)
