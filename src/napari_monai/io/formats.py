"""The table of file formats: names, extensions, and the module that knows each.

A format's module is imported when a file of it is read or written, and offers

``volumes(path, *, labels, voxels) -> Iterator[Volume]``
    Every image in the file, the first one first. With ``labels`` the numbers are kept as they
    are stored (a palette is not applied). ``voxels`` has the numbers of the images whose voxels
    are wanted; the arrays of the others may have a shape and a type only (`lazy.blank`).
``write(path, volume) -> None``
    Write into a new file. Raises FormatError before it makes the file when the format cannot
    hold the volume.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError, did_you_mean


@dataclass(frozen=True)
class FormatInfo:
    """A file format: its name, extensions (the first is the usual one), module, abilities.

    With ``folder`` an image is a folder, and the module offers ``prepare(path, volume)`` and
    ``register(path)`` too, called with the final place before and after it is written.
    ``only_read`` are those of the extensions that are not written.
    """

    name: str
    extensions: tuple[str, ...]
    module: str
    reads: bool = True
    writes: bool = True
    folder: bool = False
    only_read: tuple[str, ...] = ()

    @property
    def written(self) -> tuple[str, ...]:
        """The extensions that can be written."""
        return tuple(e for e in self.extensions if self.writes and e not in self.only_read)


_HERE = __package__
# The numbers of all images in a file.
ALL: Container[int] = range(sys.maxsize)
# Written are segmentations.
DICOM = FormatInfo(
    "DICOM",
    (".dcm", ".dicom", ".ima", ".zip"),
    f"{_HERE}.dicom",
    only_read=(".dicom", ".ima", ".zip"),
)
FORMATS = (
    FormatInfo("NIfTI", (".nii.gz", ".nii"), f"{_HERE}.nifti"),
    FormatInfo(
        "NIfTI or ANALYZE pair", (".hdr", ".img", ".img.gz"), f"{_HERE}.nifti", writes=False
    ),
    FormatInfo("NRRD", (".nrrd", ".seg.nrrd"), f"{_HERE}.nrrd"),
    FormatInfo(
        "NRRD with its voxels in files beside it", (".nhdr",), f"{_HERE}.nrrd", writes=False
    ),
    FormatInfo("TIFF", (".tif", ".tiff", ".ome.tif", ".ome.tiff"), f"{_HERE}.tiff"),
    FormatInfo("MetaImage", (".mha", ".mhd"), f"{_HERE}.metaimage"),
    FormatInfo("NumPy", (".npy",), f"{_HERE}.numpy_file"),
    FormatInfo("NumPy archive", (".npz",), f"{_HERE}.numpy_file"),
    DICOM,
    FormatInfo("PNG", (".png",), f"{_HERE}.picture"),
    FormatInfo("JPEG", (".jpg", ".jpeg"), f"{_HERE}.picture"),
    FormatInfo("BMP", (".bmp",), f"{_HERE}.picture"),
    FormatInfo("OME-Zarr", (".ome.zarr", ".zarr"), f"{_HERE}.ome_zarr", folder=True),
)


def known_extensions(*, writes: bool = False) -> tuple[str, ...]:
    """Return the extensions that can be read, or those that can be written."""
    formats = (f.written if writes else f.extensions * f.reads for f in FORMATS)
    return tuple(sorted(e for extensions in formats for e in extensions))


def extension_of(path: str | os.PathLike[str]) -> str | None:
    """Return the longest known extension that the file name ends in, in lower case, or None."""
    name = Path(path).name.lower()
    fitting = [e for e in known_extensions() if name.endswith(e) and len(name) > len(e)]
    return max(fitting, key=len, default=None)


def stem_of(path: str | os.PathLike[str]) -> str:
    """Return the file name without its known extension: ``"ct.nii.gz"`` is ``"ct"``."""
    name, extension = Path(path).name, extension_of(path)
    return name[: -len(extension)] if extension else Path(path).stem


def is_image_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is itself an image, and not a folder of files."""
    try:
        return Path(path).is_dir() and format_of(path).folder
    except FormatError:
        return False


def format_of(path: str | os.PathLike[str], *, writes: bool = False) -> FormatInfo:
    """Return the format that a file name stands for, or that it is written in with ``writes``.

    Raises
    ------
    FormatError
        If the extension is not known, naming those that are.
    """
    extension = extension_of(path)
    known = known_extensions(writes=writes)
    if extension in known:
        return next(f for f in FORMATS if extension in f.extensions)
    above = next((p for p in Path(path).parents if p.suffix.lower() == ".zarr"), None)
    if extension is None and above is not None:  # image.ome.zarr/labels/organs
        return format_of(above, writes=writes)
    if extension is not None:
        raise FormatError(
            f"{Path(path).name}: {extension} is read only. Write one of: {', '.join(known)}."
        )
    ending = "".join(Path(path).suffixes[-1:]).lower()
    hint = did_you_mean(ending, known)
    listed = f"Known: {', '.join(known)}."
    said = f"the extension {ending!r} is not known" if ending else "the name has no extension"
    cure = listed if hint == listed or not ending else f"{hint} {listed}"
    raise FormatError(f"{Path(path).name}: {said}. {cure}")
