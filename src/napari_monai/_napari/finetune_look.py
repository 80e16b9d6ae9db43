"""Dialogs of the Fine-tune widget: changed training images, and the card of the new model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..models import Model
from ..models.card import card_rows, is_allowed, trust_word
from ..models.fitting import Fit
from ..models.shelf import is_own, preview, size
from .model_card import ModelCard
from .model_jobs import Entry

_CARD = QSize(460, 560)
_PICTURE = QSize(720, 640)


class Pictures(QDialog):
    """Shows pictures as large as the dialog is.

    Parameters
    ----------
    picture
        uint8 array of shape (height, width, 3).
    """

    def __init__(self, picture: npt.NDArray[np.uint8], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Training images as they are changed")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAcceptDrops(False)
        whole = np.ascontiguousarray(picture)
        height, width, _ = whole.shape
        image = QImage(whole.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self._pixmap = QPixmap.fromImage(image.copy())  # which owns its bytes
        self.label = QLabel()
        self.label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.label.setMinimumSize(200, 200)
        words = QLabel("Left as it is; beside it as the network may see it.")
        words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(words)
        layout.addWidget(self.label, 1)
        layout.addWidget(_closing(self))
        self.resize(_PICTURE)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Fit the pictures into the new size."""
        super().resizeEvent(event)
        how = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        self.label.setPixmap(self._pixmap.scaled(self.label.size(), *how))


def card_dialog(model: Model, parent: QWidget) -> QDialog:
    """Return a dialog with the card of a model."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(model.name)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    card = ModelCard(dialog)
    entry = Entry(
        model,
        Fit(),
        size(model),
        trust_word(model),
        is_allowed(model),
        card_rows(model),
        preview(model),
        is_own(model),
    )
    card.show_entry(entry, "")
    layout = QVBoxLayout(dialog)
    layout.addWidget(card)
    layout.addWidget(_closing(dialog))
    dialog.resize(_CARD)
    return dialog


def _closing(dialog: QDialog) -> QDialogButtonBox:
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    return buttons
