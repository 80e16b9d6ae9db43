"""Headers with hostile values, format by format: one of our errors in one line, or an image.

Some 150 cases a format; with ``--hypothesis-profile deep`` ten times as many.
"""

from __future__ import annotations

import copy
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.io.dicom_files import ID, NAME, Frame, enhanced_of, mosaic_of, slice_of

from napari_monai import io
from napari_monai.errors import NapariMonaiError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.io.files import DEFLATE_LIMIT
from napari_monai.volume import LabelClass, LabelVolume, Volume

SHAPE = (3, 5, 4)
EXAMPLES = settings(max_examples=settings().max_examples * 3 // 2)  # as the profile says
WHOLE = st.sampled_from(
    [0, 1, -1, 2, 3, 5, 7, 255, 256, 30000, 32767, -32768, 65535, 2**31 - 1, 2**31, 2**32 - 1,
     2**63 - 1, -(2**63)]
)  # fmt: skip
WITH_A_POINT = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, 1e-45, 3.5e38, np.nan, np.inf, -np.inf]
)
WORDS = st.sampled_from(
    ["", " ", "0", "-1", "nan", "inf", "1e400", "30000 30000 30000", "1 2 3 4 5 6 7 8", "true",
     "None", "short", "uint64", "/etc/passwd", "../x", "%d", "LOCAL", "LIST", "raw", "gzip", "(1,0",
     "(0,0,0) (0,0,0) (0,0,0)", "\u00b5m", "\x00", "a" * 400, "3", "65536", "LPS", "domain", "\\\\"]
) | st.text(max_size=12)  # fmt: skip
JSONS = st.recursive(
    st.none() | st.booleans() | WHOLE | WITH_A_POINT | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all cases of a test write into."""
    return tmp_path_factory.mktemp("fuzz")


def image() -> Volume:
    random = np.random.default_rng(3)
    grid = Grid.from_spacing(SHAPE, (2, 0.5, 0.25), unit="mm")
    return Volume(random.integers(0, 255, SHAPE).astype("u1"), grid)


def check(path: Path) -> None:
    """Read a file: an image no larger than the file can hold, or an error in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", VolumeWarning)
        for labels in (False, True):
            said = ""
            try:
                volume = io.read(path, labels=labels)
                if volume.nbytes < 2**22:
                    volume.numpy()
            except NapariMonaiError as error:
                said = str(error)
            else:
                size = sum(p.stat().st_size for p in path.parent.rglob("*") if p.is_file())
                in_memory = isinstance(volume.data, np.ndarray)
                assert not in_memory or volume.nbytes <= 8 * size * DEFLATE_LIMIT
                assert np.isfinite(volume.grid.affine).all()
            assert not any(word in said for word in ("\n", NAME, ID))


@EXAMPLES
@given(data=st.data())
def test_nifti(folder: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))
    header = kind()
    header.set_data_shape(SHAPE)
    header.set_data_dtype("u1")
    header.set_sform(np.diag([1, 2, 3, 1]), 1)
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    names = [n for n in header.template_dtype.names if n not in ("sizeof_hdr", "magic")]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
        field = header.structarr[name]
        at = data.draw(st.integers(0, field.size - 1))
        value = data.draw(WITH_A_POINT if field.dtype.kind == "f" else WHOLE)
        if field.dtype.kind not in "iuf":
            continue
        with np.errstate(all="ignore"):
            new = np.array(value).astype(field.dtype)
        if field.shape:
            field[at] = new
        else:
            header.structarr[name] = new
    content = header.binaryblock + b"\0" * 4 + image().numpy().tobytes()
    path = folder / "a.nii"
    path.write_bytes(content)
    check(path)


