"""The Models widget: what models there are, which fit the image, and the way in and out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.qt.threading import create_worker
from qtpy.QtCore import QPoint, Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSplitter,
)

from ..errors import NapariMonaiError
from ..events import Event, Imported, Said
from ..models import trust, user_folder
from .choices import asked
from .import_menu import ImportMenu
from .job_widget import OneJobWidget
from .jobs import Outcome, Steps, report
from .layer_box import LayerBox
from .model_card import ALLOW, ModelCard
from .model_dialogs import DeleteDialog, ExportDialog, NameDialog, SmallerDialog
from .model_jobs import (
    Changed,
    Entry,
    Listing,
    Refused,
    compress_steps,
    export_steps,
    import_all,
    imported_words,
    listing,
    remove_steps,
    rename_steps,
)
from .model_table import ModelTable, fit_words
from .parts import button, dragged
from .trust_dialog import TrustDialog

if TYPE_CHECKING:
    import napari

_NOTHING = "No model. Drop a model's file, folder or zip here, or use Import."
_SOON = 50  # milliseconds
_NO_MATCH = "No model has these words, or fits the image."


class ModelsWidget(OneJobWidget):
    """Lists the models, says which fit the image, imports, exports, renames and deletes them.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    # Here, because Qt sends events before __init__ is through.
    _lister: Any = None
    _stale = False

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._wanted = ""
        self._problems: list[str] = []

        self.import_button = QPushButton("Import")
        self.import_button.setToolTip("Put a model into your own folder; nothing of it runs")
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setToolTip("Words that the card of a model has to hold")
        self.search.setClearButtonEnabled(True)
        self.image = LayerBox(napari_viewer, Image, nothing="No image", noun="images", parent=self)
        self.only_fitting = QCheckBox("Only what fits")
        self.only_fitting.setToolTip("Hide the models that cannot take this image")
        self.table = ModelTable(self)
        self.card = ModelCard(self)
        self.export_button = button(
            "Export…", "Write the model in a format that others read", self.ask_export
        )
        self.more_button = QPushButton("More")
        self.more_button.setToolTip("Make smaller, rename, delete, show on disk")
        self.cancel_button = button("Cancel", "Stop what is under way", self.cancel)
        self._make_actions()
        self._lay_out()

        self.setAcceptDrops(True)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._show_menu)
        self.table.chosen.connect(self._chosen)
        self.card.asked.connect(self._consent)
        # Not at once: several layers may come together, and all go when the viewer is closed.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON)
        self._soon.timeout.connect(self.refresh)
        self.image.chosen.connect(self._soon.start)
        self.search.textChanged.connect(self._filter)
        self.only_fitting.toggled.connect(self._filter)
        self.refresh()

    def _make_actions(self) -> None:
        self.imports = ImportMenu(self)
        self.imports.wanted.connect(self._import_wanted)
        self.import_button.setMenu(self.imports)
        self._menu = QMenu(self)
        self.smaller_action = self._action("Make smaller…", self.ask_smaller, self._menu)
        self.rename_action = self._action("Rename…", self.ask_rename, self._menu)
        self.delete_action = self._action("Delete…", self.ask_delete, self._menu)
        self.show_action = self._action("Show on disk", self.show_on_disk, self._menu)
        self._menu.addSeparator()
        self.refresh_action = self._action("Look again", self.refresh, self._menu)
        self.never_action = self._action("Never run code of models", self._refuse_all, self._menu)
        self.never_action.setCheckable(True)
        self.more_button.setMenu(self._menu)

    def _action(self, text: str, slot: Callable[..., object], menu: QMenu) -> Any:
        made = menu.addAction(text)
        if made is not None:
            made.triggered.connect(slot)
        return made

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.import_button)
        top.addWidget(self.search, 1)
        fit = QHBoxLayout()
        fit.addWidget(self.image, 1)
        fit.addWidget(self.only_fitting)
        self.parts = QSplitter(Qt.Orientation.Vertical)
        self.parts.addWidget(self.table)
        self.parts.addWidget(self.card)
        self.parts.setStretchFactor(1, 1)
        self.parts.setChildrenCollapsible(False)
        buttons = QHBoxLayout()
        buttons.addWidget(self.export_button)
        buttons.addWidget(self.more_button)
        buttons.addWidget(self.cancel_button)
        layout = self._rows()
        layout.addLayout(top)
        layout.addLayout(fit)
        layout.addWidget(self.parts, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        policy = self.status.sizePolicy()  # a long path does not make the dock wide
        policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
        self.status.setSizePolicy(policy)
        self._say("")

    # -- what there is ------------------------------------------------------------------------

    def refresh(self) -> None:
        """List the models of the store again, with how they fit the image."""
        if self._lister is not None:
            self._stale = True  # once more, when it is through
            return
        layer = self.image.layer
        try:
            wanted = None if layer is None else asked(layer, self.image.beside)
        except NapariMonaiError as error:
            self._say(str(error))
            wanted = None
        if not self.table.entries:
            self.table.hint("Looking…")
        self._stale = False
        self._lister = create_worker(listing, wanted, _ignore_errors=True)
        self._lister.returned.connect(self._listed)
        self._lister.errored.connect(self._not_listed)
        self._lister.start()

    def _listed(self, found: Listing) -> None:
        self._lister = None
        if self._stale:
            self.refresh()
            return
        wanted, self._wanted = self._wanted, ""
        self.table.hint(_NO_MATCH if found.entries else _NOTHING)
        self.table.show_entries(found.entries, wanted=wanted)
        problems = [p for p in found.problems if p not in self._problems]
        self._problems = list(found.problems)
        if problems:
            self._say("\n".join(problems[:3]))

    def _not_listed(self, error: Exception) -> None:
        self._lister = None
        self.table.hint(_NOTHING)
        report(error)

    def _filter(self) -> None:
        self.table.filter(self.search.text(), self.only_fitting.isChecked())

    def _chosen(self) -> None:
        layer = self.image.layer
        self.card.show_entry(self.table.entry, "" if layer is None else layer.name)
        self._update()

    def _update(self) -> None:
        entry, running = self.table.entry, self._job is not None
        own = entry is not None and entry.own and not running
        self.import_button.setEnabled(not running)
        self.export_button.setEnabled(entry is not None and entry.runs and not running)
        self.smaller_action.setEnabled(self.export_button.isEnabled())
        self.rename_action.setEnabled(own)
        self.delete_action.setEnabled(own)
        self.show_action.setEnabled(entry is not None)
        self.cancel_button.setEnabled(self._job is not None and not self._job.cancelled)
        self.never_action.setChecked(self._refuses_all())

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Look again: a training may have made a model meanwhile."""
        super().showEvent(event)
        if self.table.entries:
            self.refresh()

    def _show_menu(self, at: QPoint) -> None:
        viewport = self.table.viewport()
        if viewport is not None and self.table.entry is not None:
            self._menu.popup(viewport.mapToGlobal(at))

    # -- the way in ---------------------------------------------------------------------------

    def _import_wanted(self, sources: list[str | Path], options: dict[str, Any]) -> None:
        self.import_models(*sources, **options)

    def import_models(self, *sources: str | Path, **options: Any) -> None:
        """Put models into the user's folder, from paths or web addresses."""
        name = sources[0].name if isinstance(sources[0], Path) else sources[0]
        self._start(import_all(sources, **options), f"Importing {name}")

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files, folders and links that are dragged here."""
        if event is not None and self._job is None and dragged(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Import what was dropped here."""
        sources = dragged(event.mimeData()) if event is not None else []
        if event is not None and sources and self._job is None:
            event.acceptProposedAction()
            self.import_models(*sources)

    # -- with the one that is chosen ----------------------------------------------------------

    def ask_export(self) -> None:
        """Ask for a format and a place, and write the chosen model there."""
        entry = self.table.entry
        if entry is not None:
            ExportDialog(entry.model, self._export, self).open()

    def _export(self, path: Path, known: str, options: Mapping[str, Any]) -> None:
        entry = self.table.entry
        if entry is not None:
            steps = export_steps(entry.model, path, format=known, **options)
            self._start(steps, f"Exporting {entry.model.name}")

    def ask_smaller(self) -> None:
        """Ask how to make the chosen model smaller, and put the smaller one into the list."""
        entry, layer = self.table.entry, self.image.layer
        if entry is None:
            return
        if layer is None:
            self._say("Open an image that the model is for: a smaller model is measured on it.")
        elif entry.fit.why_not is not None:
            self._say(f"{entry.model.name} does not fit “{layer.name}”. {fit_words(entry.fit)}")
        else:
            SmallerDialog(entry.model, layer.name, self._make_smaller, self).open()

    def _make_smaller(self, method: str, name: str) -> None:
        entry, layer = self.table.entry, self.image.layer
        if entry is None or layer is None:
            return
        try:
            wanted = asked(layer, self.image.beside)
            steps = compress_steps(entry.model, name, method, wanted)
        except NapariMonaiError as error:
            report(error)
        else:
            self._start(steps, f"Making {entry.model.name} smaller")

    def ask_rename(self) -> None:
        """Ask for another name of the chosen model."""
        entry = self.table.entry
        if entry is not None:
            NameDialog(entry.model, self._rename, self).open()

    def _rename(self, name: str) -> None:
        entry = self.table.entry
        if entry is not None:
            self._start(rename_steps(entry.model, name), f"Renaming {entry.model.name}")

    def ask_delete(self) -> None:
        """Ask whether to delete the chosen model, and delete it."""
        entry = self.table.entry
        if entry is not None:
            DeleteDialog(entry.model, entry.size, self._delete, self).open()

    def _delete(self) -> None:
        entry = self.table.entry
        if entry is not None:
            self._start(remove_steps(entry.model), f"Deleting {entry.model.name}")

    def show_on_disk(self) -> None:
        """Open the folder of the chosen model, or the one where models lie."""
        entry = self.table.entry
        folder = user_folder() if entry is None else entry.model.folder
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    # -- trust --------------------------------------------------------------------------------

    def _consent(self, link: str) -> None:
        entry = self.table.entry
        if entry is None:
            return
        try:
            if link == ALLOW:
                self._ask_consent(entry)
            else:
                trust.withdraw(trust.fingerprint(entry.model))
                self.refresh()
        except NapariMonaiError as error:
            report(error)

    def _ask_consent(self, entry: Entry) -> None:
        if trust.refuses_all():
            trust.require(entry.model)  # which says who refuses
        dialog = TrustDialog(entry.model, self.refresh, self)
        dialog.finished.connect(self._update)
        dialog.open()

    def _refuse_all(self, refused: bool) -> None:
        try:
            trust.refuse_all(refused)
        except NapariMonaiError as error:
            report(error)
        self.refresh()

    def _refuses_all(self) -> bool:
        try:
            return trust.refuses_all()
        except NapariMonaiError:
            return True  # damaged: it allows nothing

    # -- jobs ---------------------------------------------------------------------------------

    def _start(self, steps: Steps, title: str) -> None:
        if self._job is not None:
            return
        self._work(steps, title, self._on_event, self._on_end)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Said):
            self._say(event.message)
        elif isinstance(event, Changed):
            self._wanted = event.name
            self.refresh()
        elif isinstance(event, Imported):
            self._wanted = event.model.name
            self._say(imported_words(event.model))
            self.refresh()
        elif isinstance(event, Refused):
            self._say(str(event.error))
            report(event.error)

    def _on_end(self, outcome: Outcome) -> None:
        self._over(outcome)
        self._update()

    def leave(self) -> None:
        """Stop what is under way."""
        self.cancel()
