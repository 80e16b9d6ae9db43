"""Folders of labels, measured into one table: what ``napari-monai measure`` does."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from ..errors import SettingsError
from ..events import FileFailed
from ..labels.settings_measure import MeasureSettings
from ..measurement_files import check_table, tasks_of
from ..volume import LabelKind
from .jobs import Steps
from .measure_steps import folder_steps
from .measure_verbs import FILTERS, with_ending
from .parts import beside, button, form_rows, line

_ABOUT = (
    "Measure all labels of a folder into one table, with the columns that are chosen under Setup."
)


class MeasureFolder(QWidget):
    """Where labels and images are, and where the tables go."""

    run_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels, self.images, self.table, self.summary = (QLineEdit() for _ in range(4))
        for field, hint in (
            (self.labels, "a folder of labels"),
            (self.images, "none; or a folder of images of the same names"),
            (self.table, "objects.csv or .parquet"),
            (self.summary, "none; or classes.csv"),
        ):
            field.setPlaceholderText(hint)
            field.setToolTip(hint[0].upper() + hint[1:])
        self.run_button = button(
            "Measure folder", "Measure file by file, past those that fail", self.run_wanted.emit
        )
        self.problems = QPlainTextEdit()
        self.problems.setReadOnly(True)
        self.problems.hide()
        about = line()
        about.setText(_ABOUT)
        rows = form_rows()
        for title, field, ask in (
            ("Labels", self.labels, self._ask_labels),
            ("Images", self.images, self._ask_images),
            ("Table", self.table, self._ask_table),
            ("Summary", self.summary, self._ask_summary),
        ):
            browse = button("…", "Choose", ask)
            browse.setFixedWidth(28)
            rows.addRow(title, beside(field, browse))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(about)
        layout.addLayout(rows)
        layout.addWidget(self.run_button)
        layout.addWidget(self.problems, 1)
        layout.addStretch(0)

    def steps(self, kind: LabelKind | None, settings: MeasureSettings) -> tuple[Steps, Path]:
        """Return the work that is asked for, and its table; raises NapariMonaiError."""
        labels, images, table, summary = (
            _path(field) for field in (self.labels, self.images, self.table, self.summary)
        )
        if labels is None or not labels.exists():
            raise SettingsError(
                "Choose a folder of labels first."
                if labels is None
                else f"{labels} does not exist."
            )
        if table is None:
            raise SettingsError("Choose a file for the table: objects.csv, or .parquet.")
        table = with_ending(table, "")
        summary = None if summary is None else with_ending(summary, "")
        for path in (table, summary):
            if path is not None:
                check_table(path)
        tasks = tasks_of([labels], images)
        self.problems.clear()
        self.problems.hide()
        return folder_steps(tasks, kind, settings, table, summary), table

    def add_problem(self, event: FileFailed) -> None:
        """List a file that could not be measured, and why."""
        self.problems.appendPlainText(event.line)
        self.problems.show()

    # -- what is chosen -----------------------------------------------------------------------

    def _ask_labels(self) -> None:
        self._ask_folder(self.labels, "Folder of labels")
        labels = _path(self.labels)
        if labels is not None and not self.table.text():
            self.table.setText(str(labels.parent / "objects.csv"))

    def _ask_images(self) -> None:
        self._ask_folder(self.images, "Folder of images")

    def _ask_folder(self, field: QLineEdit, title: str) -> None:
        start = field.text() or self.labels.text()
        folder = QFileDialog.getExistingDirectory(self, title, start)
        if folder:
            field.setText(folder)

    def _ask_table(self) -> None:
        self._ask_file(self.table, "Table of objects", "objects.csv")

    def _ask_summary(self) -> None:
        self._ask_file(self.summary, "Table of classes", "classes.csv")

    def _ask_file(self, field: QLineEdit, title: str, name: str) -> None:
        labels = _path(self.labels)
        start = field.text() or str((labels.parent if labels else Path.cwd()) / name)
        chosen, kind = QFileDialog.getSaveFileName(self, title, start, FILTERS)
        if chosen:
            field.setText(str(with_ending(Path(chosen), kind)))


def _path(field: QLineEdit) -> Path | None:
    text = field.text().strip()
    return Path(text).expanduser() if text else None
