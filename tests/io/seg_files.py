"""DICOM segmentations made with pydicom, and an oracle that reads them without our reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid
from tests.io.dicom_files import ID, NAME

LABEL_MAPS = "1.2.840.10008.5.1.4.1.1.66.7"
Mask = npt.NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """A frame of a file: its segment (0: of all), voxels, and where PS3.3 says they are."""

    segment: int
    voxels: Mask
    position: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    sources: tuple[tuple[str, int | None], ...]

    def world(self, at: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return the RAS positions of (row, column) pairs: equation C.7.6.2.1-1 and two signs."""
        lps = self.position + at[:, :1] * self.down + at[:, 1:] * self.right
        return lps * (-1, -1, 1)


def frames_of(path: Path) -> Iterator[Frame]:
    """Yield the frames of a segmentation, BINARY ones from their bits (PS3.5 8.1.1)."""
    made = pydicom.dcmread(path)
    shared = made.SharedFunctionalGroupsSequence[0]
    size = made.Rows * made.Columns
    if made.SegmentationType == "BINARY":
        bits = np.unpackbits(np.frombuffer(made.PixelData, np.uint8), bitorder="little")
        voxels = bits[: size * made.NumberOfFrames].reshape(-1, made.Rows, made.Columns)
    else:
        voxels = made.pixel_array.reshape(-1, made.Rows, made.Columns)
    for own, frame in zip(made.PerFrameFunctionalGroupsSequence, voxels, strict=True):

        def of(name: str, own: Dataset = own) -> Any:
            found = own.get(name) or shared.get(name)
            return found[0] if found else None

        segment = of("SegmentIdentificationSequence")
        cosines = np.array(of("PlaneOrientationSequence").ImageOrientationPatient, float)
        down, right = (float(x) for x in of("PixelMeasuresSequence").PixelSpacing)
        derived = own.get("DerivationImageSequence") or []
        yield Frame(
            0 if segment is None else int(segment.ReferencedSegmentNumber),
            frame,
            np.array(of("PlanePositionSequence").ImagePositionPatient, float),
            cosines[3:] * down,
            cosines[:3] * right,
            tuple(
                (str(s.ReferencedSOPInstanceUID), s.get("ReferencedFrameNumber"))
                for d in derived
                for s in d.SourceImageSequence
            ),
        )


def segment(number: int, name: str = "", **elements: Any) -> Dataset:
    """Return the description of a segment."""
    made = Dataset()
    made.SegmentNumber, made.SegmentLabel = number, name or f"part {number}"
    made.SegmentAlgorithmType = "MANUAL"
    for key, value in elements.items():
        setattr(made, key, value)
    return made


def segmentation(
    frames: Sequence[tuple[int, Sequence[float], Mask]],
    *,
    kind: str = "BINARY",
    segments: Sequence[Dataset] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (0.8, 0.7),
    gap: float | None = None,
    **elements: Any,
) -> Dataset:
    """Return a segmentation of frames: segment, position, voxels.

    A segment that all frames have is in the shared group. ``elements`` overwrite its own.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    labelmap = kind == "LABELMAP"
    made.SOPClassUID = LABEL_MAPS if labelmap else SegmentationStorage
    made.SOPInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientName, made.PatientID = NAME, ID
    made.Modality, made.SeriesNumber, made.SeriesDescription = "SEG", 9, "Organs"
    made.SegmentationType = kind
    numbers = sorted({n for n, _, _ in frames})
    made.SegmentSequence = segments or [segment(n) for n in numbers]
    voxels = np.array([v for _, _, v in frames])
    made.Rows, made.Columns = voxels.shape[1:]
    made.NumberOfFrames = len(frames)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.PixelRepresentation = 0
    if kind == "BINARY":
        content = np.packbits(voxels.astype(bool).ravel(), bitorder="little").tobytes()
        made.BitsAllocated = made.BitsStored = 1
    else:
        content = voxels.tobytes()
        made.BitsAllocated = made.BitsStored = voxels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OB"
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 2.5
    if gap is not None:
        measures.SpacingBetweenSlices = gap
    plane.ImageOrientationPatient = [f"{x:.10g}" for x in orientation]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    each = []
    for number, position, _ in frames:
        own, place, identity = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [f"{x:.10g}" for x in position]
        own.PlanePositionSequence = [place]
        identity.ReferencedSegmentNumber = number
        if not labelmap:
            group = shared if len(numbers) == 1 else own
            group.SegmentIdentificationSequence = [identity]
        each.append(own)
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = each
    for key, value in elements.items():
        setattr(made, key, value)
    return made