@EXAMPLES
@given(data=st.data(), ending=st.sampled_from([".nrrd", ".seg.nrrd", ".mha"]))
def test_text_headers(folder: Path, data: st.DataObject, ending: str) -> None:
    path = folder / f"a{ending}"
    labels = LabelVolume(
        np.arange(60).reshape(SHAPE).astype("u1") % 3,
        Grid.from_spacing(SHAPE),
        classes=(LabelClass(1, "liver", "#ff0080"), LabelClass(2, "spleen", "#00ff80")),
    )
    io.write(path, labels if ending == ".seg.nrrd" or data.draw(st.booleans()) else image())
    end = b"LOCAL\n" if ending == ".mha" else b"\n\n"
    head, separator, voxels = path.read_bytes().partition(end)
    lines = (head + separator).decode().splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        split = next((s for s in (":=", ": ", " = ") if s in lines[at]), " ")
        key, _, value = lines[at].partition(split)
        parts = value.split(" ")
        parts[data.draw(st.integers(0, len(parts) - 1))] = data.draw(WORDS | WHOLE.map(str))
        lines[at] = f"{key}{split}{' '.join(parts)}"
        if data.draw(st.integers(0, 9)) == 0:
            del lines[at]
            lines = lines or [""]
    path.write_bytes("\n".join(lines).encode(errors="surrogatepass") + b"\n" + voxels)
    check(path)


KEYWORDS = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit",
            "SamplesPerPixel", "PixelRepresentation", "PhotometricInterpretation",
            "PlanarConfiguration", "RescaleSlope", "RescaleIntercept", "PixelSpacing",
            "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness",
            "SpacingBetweenSlices", "ImageType", "EchoTime", "AcquisitionTime", "InstanceNumber",
            "AcquisitionNumber", "TriggerTime", "TemporalPositionIdentifier", "SeriesInstanceUID",
            "SeriesNumber", "SeriesDescription", "SOPInstanceUID", "SOPClassUID", "Modality",
            "PatientName", "DiffusionBValue", "DiffusionGradientOrientation", "StackID",
            "DimensionIndexValues", "TemporalPositionIndex", "EffectiveEchoTime", "FrameType",
            "PixelMeasuresSequence", "PlanePositionSequence", "PerFrameFunctionalGroupsSequence",
            "SharedFunctionalGroupsSequence", "SpecificCharacterSet", "FrameTime",
            "GridFrameOffsetVector", "ModalityLUTSequence", "LossyImageCompression")  # fmt: skip
SERIES = {
    "slice": lambda: [slice_of((0, 0, 2 * k), number=k) for k in range(3)],
    "enhanced": lambda: [enhanced_of([Frame((0, 0, 2 * k), time=1, echo=3) for k in range(3)])],
    "mosaic": lambda: [mosaic_of(3)],
    "packed": lambda: [packed(slice_of())],
}  # fmt: skip


def packed(made: Dataset) -> Dataset:
    made.compress(pydicom.uid.RLELossless)
    return made


def datasets(made: Dataset) -> list[Dataset]:
    """Return a dataset and all inside it."""
    inner = [d for e in made if e.VR == "SQ" for item in e.value or [] for d in datasets(item)]
    return [made, *inner]


@EXAMPLES
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@given(data=st.data(), kind=st.sampled_from(sorted(SERIES)))
def test_dicom(folder: Path, data: st.DataObject, kind: str) -> None:
    made = SERIES[kind]()
    with pydicom.config.disable_value_validation():
        for _ in range(data.draw(st.integers(1, 4))):
            target = data.draw(st.sampled_from(datasets(made[0])))
            keyword = data.draw(st.sampled_from(KEYWORDS))
            vr = pydicom.datadict.dictionary_VR(keyword)
            try:
                if vr == "SQ":
                    setattr(target, keyword, data.draw(st.sampled_from([[], [Dataset()]])))
                elif vr in ("US", "UL", "FD", "SS"):
                    numbers = WITH_A_POINT if vr == "FD" else st.integers(0, 65535)
                    setattr(target, keyword, data.draw(numbers | st.lists(numbers, max_size=3)))
                else:
                    text = data.draw(WORDS | WHOLE.map(str) | st.lists(WORDS, max_size=3))
                    target.add_new(keyword, "LO", text)  # unconverted; the type is put right below
                    target[keyword].VR = vr
            except (ValueError, TypeError, OverflowError):
                continue
        for number, one in enumerate(made):
            try:
                pydicom.dcmwrite(folder / f"{kind}{number}.dcm", one, enforce_file_format=False)
            except Exception:  # what pydicom cannot write is not to be read
                return
    check(folder / f"{kind}0.dcm")


