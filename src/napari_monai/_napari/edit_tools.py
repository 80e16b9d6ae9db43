"""The tools that correct labels: which, with what settings; made from the table of operations."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from ..labels.operations import OPERATIONS, operation
from ..labels.rows import Operation
from ..settings import Settings
from .forms import SettingsForm
from .parts import line

# The groups in the order in which they are offered; others come after them.
_GROUPS = ("Slices", "Clean", "Shape", "Grow", "Split", "Numbers", "Combine")


class EditTools(QWidget):
    """A list of tools by group, and the settings of the one that is chosen.

    Parameters
    ----------
    keys
        The key of each tool that has one, for the list.
    """

    chosen = Signal()  # another tool
    changed = Signal()  # other settings

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._forms: dict[str, SettingsForm[Settings]] = {}
        self.box = QComboBox()
        self.box.setMaxVisibleItems(40)
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setMinimumContentsLength(12)
        self.box.setModel(_model(keys, self))
        self.about = line()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(6)
        self._layout.addWidget(self.box)
        self._layout.addWidget(self.about)
        self.box.setCurrentIndex(1)
        self.box.currentIndexChanged.connect(self._show)
        self._show()

    @property
    def operation(self) -> Operation:
        """The tool that is chosen."""
        return operation(str(self.box.currentData()))

    def choose(self, name: str) -> None:
        """Choose a tool."""
        at = self.box.findData(name)
        if at >= 0:
            self.box.setCurrentIndex(at)

    @property
    def form(self) -> SettingsForm[Settings]:
        """The settings of the tool that is chosen, as they were left."""
        return self.form_of(self.operation.name)

    def form_of(self, name: str) -> SettingsForm[Settings]:
        """Return the settings of a tool, as they were left."""
        if name not in self._forms:
            form = SettingsForm(operation(name).settings_type())
            form.changed.connect(self.changed)
            form.hide()
            self._forms[name] = form
            self._layout.addWidget(form)
        return self._forms[name]

    def _show(self, _index: int = 0) -> None:
        chosen = self.form
        for form in self._forms.values():
            form.setVisible(form is chosen and bool(form.fields))
        self.about.setText(self.operation.help)
        self.box.setToolTip(self.operation.help)
        self.chosen.emit()


def _model(keys: Mapping[str, str], parent: QWidget) -> QStandardItemModel:
    """Return the tools under the headings of their groups, each with its key."""
    model = QStandardItemModel(parent)
    groups = dict.fromkeys((*_GROUPS, *(row.group for row in OPERATIONS.values())))
    for group in groups:
        rows = [row for row in OPERATIONS.values() if row.group == group]
        if rows:
            heading = QStandardItem(group)
            heading.setFlags(Qt.ItemFlag.NoItemFlags)
            model.appendRow(heading)
        for row in rows:
            key = keys.get(row.name, "")
            item = QStandardItem(f"    {row.title}" + (f"   ({key})" if key else ""))
            item.setData(row.name, Qt.ItemDataRole.UserRole)
            item.setToolTip(row.help)
            model.appendRow(item)
    return model
