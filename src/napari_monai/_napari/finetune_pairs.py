"""The pairs to train on: two layers, files or folders, each for training or for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHeaderView,
    QMenu,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..errors import NapariMonaiError
from .finetune_data import Row
from .finetune_files import Found, images_among, match, pair_up
from .layer_box import disconnector
from .layer_choice import LayerChoice
from .parts import beside, button, dragged, form_rows
from .placement import KEY, Placement
from .results import KEY as RESULT
from .results import Mark
from .row_table import PLAIN, RowTable

if TYPE_CHECKING:
    import napari

IMAGE, LABELS, USE = range(3)
_HEADERS = {
    IMAGE: ("Image", "The layer or file of the image"),
    LABELS: ("Labels", "What a person has drawn or corrected on it"),
    USE: ("For", "Trained on, held out to see how good the model is, or without labels"),
}
_HINT = "Add a pair of layers above, or drop files or folders of images and labels here."
_SIZE = (280, 130)


class PairList(QWidget):
    """The pairs, and the ways to add some.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered.
    """

    changed = Signal()
    said = Signal(str)  # what was found, or what is wrong with it

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.rows: list[Row] = []
        self.image = LayerChoice(viewer, Image, nothing="Open an image first", parent=self)
        self.labels = LayerChoice(viewer, Labels, nothing="Add labels first", parent=self)
        self.table = RowTable(_HEADERS, _SIZE, self)
        self.table.hint(_HINT)
        self.add_button = button("Add layers", "Add the image and the labels", self.add_layers)
        self.files_button = button(
            "Files…",
            "Choose images and labels that are called alike, all at once",
            self.ask_files,
        )
        self.folders_button = button(
            "Folders…", "Choose a folder of images, then one of their labels", self.ask_folders
        )
        self.alone_button = button(
            "No labels",
            "Add images without labels: for Remember and Warm start, among the settings",
            lambda: None,
        )
        self.alone_button.setMenu(self._menu())
        self.use_button = button(
            "Validate",
            "Hold the selected pairs out of training, to see how good the model is; or not",
            self.switch_use,
        )
        self.remove_button = button("Remove", "Take the selected pairs out", self.remove)
        self._lay_out()

        self.setAcceptDrops(True)
        self.image.chosen.connect(self._update)
        self.labels.chosen.connect(self._labels_chosen)
        self.table.itemSelectionChanged.connect(self._update)
        events = viewer.layers.events
        follow = ((events.removed, self._on_layers), (events.renamed, self._on_layers))
        for emitter, slot in follow:
            emitter.connect(slot)
        self.destroyed.connect(disconnector(follow))
        self.labels.choose(viewer.layers.selection.active)
        self._labels_chosen()
        self._begin()

    def _lay_out(self) -> None:
        rows = form_rows()
        rows.addRow("Image", self.image)
        rows.addRow("Labels", self.labels)
        header = self.table.horizontalHeader()
        if header is not None:
            for column in (IMAGE, LABELS):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(USE, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(rows)
        layout.addLayout(beside(self.add_button, self.files_button, self.folders_button))
        layout.addWidget(self.table)
        layout.addLayout(beside(self.use_button, self.remove_button, self.alone_button))

    def _menu(self) -> QMenu:
        """Return the ways to add images without labels."""
        menu = QMenu(self)
        self.alone_layer = menu.addAction("The image layer", self.add_alone)
        menu.addAction("Files…", self.ask_alone)
        menu.addAction("Folder…", self.ask_alone_folder)
        return menu

    def _begin(self) -> None:
        """Take the labels that are selected with the image that they lie on, if that is sure."""
        image, labels = self.image.layer, self.labels.layer
        if image is not None and labels is not None and _on(labels, image):
            self.add_layers()

    # -- what there is ------------------------------------------------------------------------

    @property
    def selected(self) -> list[int]:
        """Which rows are selected."""
        model = self.table.selectionModel()
        return sorted(index.row() for index in model.selectedRows()) if model is not None else []

    @property
    def images(self) -> list[Image]:
        """The layers among the images, in order."""
        return [row.image for row in self.rows if not isinstance(row.image, Path)]

    def _show(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        self.table.setRowCount(len(self.rows))
        for at, row in enumerate(self.rows):
            tips = [
                str(x) if isinstance(x, Path) else name
                for x, name in zip((row.image, row.labels), row.names, strict=True)
            ]
            for column, text in enumerate((*row.names, row.use)):
                item = QTableWidgetItem(text)
                item.setFlags(PLAIN)
                item.setToolTip((*tips, _HEADERS[USE][1])[column])
                self.table.setItem(at, column, item)
        self.table.hint(_HINT)
        self._update()
        self.changed.emit()

    def _update(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        self.add_button.setEnabled(image is not None and labels is not None)
        if self.alone_layer is not None:
            self.alone_layer.setEnabled(image is not None)
        chosen = [self.rows[at] for at in self.selected]
        self.remove_button.setEnabled(bool(chosen))
        chosen = [row for row in chosen if row.labels is not None]
        self.use_button.setEnabled(bool(chosen))
        held_out = bool(chosen) and all(row.validation for row in chosen)
        self.use_button.setText("Train" if held_out else "Validate")

    def _labels_chosen(self) -> None:
        """Choose the image that the labels were made on, or that they lie on."""
        labels = self.labels.layer
        if labels is not None:
            mark = labels.metadata.get(RESULT)
            sure = [
                x for x in self.image.every if isinstance(mark, Mark) and x.unique_id == mark.image
            ]
            likely = sure or [x for x in self.image.every if _on(labels, x)]
            if likely and self.image.layer not in likely:
                self.image.choose(likely[0])
        self._update()

    def _on_layers(self, _event: object = None) -> None:
        """Take out the rows whose layers are gone; show other names."""
        there = set(self._viewer.layers)
        self._show([row for row in self.rows if set(row.layers) <= there])

    # -- adding -------------------------------------------------------------------------------

    def add(self, rows: Sequence[Row]) -> None:
        """Add pairs that are not there yet."""
        new = [row for row in rows if not any(row.same(other) for other in self.rows)]
        self._show([*self.rows, *new])

    def add_layers(self) -> None:
        """Add the two layers that are chosen."""
        image, labels = self.image.layer, self.labels.layer
        if image is None or labels is None:
            return
        if any(row.same(Row(image, labels)) for row in self.rows):
            self.said.emit(f"{image.name} with {labels.name} is in the list already.")
            return
        self.add([Row(image, labels)])
        self.said.emit("")

    def ask_files(self) -> None:
        """Ask for images and labels, and add those that are called alike."""
        names, _ = QFileDialog.getOpenFileNames(self, "Images and their labels")
        if names:
            self.add_paths([Path(name) for name in names])

    def ask_folders(self) -> None:
        """Ask for a folder of images and one of labels, and add what is called alike in them."""
        images = QFileDialog.getExistingDirectory(self, "Folder of images")
        if not images:
            return
        above = str(Path(images).parent)
        labels = QFileDialog.getExistingDirectory(self, "Folder of their labels", above)
        if labels:
            self._add_found(lambda: match(Path(images), Path(labels)))

    def add_paths(self, paths: Sequence[Path]) -> None:
        """Add the pairs among files and folders."""
        self._add_found(lambda: pair_up(paths))

    def add_alone(self) -> None:
        """Add the image layer that is chosen, without labels."""
        image = self.image.layer
        if image is not None:
            self._add_images([image])

    def ask_alone(self) -> None:
        """Ask for images without labels."""
        names, _ = QFileDialog.getOpenFileNames(self, "Images without labels")
        if names:
            self.add_alone_paths([Path(name) for name in names])

    def ask_alone_folder(self) -> None:
        """Ask for a folder of images without labels."""
        folder = QFileDialog.getExistingDirectory(self, "Folder of images without labels")
        if folder:
            self.add_alone_paths([Path(folder)])

    def add_alone_paths(self, paths: Sequence[Path]) -> None:
        """Add the images among files and folders, without labels."""
        try:
            self._add_images(images_among(paths))
        except (NapariMonaiError, OSError) as error:
            self.said.emit(str(error))

    def _add_images(self, images: Sequence[Image | Path]) -> None:
        before = len(self.rows)
        self.add([Row(image, None) for image in images])
        count = len(self.rows) - before
        self.said.emit(f"{count} image{'s' * (count != 1)} without labels added.")

    def _add_found(self, look: Any) -> None:
        try:
            found: Found = look()
        except (NapariMonaiError, OSError) as error:
            self.said.emit(str(error))
            return
        self.add([Row(image, labels) for image, labels in found.pairs])
        self.said.emit(found.words)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files and folders that are dragged here."""
        if event is not None and _files(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Add the pairs among what was dropped here."""
        paths = _files(event) if event is not None else []
        if event is not None and paths:
            event.acceptProposedAction()
            self.add_paths(paths)

    # -- changing -----------------------------------------------------------------------------

    def switch_use(self) -> None:
        """Hold the selected pairs out for validation; train on them if all are held out."""
        chosen = [at for at in self.selected if self.rows[at].labels is not None]
        held_out = not all(self.rows[at].validation for at in chosen)
        rows = [
            Row(row.image, row.labels, held_out) if at in chosen else row
            for at, row in enumerate(self.rows)
        ]
        self._show(rows)

    def remove(self) -> None:
        """Take the selected pairs out."""
        chosen = self.selected
        self._show([row for at, row in enumerate(self.rows) if at not in chosen])


def _on(labels: Labels, image: Image) -> bool:
    """Whether labels lie on the voxels of an image."""
    place = image.metadata.get(KEY)
    if isinstance(place, Placement) and (place.holds(labels) or place.may_hold(labels)):
        return True
    data = image.data[0] if image.multiscale else image.data
    return tuple(data.shape[: image.ndim]) == tuple(labels.data.shape)


def _files(event: QDropEvent) -> list[Path]:
    return [path for path in dragged(event.mimeData()) if isinstance(path, Path)]
