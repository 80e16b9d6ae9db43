"""Planes of enhanced multi-frame files: what holds for each frame stands in functional groups.

DICOM PS3.3 C.7.6.16: a group is in the item of the frame, or in the one that all frames share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from . import classic, states
from .geometry import Place
from .plane import Pixels, Plane, Series, When
from .values import first, items, number, numbers, seconds, text, words


def planes(dataset: Dataset, pixels: Pixels, series: Series) -> Iterator[Plane]:
    """Yield the frames of a file with functional groups."""
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    frames = items(dataset, "PerFrameFunctionalGroupsSequence")
    if len(frames) < pixels.frames:
        raise ValueError("frames without a place")
    sop = text(dataset, "SOPInstanceUID")
    segments = _segments(dataset)
    for number_, own in enumerate(frames[: pixels.frames]):
        groups = _Groups(own, shared, dataset)
        yield _plane(groups, pixels, series, number_, sop and f"{sop} {number_}", segments)


class _Groups:
    """The functional groups of one frame."""

    def __init__(self, own: Dataset, shared: Dataset | None, whole: Dataset) -> None:
        self._own, self._shared, self.dataset = own, shared, whole

    def get(self, keyword: str) -> Dataset | None:
        return first(self._own, keyword) or first(self._shared, keyword)


def _plane(
    groups: _Groups,
    pixels: Pixels,
    series: Series,
    frame: int,
    sop: str,
    segments: dict[int, str],
) -> Plane:
    measures = groups.get("PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing")
    position = numbers(groups.get("PlanePositionSequence"), "ImagePositionPatient")
    orientation = numbers(groups.get("PlaneOrientationSequence"), "ImageOrientationPatient")
    place = None
    if position and orientation and spacing:
        place = Place.of(position, orientation, spacing)
    gap = number(measures, "SpacingBetweenSlices")
    slope, intercept = classic.scaling(
        groups.get("PixelValueTransformationSequence") or groups.dataset
    )
    return Plane(
        pixels, frame, series, (pixels.rows, pixels.columns),
        place=place,
        spacing=(spacing[0], spacing[1]) if spacing and len(spacing) == 2 else None,
        thickness=abs(gap or number(measures, "SliceThickness") or 0) or None,
        gap=abs(gap) if gap else None,
        slope=slope,
        intercept=intercept,
        kind=_kind(groups, segments),
        when=_when(groups, frame),
        sop=sop,
    )  # fmt: skip


def _kind(groups: _Groups, segments: dict[int, str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for keyword in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        found.update(classic.kinds_of(words(groups.get(keyword), "FrameType")))
    component = text(groups.get("MRImageFrameTypeSequence"), "ComplexImageComponent").lower()
    if component and component != "mixed" and "image" not in found:
        found["image"] = component
    echo = number(groups.get("MREchoSequence"), "EffectiveEchoTime")
    if echo is not None:
        found["echo"] = f"{round(echo, 2):g}"
    segment = number(groups.get("SegmentIdentificationSequence"), "ReferencedSegmentNumber")
    if segment is not None:
        found["segment"] = segments.get(int(segment), f"segment {segment:g}")
    stack = text(groups.get("FrameContentSequence"), "StackID")
    if stack:
        found["stack"] = stack
    return tuple(found.items())


def _when(groups: _Groups, frame: int) -> When:
    content = groups.get("FrameContentSequence")
    cardiac = groups.get("CardiacSynchronizationSequence")
    instance = number(groups.dataset, "InstanceNumber") or 0.0
    return When(
        temporal=number(content, "TemporalPositionIndex"),
        acquisition=number(content, "FrameAcquisitionNumber")
        or number(groups.dataset, "AcquisitionNumber"),
        trigger=number(cardiac, "NominalCardiacTriggerDelayTime"),
        times=seconds(content, "FrameReferenceDateTime", "FrameAcquisitionDateTime"),
        # Frames in their order, file by file.
        instance=instance * 2.0**20 + frame,
        states=states.of_frame(groups.get("MRDiffusionSequence"), content, groups.dataset),
    )


def _segments(dataset: Dataset) -> dict[int, str]:
    """Return the labels of the segments of a segmentation, by number."""
    found: dict[int, Any] = {}
    for item in items(dataset, "SegmentSequence"):
        of = number(item, "SegmentNumber")
        if of is not None:
            found[int(of)] = text(item, "SegmentLabel") or f"segment {of:g}"
    return found
