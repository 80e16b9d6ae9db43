"""The slices that labels lie on: headers of the series' files, as a segmentation refers to them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid
from pydicom.valuerep import DA, TM, format_number_as_ds

from ...errors import FormatError, VolumeWarning, WriteError
from ...grid import Grid
from ...volume import LabelVolume
from . import geometry
from .header import Unreadable, planes_of
from .plane import Origin, Plane
from .reader import META_KEY
from .source import Passed, Source, in_zip
from .values import calm, text

ELSE = "write .nii.gz or .seg.nrrd"
CURE = (
    f"name the folder or a file of the series as reference (convert: --reference FOLDER), or {ELSE}"
)
# Elements that a segmentation takes over and that files may lack: type 2, may be empty.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_CHARACTER_SET = 0x00080005
_CHECKS: dict[str, Callable[[Any], object]] = {"DA": DA, "TM": TM}
# Groups of elements that say something of patient and study.
_GROUPS = (0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0038, 0x0040)


@dataclass(frozen=True)
class Reference:
    """What a frame refers to: a stored file and, of several frames in it, which one (from 1)."""

    sop_class: str
    sop: str
    frame: int | None


@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of a volume, in the order of its grid.

    Parameters
    ----------
    header
        All but the voxels of the first one's file.
    planes, references
        One of each a slice.
    """

    header: Dataset
    planes: tuple[Plane, ...]
    references: tuple[Reference, ...]

    @property
    def has_space(self) -> bool:
        """Whether the files name the frame of reference that their positions are in."""
        return text(self.header, "FrameOfReferenceUID") != ""

    @property
    def is_tilted(self) -> bool:
        """Whether the slices are shifted against each other, as a tilted gantry leaves them."""
        places = [p.place for p in self.planes if p.place is not None]
        step = places[-1].position - places[0].position
        across = step - (step @ places[0].normal) * places[0].normal
        return bool(np.linalg.norm(across) > geometry.TOLERANCE)


def slices_of(labels: LabelVolume, path: Path) -> Slices:
    """Return the slices that labels lie on.

    Raises
    ------
    FormatError
        If there are none that a segmentation can refer to.
    WriteError
        If their files are not there any more, or have changed.
    """
    origin = labels.meta.get(META_KEY)
    if not isinstance(origin, Origin) or origin.segments or not origin.files:
        raise FormatError(
            f"{path.name}: a DICOM segmentation refers to the series that its labels lie on, and "
            f"that of {labels.name} is not known: {CURE}."
        )
    if "t" in labels.leading:
        raise FormatError(
            f"{path.name}: a DICOM segmentation has one time point, {labels.name} has "
            f"{labels.times}: take one with at_time, or {ELSE}."
        )
    if labels.grid.ndim != 3:
        raise FormatError(
            f"{path.name}: {labels.name} has no place in a patient, which a DICOM segmentation "
            "needs: write .nii.gz or .png."
        )
    origin, times = _one_time(origin, labels)
    found = {(p.pixels.source.name, p.frame): (h, p) for h, p in _opened(origin, path)}
    pairs = [found.get(key) for key in zip(origin.names, origin.frames, strict=True)]
    known = [p for p in pairs if p is not None]
    if len(known) < len(pairs):
        raise WriteError(
            f"{path.name}: files of the series {labels.name} lies on have changed or are gone "
            f"({origin.files[0].parent}): {CURE}."
        )
    _check_identity(known, labels, path)
    planes = tuple(p for _, p in known)
    _check_places(planes, labels.grid, path, labels.name)
    if times > 1:
        warnings.warn(
            VolumeWarning(
                f"{path.name}: the series has {times} time points; the segmentation refers to the "
                "slices of the first."
            ),
            stacklevel=2,
        )
    return Slices(known[0][0], planes, tuple(_reference(h, p) for h, p in known))


def _one_time(origin: Origin, labels: LabelVolume) -> tuple[Origin, int]:
    """Return the origin of the slices of the first time point, and how many there are."""
    n = labels.grid.shape[0]
    times, rest = divmod(len(origin.files), n)
    if times < 2 or rest:
        return origin, 1
    first = replace(
        origin, files=origin.files[:n], frames=origin.frames[:n], names=origin.names[:n]
    )
    return first, times


def _opened(origin: Origin, path: Path) -> Iterator[tuple[Dataset, Plane]]:
    """Yield header and planes of every file that a volume came from."""
    for source in _sources(origin):
        try:
            planes = planes_of(source)
            with calm(), source.open() as file:
                header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except (Unreadable, OSError):
            continue
        if any(p.corner != (0, 0) or p.shape != (p.pixels.rows, p.pixels.columns) for p in planes):
            raise FormatError(
                f"{path.name}: the slices of a Siemens mosaic are one image, and a DICOM "
                f"segmentation cannot refer to each: {ELSE}."
            )
        yield from ((header, plane) for plane in planes)


def _sources(origin: Origin) -> Iterator[Source]:
    wanted = set(origin.names)
    archives = {f for f in origin.files if f.name.lower().endswith(".zip")}
    for archive in sorted(archives):
        if archive.is_file():
            yield from (s for s in in_zip(archive, Passed(archive)) if s.name in wanted)
    files = dict(zip(origin.names, origin.files, strict=True))
    yield from (Source(n, f) for n, f in files.items() if f not in archives)


