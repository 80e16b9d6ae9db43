"""Labels to a DICOM Segmentation that refers to the series they lie on (PS3.3 A.51, C.8.20)."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from ... import __version__
from ...errors import FormatError, VolumeWarning, WriteError
from ...volume import LabelClass, LabelVolume, Provenance, Volume
from . import cielab
from .seg_codes import meaning_of
from .seg_read import MAKER, OBJECTS
from .seg_source import ELSE, Reference, Slices, slices_of, stand_ins
from .values import calm, whole

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

Array = npt.NDArray[Any]

CURE = 'pip install "napari-monai[seg]"'
_MOST_SEGMENTS = 2**16 - 1
_MOST_BYTES = 2**32 - 2  # of one element, PS3.5 7.1
# From here on one segment an object makes a file that viewers take long to open.
_MANY = 100
_LONGEST = 64  # characters of a name, VR LO
_UNKNOWN = Provenance("automatic", "unknown")


@dataclass(frozen=True)
class _Segments:
    """Which number of the array each segment has in the file, and what it is."""

    numbers: Mapping[int, int]
    classes: tuple[LabelClass, ...]  # numbered as in the file
    group: str  # what the objects are of which these are one each


def write(path: Path, volume: Volume, *, labelmap: bool = False) -> None:
    """Write labels that lie on a DICOM series as a segmentation of it.

    Classes are segments, also those that no voxel has; of instances, every object is one. Slices
    without a segment are left out, as is the custom.

    Parameters
    ----------
    labelmap
        One frame a slice that holds the numbers of all segments (LABELMAP, of 2024, which few
        viewers know yet), compressed; else one frame a slice and segment (BINARY).

    Raises
    ------
    FormatError
        If it is an image, or labels that no series is known of or that do not fit it.
    WriteError
        If files of the series are gone, or highdicom is missing.
    """
    if not isinstance(volume, LabelVolume):
        raise FormatError(
            f"{path.name}: {volume.name} is an image, and DICOM is written of labels only: read "
            "them as labels (labels=True, convert: --labels), or write .nii.gz or .nrrd."
        )
    slices = slices_of(volume, path)
    array, segments = _numbered(volume, path, labelmap=labelmap)
    if not labelmap:
        _check_binary(array, len(segments.classes), path)
    dataset = _made(path, volume, array, segments, slices, labelmap=labelmap)
    if not slices.has_space:
        warnings.warn(
            VolumeWarning(
                f"{path.name}: the series has no FrameOfReferenceUID, so the segmentation has got "
                "one of its own: some viewers will not lay the two over each other."
            ),
            stacklevel=2,
        )
    if slices.is_tilted:
        warnings.warn(
            VolumeWarning(
                f"{path.name}: the gantry was tilted, so each slice is shifted against the one "
                "below; not every viewer of DICOM segmentations shows that, so look at it there."
            ),
            stacklevel=2,
        )
    with calm():
        dataset.save_as(path, enforce_file_format=True)


# -- which segment is which -----------------------------------------------------------------------


def _numbered(labels: LabelVolume, path: Path, *, labelmap: bool) -> tuple[Array, _Segments]:
    """Return the labels in the numbers of their segments, shape (slice, row, column)."""
    array = labels.numpy()
    if array.dtype == bool:
        array = array.view(np.uint8)
    present = _present(array, path)
    objects = labels.kind == "instances"
    named = {} if objects else {c.number: c for c in labels.classes}
    if objects and not len(present):
        present = np.array([1])  # none was found: a segment without voxels says so
    every = sorted({*present.tolist(), *named})
    if not every:
        raise FormatError(f"{path.name}: {labels.name} has no class and no voxel above 0.")
    if every[0] < 0 or len(every) > _MOST_SEGMENTS:
        raise FormatError(
            f"{path.name}: a DICOM segmentation has up to {_MOST_SEGMENTS} segments, numbered "
            f"from 1, and {labels.name} has {len(every)} from {every[0]}: {ELSE}."
        )
    keep = labelmap and every[-1] <= _MOST_SEGMENTS
    numbers = {n: n if keep else k for k, n in enumerate(every, 1)}
    if not objects and any(a != b for a, b in numbers.items()):
        warnings.warn(
            VolumeWarning(
                f"{path.name}: BINARY segments are numbered 1, 2, 3...: classes {_listed(every)} "
                f"become {_listed(list(numbers.values()))}. LABELMAP keeps their numbers."
            ),
            stacklevel=2,
        )
    group = labels.classes[0].name if len(labels.classes) == 1 else "object"
    colour = labels.classes[0].colour if len(labels.classes) == 1 else None
    classes = tuple(
        LabelClass(k, f"{group} {n}", colour)
        if objects
        else LabelClass(k, named[n].name if n in named else f"label {n}", _colour(named, n))
        for n, k in numbers.items()
    )
    return _renumbered(array, numbers), _Segments(numbers, classes, group * objects)


def _colour(named: Mapping[int, LabelClass], number: int) -> str | None:
    return named[number].colour if number in named else None


def _listed(every: list[int]) -> str:
    return ", ".join(map(str, every[:6])) + (", ..." if len(every) > 6 else "")


def _present(array: Array, path: Path) -> npt.NDArray[np.int64]:
    """Return the numbers above 0 in an array."""
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise FormatError(f"{path.name}: {low} is no number of a segment, which are 1 or more.")
    if high >= 2**24:  # too large to be counted through
        return np.setdiff1d(array, [0]).astype(np.int64)
    seen = np.zeros(high + 1, bool)
    for plane in array:
        seen[plane] = True
    return np.flatnonzero(seen[1:]) + 1


def _renumbered(array: Array, numbers: Mapping[int, int]) -> Array:
    dtype = np.dtype(np.uint8 if max(numbers.values()) < 256 else np.uint16)
    if all(a == b for a, b in numbers.items()):
        return array.astype(dtype, copy=False)
    before = np.array(sorted(numbers))
    after = np.array([numbers[n] for n in before.tolist()], dtype)
    found = np.empty(array.shape, dtype)
    for plane, target in zip(array, found, strict=True):
        at = np.searchsorted(before, plane).clip(max=len(before) - 1)
        target[...] = np.where(plane == 0, 0, after[at])
    return found


def _check_binary(array: Array, segments: int, path: Path) -> None:
    """Refuse what would not fit one file, and say what will be slow to open."""
    frames = sum(int(np.count_nonzero(np.bincount(plane.ravel())[1:])) for plane in array)
    needed = frames * array[0].size // 8
    if needed > _MOST_BYTES:
        raise FormatError(
            f"{path.name}: {segments} segments take {needed / 2**30:.1f} GiB as BINARY, and a "
            f"DICOM file holds 4: choose LABELMAP (convert: --labelmap), or {ELSE}."
        )
    if segments > _MANY:
        warnings.warn(
            VolumeWarning(
                f"{path.name}: {segments} segments make {frames} frames: viewers open a LABELMAP "
                "of them faster (convert: --labelmap)."
            ),
            stacklevel=3,
        )


# -- the file -------------------------------------------------------------------------------------


def _made(
    path: Path,
    labels: LabelVolume,
    array: Array,
    segments: _Segments,
    slices: Slices,
    *,
    labelmap: bool,
) -> Dataset:
    try:
        with calm():
            from highdicom.seg import Segmentation
    except ImportError as error:
        raise WriteError(f"{path.name}: DICOM segmentations need highdicom: {CURE}") from error
    made_by = labels.made_by or _UNKNOWN
    known = stand_ins(slices)
    about = f"Segmentation {made_by.algorithm}" if labels.made_by else "Segmentation"
    try:
        with calm(), _silent():
            dataset: Dataset = Segmentation(
                [header for header, _ in known.values()],
                array,
                "LABELMAP" if labelmap else "BINARY",
                [_description(one, segments.group) for one in segments.classes],
                series_instance_uid=generate_uid(),
                series_number=max(0, whole(slices.header, "SeriesNumber")) % 10**8 + 1000,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer=MAKER,
                manufacturer_model_name=MAKER,
                software_versions=__version__,
                device_serial_number="unknown",
                content_label=OBJECTS if labels.kind == "instances" else "CLASSES",
                series_description=_short(about),
                omit_empty_frames=not labelmap,  # where they take no room, the grid stays whole
                transfer_syntax_uid=ExplicitVRLittleEndian,
            )
            if labelmap:
                # By pydicom itself: the encoder of gdcm ends the program on some shapes.
                dataset.compress(
                    RLELossless, encoding_plugin="pydicom", generate_instance_uid=False
                )
            dataset.SpecificCharacterSet = "ISO_IR 192"
            for one in dataset.SegmentSequence:
                _say_how(one, made_by)
            _refer(dataset, {uid: reference for uid, (_, reference) in known.items()})
    except MemoryError:
        raise
    except Exception as error:
        # What highdicom says may quote the patient's name.
        raise WriteError(
            f"{path.name}: highdicom makes no segmentation of this series "
            f"({type(error).__name__}): {ELSE}."
        ) from error
    return dataset


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what highdicom logs, which may quote the patient's name, to itself."""
    logger, handler = logging.getLogger("highdicom"), logging.NullHandler()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


