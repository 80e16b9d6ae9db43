"""The question whether a model may run the code that it brings; asked once, kept by SHA-256."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QMessageBox, QWidget

from ..errors import NapariMonaiError
from ..models import Model, trust
from ..models.card import is_allowed, origin
from .jobs import report


class TrustDialog(QMessageBox):
    """Names what would run and why, and keeps the answer.

    Parameters
    ----------
    model
        A model that brings code.
    agreed
        Called when the user has allowed it.
    parent
        The widget that asks.
    """

    def __init__(self, model: Model, agreed: Callable[[], object], parent: QWidget) -> None:
        super().__init__(parent)
        self._model, self._agreed = model, agreed
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Allow code?")
        self.setIcon(QMessageBox.Icon.Warning)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names and paths are not to be markup
        self.setText(f"Allow the code of {model.name} to run?")
        self.setInformativeText(
            f"{trust.needs_consent(model)}\n\nFrom: {origin(model)}\nFolder: {model.folder}\n"
            f"SHA-256: {trust.fingerprint(model)}\n\n"
            "The answer holds for these very files, until you take it back on the model's card."
        )
        self.allow_button = self.addButton("Allow", QMessageBox.ButtonRole.AcceptRole)
        self.refuse_button = self.addButton("Do not allow", QMessageBox.ButtonRole.RejectRole)
        self.never = QCheckBox("Never run the code of any model, and do not ask again")
        self.setCheckBox(self.never)
        self.never.toggled.connect(self._toggled)
        self.setDefaultButton(self.refuse_button)
        self.setEscapeButton(self.refuse_button)
        self.buttonClicked.connect(self._answered)

    def _toggled(self, never: bool) -> None:
        if self.allow_button is not None:
            self.allow_button.setDisabled(never)

    def _answered(self, pressed: object) -> None:
        try:
            if pressed is not self.allow_button:
                if self.never.isChecked():
                    trust.refuse_all(True)
                return
            trust.consent(trust.fingerprint(self._model), self._model.name)
        except NapariMonaiError as error:
            report(error)
            return
        self._agreed()


def ask(model: Model, agreed: Callable[[], object], parent: QWidget) -> None:
    """Call ``agreed`` at once, or after the user has allowed the model's code.

    Where the settings refuse all code, that is said instead.
    """
    try:
        if is_allowed(model):
            agreed()
        elif trust.refuses_all():
            trust.require(model)
        else:
            TrustDialog(model, agreed, parent).open()
    except NapariMonaiError as error:
        report(error)
