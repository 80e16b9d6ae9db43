"""The questions of the Models widget: an address, a name, a format, whether to delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QWidget,
)

from ..models import Model
from ..models.card import bytes_word
from ..models.formats import FORMATS, ModelFormat
from ..networks import NETWORKS
from ..settings import BARE_OPTIONS, COMPRESSIONS
from .parts import button, line

_WIDTH = 420
_BARE_LABELS = {
    "architecture": "Network",
    "arguments": "Its arguments",
    "key": "Key of the tensors",
    "normalise": "Normalisation",
    "activation": "Activation",
    "channels": "Input channels",
    "labels": "Classes",
}
_BARE_CHOICES = {
    "normalise": ("zscore", "percentiles", "minmax", "none"),
    "activation": ("softmax", "sigmoid"),
}


class Questions(QDialog):
    """Some fields under each other, and a button that does what they are for.

    It stays open, beside a window that stays alive, until it is answered.
    """

    def __init__(
        self, title: str, verb: str, fields: Mapping[str, QWidget], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setMinimumWidth(_WIDTH)
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for label, field in fields.items():
            form.addRow(label, field) if label else form.addRow(field)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        done = buttons.addButton(verb, QDialogButtonBox.ButtonRole.AcceptRole)
        assert done is not None
        self.done_button = done
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)


class AddressDialog(Questions):
    """Asks for a web address, and for a SHA-256 where one is known."""

    def __init__(self, answered: Callable[[str, str | None], object], parent: QWidget) -> None:
        self.address, self.sha256 = QLineEdit(), QLineEdit()
        self.address.setPlaceholderText("https://…")
        self.sha256.setPlaceholderText("not checked if empty")
        fields = {"Address": self.address, "SHA-256": self.sha256}
        super().__init__("Import from a web address", "Import", fields, parent)
        self._answered = answered
        self.done_button.setEnabled(False)
        self.address.textChanged.connect(self._typed)
        self.accepted.connect(self._accepted)

    def _typed(self, text: str) -> None:
        self.done_button.setEnabled(text.strip().startswith(("https://", "http://")))

    def _accepted(self) -> None:
        self._answered(self.address.text().strip(), self.sha256.text().strip() or None)


class ZooDialog(Questions):
    """Asks for a bundle of the MONAI model zoo, by the names that its server lists."""

    def __init__(self, answered: Callable[[str], object], parent: QWidget) -> None:
        self.name, self.about = QComboBox(), line()
        self.name.setEditable(True)
        fields = {"Bundle": self.name, "": self.about}
        super().__init__("Import from the MONAI model zoo", "Import", fields, parent)
        self._answered = answered
        self.accepted.connect(self._accepted)
        self.about.setText("Asking for the list…")
        self._lister = create_worker(_zoo_names, _ignore_errors=True)
        self._lister.returned.connect(self._listed)
        self._lister.errored.connect(self._not_listed)
        self._lister.start()

    def _listed(self, names: list[str]) -> None:
        typed = self.name.currentText()
        self.name.addItems(names)
        if typed:
            self.name.setEditText(typed)
        self.about.setText(f"{len(names)} bundles. Not all of them can run here.")

    def _not_listed(self, error: Exception) -> None:
        self.about.setText(f"{error} A name can be typed all the same.")

    def _accepted(self) -> None:
        name = self.name.currentText().strip()
        if name:
            self._answered(f"monai:{name}")


class BareDialog(Questions):
    """Asks for a file of bare weights, or of a graph, and for what it does not say itself."""

    def __init__(
        self, answered: Callable[[Path, Mapping[str, str]], object], parent: QWidget
    ) -> None:
        self.path = QLineEdit()
        self.path.setPlaceholderText("checkpoint, state dict, safetensors, ONNX")
        find = button("File…", "Choose the file", self._ask_file)
        row = QWidget()
        parts = QHBoxLayout(row)
        parts.setContentsMargins(0, 0, 0, 0)
        parts.addWidget(self.path, 1)
        parts.addWidget(find)
        self.options: dict[str, QComboBox | QLineEdit] = {}
        for name, words in BARE_OPTIONS.items():
            known = {"architecture": tuple(NETWORKS), **_BARE_CHOICES}.get(name)
            field = QLineEdit() if known is None else _choices(known)
            field.setToolTip(words)
            self.options[name] = field
        fields = {"File": row, **{_BARE_LABELS[n]: f for n, f in self.options.items()}}
        super().__init__("Import bare weights", "Import", fields, parent)
        self._answered = answered
        self.done_button.setEnabled(False)
        self.path.textChanged.connect(self._typed)
        self.accepted.connect(self._accepted)

    def _ask_file(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Choose a file of weights", "", "All files (*)")
        if file:
            self.path.setText(file)

    def _typed(self, text: str) -> None:
        self.done_button.setEnabled(bool(text.strip()))

    def _accepted(self) -> None:
        told = {
            name: str(field.currentData() or "") if isinstance(field, QComboBox) else field.text()
            for name, field in self.options.items()
        }
        self._answered(Path(self.path.text().strip()), told)


class NameDialog(Questions):
    """Asks for another name of a model."""

    def __init__(self, model: Model, answered: Callable[[str], object], parent: QWidget) -> None:
        self.name = QLineEdit(model.name)
        self.name.selectAll()
        super().__init__(f"Rename {model.name}", "Rename", {"New name": self.name}, parent)
        self._answered = answered
        self.accepted.connect(self._accepted)

    def _accepted(self) -> None:
        self._answered(self.name.text().strip())


class DeleteDialog(QMessageBox):
    """Asks whether to delete a model, with its size and its place."""

    def __init__(
        self, model: Model, size: int, answered: Callable[[], object], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._answered = answered
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWindowTitle("Delete a model")
        self.setIcon(QMessageBox.Icon.Question)
        self.setText(f"Delete {model.name}, {bytes_word(size)}?")
        self.setInformativeText(f"All files in {model.folder} are deleted, for good.")
        self.delete_button = self.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        self.keep_button = self.addButton(QMessageBox.StandardButton.Cancel)
        self.setDefaultButton(self.keep_button)
        self.setEscapeButton(self.keep_button)
        self.buttonClicked.connect(self._clicked)

    def _clicked(self, pressed: object) -> None:
        if pressed is self.delete_button:
            self._answered()


class ExportDialog(Questions):
    """Asks for a format, and then for the file or folder to write.

    Of a model of several networks it asks which, for a format that holds one.
    """

    def __init__(
        self,
        model: Model,
        answered: Callable[[Path, str, Mapping[str, Any]], object],
        parent: QWidget,
    ) -> None:
        self.format, self.half, self.fold = QComboBox(), QCheckBox(), QComboBox()
        self.half.setText("Half the size: 16-bit weights")
        for known in FORMATS:
            if known.writes:
                self.format.addItem(known.title, known)
        for fold, weights in enumerate(model.description.weights):
            self.fold.addItem(f"{fold}: {weights.path}", fold)
        several = {"Network": self.fold} if model.folds > 1 else {}
        fields = {"Format": self.format, **several, "": self.half}
        super().__init__(f"Export {model.name}", "Export…", fields, parent)
        self._model, self._answered = model, answered
        self.accepted.connect(self._ask_where)
        self.format.currentIndexChanged.connect(self._chosen)
        self._chosen()

    def _chosen(self) -> None:
        native = self.format.currentData().name == "native"
        self.half.setEnabled(native)
        self.fold.setEnabled(not native)  # which holds all of them

    def _ask_where(self) -> None:
        known: ModelFormat = self.format.currentData()
        suffix = "" if known.name == "native" else next(iter(known.extensions), "")
        dialog = QFileDialog(self.parentWidget(), f"Export {self._model.name} as {known.title}")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(suffix.lstrip("."))
        dialog.selectFile(f"{self._model.name}{suffix}")
        if dialog.exec():
            path = Path(dialog.selectedFiles()[0])
            options: dict[str, Any] = {}
            if self.half.isEnabled() and self.half.isChecked():
                options["half"] = True
            if self._model.folds > 1 and self.fold.isEnabled():
                options["fold"] = self.fold.currentData()
            self._answered(path, known.name, options)


class SmallerDialog(Questions):
    """Asks how to make a model smaller, and what to call the smaller one."""

    def __init__(
        self, model: Model, image: str, answered: Callable[[str, str], object], parent: QWidget
    ) -> None:
        self.method, self.name, self.about = QComboBox(), QLineEdit(), line()
        for method, words in COMPRESSIONS.items():
            self.method.addItem(f"{method}: {words}", method)
        self.about.setText(f"What that costs is measured on “{image}”. {model.name} stays.")
        fields = {"Method": self.method, "New name": self.name, "": self.about}
        super().__init__(f"Make {model.name} smaller", "Make smaller", fields, parent)
        self._model, self._answered = model, answered
        self._suggested = ""
        self.name.textChanged.connect(self._typed)
        self.method.currentIndexChanged.connect(self._chosen)
        self.accepted.connect(self._accepted)
        self._chosen()

    def _chosen(self) -> None:
        if self.name.text() == self._suggested:  # not one that was typed
            self._suggested = f"{self._model.name}-{self.method.currentData()}"
            self.name.setText(self._suggested)

    def _typed(self, text: str) -> None:
        self.done_button.setEnabled(bool(text.strip()))

    def _accepted(self) -> None:
        self._answered(self.method.currentData(), self.name.text().strip())


def _choices(words: Iterable[str]) -> QComboBox:
    """Return a list of words to choose from, or none of them."""
    box = QComboBox()
    box.addItem("auto", "")
    for word in words:
        box.addItem(word, word)
    return box


def _zoo_names() -> list[str]:
    from ..models.fetching import zoo_names

    return zoo_names()
