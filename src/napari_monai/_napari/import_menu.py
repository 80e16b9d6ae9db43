"""The ways to import models, as a menu: files, folders, web addresses, bare weights, the zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from .model_dialogs import AddressDialog, BareDialog, ZooDialog


class ImportMenu(QMenu):
    """Asks what to import; each way says the paths or addresses, and options.

    Parameters
    ----------
    parent
        The widget whose menu it is, over which the questions open.
    """

    wanted = Signal(list, dict)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._parent = parent
        self.file_action = self._add("File…", self.ask_file)
        self.folder_action = self._add("Folder…", self.ask_folder)
        self.address_action = self._add("Web address…", self.ask_address)
        self.bare_action = self._add("Bare weights…", self.ask_bare)
        self.zoo_action = self._add("MONAI model zoo…", self.ask_zoo)

    def _add(self, text: str, slot: Callable[[], object]) -> Any:
        made = self.addAction(text)
        if made is not None:
            made.triggered.connect(slot)
        return made

    def ask_file(self) -> None:
        """Ask for files of models."""
        files, _ = QFileDialog.getOpenFileNames(self._parent, "Import models", "", "All files (*)")
        if files:
            self.wanted.emit([Path(file) for file in files], {})

    def ask_folder(self) -> None:
        """Ask for the folder of a model."""
        folder = QFileDialog.getExistingDirectory(self._parent, "Import the folder of a model")
        if folder:
            self.wanted.emit([Path(folder)], {})

    def ask_address(self) -> None:
        """Ask for a web address."""
        AddressDialog(self._address, self._parent).open()

    def _address(self, address: str, sha256: str | None) -> None:
        self.wanted.emit([address], {"sha256": sha256})

    def ask_bare(self) -> None:
        """Ask for a file of bare weights, and for what it does not say itself."""
        BareDialog(self._bare, self._parent).open()

    def _bare(self, path: Path, told: Mapping[str, str]) -> None:
        from ..models.fetching import bare_options

        self.wanted.emit([path], bare_options(told))

    def ask_zoo(self) -> None:
        """Ask for a bundle of the MONAI model zoo."""
        ZooDialog(self._zoo, self._parent).open()

    def _zoo(self, source: str) -> None:
        self.wanted.emit([source], {})
