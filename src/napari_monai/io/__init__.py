"""Read and write images and labels: a table of formats, each known by its extension.

>>> volume = read("ct.nii.gz")          # doctest: +SKIP
>>> write("organs.nii.gz", labels)      # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, overload

from ..errors import (
    FormatError,
    GridError,
    NapariMonaiError,
    OutOfMemoryError,
    ReadError,
    VolumeError,
    VolumeWarning,
    WriteError,
)
from ..volume import LabelVolume, Volume
from .convert import as_labels
from .files import one_line, replacing
from .formats import (
    FORMATS,
    FormatInfo,
    extension_of,
    format_of,
    is_image_folder,
    known_extensions,
    stem_of,
)

__all__ = [
    "FORMATS",
    "FormatInfo",
    "as_labels",
    "extension_of",
    "format_of",
    "images_in",
    "is_image_folder",
    "known_extensions",
    "read",
    "read_all",
    "stem_of",
    "write",
]

PathLike = str | os.PathLike[str]


@overload
def read(path: PathLike, *, labels: Literal[False] = False) -> Volume: ...
@overload
def read(path: PathLike, *, labels: Literal[True]) -> LabelVolume: ...
@overload
def read(path: PathLike, *, labels: bool) -> Volume: ...


def read(path: PathLike, *, labels: bool = False) -> Volume:
    """Return the image in a file, or the first of several.

    Parameters
    ----------
    path
        A file, or the folder of an OME-Zarr, whose extension is in the table of formats.
    labels
        Whether the file holds labels: the result is a `LabelVolume` of whole numbers then.

    Raises
    ------
    FormatError
        If the extension is not known.
    ReadError
        If the file is missing, damaged, not what its name says, or holds no labels.
    """
    place = Path(path)
    if place.is_dir() and not is_image_folder(place):
        raise ReadError(f"{place} is a folder: name a file in it, or read them all with read_all.")
    steps = _volumes(place, labels)
    try:
        return next(steps)
    except StopIteration:
        raise ReadError(f"{place} holds no image.") from None
    finally:
        steps.close()


def read_all(path: PathLike, *, labels: bool = False) -> list[Volume]:
    """Return every image in a file, or in every file of a folder, sorted by name.

    In a folder, files of no known format are passed over, and broken ones are with a
    `VolumeWarning`. Folders inside it are not entered.

    Raises
    ------
    ReadError
        If the file cannot be read, or the folder holds no image that can.
    """
    place = Path(path)
    if not place.is_dir() or is_image_folder(place):
        return list(_volumes(place, labels))
    found: list[Volume] = []
    for file in images_in(place):
        try:
            found += _volumes(file, labels)
        except (ReadError, FormatError) as error:
            warnings.warn(VolumeWarning(f"Passed over: {error}"), stacklevel=2)
    if not found:
        known = ", ".join(known_extensions())
        raise ReadError(f"{place} holds no image that can be read. Known: {known}.")
    return found


def write(path: PathLike, volume: Volume) -> None:
    """Write an image or labels; the extension says in which format.

    The file appears when it is complete, so a failure leaves an older one as it was.

    Raises
    ------
    FormatError
        If the extension is not known, or the format cannot hold the volume.
    WriteError
        If the file cannot be written.
    """
    place = Path(path)
    info = format_of(place, writes=True)
    if place.is_dir() and not info.folder:
        raise WriteError(f"{place} is a folder: name a file in it.")
    module = importlib.import_module(info.module)
    try:
        if info.folder:
            module.prepare(place, volume)
        if not place.parent.is_dir():
            raise WriteError(f"There is no folder {place.parent}: make it, or choose another.")
        with replacing(place) as beside:
            module.write(beside, volume)
        if info.folder:
            module.register(place)
    except (NapariMonaiError, Warning):
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"Not enough memory to write {place}: {one_line(error)}.") from error
    except OSError as error:
        raise WriteError(
            f"{place} cannot be written: {one_line(error)}. Choose another place or free space."
        ) from error


def images_in(folder: PathLike) -> Iterator[Path]:
    """Yield the files of a folder that have a known extension, sorted by name.

    Raises ReadError if the folder cannot be looked into.
    """
    try:
        paths = list(Path(folder).iterdir())
    except OSError as error:
        raise ReadError(f"{folder} cannot be looked into: {one_line(error)}.") from error
    files = {
        p.name: p
        for p in paths
        if (p.is_file() or is_image_folder(p)) and not p.name.startswith(".")
    }
    for name in sorted(files):
        extension = extension_of(name)
        if extension is None:
            continue
        if extension.startswith(".img") and f"{stem_of(name)}.hdr" in files:
            continue  # the pair is read through its header
        yield files[name]


def _volumes(path: Path, labels: bool) -> Generator[Volume]:
    """Yield the images of a file; whatever a library raises becomes one line."""
    info = format_of(path)
    if not path.exists():
        raise ReadError(f"There is no file {path}. Check its name and folder.")
    if info.folder and not path.is_dir():
        raise ReadError(f"{path} is not a folder, as {info.name} is. Check what it is.")
    if not info.folder and not path.is_file():
        raise ReadError(f"{path} is not a file.")
    if not info.folder and path.stat().st_size == 0:
        raise ReadError(f"{path} is empty. Copy it from its source again.")
    module = importlib.import_module(info.module)
    try:
        for volume in module.volumes(path, labels=labels):
            yield as_labels(volume) if labels else volume
    except (GridError, VolumeError) as error:
        raise ReadError(f"{path} holds no image: {error}") from error
    except (NapariMonaiError, Warning):
        raise
    except MemoryError as error:
        raise OutOfMemoryError(
            f"Not enough memory to read {path}. Close other programs or crop the image."
        ) from error
    except Exception as error:  # the libraries raise anything from struct.error to RecursionError
        raise ReadError(
            f"{path} cannot be read as {info.name}: {one_line(error)}. It is damaged, or not "
            "what its name says."
        ) from error