def paths_in(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside JSON."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(p for key, v in inner for p in paths_in(v, (*here, key)))]


def replaced(tree: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return tree


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return OME-Zarr labels whose JSON is replaced case by case."""
    path = tmp_path_factory.mktemp("zarr") / "a.ome.zarr"
    grid = Grid.from_spacing((8, 9, 10), (2, 1, 1), unit="µm")
    io.write(path, LabelVolume(np.arange(720).reshape(8, 9, 10).astype("u2") % 5, grid))
    return path


@EXAMPLES
@given(data=st.data())
def test_ome_zarr(pyramid: Path, data: st.DataObject) -> None:
    names = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
    files = sorted(p for p in pyramid.rglob("*") if p.name in names)
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    tree = json.loads(before)
    try:
        for _ in range(data.draw(st.integers(1, 2))):
            path = data.draw(st.sampled_from(paths_in(tree)))
            tree = replaced(tree, path, data.draw(JSONS))
        file.write_text(json.dumps(tree))
        check(pyramid)
    finally:
        file.write_bytes(before)


@EXAMPLES
@given(data=st.data(), ending=st.sampled_from([".tif", ".ome.tif"]), big=st.booleans())
def test_tiff(folder: Path, data: st.DataObject, ending: str, big: bool) -> None:
    path = folder / f"a{ending}"
    imagej = ending == ".tif" and not big
    compression = data.draw(st.sampled_from([None, None if imagej else "zlib"]))
    tifffile.imwrite(path, image().numpy(), bigtiff=big, photometric="minisblack",
                     ome=ending == ".ome.tif", imagej=imagej, metadata={"axes": "ZYX"},
                     compression=compression)  # fmt: skip
    content = bytearray(path.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    where = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, 8 if big else 4)[0]
    count = struct.unpack_from(f"{order}Q" if big else f"{order}H", content, where)[0]
    first, size = (where + 8, 20) if big else (where + 2, 12)
    for _ in range(data.draw(st.integers(1, 3))):
        entry = first + size * data.draw(st.integers(0, count - 1))
        part = data.draw(st.integers(0, 3))
        number = data.draw(WHOLE) % 2**32
        if part < 2:  # tag, type
            struct.pack_into(f"{order}H", content, entry + 2 * part, number % 2**16)
        else:  # count, value
            at = entry + (4, 12 if big else 8)[part - 2]
            struct.pack_into(f"{order}I", content, at, number)
    if data.draw(st.booleans()):  # the description: ImageJ's lines or OME's XML
        at = content.find(b"OME" if ending == ".ome.tif" else b"ImageJ=")
        if at > 0:
            at += data.draw(st.integers(0, 300))
            new = data.draw(WORDS).encode()[: max(0, len(content) - at)]
            content[at : at + len(new)] = new
    path.write_bytes(bytes(content))
    check(path)


@EXAMPLES
@given(data=st.data())
def test_numpy(folder: Path, data: st.DataObject) -> None:
    shape = data.draw(st.lists(WHOLE, max_size=4))
    dtype = data.draw(st.sampled_from(["|u1", "<f8", "|O", "<M8[s]", "|V8", "<U9", "<c16", "x"]))
    order = data.draw(st.sampled_from(["True", "False", "None", "'F'"]))
    head = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {tuple(shape)!r}, }}"
    if data.draw(st.booleans()):
        head = head.replace(data.draw(st.sampled_from(["'shape'", "{", "descr", ","])), "", 1)
    text = head.encode() + b"\n"
    version = data.draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\0\0"]))
    length = struct.pack("<H" if version[0] < 2 else "<I", len(text))
    path = folder / "a.npy"
    path.write_bytes(b"\x93NUMPY" + version + length + text + bytes(60))
    check(path)


BYTES: dict[str, Callable[[Path], None]] = {
    ".nii.gz": lambda path: io.write(path, image()),
    ".png": lambda path: io.write(path, Volume(image().numpy()[0], Grid.from_spacing(SHAPE[1:]))),
    ".npz": lambda path: io.write(path, image()),
    ".zip": lambda path: zipped(path),
}


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(2):
            beside = path.with_suffix(".dcm")
            slice_of((0, 0, k), number=k, SOPInstanceUID=f"1.{k}").save_as(beside)
            archive.write(beside, f"{k}.dcm")
            beside.unlink()


@EXAMPLES
@given(data=st.data(), ending=st.sampled_from(sorted(BYTES)))
def test_bytes(folder: Path, data: st.DataObject, ending: str) -> None:
    path = folder / f"bytes{ending}"
    BYTES[ending](path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))]))
    check(path)
