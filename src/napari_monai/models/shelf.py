"""What is done with the models of the user's own folder: rename, delete, measure."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ..errors import ModelError, WriteError
from .native import DESCRIPTION_FILE
from .store import Model, catalogue, shipped_folder, user_folder

# Pictures that show what a model does, beside its description: our own, or of BioImage.IO.
_PREVIEWS = ("preview", "cover")
_PICTURES = (".png", ".jpg", ".jpeg")
# No picture of a card is as large, and a file is not to be trusted for its name.
_MOST_PREVIEW = 8 * 2**20


def is_shipped(model: Model) -> bool:
    """Whether a model came with the package."""
    return model.folder.resolve().is_relative_to(shipped_folder().resolve())


def is_own(model: Model) -> bool:
    """Whether a model is one of the user's store, where it may be renamed and deleted."""
    return Path(os.path.abspath(model.folder)).parent == Path(os.path.abspath(user_folder()))


def size(model: Model) -> int:
    """Return the bytes that a model takes on the disk: all files of its folder."""
    total = 0
    for folder, _, names in os.walk(model.folder):
        for name in names:
            file = Path(folder, name)
            if not file.is_symlink() and file.is_file():
                total += file.stat().st_size
    return total


def preview(model: Model) -> Path | None:
    """Return the picture that stands beside a model, if it has one."""
    folder = model.folder.resolve()
    files = sorted(model.folder.iterdir()) if model.folder.is_dir() else []
    for start in _PREVIEWS:
        for file in files:
            named = file.stem.lower().startswith(start) and file.suffix.lower() in _PICTURES
            inside = named and file.is_file() and file.resolve().is_relative_to(folder)
            if inside and file.stat().st_size <= _MOST_PREVIEW:
                return file
    return None


def rename(model: Model, name: str) -> Model:
    """Give a model of the user's store another name, and its folder too where that is free.

    Raises ModelError if it came with the package or lies elsewhere, if the name is taken, or if
    it is no name; WriteError if its folder cannot be written.
    """
    check_own(model, "renamed")
    told = replace(model.description, name=name)
    if name == model.name:
        return model
    check_free(name, but=model)
    target = model.folder.with_name(name)
    try:
        _replace_text(model.folder / DESCRIPTION_FILE, json.dumps(told.to_json(), indent=2))
        free = not target.exists() or target.samefile(model.folder)
        folder = model.folder.rename(target) if free else model.folder
    except OSError as error:
        raise WriteError(f"{model.folder} cannot be renamed ({error.strerror or error}).") from None
    return replace(model, description=told, folder=folder)


def remove(model: Model) -> None:
    """Delete a model of the user's store with all files of its folder.

    It is gone at once, whatever happens while the files are deleted. Of a link only the link is
    deleted.

    Raises ModelError if it came with the package or lies elsewhere, WriteError if it cannot be
    deleted.
    """
    check_own(model, "deleted")
    try:
        if model.folder.is_symlink():
            model.folder.unlink()
            return
        hidden = Path(tempfile.mkdtemp(dir=model.folder.parent, prefix=f".{model.name}-"))
        model.folder.rename(hidden / "deleted")
        shutil.rmtree(hidden)
    except OSError as error:
        raise WriteError(f"{model.folder} cannot be deleted ({error.strerror or error}).") from None


def check_free(name: str, *, but: Model | None = None) -> None:
    """Raise ModelError if a model of the store, except one, has a name."""
    # Folders of some systems take upper and lower case for the same.
    for other in catalogue().models:
        same = other.name.casefold() == name.casefold()
        if same and (but is None or other.folder != but.folder):
            raise ModelError(f"There is a model named {other.name!r} already: choose another name.")


def check_own(model: Model, what: str) -> None:
    """Raise ModelError, saying that it is not ``what``, unless a model is one of the user's."""
    if is_shipped(model):
        raise ModelError(f"{model.name} comes with napari-monai and cannot be {what}.")
    if not is_own(model):
        raise ModelError(
            f"{model.folder} is not in {user_folder()} and is not {what}: do it yourself."
        )


def _replace_text(file: Path, text: str) -> None:
    """Write a text file beside the old one, then put it in its place."""
    handle, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
        os.replace(beside, file)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
