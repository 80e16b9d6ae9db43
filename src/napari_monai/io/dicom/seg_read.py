"""A DICOM Segmentation to labels: its frames into a grid of their own (PS3.3 A.51, C.8.20).

A frame holds one segment of one slice (BINARY, FRACTIONAL), or the numbers of all of them
(LABELMAP). Slices without a segment are left out of the file as a rule: the grid is filled up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from ...grid import Grid
from ...volume import LabelClass, LabelKind, Provenance
from ..files import memory_budget
from . import cielab, geometry
from .header import Unreadable
from .plane import Plane
from .values import calm, first, items, number, numbers, text, whole
from .voxels import with_syntax

Array = npt.NDArray[Any]

# What our own files of objects are labelled with; others know classes only.
MAKER, OBJECTS = "napari-monai", "INSTANCES"
_HOW = ("automatic", "semiautomatic", "manual")
_MOST_SLICES = 2**15


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a file holds: labels of shape (slice, row, column), and what is to be said of them."""

    array: Array
    grid: Grid
    classes: tuple[LabelClass, ...]
    kind: LabelKind
    made_by: Provenance | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Segment:
    number: int
    name: str
    colour: str | None
    about: str
    background: bool


def read(planes: Sequence[Plane]) -> Segmentation:
    """Return the labels in a file, of which these are the planes.

    Raises
    ------
    Unreadable
        If it is damaged, or its frames make no grid.
    """
    pixels = planes[0].pixels
    try:
        with calm():
            with pixels.source.open() as file:
                dataset = with_syntax(pydicom.dcmread(file, force=True))
            return _read(dataset, planes)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # pydicom, decoders and damaged bytes raise anything
        raise Unreadable("a damaged segmentation") from error


def _read(dataset: Dataset, planes: Sequence[Plane]) -> Segmentation:
    if "TotalPixelMatrixColumns" in dataset:
        raise Unreadable("a segmentation of a whole slide image, which is not read yet")
    segments = [_segment(item) for item in items(dataset, "SegmentSequence")]
    known = [s for s in segments if not s.background]
    if len({s.number for s in segments}) < len(segments):
        raise Unreadable("a segmentation with two segments of one number")
    slices, grid = _grid(planes)
    kind = text(dataset, "SegmentationType").upper()
    highest = max((s.number for s in segments), default=1)
    dtype = np.dtype(np.uint8 if highest < 256 else np.uint16)
    if kind == "LABELMAP":
        dtype = planes[0].pixels.stored.newbyteorder("=")
    if int(np.prod(grid.shape, dtype=np.float64)) * dtype.itemsize > memory_budget():
        raise Unreadable("a segmentation larger than the memory")
    filled = _Filled(np.zeros((max(slices) + 1, *planes[0].shape), dtype))
    if kind == "LABELMAP":
        background = _background(dataset, segments)
        for plane, at in zip(planes, slices, strict=True):
            filled.numbers(at, _frame(dataset, plane), background)
    else:
        least = _threshold(dataset, filled) if kind == "FRACTIONAL" else 1.0
        # In the order of the segments: where they overlap, the last one is on top.
        order = {s.number: k for k, s in enumerate(segments)}
        of_frame = _numbers_of_frames(dataset, planes)
        missing = set(of_frame) - {s.number for s in known}
        if missing:
            raise Unreadable(f"a segmentation without its segment {min(missing)}")
        for k in sorted(range(len(planes)), key=lambda k: order[of_frame[k]]):
            filled.segment(slices[k], of_frame[k], _frame(dataset, planes[k]) >= least)
        filled.say_overlap()
    objects = text(dataset, "ManufacturerModelName") == MAKER and (
        text(dataset, "ContentLabel") == OBJECTS
    )
    classes = [LabelClass(s.number, s.name, s.colour) for s in known]
    if kind == "LABELMAP":
        classes = _palette(dataset, classes)
    if objects and known:
        classes = [LabelClass(1, known[0].about or known[0].name)]
    return Segmentation(
        filled.array.reshape(grid.shape),
        grid,
        tuple(classes),
        "instances" if objects else "classes",
        _made_by(dataset),
        tuple(filled.remarks),
    )


# -- segments -----------------------------------------------------------------------------------


def _segment(item: Dataset) -> _Segment:
    at = number(item, "SegmentNumber")
    if at is None or not 0 <= at < 2**16:
        raise Unreadable("a segmentation with a segment that has no number")
    lab = numbers(item, "RecommendedDisplayCIELabValue")
    what = first(item, "SegmentedPropertyTypeCodeSequence")
    background = text(what, "CodeValue") == "125040" and (
        text(what, "CodingSchemeDesignator") == "DCM"
    )
    return _Segment(
        int(at),
        text(item, "SegmentLabel") or text(what, "CodeMeaning") or f"segment {at:g}",
        cielab.to_hex(lab) if lab is not None and len(lab) == 3 else None,
        text(item, "SegmentDescription"),
        background or at == 0,
    )


def _numbers_of_frames(dataset: Dataset, planes: Sequence[Plane]) -> list[int]:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    every = items(dataset, "PerFrameFunctionalGroupsSequence")
    name = "SegmentIdentificationSequence"
    found = []
    for plane in planes:
        identity = first(every[plane.frame], name) or first(shared, name)
        found.append(whole(identity, "ReferencedSegmentNumber"))
    return found


