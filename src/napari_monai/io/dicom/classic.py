"""Planes of files whose attributes hold for all frames: slices, films, cine loops, dose, NM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from . import states
from .geometry import Place
from .plane import Pixels, Plane, Series, When
from .values import first, items, number, numbers, seconds, text, whole, words

# Words of ImageType that tell volumes apart which were taken together.
_KINDS = {
    "M": "magnitude", "P": "phase", "R": "real", "I": "imaginary", "PHASE MAP": "phase",
    "MAGNITUDE": "magnitude", "PHASE": "phase", "REAL": "real", "IMAGINARY": "imaginary",
    "FIELD_MAP": "field map", "LOCALIZER": "localizer", "W": "water", "F": "fat",
    "WATER": "water", "FAT": "fat", "IN": "in phase", "IP": "in phase", "IN_PHASE": "in phase",
    "OPP": "out of phase", "OP": "out of phase", "OUT_PHASE": "out of phase",
    "OPP_PHASE": "out of phase", "ADC": "ADC", "TRACEW": "trace", "FA": "FA", "EXP": "eADC",
    "VELOCITY": "velocity", "VELOCITY MAP": "velocity", "MIP": "MIP",
    "PROJECTION IMAGE": "projection",
}  # fmt: skip
_COMPONENTS = {"0": "magnitude", "1": "phase", "2": "real", "3": "imaginary"}
_GE_COMPONENT = Tag(0x0043, 0x102F)
# Where the size of a pixel stands: in the patient, on the detector, on paper.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def planes(dataset: Dataset, pixels: Pixels, series: Series) -> Iterator[Plane]:
    """Yield the planes of a file without functional groups: its frames."""
    one = plane(dataset, pixels, series)
    for frame, place in enumerate(_places(dataset, one.place, pixels.frames)):
        when = one.when
        if pixels.frames > 1:
            when = replace(when, times=None, temporal=float(frame))
        yield replace(
            one, frame=frame, place=place, when=when, sop=one.sop and f"{one.sop} {frame}"
        )


def plane(dataset: Dataset, pixels: Pixels, series: Series) -> Plane:
    """Return the first plane of a file, from the attributes that all of it shares."""
    spacing = _spacing(dataset)
    place = None
    detector = first(dataset, "DetectorInformationSequence") or dataset
    position = numbers(dataset, "ImagePositionPatient") or numbers(detector, "ImagePositionPatient")
    orientation = numbers(dataset, "ImageOrientationPatient") or numbers(
        detector, "ImageOrientationPatient"
    )
    if position and orientation and spacing:
        place = Place.of(position, orientation, spacing)
    gap = number(dataset, "SpacingBetweenSlices")
    slope, intercept = scaling(dataset)
    return Plane(
        pixels, 0, series, (pixels.rows, pixels.columns),
        place=place,
        spacing=spacing,
        thickness=abs(gap or number(dataset, "SliceThickness") or 0) or None,
        gap=abs(gap) if gap else None,
        slope=slope,
        intercept=intercept,
        kind=_kind(dataset),
        when=_when(dataset),
        step=_step(dataset, pixels.frames),
        sop=text(dataset, "SOPInstanceUID"),
    )  # fmt: skip


def scaling(dataset: Dataset | None) -> tuple[float, float]:
    """Return slope and intercept; 1 and 0 where there are none or they mean nothing."""
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    dose = number(dataset, "DoseGridScaling")
    return slope or dose or 1.0, intercept or 0.0


def kinds_of(types: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what the values of ImageType or FrameType say about the kind of the image."""
    # The first two say whether it is original and primary.
    found = dict.fromkeys(_KINDS[t] for t in types[2:] if t in _KINDS)
    return (("image", " ".join(found)),) if found else ()


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Return the size of a pixel in mm: from row to row, from column to column."""
    for keyword in _SPACINGS:
        found = numbers(dataset, keyword)
        if found and len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    regions = items(dataset, "SequenceOfUltrasoundRegions")
    if len(regions) == 1 and all(
        text(regions[0], f"PhysicalUnits{axis}Direction") == "3" for axis in "XY"
    ):  # cm
        down, right = (number(regions[0], f"PhysicalDelta{axis}") for axis in "YX")
        if down and right:
            return abs(down) * 10, abs(right) * 10
    return None


def _kind(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    found = kinds_of(words(dataset, "ImageType"))
    if not found and _GE_COMPONENT in dataset.keys():  # noqa: SIM118 (a dataset is no dict)
        component = str(dataset[_GE_COMPONENT].value)
        found = (("image", _COMPONENTS[component]),) if component in _COMPONENTS else ()
    echo = number(dataset, "EchoTime")
    if echo is not None:
        return (*found, ("echo", f"{round(echo, 2):g}"))
    counted = number(dataset, "EchoNumbers")
    return found if counted is None else (*found, ("echo", f"{counted:g}"))


def _when(dataset: Dataset) -> When:
    return When(
        temporal=number(dataset, "TemporalPositionIdentifier"),
        acquisition=number(dataset, "AcquisitionNumber"),
        trigger=number(dataset, "TriggerTime"),
        times=seconds(dataset, "AcquisitionDateTime", "AcquisitionTime", "ContentTime"),
        instance=number(dataset, "InstanceNumber"),
        states=states.of_slice(dataset),
    )


def _step(dataset: Dataset, frames: int) -> float | None:
    """Return the seconds between time points where the file itself says them."""
    if frames > 1:
        milliseconds = number(dataset, "FrameTime")
    elif "EP" in words(dataset, "ScanningSequence"):
        milliseconds = number(dataset, "RepetitionTime")
    else:
        return None
    return milliseconds / 1000 if milliseconds and milliseconds > 0 else None


def _places(dataset: Dataset, place: Place | None, frames: int) -> list[Place | None]:
    """Return the place of each frame; all at the same one are frames in time."""
    if place is None or frames == 1:
        return [place] * frames
    offsets = numbers(dataset, "GridFrameOffsetVector")  # of a dose, PS3.3 C.8.8.3.2
    if offsets and len(offsets) == frames:
        return [place.moved(place.normal * (o - offsets[0])) for o in offsets]
    slices = _nuclear_slices(dataset, frames)
    # Of NM, PS3.3 C.8.4.15: a negative spacing goes against the normal.
    gap = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness")
    if gap and slices:
        return [place.moved(place.normal * gap * (k - 1)) for k in slices]
    return [place] * frames


def _nuclear_slices(dataset: Dataset, frames: int) -> list[float]:
    """Return the number of the slice, from 1, of each frame of a reconstructed NM; or nothing."""
    types = words(dataset, "ImageType")
    if not {"RECON TOMO", "RECON GATED TOMO"}.intersection(types):
        return []
    numbered = numbers(dataset, "SliceVector")
    if numbered and len(numbered) == frames:
        return list(numbered)
    if "RECON TOMO" in types and whole(dataset, "NumberOfSlices", frames) == frames:
        return [k + 1.0 for k in range(frames)]
    return []
