"""DICOM series made with pydicom, and an oracle that reads them without our reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from napari_monai.volume import Volume

SHAPE = (6, 5)
SERIES = "1.2.826.0.1.3680043.10.1"
NAME, ID = "Doe^Jane", "PAT-4711"


def slice_of(
    position: Sequence[float] = (0, 0, 0),
    *,
    pixels: npt.NDArray[Any] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (0.8, 0.7),
    number: int = 1,
    **elements: Any,
) -> Dataset:
    """Return a CT slice; ``elements`` overwrite its own, ``None`` takes one away."""
    if pixels is None:
        seed = [abs(int(x * 100)) for x in position]
        pixels = np.random.default_rng([number, *seed]).integers(0, 4096, SHAPE).astype("<u2")
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid()
    made.PatientName, made.PatientID = NAME, ID
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = "CT", SERIES, 3
    made.SeriesDescription, made.InstanceNumber = "THORAX", number
    made.ImagePositionPatient = [f"{x:.10g}" for x in position]
    made.ImageOrientationPatient = [f"{x:.10g}" for x in orientation]
    made.PixelSpacing, made.SliceThickness = list(spacing), 2.5
    made.Rows, made.Columns = pixels.shape[-2:] if pixels.ndim < 4 else pixels.shape[-3:-1]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsAllocated - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    content = pixels.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OW"
    for key, value in elements.items():
        if value is None:
            delattr(made, key)
        else:
            setattr(made, key, value)
    return made


def mr_slice(position: Sequence[float] = (0, 0, 0), **elements: Any) -> Dataset:
    """Return an MR slice, without a rescale."""
    known = {"SOPClassUID": MRImageStorage, "Modality": "MR", "RescaleSlope": None,
             "RescaleIntercept": None}  # fmt: skip
    return slice_of(position, **{**known, **elements})


def axial(heights: Sequence[float], **elements: Any) -> list[Dataset]:
    """Return axial slices at these heights, in mm."""
    return [slice_of((-3, 4, z), number=n, **elements) for n, z in enumerate(heights, 1)]


def save(folder: Path, series: Sequence[Dataset], name: str = "{:03}.dcm") -> Path:
    """Write the files of a series; the names are not in the order of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, made in enumerate(series):
        made.save_as(folder / name.format(number * 7 % 101), enforce_file_format=True)
    return folder


def world(made: Dataset, row: float, column: float) -> npt.NDArray[np.float64]:
    """Return the RAS position of a voxel: PS3.3, equation C.7.6.2.1-1, and its two signs."""
    cosines = np.array(made.ImageOrientationPatient, float)
    down, right = (float(x) for x in made.PixelSpacing)
    lps = np.array(made.ImagePositionPatient, float)
    lps = lps + cosines[:3] * right * column + cosines[3:] * down * row
    return lps * (-1, -1, 1)


def real(made: Dataset) -> npt.NDArray[np.float64]:
    """Return the voxels in real values."""
    stored = pixel_array(made).astype(float)
    return stored * float(made.get("RescaleSlope", 1)) + float(made.get("RescaleIntercept", 0))


def assert_holds(volumes: Sequence[Volume], made: Dataset) -> None:
    """Check that a slice is in one of the volumes, each voxel at its place with its value."""
    values = real(made)
    ends = [(0, 0), (0, made.Columns - 1), (made.Rows - 1, 0), (made.Rows - 1, made.Columns - 1)]
    for volume in volumes:
        if volume.grid.shape[1:] != values.shape:
            continue
        at = volume.grid.world_to_index(np.array([world(made, *end) for end in ends]))
        index = round(float(at[0, 0]))
        if not 0 <= index < volume.grid.shape[0]:
            continue
        away = max(
            float(np.abs(volume.grid.index_to_world((index, *end)) - world(made, *end)).max())
            for end in ends
        )
        planes = volume.numpy().reshape(-1, *volume.grid.shape)[:, index]
        if away <= 0.05 and any(np.array_equal(plane, values) for plane in planes):
            return
    raise AssertionError(f"no volume holds slice {made.get('InstanceNumber')} at its place")


def stack_of(count: int, **elements: Any) -> list[Dataset]:
    """Return MR slices 3 mm apart, in the given orientation."""
    cosines = np.array(elements.get("orientation", (1, 0, 0, 0, 1, 0)), float)
    normal = np.cross(cosines[:3], cosines[3:])
    start = np.array(elements.pop("start", (-7.25, 11.5, 5.125)))
    return [mr_slice(start + 3 * k * normal, number=k + 1, **elements) for k in range(count)]


