"""Our own format: a folder of ``model.json`` and its weights, or a zip of that folder."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import ModelError, WriteError
from . import archive
from .description import ModelDescription

if TYPE_CHECKING:
    from .store import Model

DESCRIPTION_FILE = "model.json"


def sniff(path: Path) -> bool:
    """Whether a path is a model's folder, a zip of one, or its ``model.json``."""
    if path.is_file() and path.name != DESCRIPTION_FILE:
        names = (PurePosixPath(name).parts for name in archive.member_names(path))
        return any(parts[-1:] == (DESCRIPTION_FILE,) and len(parts) <= 2 for parts in names)
    return (_folder(path) / DESCRIPTION_FILE).is_file()


def read(path: Path) -> Model:
    """Return a model; reads its description only, not its weights."""
    from .store import Model

    folder = _folder(path)
    if folder.is_file():
        folder = archive.unpacked(folder)
    file = folder / DESCRIPTION_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(f"{folder} is no model: it has no {DESCRIPTION_FILE}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} cannot be read ({error}): get the model again.") from None
    description = ModelDescription.from_text(text, source=str(file))
    if not (description.weights or description.blockers):
        raise ModelError(f"{file} names no weights file: get the model again.")
    return Model(description, folder)


def export(model: Model, target: Path, *, half: bool = False) -> Path:
    """Write a model as a new folder, or as a zip of one where the name says so.

    With ``half`` the weights are stored in float16.
    """
    from .importing import write_native

    if target.suffix.lower() != ".zip":
        return write_native(model, target, half=half).folder
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as stage:
            folder = write_native(model, Path(stage) / model.name, half=half).folder
            packed = Path(stage) / target.name
            with zipfile.ZipFile(packed, "w") as made:  # stored: weights do not compress
                for file in sorted(f for f in folder.rglob("*") if f.is_file()):
                    made.write(file, file.relative_to(stage).as_posix())
            os.replace(packed, target)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        reason = error.strerror or error
        raise WriteError(f"{target} cannot be written ({reason}): choose another place.") from None
    return target


def _folder(path: Path) -> Path:
    return path.parent if path.name == DESCRIPTION_FILE else path