def _background(dataset: Dataset, segments: Iterable[_Segment]) -> int:
    """Return the number that stands for no segment."""
    numbered = [s.number for s in segments if s.background]
    background = numbered[0] if numbered else whole(dataset, "PixelPaddingValue")
    if background != 0 and any(s.number == 0 and not s.background for s in segments):
        raise Unreadable("a segmentation that has a segment of number 0")
    return background


def _palette(dataset: Dataset, classes: Sequence[LabelClass]) -> list[LabelClass]:
    """Return the classes in the colours of the file's palette, if it has one."""
    if text(dataset, "PhotometricInterpretation") != "PALETTE COLOR":
        return list(classes)
    every = np.array([c.number for c in classes], np.uint16)
    try:
        shown = apply_color_lut(every, dataset)
    except Exception:  # a damaged palette; the labels are whole
        return list(classes)
    if shown.dtype.itemsize == 2:
        shown = shown >> 8
    return [
        LabelClass(c.number, c.name, "#" + "".join(f"{int(x):02x}" for x in rgb[:3]))
        for c, rgb in zip(classes, shown, strict=True)
    ]


def _made_by(dataset: Dataset) -> Provenance | None:
    """Return how the segments came about, if they have it in common."""
    found = set()
    for item in items(dataset, "SegmentSequence"):
        if whole(item, "SegmentNumber") == 0:
            continue
        how = text(item, "SegmentAlgorithmType").lower()
        if how not in _HOW:
            return None
        about = first(item, "SegmentationAlgorithmIdentificationSequence")
        name = text(item, "SegmentAlgorithmName")
        kind = cast("Literal['automatic', 'semiautomatic', 'manual']", how)
        found.add(Provenance(kind, name, text(about, "AlgorithmVersion")))
    return found.pop() if len(found) == 1 else None


# -- frames -------------------------------------------------------------------------------------


def _frame(dataset: Dataset, plane: Plane) -> Array:
    """Return the stored numbers of a frame; bits are unpacked."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if plane.pixels.bits == 1 and not syntax.is_encapsulated:
        array = _unpacked(dataset.PixelData, plane)
    else:
        array, _ = get_decoder(syntax).as_array(dataset, index=plane.frame, raw=True)
    if array.shape != plane.shape:
        raise Unreadable("a segmentation with frames of another size than it says")
    return np.asarray(array)


def _unpacked(content: bytes, plane: Plane) -> Array:
    """Return a frame of bits: frames follow each other without a gap, also inside a byte."""
    size = plane.shape[0] * plane.shape[1]
    start = plane.frame * size
    piece = np.frombuffer(content[start // 8 : (start + size + 7) // 8], np.uint8)
    bits = np.unpackbits(piece, bitorder="little")[start % 8 :][:size]
    return bits.reshape(plane.shape)


def _threshold(dataset: Dataset, filled: _Filled) -> float:
    what = text(dataset, "SegmentationFractionalType").lower() or "fraction"
    filled.remarks.append(
        f"its segments are fractional ({what}): voxels of half or more were taken as inside"
    )
    return (number(dataset, "MaximumFractionalValue") or 255.0) / 2


@dataclass(eq=False)
class _Filled:
    """The labels while frame after frame is put in."""

    array: Array
    remarks: list[str] = field(default_factory=list)
    overlap: int = 0

    def segment(self, at: int, value: int, inside: npt.NDArray[np.bool_]) -> None:
        before = self.array[at][inside]
        self.overlap += int(np.count_nonzero((before != 0) & (before != value)))
        self.array[at][inside] = value

    def numbers(self, at: int, frame: Array, background: int) -> None:
        inside = frame != background
        self.array[at][inside] = frame[inside]

    def say_overlap(self) -> None:
        if self.overlap:
            self.remarks.append(
                f"segments overlap in {self.overlap} voxels; there the one that is listed last "
                "was taken"
            )


# -- space --------------------------------------------------------------------------------------


def _grid(planes: Sequence[Plane]) -> tuple[list[int], Grid]:
    """Return the slice of each plane, and the grid that the slices lie on."""
    one = planes[0]
    places = [p.place for p in planes if p.place is not None]
    if not places:
        unit = "mm" if one.spacing else "pixel"
        return [0] * len(planes), Grid.from_spacing(one.shape, one.spacing, unit=unit)
    if len(places) < len(planes):
        raise Unreadable("a segmentation with frames that have no place")
    if not all(places[0].is_parallel(p, one.shape) for p in places):
        raise Unreadable("a segmentation with frames that are not parallel: split it")
    clusters = geometry.clusters(places)
    points = [places[c[0]].position for c in clusters]
    gap = one.gap if len(points) > 1 else one.thickness  # of several, a thickness says no step
    lattice = geometry.levels(np.array(points), places[0].normal, gap)
    if lattice is None or lattice[0][-1] >= _MOST_SLICES:
        raise Unreadable("a segmentation with slices that are not evenly spaced")
    levels, start, step = lattice
    slices = [0] * len(planes)
    for level, cluster in zip(levels, clusters, strict=True):
        for k in cluster:
            slices[k] = level
    shape = (levels[-1] + 1, *one.shape)
    return slices, Grid(shape, geometry.matrix(start, step, places[0]))
