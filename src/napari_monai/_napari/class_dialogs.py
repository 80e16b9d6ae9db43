"""The question of the classes: what becomes of the voxels of a class that is taken off the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from qtpy.QtWidgets import QButtonGroup, QComboBox, QRadioButton, QVBoxLayout, QWidget

from ..volume import LabelClass
from .model_dialogs import Questions

Fate = Literal["keep", "delete", "merge"]


class RemoveDialog(Questions):
    """Asks whether voxels stay as they are, are deleted, or become another class's.

    Parameters
    ----------
    names
        What is removed.
    others
        The classes that can take the voxels.
    locked
        Whether some of them are locked: their voxels stay.
    answered
        Called with the answer and, for ``"merge"``, the number of the other class.
    """

    def __init__(
        self,
        names: Sequence[str],
        others: Sequence[LabelClass],
        *,
        locked: bool,
        answered: Callable[[Fate, int | None], object],
        parent: QWidget,
    ) -> None:
        few = ", ".join(names) if len(names) <= 3 else f"{len(names)} classes"
        self.keep = QRadioButton("stay, as a number without a name")
        self.delete = QRadioButton("become background")
        self.merge = QRadioButton("become:")
        self.into = QComboBox()
        for one in others:
            self.into.addItem(one.name, one.number)
        choices, group = QWidget(), QButtonGroup(parent)
        rows = QVBoxLayout(choices)
        rows.setContentsMargins(0, 0, 0, 0)
        for radio in (self.keep, self.delete, self.merge):
            rows.addWidget(radio)
            group.addButton(radio)
        rows.addWidget(self.into)
        self.keep.setChecked(True)
        self.delete.setEnabled(not locked)
        self.merge.setEnabled(not locked and bool(others))
        self.into.setEnabled(False)
        if locked:
            for radio in (self.delete, self.merge):
                radio.setToolTip("What is locked is not changed: unlock it first.")
        self.merge.toggled.connect(self.into.setEnabled)
        super().__init__(f"Remove {few}", "Remove", {"Its voxels": choices}, parent)
        group.setParent(self)
        self._answered = answered
        self.accepted.connect(self._accepted)

    def _accepted(self) -> None:
        if self.merge.isChecked():
            self._answered("merge", int(self.into.currentData()))
        else:
            self._answered("delete" if self.delete.isChecked() else "keep", None)