def _description(one: LabelClass, about: str) -> SegmentDescription:
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept

    meaning = meaning_of(about or one.name)
    category, kind = (
        CodedConcept(value, "SCT", words) for value, words in (meaning.category, meaning.type)
    )
    made = SegmentDescription(
        one.number, _short(one.name) or f"label {one.number}", category, kind, "MANUAL"
    )
    if meaning.side is not None:
        value, words = meaning.side
        kind = made.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_code(value, "SCT", words)]
    if about:
        made.SegmentDescription = about
    if one.colour:
        made.RecommendedDisplayCIELabValue = cielab.from_hex(one.colour)
    return made


def _say_how(one: Dataset, made_by: Provenance) -> None:
    """Say in a segment how it came about; of the background too, which highdicom adds."""
    one.SegmentAlgorithmType = made_by.how.upper()
    if made_by.how != "manual":
        one.SegmentAlgorithmName = _short(made_by.algorithm) or _UNKNOWN.algorithm
        if made_by.algorithm and made_by.version and one.SegmentNumber > 0:
            one.SegmentationAlgorithmIdentificationSequence = _algorithm(made_by)


def _algorithm(made_by: Provenance) -> AlgorithmIdentificationSequence:
    """Return the model's name and version, as PS3.3 10.16 has them."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.sr import CodedConcept

    family = CodedConcept("123109", "DCM", "Artificial Intelligence")
    return AlgorithmIdentificationSequence(
        _short(made_by.algorithm), family, _short(made_by.version)
    )


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, scheme, meaning
    return found


def _short(name: str) -> str:
    """Return a name as an element of VR LO holds it."""
    return " ".join(name.replace("\\", " ").split())[:_LONGEST]


def _refer(dataset: Dataset, references: Mapping[str, Reference]) -> None:
    """Turn what refers to stand-ins into what refers to the series' own files."""
    # Many frames share an item: what was turned is not known any more, and left alone.
    for group in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for item in derivation.SourceImageSequence:
                _turn(item, references, frames=True)
    lists = [(dataset, "SourceImageSequence")]
    lists += [(s, "ReferencedInstanceSequence") for s in dataset.ReferencedSeriesSequence]
    for parent, keyword in lists:
        found: dict[str, Dataset] = {}
        for item in parent[keyword].value:
            _turn(item, references, frames=False)
            found.setdefault(str(item.ReferencedSOPInstanceUID), item)
        setattr(parent, keyword, list(found.values()))


def _turn(item: Dataset, references: Mapping[str, Reference], *, frames: bool) -> None:
    reference = references.get(str(item.ReferencedSOPInstanceUID))
    if reference is None:
        return
    item.ReferencedSOPClassUID = reference.sop_class
    item.ReferencedSOPInstanceUID = reference.sop
    if frames and reference.frame is not None:
        item.ReferencedFrameNumber = reference.frame