def _reference(header: Dataset, plane: Plane) -> Reference:
    several = "NumberOfFrames" in header and plane.pixels.frames > 1
    return Reference(
        text(header, "SOPClassUID"),
        text(header, "SOPInstanceUID"),
        plane.frame + 1 if several or "PerFrameFunctionalGroupsSequence" in header else None,
    )


def _check_identity(
    pairs: Sequence[tuple[Dataset, Plane]], labels: LabelVolume, path: Path
) -> None:
    """Raise FormatError where a file lacks what a segmentation refers to it by."""
    for keyword, needed, one in (
        ("StudyInstanceUID", True, True),
        ("FrameOfReferenceUID", False, True),
        ("SOPClassUID", True, False),
        ("SOPInstanceUID", True, False),
    ):
        found = {text(header, keyword) for header, _ in pairs}
        missing = needed and "" in found
        if missing or (one and len(found) > 1):
            what = "lack a" if missing else "do not share one"
            raise FormatError(
                f"{path.name}: the files of the series {labels.name} lies on {what} {keyword}, "
                f"which a DICOM segmentation needs: {ELSE}."
            )
    references = [_reference(*pair) for pair in pairs]
    if len(set(references)) < len(references):
        raise FormatError(
            f"{path.name}: several files of the series {labels.name} lies on have one "
            f"SOPInstanceUID, so a DICOM segmentation cannot refer to them: {ELSE}."
        )


def _check_places(planes: Sequence[Plane], grid: Grid, path: Path, name: str) -> None:
    """Raise FormatError if a voxel of the grid is not where its slice says."""
    rows, columns = grid.shape[1:]
    away = np.inf
    if len(planes) == grid.shape[0] and all(p.shape == (rows, columns) for p in planes):
        places = [p.place for p in planes]
        corners = [(0, 0), (rows - 1, 0), (0, columns - 1)]
        there = [[(k, *c) for c in corners] for k in range(len(planes))]
        if grid.unit == "mm" and all(p is not None for p in places):
            said = [[p.corner(*c) for c in corners] for p in places if p is not None]
            ours = grid.index_to_world(np.array(there, float)) * (-1, -1, 1)
            away = float(np.abs(ours - np.array(said)).max())
    if not away <= geometry.TOLERANCE:
        raise FormatError(
            f"{path.name}: {name} does not lie on the slices of its series, voxel for voxel: "
            f"{CURE}."
        )


# -- as a writer wants them -----------------------------------------------------------------------


def stand_ins(slices: Slices) -> dict[str, tuple[Dataset, Reference]]:
    """Return a plain header for each slice, by a UID of its own, and what that stands for.

    Files differ in ways that a writer of segmentations stumbles over (frames of several files,
    directions that differ in the last digit, elements that are missing): these do not.
    """
    first = slices.planes[0]
    place = first.place
    assert place is not None
    down, right = (float(np.linalg.norm(v)) for v in (place.down, place.right))
    cosines = [_ds(x) for x in (*place.right / right, *place.down / down)]
    positions = [p.place.position for p in slices.planes if p.place is not None]
    step = abs(float((positions[-1] - positions[0]) @ place.normal)) / max(len(positions) - 1, 1)
    thickness = _ds(first.thickness or step or 1.0)
    patient = _patient(slices.header)
    space = text(slices.header, "FrameOfReferenceUID")
    if not space:  # which anonymisers take away: one for all segmentations of the series
        series = text(slices.header, "StudyInstanceUID"), text(slices.header, "SeriesInstanceUID")
        space = generate_uid(entropy_srcs=["space", *series])
    found: dict[str, tuple[Dataset, Reference]] = {}
    for position, reference in zip(positions, slices.references, strict=True):
        header = Dataset() if found else patient
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, generate_uid()
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "Modality"):
            setattr(header, keyword, text(slices.header, keyword))
        header.FrameOfReferenceUID = space
        header.Rows, header.Columns = first.shape
        header.PixelSpacing = [_ds(down), _ds(right)]
        header.SliceThickness = thickness
        if step:
            header.SpacingBetweenSlices = _ds(step)
        header.ImageOrientationPatient = cosines
        header.ImagePositionPatient = [_ds(x) for x in position]
        found[str(header.SOPInstanceUID)] = (header, reference)
    return found


def _ds(value: float) -> str:
    return format_number_as_ds(float(value) + 0.0)


def _patient(header: Dataset) -> Dataset:
    """Return what is said of patient and study, without what is not valid."""
    patient = Dataset()
    for tag in header.keys():  # noqa: SIM118 (a dataset is no dict)
        if tag.group in _GROUPS and tag != _CHARACTER_SET:  # the segmentation is in Unicode
            with contextlib.suppress(Exception):  # pydicom converts now, and raises anything
                element = header[tag]
                _CHECKS.get(element.VR, str)(element.value)
                patient.add(element)
    if patient.get("PatientSex") not in ("M", "F", "O"):
        patient.PatientSex = ""
    for keyword in _MAY_BE_EMPTY:
        if patient.get(keyword) is None:
            setattr(patient, keyword, "")
    return patient
