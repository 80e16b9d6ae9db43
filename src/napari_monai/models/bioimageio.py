"""BioImage.IO models: a folder, its ``rdf.yaml``, or a zip of both, of the formats 0.4 and 0.5.

The description is read, upgraded and checked by bioimageio.spec (extra ``bioimageio``), without
its checks of files and links: nothing is downloaded and nothing is run.
"""

from __future__ import annotations

import importlib
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .archive import unpacked
from .formats import need
from .store import Model

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "rdf.yml", "bioimageio.yml", "model.yaml")
# Descriptions are some kilobytes of text.
_MOST_TEXT = 2**20


def sniff(path: Path) -> bool:
    """Whether a path looks like a BioImage.IO model; a dataset or notebook does too."""
    if path.is_dir():
        return _description_in(path) is not None
    if _is_description(path.name):
        return path.is_file()
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_description(name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError):
        return False


def read(path: Path, *, weights: str | None = None) -> Model:
    """Return a BioImage.IO model; what keeps it from running here stands in its ``blockers``.

    Parameters
    ----------
    path
        Its folder, its description, or a zip of them.
    weights
        Which of its weights to take, such as ``"pytorch_state_dict"``; by default the first that
        run here, ONNX before others.

    Raises
    ------
    ModelError
        If it is damaged or no model, or the extra is not installed.
    """
    from .bioimageio_read import model_of

    if path.is_file() and zipfile.is_zipfile(path):
        path = unpacked(path)
    file = _description_in(path) if path.is_dir() else path
    if file is None:
        raise ModelError(
            f"{path} has no {DESCRIPTIONS[0]}: choose the folder of a BioImage.IO model."
        )
    return model_of(_loaded(file), file, weights)


def export(model: Model, target: Path, *, fold: int | None = None) -> Path:
    """Write a model as a BioImage.IO package; see `napari_monai.models.bioimageio_export`."""
    from .bioimageio_export import export as export_package

    return export_package(model, target, fold=fold)


def _loaded(file: Path) -> Any:
    """Return the description as a ``ModelDescr`` of the newest format."""
    library = need("bioimageio.spec", "bioimageio")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} cannot be read ({error}).") from None
    if len(text) > _MOST_TEXT:
        raise ModelError(f"{file} is too long for a description: get the model again.")
    if re.search(r"\boutput_of\b", text):  # the library would look that model up in the net
        raise ModelError(f"{file} takes the output of another model, which is not known here.")
    importlib.import_module("loguru").logger.disable("bioimageio")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its upgrade had to guess
            found = library.load_description(file, format_version="latest", perform_io_checks=False)
    except Exception as error:  # whatever the YAML reader and the upgrade make of broken text
        raise ModelError(f"{file} is damaged: {_line(str(error))}") from None
    if isinstance(found, library.InvalidDescr):
        raise ModelError(f"{file} is no valid BioImage.IO description: {first_error(found)}")
    if found.type != "model":
        raise ModelError(f"{file} describes a {found.type}, no model.")
    return found


def first_error(invalid: Any) -> str:
    """Return in one line why bioimageio.spec does not take a description."""
    for detail in invalid.validation_summary.details:
        for error in detail.errors:
            where = ".".join(str(step) for step in error.loc)
            return f"{where}: {_line(error.msg)}"
    return "it does not say why"


def _description_in(folder: Path) -> Path | None:
    found = [folder / name for name in DESCRIPTIONS if (folder / name).is_file()]
    return next(iter([*found, *sorted(folder.glob("*.bioimageio.yaml"))]), None)


def _is_description(name: str) -> bool:
    return name in DESCRIPTIONS or name.endswith(".bioimageio.yaml")


def _line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0][:300]