@dataclass
class Frame:
    """One frame of an enhanced file, and what its functional groups say."""

    position: Sequence[float]
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0)
    stack: str = "1"
    index: tuple[int, ...] = ()
    time: int | None = None
    echo: float | None = None
    kind: str = "M"
    rescale: tuple[float, float] | None = None
    b: float | None = None


def enhanced_of(frames: Sequence[Frame], *, shared: bool = True, **elements: Any) -> Dataset:
    """Return an enhanced MR; with ``shared`` what all frames have in common is said once."""
    pixels = np.random.default_rng(len(frames)).integers(0, 4096, (len(frames), *SHAPE))
    made = mr_slice(pixels=pixels.astype("<u2"), NumberOfFrames=len(frames))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                    "SliceThickness"):  # fmt: skip
        delattr(made, keyword)
    made.SOPClassUID = EnhancedMRImageStorage
    groups = [_groups(frame) for frame in frames]
    common = Dataset()
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence",
                    "PixelValueTransformationSequence"):  # fmt: skip
        first = groups[0].get(keyword)
        if shared and all(g.get(keyword) == first and first is not None for g in groups):
            setattr(common, keyword, first)
            for group in groups:
                delattr(group, keyword)
    made.SharedFunctionalGroupsSequence = [common]
    made.PerFrameFunctionalGroupsSequence = groups
    for key, value in elements.items():
        setattr(made, key, value)
    return made


def _groups(frame: Frame) -> Dataset:
    group = Dataset()
    content = Dataset()
    content.StackID = frame.stack
    if frame.index:
        content.DimensionIndexValues = list(frame.index)
    if frame.time is not None:
        content.TemporalPositionIndex = frame.time
    group.FrameContentSequence = [content]
    group.PlanePositionSequence = [_item(ImagePositionPatient=list(frame.position))]
    group.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(frame.orientation))]
    group.PixelMeasuresSequence = [_item(PixelSpacing=[0.8, 0.7], SliceThickness=2)]
    group.MRImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", frame.kind, "NONE"])]
    if frame.echo is not None:
        group.MREchoSequence = [_item(EffectiveEchoTime=frame.echo)]
    if frame.b is not None:
        group.MRDiffusionSequence = [_item(DiffusionBValue=frame.b)]
    if frame.rescale is not None:
        slope, intercept = frame.rescale
        group.PixelValueTransformationSequence = [
            _item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
        ]
    return group


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for key, value in elements.items():
        setattr(item, key, value)
    return item


def mosaic_of(
    count: int,
    *,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    flip: bool = False,
    second: bool = True,
    **elements: Any,
) -> Dataset:
    """Return a Siemens mosaic; with ``flip`` its slices follow each other against the normal."""
    side = int(np.ceil(np.sqrt(count)))
    random = np.random.default_rng([count, len(elements)])
    tiles = np.zeros((side * side, *SHAPE), "<u2")
    tiles[:count] = random.integers(1, 4096, (count, *SHAPE))
    sheet = tiles.reshape(side, side, *SHAPE).transpose(0, 2, 1, 3)
    cosines = np.array(orientation, float)
    normal = np.cross(cosines[:3], cosines[3:]) * (-1 if flip else 1)
    known = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "SpacingBetweenSlices": 4}
    made = mr_slice(
        (-10.5, -20.25, 30),
        pixels=sheet.reshape(side * SHAPE[0], side * SHAPE[1]),
        orientation=orientation,
        **{**known, **elements},
    )
    block = made.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    tags = {
        "EchoLinePosition": [],
        "EchoColumnPosition": [],
        "NumberOfImagesInMosaic": [str(count)],
        "SliceNormalVector": [f"{x:.10f}" for x in normal],
    }
    block.add_new(0x10, "OB", csa_header(second, tags))
    return made


def csa_header(second: bool, tags: dict[str, list[str]]) -> bytes:
    """Return a CSA header of either kind."""
    content = (b"SV10\4\3\2\1" if second else b"") + struct.pack("<II", len(tags), 77)
    first = len(next(iter(tags.values())))
    for name, values in tags.items():
        content += struct.pack("<64si4sIII", name.encode(), len(values), b"FD", 0, len(values), 77)
        for value in values:
            raw = value.encode() + b"\0"
            lengths = (0, len(raw), 77, 0) if second else (len(raw) + first, 0, 0, 0)
            content += struct.pack("<4i", *lengths) + raw.ljust(-(-len(raw) // 4) * 4, b"\0")
    return content
