"""Read and write images and labels: a table of formats, each known by its extension.

>>> volume = read("ct.nii.gz")          # doctest: +SKIP
>>> write("organs.nii.gz", labels)      # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import itertools
import os
import warnings
from collections.abc import Container, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

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
    ALL,
    DICOM,
    FORMATS,
    FormatInfo,
    extension_of,
    format_of,
    is_image_folder,
    known_extensions,
    stem_of,
)
from .reference import labels_on
from .sniff import file_is_dicom, walk, zip_holds_dicom

__all__ = [
    "FORMATS",
    "FormatInfo",
    "SeriesFiles",
    "as_labels",
    "each_volume",
    "extension_of",
    "format_of",
    "holds_dicom",
    "images_in",
    "is_dicom",
    "is_image_folder",
    "known_extensions",
    "read",
    "read_all",
    "read_series",
    "series_in",
    "stem_of",
    "write",
]

if TYPE_CHECKING:
    from .dicom import SeriesFiles

PathLike = str | os.PathLike[str]
_DICOM_FILES = tuple(e for e in DICOM.extensions if e != ".zip")
_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_GLANCE = 1000


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
        A file, or the folder of an OME-Zarr, whose extension is in the table of formats; or a
        DICOM file of any name: the volume of its series that it belongs to, from the files beside
        it.
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
    steps = each_volume(place, labels=labels)
    try:
        return next(steps)
    except StopIteration:
        raise ReadError(f"{place} holds no image.") from None
    finally:
        steps.close()


def read_all(path: PathLike, *, labels: bool = False) -> list[Volume]:
    """Return every image in a file, or in every file of a folder, sorted by name.

    In a folder, files of no known format are passed over, and broken ones are with a
    `VolumeWarning`. DICOM series come last, by number, also those of the folders inside it;
    of other formats these are not entered.

    Raises
    ------
    ReadError
        If the file cannot be read, or the folder holds no image that can.
    """
    place = Path(path)
    if not place.is_dir() or is_image_folder(place):
        return list(each_volume(place, labels=labels))
    found: list[Volume] = []
    for file in plain_files(place):
        try:
            found += each_volume(file, labels=labels)
        except (ReadError, FormatError) as error:
            warnings.warn(VolumeWarning(f"Passed over: {error}"), stacklevel=2)
    found += read_series(place, labels=labels)
    if not found:
        known = ", ".join(known_extensions())
        raise ReadError(f"{place} holds no image that can be read. Known: {known}.")
    return found


def write(
    path: PathLike,
    volume: Volume,
    *,
    reference: Volume | PathLike | None = None,
    labelmap: bool = False,
) -> None:
    """Write an image or labels; the extension says in which format.

    The file appears when it is complete, so a failure leaves an older one as it was. DICOM
    (``.dcm``) is written of labels, as a segmentation of the series that they lie on.

    Parameters
    ----------
    reference
        The image that labels belong to: they are written on its grid, voxel for voxel, and as a
        segmentation of its series. A volume, or a file or folder of DICOM or a file of any format.
    labelmap
        Write a DICOM segmentation as LABELMAP, which is small and which few viewers know yet, and
        not as BINARY.

    Raises
    ------
    FormatError
        If the extension is not known, or the format cannot hold the volume.
    GridError
        If the labels do not lie on the voxels of the reference.
    WriteError
        If the file cannot be written.
    """
    place = Path(path)
    info = format_of(place, writes=True)
    options = {"labelmap": True} if labelmap else {}
    if labelmap and info is not DICOM:
        raise FormatError(f"{place.name}: LABELMAP is a kind of DICOM segmentation: write .dcm.")
    if reference is not None:
        volume = _on_reference(volume, reference)
    if place.is_dir() and not info.folder:
        raise WriteError(f"{place} is a folder: name a file in it.")
    module = importlib.import_module(info.module)
    try:
        if info.folder:
            module.prepare(place, volume)
        if not place.parent.is_dir():
            raise WriteError(f"There is no folder {place.parent}: make it, or choose another.")
        with replacing(place) as beside:
            module.write(beside, volume, **options)
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


def read_series(folder: PathLike, *, labels: bool = False) -> list[Volume]:
    """Return the volumes of every DICOM series in a folder and in the folders inside it.

    Files that cannot be read are passed over with a `VolumeWarning`. Empty if there is none.
    """
    place = Path(folder)
    if not _has_dicom(place):
        return []
    from . import dicom  # slow to import

    found = dicom.volumes_in(place, labels=labels)
    return [as_labels(v) for v in found] if labels else found


def series_in(
    place: PathLike, *, deep: bool = True, segmentations: bool = True
) -> list[SeriesFiles]:
    """Return the DICOM series in a zip, or in a folder and the folders inside it, not read yet.

    Without ``deep``, those inside a folder are left alone; without ``segmentations``, what is no
    image. Empty if there is none.
    """
    path = Path(place)
    if path.is_dir() and not _has_dicom(path):
        return []
    from . import dicom  # slow to import

    return dicom.series_in(path, deep=deep, segmentations=segmentations)


def images_in(folder: PathLike, *, series: bool = True) -> Iterator[Path]:
    """Yield the files of a folder that can be read, sorted by name.

    Of each DICOM series there, and in the folders inside it, one file is yielded, last; none
    without ``series``.

    Raises ReadError if the folder cannot be looked into.
    """
    yield from plain_files(folder)
    if series and _has_dicom(Path(folder)):
        from . import dicom  # slow to import

        yield from dicom.series_files(Path(folder))


def is_dicom(path: PathLike) -> bool:
    """Whether a file is DICOM or a zip of it: by its extension, or its content if it has none."""
    extension = extension_of(path)
    if extension is None:
        return file_is_dicom(Path(path))
    return extension in (*_DICOM_FILES, ".zip")


def _on_reference(volume: Volume, reference: Volume | PathLike) -> LabelVolume:
    if not isinstance(volume, LabelVolume):
        raise VolumeError(f"{volume.name} is an image: a reference is for labels only.")
    if isinstance(reference, Volume):
        return labels_on(volume, [reference])
    place = Path(reference)
    if not place.exists():
        raise ReadError(f"There is no file or folder {place}. Check its name and folder.")
    if (place.is_dir() and not is_image_folder(place)) or is_dicom(place):
        from . import dicom  # slow to import

        images = dicom.placed(place)
    else:
        images = read_all(place)
    if not images:
        raise ReadError(f"{place} holds no DICOM image to refer to.")
    return labels_on(volume, images)


def holds_dicom(path: PathLike) -> bool:
    """Whether a folder, and the folders inside it, or a zip holds DICOM files.

    A quick look for those who ask in passing: at the first thousand files. An OME-Zarr, also one
    without its extension, holds none.
    """
    place = Path(path)
    if not place.is_dir():
        return zip_holds_dicom(place, most=_GLANCE)
    zarr = is_image_folder(place) or any((place / name).is_file() for name in _ZARR)
    return not zarr and _has_dicom(place, most=_GLANCE)


def _has_dicom(folder: Path, most: int | None = None) -> bool:
    files = itertools.islice(walk(folder, lambda _path, _reason: None), most)
    return any(
        extension_of(path) in (None, *_DICOM_FILES) and file_is_dicom(path) for path in files
    )


def plain_files(folder: PathLike) -> Iterator[Path]:
    """Yield the files of a folder that have a known extension, but for DICOM, sorted by name."""
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
        if extension is None or extension in _DICOM_FILES:
            continue
        if extension.startswith(".img") and f"{stem_of(name)}.hdr" in files:
            continue  # the pair is read through its header
        yield files[name]


def each_volume(
    path: Path, *, labels: bool = False, voxels: Container[int] = ALL
) -> Generator[Volume]:
    """Yield the images of a file; whatever a library raises becomes one line.

    Only those whose numbers are in ``voxels`` have some for sure; see `napari_monai.io.formats`.
    """
    # DICOM files come with any ending, or with none.
    sniffed = extension_of(path) is None and file_is_dicom(path)
    info = format_of("x.dcm") if sniffed else format_of(path)
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
        for volume in module.volumes(path, labels=labels, voxels=voxels):
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
