"""Files for the benchmark of reading and writing: made here, as large as those of a hospital."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

VOLUME = (128, 512, 512)
LARGE = (256, 2048, 1024)  # 1 GiB as int16


def body(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return a stored CT: a noisy body in air, 12 bits as int16, +1024."""
    rng = np.random.default_rng(seed)
    planes, rows, columns = shape
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    found = np.empty(shape, np.int16)
    for k in range(planes):
        noise = rng.integers(-30, 31, (rows, columns), np.int16)
        found[k] = np.where(inside, 1064 + noise + k % 50, 24 + noise // 10)
    return found


def dicom_series(folder: Path, *, planes: int, syntax: str = "explicit") -> None:
    """Write a CT of ``planes`` x 512 x 512 int16, one file a slice, with a scanner's header."""
    from pydicom.uid import ImplicitVRLittleEndian, RLELossless, generate_uid

    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    # The same noise again and again: what is timed does not depend on it.
    noise = body((16, 512, 512))
    for k in range(planes):
        made = _slice(k, (study, series, frame), noise[k % 16] + np.int16(k % 100))
        if syntax == "compressed":
            made.compress(RLELossless)
        elif syntax == "implicit":
            made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        made.save_as(folder / f"IM{(k * 97) % 9973:04}", enforce_file_format=True)


def _slice(k: int, uids: tuple[str, str, str], pixels: Array) -> Any:
    """Return a slice with the some hundred elements that a CT scanner writes."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 100"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = uids
    for name, value in _ELEMENTS:
        setattr(made, name, value)
    made.AcquisitionTime = made.ContentTime = f"1012{k // 60 % 60:02}.{k % 60:02}0000"
    made.InstanceNumber = k + 1
    made.ImagePositionPatient = ["-204.6", "-331.2", f"{-520.5 + 0.625 * k:g}"]
    made.SliceLocation = f"{-520.5 + 0.625 * k:g}"
    made.ReferencedImageSequence = [_reference(generate_uid()) for _ in range(2)]
    made.RequestAttributesSequence = [_request()]
    for group, creator in ((0x0019, "GEMS_ACQU_01"), (0x0027, "GEMS_IMAG_01")):
        block = made.private_block(group, creator, create=True)
        for element in range(2, 26):
            block.add_new(element, "DS" if element % 2 else "SL", k * 7 + element)
    made.Rows, made.Columns = pixels.shape
    made.set_pixel_data(pixels, "MONOCHROME2", 16, generate_instance_uid=False)
    return made


# -- other formats --------------------------------------------------------------------------------


def volume_file(path: Path) -> None:
    """Write a CT of `VOLUME` in the format of the ending."""
    array = body(VOLUME)
    if path.suffix == ".nrrd":
        import nrrd  # type: ignore[import-untyped]

        nrrd.write(str(path), array)
    elif path.suffix == ".mha":
        import SimpleITK as sitk  # noqa: N813

        sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    else:
        import nibabel as nib

        nib.save(nib.Nifti1Image(array, np.diag([0.8, 0.8, 1.0, 1.0])), path)


def large_zarr(path: Path) -> None:
    """Write an OME-Zarr image of `LARGE`, one level."""
    import zarr

    group = zarr.open_group(str(path), mode="w")
    array = group.create_array("0", shape=LARGE, chunks=(32, 256, 256), dtype="i2")
    plane = body((1, *LARGE[1:]))[0]
    for start in range(0, LARGE[0], 32):
        array[start : start + 32] = np.broadcast_to(plane, (32, *plane.shape))
    axes: Any = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    dataset: Any = {"path": "0", "coordinateTransformations": scale}
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"name": "image", "axes": axes, "datasets": [dataset]}],
    }


def large_tiff(path: Path) -> None:
    """Write a TIFF stack of `LARGE`, one page a plane."""
    import tifffile

    plane = body((1, *LARGE[1:]))[0]
    planes = (plane for _ in range(LARGE[0]))
    tifffile.imwrite(
        path, planes, shape=LARGE, dtype=np.int16, photometric="minisblack",
        metadata={"axes": "ZYX"},
    )  # fmt: skip


class Blocks:
    """Labels that are nowhere stored: each block is made when it is sliced."""

    dtype = np.dtype(np.uint16)

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def __getitem__(self, key: Any) -> Array:
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *(slice(None),) * (3 - len(keys)))
        z, y, x = (np.arange(n, dtype=np.uint16)[k] for n, k in zip(self.shape, keys, strict=True))
        # Boxes of 40 x 56 x 72 voxels with background between them.
        number = (1 + z // 40 * 7 % 50)[:, None, None] + (y // 56 * 11 % 40)[:, None] + x // 72 % 15
        number *= (z % 40 > 4)[:, None, None]
        number *= (y % 56 > 6)[:, None]
        number *= x % 72 > 8
        return np.asarray(number, self.dtype)


def plan_streamed(folder: Path, *, gibibytes: int) -> None:
    """Note how many labels are streamed, unless it is noted."""
    plan = folder / "shape.json"
    if not plan.exists():
        plan.write_text(json.dumps([128 * gibibytes, 2048, 2048]))


def streamed(folder: Path) -> tuple[int, int, int]:
    """Return the shape of the labels that are streamed."""
    z, y, x = json.loads((folder / "shape.json").read_text())
    return z, y, x


# -- headers --------------------------------------------------------------------------------------


def _reference(uid: str) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    return item


def _request() -> Any:
    from pydicom.dataset import Dataset

    code, item = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTABD", "L", "CT abdomen"
    item.ScheduledProcedureStepDescription = "CT abdomen"
    item.ScheduledProcedureStepID = "SPS4711"
    item.ScheduledProtocolCodeSequence = [code]
    return item


_ELEMENTS: tuple[tuple[str, Any], ...] = (
    ("StudyDate", "20240311"), ("SeriesDate", "20240311"), ("AcquisitionDate", "20240311"),
    ("ContentDate", "20240311"), ("StudyTime", "100212"), ("SeriesTime", "101012"),
    ("AccessionNumber", "A4711"), ("Modality", "CT"), ("Manufacturer", "Scanner works"),
    ("InstitutionName", "General hospital"), ("ReferringPhysicianName", "Roe^Richard"),
    ("StationName", "CT99"), ("StudyDescription", "CT abdomen with contrast"),
    ("SeriesDescription", "Thin slices"), ("ManufacturerModelName", "Revolution"),
    ("PatientName", "Doe^Jane"), ("PatientID", "PAT-4711"), ("PatientBirthDate", "19500101"),
    ("PatientSex", "F"), ("PatientAge", "074Y"), ("PatientWeight", "70"),
    ("ContrastBolusAgent", "Iohexol"), ("BodyPartExamined", "ABDOMEN"), ("ScanOptions", "HELICAL"),
    ("SliceThickness", "0.625"), ("KVP", "120"), ("DataCollectionDiameter", "500"),
    ("SoftwareVersions", "rev_17"), ("ProtocolName", "5.1 abdomen"),
    ("ReconstructionDiameter", "409.6"), ("DistanceSourceToDetector", "1085.6"),
    ("DistanceSourceToPatient", "625.6"), ("GantryDetectorTilt", "0"), ("TableHeight", "142"),
    ("RotationDirection", "CW"), ("ExposureTime", "500"), ("XRayTubeCurrent", "320"),
    ("Exposure", "160"), ("FilterType", "BODY FILTER"), ("GeneratorPower", "38400"),
    ("FocalSpots", "1.2"), ("ConvolutionKernel", "STANDARD"), ("PatientPosition", "FFS"),
    ("RevolutionTime", 0.5), ("SingleCollimationWidth", 0.625), ("TotalCollimationWidth", 80.0),
    ("TableSpeed", 158.75), ("SpiralPitchFactor", 0.992), ("ExposureModulationType", "XYZ_EC"),
    ("StudyID", "4711"), ("SeriesNumber", "4"), ("AcquisitionNumber", "1"),
    ("ImageOrientationPatient", ["1", "0", "0", "0", "1", "0"]),
    ("PositionReferenceIndicator", "XY"), ("PixelSpacing", ["0.8", "0.8"]),
    ("WindowCenter", "40"), ("WindowWidth", "400"), ("RescaleIntercept", "-1024"),
    ("RescaleSlope", "1"), ("RescaleType", "HU"), ("PixelPaddingValue", -2000),
)  # fmt: skip
