"""What is inside a folder, a file, a zip or an OME-Zarr, by the headers alone.

>>> for entry in contents("study"):                       # doctest: +SKIP
...     print(entry.name, entry.size, entry.voxel, entry.modality)
>>> volumes = entry.read()                                # doctest: +SKIP
"""

from __future__ import annotations

import itertools
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import NapariMonaiError, OutOfMemoryError, ReadError, VolumeWarning
from ..events import Event, FileDone, Found, Said, Started
from ..grid import Grid
from ..volume import LabelVolume, Volume
from . import as_labels, each_volume, is_dicom, is_image_folder, plain_files
from .files import one_line
from .formats import DICOM, extension_of, format_of, known_extensions, stem_of
from .sniff import walk

if TYPE_CHECKING:
    from .dicom.listing import Listed, Scan

# Words of a file name that say that its numbers are labels.
_LABEL_WORDS = {
    "annotation", "annotations", "gt", "label", "labelmap", "labels", "mask", "masks", "seg",
    "segmentation", "truth",
}  # fmt: skip

_MANY = 1000

Told = Callable[[int, int], bool]
_Read = Callable[[bool, Told], list[Volume]]


def _go_on(_done: int, _total: int) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Entry:
    """An image or labels that can be opened, as its header describes it.

    Parameters
    ----------
    name
        What the layer will be called: of DICOM, number and description of the series; never the
        patient.
    grid
        Its space: ``grid.shape`` voxels of ``grid.spacing`` in ``grid.unit``.
    dtype
        Type of the voxels; a smaller one may do for those of DICOM.
    kind
        ``"labels"`` where the format or the name of the file says so.
    format
        Name of the file format.
    modality
        What made it, as DICOM abbreviates it (CT, MR, PT); empty where nothing says it.
    channels, times
        How many there are; red, green and blue are three channels.
    files
        How many files it is made of.
    notes
        What is odd about it: gaps, a tilted gantry, an affine that means nothing.
    source
        The file or folder it is in; one of several files.
    """

    name: str
    grid: Grid
    dtype: np.dtype[Any]
    kind: Literal["image", "labels"]
    format: str
    source: Path
    modality: str = ""
    channels: int = 1
    times: int = 1
    files: int = 1
    notes: tuple[str, ...] = ()
    _read: _Read = field(default=lambda _labels, _told: [], repr=False)
    _patient: Callable[[], str] = field(default=str, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis of space, in the order of the grid."""
        return self.grid.shape

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, or a little less."""
        count = int(np.prod(self.shape, dtype=np.float64)) * self.channels * self.times
        return count * self.dtype.itemsize

    @property
    def may_be_labels(self) -> bool:
        """Whether its numbers can be those of labels: whole, and one a voxel."""
        return self.dtype.kind in "iub" and self.channels == 1

    @property
    def size(self) -> str:
        """Voxels from left to right, down, and through the slices, in words: ``"512 × 512 × 28"``.

        With the axes as they are shown: the axial slices of a patient, the planes of a stack.
        """
        words = " × ".join(str(n) for n in reversed(self.grid.oriented().shape))
        words += f", {self.times} times" * (self.times > 1)
        return words + f", {self.channels} channels" * (self.channels > 1)

    @property
    def voxel(self) -> str:
        """Size of a voxel along the same axes as `size`: ``"0.45 × 0.45 × 5 mm"``."""
        if self.grid.unit == "pixel":
            return ""
        steps = reversed(self.grid.oriented().spacing)
        return f"{' × '.join(f'{s:.3g}' for s in steps)} {self.grid.unit}"

    def read(self, *, labels: bool | None = None, told: Told = _go_on) -> list[Volume]:
        """Read it: one volume, or several where slices that cannot be decoded leave gaps.

        Parameters
        ----------
        labels
            Whether to read it as labels; as its ``kind`` says when left out.
        told
            Called with how many of how many files are read, where there are many, in whatever
            thread reads them; returns whether to go on.

        Raises
        ------
        ReadError
            If it cannot be read, or holds no labels.
        OutOfMemoryError
            If it does not fit the memory.
        Stopped
            If ``told`` said not to go on.
        """
        try:
            return self._read(self.kind == "labels" if labels is None else labels, told)
        except NapariMonaiError:
            raise
        except MemoryError as error:
            raise OutOfMemoryError(
                f"Not enough memory to read {self.name}. Close other programs or open less."
            ) from error
        except OSError as error:
            raise ReadError(f"{self.name} cannot be read: {one_line(error)}.") from error

    def patient(self) -> str:
        """Return name and number of the patient as the file has them; empty if it has none."""
        return self._patient()


def contents(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """Yield what can be opened in a folder, file, zip or OME-Zarr, as it is found.

    Only headers are read. In a folder the DICOM series come last, also those of the folders
    inside it; files of other formats are not looked for there. What is broken is passed over with
    a `VolumeWarning`. Plates and wells of OME-Zarr are not listed: name an image in one.

    Raises
    ------
    ReadError
        If there is no such file or folder, or it cannot be looked into.
    """
    for event in contents_steps(path):
        if isinstance(event, Found):
            yield event.entry
        elif isinstance(event, Said):
            warnings.warn(VolumeWarning(event.message), stacklevel=2)


def contents_steps(path: str | os.PathLike[str]) -> Generator[Event]:
    """Yield ``Found`` for each thing that can be opened, and how far it is; see `contents`.

    ``Said`` is a warning about what is broken or was passed over. Close it to stop.
    """
    place = Path(path)
    if place.is_dir() and not is_image_folder(place):
        yield from _in_folder(place)
    elif not place.exists():
        raise ReadError(f"There is no file {place}. Check its name and folder.")
    elif place.name.lower().endswith(".zip"):
        yield from _in_zip(place)
    elif is_dicom(place):
        yield from _around(place)
    else:
        yield from _in_file(place)


def looked_for(path: str | os.PathLike[str]) -> str:
    """Return the line for a place where nothing was found: what was looked for."""
    place = Path(path)
    if place.name.lower().endswith(".zip"):
        return f"No image in {place.name}. Looked for DICOM files in it."
    if not place.is_dir() or is_image_folder(place):
        return f"No image in {place.name}."
    others = " ".join(e for e in known_extensions() if e not in DICOM.extensions)
    return (
        f"No image in {place.name or place}. Looked for DICOM files of any name in it and the "
        f"folders inside it, and in it for {others}."
    )


def says_labels(path: str | os.PathLike[str]) -> bool:
    """Whether a file name says that its numbers are labels: ``ct_labels.nii.gz``."""
    return bool(_LABEL_WORDS.intersection(re.split(r"[^a-z]+", stem_of(path).lower())))


# -- folders, zips, series ------------------------------------------------------------------------


def _in_folder(folder: Path) -> Generator[Event]:
    plain = list(plain_files(folder))
    from .dicom.listing import Scan  # slow to import

    scan = Scan(folder)
    deep: list[Path] = []
    for path in walk(folder, scan.pass_over):
        deep.append(path)
        if len(deep) % _MANY == 0:  # whoever listens may have enough of it
            yield Started(len(plain) + len(deep), "files")
    total = len(plain) + len(deep)
    yield Started(total, "files")
    for done, path in enumerate(plain):
        if extension_of(path) == ".zip":
            yield from _in_zip(path, files=(done, total))
        else:
            yield from _in_file(path)
        yield FileDone(done + 1, total)
    for done, path in enumerate(deep, start=len(plain) + 1):
        scan.look_into(path)
        yield FileDone(done, total)
    yield from _series_of(scan, folder)


def _in_zip(path: Path, *, files: tuple[int, int] | None = None) -> Generator[Event]:
    """Yield the volumes in a zip; its members are counted unless it is one of many ``files``."""
    from .dicom.listing import Scan  # slow to import

    scan, total = Scan(path), _members(path)
    if files is None:
        yield Started(total, "files")
    try:
        for done, _ in enumerate(scan.look_into_zip(), start=1):
            yield FileDone(*(files or (done, total)))
    except (NapariMonaiError, OSError) as error:
        yield Said(str(error), "warning")
        return
    yield from _series_of(scan, path)


def _members(path: Path) -> int:
    """Return how many files are in a zip; 0 where it is none, which is said later."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return sum(not member.is_dir() for member in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return 0


def _around(path: Path) -> Generator[Event]:
    """Yield the volumes of the series that a file belongs to, from the files beside it."""
    from .dicom.listing import Scan  # slow to import

    try:
        beside = sorted(p for p in path.parent.iterdir() if p.is_file() and p.name != path.name)
    except OSError:
        beside = []  # a folder may let a file be read and not be listed
    own, scan, total = Scan(path), Scan(path), 1 + len(beside)
    own.look_into(path, sure=True)
    if own.reasons():
        yield Said(f"{path} holds no DICOM image that can be read: {own.reasons()}.", "warning")
        return
    yield Started(total, "files")
    for done, file in enumerate(sorted([path, *beside]), start=1):
        scan.look_into(file, sure=file == path)
        yield FileDone(done, total)
    for item in scan.found(like=path):  # what else lies there was not asked for
        yield Found(_dicom_entry(item))


def _series_of(scan: Scan, where: Path) -> Iterator[Event]:
    for item in scan.found():
        yield Found(_dicom_entry(item))
    if scan.reasons():
        yield Said(f"{where}: passed over {scan.reasons()}.", "warning")


def _dicom_entry(item: Listed) -> Entry:
    grid = item.volume.grid
    notes = item.remarks
    if grid.ndim == 3 and not grid.is_orthogonal:
        notes += (f"its slices are sheared by {_tilt(grid):.3g}°, as by a tilted gantry",)
    return replace(
        _entry(item.volume, "DICOM", notes),
        kind="labels" if item.modality == "SEG" else "image",
        modality=item.modality,
        files=item.files,
        _read=partial(_read_series, item),
        _patient=item.patient,
    )


def _read_series(item: Listed, labels: bool, told: Told) -> list[Volume]:
    found = item.read(labels=labels, told=told)
    return [as_labels(v) for v in found] if labels else found


def _tilt(grid: Grid) -> float:
    """Return the angle between the step from slice to slice and the normal of the slices."""
    step, down, right = grid.direction.T
    return float(np.degrees(np.arccos(min(1.0, abs(float(step @ np.cross(down, right)))))))


# -- files of other formats -----------------------------------------------------------------------


def _in_file(path: Path) -> Iterator[Event]:
    """Yield the images of a file, and of an OME-Zarr their labels."""
    found, problems = _outlines(path)
    named = says_labels(path)
    folder = is_image_folder(path)
    format_name = format_of(path).name if found else ""
    for number, (volume, notes) in enumerate(found):
        entry = _entry(volume, format_name, notes)
        labels = entry.kind == "labels" or (named and entry.may_be_labels)
        read = partial(_read_file, path, number, folder)
        yield Found(replace(entry, kind="labels" if labels else "image", _read=read))
        inside = (volume.source or path) / "labels"
        if folder and inside.is_dir() and any(p.is_dir() for p in inside.iterdir()):
            yield from _labels_in(inside, volume.name, format_name)
    for problem in problems:
        yield Said(problem, "warning")


def _labels_in(path: Path, image: str, format_name: str) -> Iterator[Event]:
    found, problems = _outlines(path)
    for number, (volume, notes) in enumerate(found):
        member = volume.source.name if volume.source else str(number)
        name = f"{image} {member}"
        read = partial(_read_file, path, number, True, name=name)
        entry = _entry(volume, format_name, notes)
        yield Found(replace(entry, name=name, kind="labels", _read=read))
    for problem in problems:
        yield Said(problem, "warning")


def _outlines(path: Path) -> tuple[list[tuple[Volume, tuple[str, ...]]], list[str]]:
    """Return the images of a file without voxels, each with notes; and what went wrong."""
    found: list[tuple[Volume, tuple[str, ...]]] = []
    with (
        warnings.catch_warnings(record=True) as caught,
        closing(each_volume(path, voxels=())) as steps,
    ):
        warnings.simplefilter("always")
        try:
            for volume in steps:
                found.append((volume, _ours(caught, path)))
                caught.clear()
        except (NapariMonaiError, OSError) as error:
            return found, [str(error)]
    return found, []


def _ours(caught: Sequence[warnings.WarningMessage], path: Path) -> tuple[str, ...]:
    messages = (str(w.message) for w in caught if issubclass(w.category, VolumeWarning))
    return tuple(m.removeprefix(f"{path}: ").rstrip(".") for m in messages)


def _read_file(
    path: Path, number: int, folder: bool, labels: bool, told: Told, *, name: str = ""
) -> list[Volume]:
    """Read one image of a file."""
    # An OME-Zarr that is asked for labels gives others than its images.
    with closing(each_volume(path, labels=labels and not folder, voxels=(number,))) as steps:
        volume = next(itertools.islice(steps, number, None), None)
    if volume is None:
        raise ReadError(f"{path} was changed: open it again.")
    if labels:
        volume = as_labels(volume)
    return [replace(volume, name=name or volume.name)]


def _entry(volume: Volume, format_name: str, notes: tuple[str, ...]) -> Entry:
    return Entry(
        volume.name,
        volume.grid,
        volume.dtype,
        "labels" if isinstance(volume, LabelVolume) else "image",
        format_name,
        volume.source or Path(),
        channels=volume.channels,
        times=volume.times,
        notes=notes,
    )
