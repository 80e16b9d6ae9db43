"""How DICOM stores voxels: every syntax, number type and colour, against pydicom's decoding."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from tests.io.dicom_files import SHAPE, Frame, axial, enhanced_of, save, slice_of
from tests.io.dicom_oracle import assert_all_there, planes_of_folder

from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import ReadError

RANDOM = np.random.default_rng(12)


def numbers(dtype: str, bits: int = 0, shape: tuple[int, ...] = SHAPE) -> npt.NDArray[Any]:
    """Return random voxels over all of a type, or over its lowest bits."""
    kind = np.dtype(dtype)
    bits = bits or kind.itemsize * 8
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if kind.kind == "i" else (0, 2**bits)
    return RANDOM.integers(low, high, shape, dtype=kind.newbyteorder("=")).astype(kind)


def stored(pixels: npt.NDArray[Any], **elements: Any) -> list[Dataset]:
    """Return three slices with these voxels, in another order each."""
    return [
        slice_of((0, 0, 2 * k), pixels=np.roll(pixels, k, 0), number=k + 1, **elements)
        for k in range(3)
    ]


def palette(bits: int, *, small: bool = False) -> list[Dataset]:
    """Return slices in colours from a table of 8 or 16 bits, or of 8 in the place of 16."""
    made = stored(numbers("u1", 4), PhotometricInterpretation="PALETTE COLOR",
                  RescaleSlope=None, RescaleIntercept=None)  # fmt: skip
    table = RANDOM.integers(0, 256, (3, 16))
    for one in made:
        for name, column in zip(("Red", "Green", "Blue"), table, strict=True):
            entries = column.astype("u1") if bits == 8 else (column * 257).astype("<u2")
            if small:
                entries = column.astype("<u2")
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [16, 0, bits])
            setattr(one, f"{name}PaletteColorLookupTableData", entries.tobytes())
    return made


def colours(
    photometric: str = "RGB", *, planar: int = 0, shape: tuple[int, ...] = SHAPE
) -> list[Dataset]:
    pixels = RANDOM.integers(0, 256, (*shape, 3)).astype("u1")
    content = np.moveaxis(pixels, -1, 0) if planar else pixels
    return stored(pixels[..., 0], SamplesPerPixel=3, PlanarConfiguration=planar, RescaleSlope=None,
                  RescaleIntercept=None, PhotometricInterpretation=photometric,
                  PixelData=content.tobytes())  # fmt: skip


def one_bit() -> list[Dataset]:
    pixels = RANDOM.integers(0, 2, (3, 8, 8)).astype("u1")
    made = [slice_of((0, 0, 2 * k), pixels=p, number=k + 1, RescaleIntercept=0, BitsAllocated=1,
                     BitsStored=1, HighBit=0) for k, p in enumerate(pixels)]  # fmt: skip
    for one, bits in zip(made, pixels, strict=True):
        one.PixelData = np.packbits(bits, bitorder="little").tobytes()
    return made


def floats(dtype: str) -> list[Dataset]:
    made = axial([0, 2, 4], RescaleSlope=2.5, RescaleIntercept=-1)
    for one in made:
        del one.PixelData
        array = RANDOM.normal(size=SHAPE).astype(dtype)
        keyword = "FloatPixelData" if dtype == "<f4" else "DoubleFloatPixelData"
        setattr(one, keyword, array.tobytes())
        one.BitsAllocated = array.itemsize * 8
        for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(one, keyword)
    return made


def pet() -> list[Dataset]:
    return [
        slice_of((0, 0, 3 * k), number=k + 1, Modality="PT", RescaleSlope=f"{0.7 ** k:.9f}",
                 RescaleIntercept=0, pixels=numbers("<i2"))
        for k in range(5)
    ]  # fmt: skip


CASES: dict[str, Callable[[], list[Dataset]]] = {
    "8 bits": lambda: stored(numbers("u1")),
    "signed 8 bits": lambda: stored(numbers("i1")),
    "16 bits": lambda: stored(numbers("<u2")),
    "signed 16 bits": lambda: stored(numbers("<i2")),
    "32 bits": lambda: stored(numbers("<u4")),
    "signed 32 bits": lambda: stored(numbers("<i4")),
    "12 bits": lambda: stored(numbers("<u2", 12), BitsStored=12, HighBit=11),
    "12 bits, others in use": lambda: stored(numbers("<u2"), BitsStored=12, HighBit=11),
    "signed 12 bits, others in use": lambda: stored(numbers("<i2"), BitsStored=12, HighBit=11),
    "1 bit": one_bit,
    "float": lambda: floats("<f4"),
    "double": lambda: floats("<f8"),
    "fractions": lambda: stored(numbers("<u2"), RescaleSlope="0.0123", RescaleIntercept="-7.5"),
    "negative slope": lambda: stored(numbers("<i2"), RescaleSlope=-2, RescaleIntercept=3),
    "large": lambda: stored(numbers("<u2"), RescaleSlope=70000, RescaleIntercept=-(2**31)),
    "every slice its rescale": pet,
    "rescale type": lambda: stored(numbers("<u2"), RescaleType="US"),
    "inverted": lambda: stored(numbers("<u2"), PhotometricInterpretation="MONOCHROME1"),
    "padded": lambda: stored(numbers("<i2"), PixelPaddingValue=-2000),
    "colours": colours,
    "colours by plane": lambda: colours(planar=1),
    "YBR": lambda: colours("YBR_FULL"),
    "YBR by plane": lambda: colours("YBR_FULL", planar=1),
    "palette of 16 bits": lambda: palette(16),
    "palette of 8 bits": lambda: palette(8),
    "an odd number of bytes": lambda: stored(numbers("u1", shape=(5, 3))),
    "more bytes than voxels": lambda: stored(
        numbers("<u2"), PixelData=numbers("<u2").tobytes() + bytes(40)),
}  # fmt: skip


def assert_converts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "in"), str(out)]) == 0
    assert len(list(out.iterdir())) == 1
    assert_all_there(planes_of_folder(tmp_path / "in"), out)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:The pixel data:UserWarning")
def test_values(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in", CASES[name]())
    assert_converts(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["8 bits", "signed 16 bits", "32 bits", "12 bits, others in use",
                                  "colours", "palette of 16 bits"])  # fmt: skip
@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda s: s.name,
)
def test_other_encodings_are_the_same(tmp_path: Path, name: str, syntax: pydicom.uid.UID) -> None:
    made = CASES[name]()
    first = io.read_all(save(tmp_path / "a", made))[0]
    (tmp_path / "b").mkdir()
    for number, one in enumerate(made):
        if syntax == ExplicitVRBigEndian:  # of words, as OW is, though voxels be bytes
            words = f"u{max(one.BitsAllocated // 8, 2)}"
            one.PixelData = np.frombuffer(one.PixelData, words).byteswap().tobytes()
            for table in [e for e in one if e.keyword.endswith("PaletteColorLookupTableData")]:
                table.value = np.frombuffer(table.value, "<u2").byteswap().tobytes()
        one.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(tmp_path / "b" / f"{number}.dcm", one, enforce_file_format=True)
    other = io.read_all(tmp_path / "b")[0]
    assert other.grid == first.grid
    np.testing.assert_array_equal(other.numpy(), first.numpy())


COMPRESSIONS = {
    "RLE": gdcm.TransferSyntax.RLELossless,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG": gdcm.TransferSyntax.JPEGBaselineProcess1,
}


def compress(path: Path, name: str) -> None:
    """Compress a file in place."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(COMPRESSIONS[name]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()


# GDCM's encoder of JPEG 2000 overruns its memory with less than its six levels.
LARGE = (64, 48)
LARGER: dict[str, Callable[[], list[Dataset]]] = {
    "8 bits": lambda: stored(numbers("u1", shape=LARGE)),
    "16 bits": lambda: stored(numbers("<u2", shape=LARGE)),
    "signed 16 bits": lambda: stored(numbers("<i2", shape=LARGE)),
    "12 bits": lambda: stored(numbers("<u2", 12, LARGE), BitsStored=12, HighBit=11),
    "colours": lambda: colours(shape=LARGE),
}


@pytest.mark.parametrize("name", LARGER)
@pytest.mark.parametrize("compression", [c for c in COMPRESSIONS if c != "JPEG"])
def test_compressed_is_the_same(tmp_path: Path, name: str, compression: str) -> None:
    made = LARGER[name]()
    first = io.read_all(save(tmp_path / "a", made))[0]
    for path in save(tmp_path / "b", made).iterdir():
        compress(path, compression)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    other = io.read_all(tmp_path / "b")[0]
    assert other.grid == first.grid
    np.testing.assert_array_equal(other.numpy(), first.numpy())


@pytest.mark.parametrize("name", ["8 bits", "colours"])
def test_lossy_is_as_pydicom_decodes_it(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in save(tmp_path / "in", LARGER[name]()).iterdir():
        compress(path, "JPEG")
    assert_converts(tmp_path)


@pytest.mark.parametrize("table", [True, False], ids=["offsets", "no offsets"])
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("compression", ["JPEG 2000", "JPEG-LS", "JPEG lossless"])
def test_fragments(tmp_path: Path, compression: str, pieces: int, table: bool) -> None:
    """A frame may lie in several pieces, and nothing need say where the pieces are."""
    made = slice_of(pixels=numbers("<u2", shape=LARGE))
    first = io.read_all(save(tmp_path / "a", [made]))[0]
    path = save(tmp_path / "b", [made]) / "000.dcm"
    compress(path, compression)
    packed = pydicom.dcmread(path)
    frame = next(generate_frames(packed.PixelData, number_of_frames=1))
    packed.PixelData = encapsulate([frame], fragments_per_frame=pieces, has_bot=table)
    packed.save_as(path)
    np.testing.assert_array_equal(io.read(path).numpy(), first.numpy())


@pytest.mark.parametrize("table", [True, False], ids=["offsets", "no offsets"])
def test_frames_in_fragments(tmp_path: Path, table: bool) -> None:
    made = enhanced_of([Frame((0, 0, 2 * k)) for k in range(4)])
    first = io.read_all(save(tmp_path / "a", [made]))[0]
    made.compress(RLELossless)
    frames = list(generate_frames(made.PixelData, number_of_frames=4))
    made.PixelData = encapsulate(frames, has_bot=table)
    other = io.read_all(save(tmp_path / "b", [made]))[0]
    np.testing.assert_array_equal(other.numpy(), first.numpy())


def test_a_film_and_a_picture_have_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CR, ultrasound and secondary capture: the pixels as they are, each file by itself."""
    bare = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SliceThickness": None}
    film = slice_of(Modality="CR", pixels=numbers("<u2", 12), **bare)
    loop = slice_of(Modality="US", pixels=numbers("u1", shape=(4, *SHAPE)), NumberOfFrames=4,
                    RescaleIntercept=0, **bare)  # fmt: skip
    capture = slice_of(Modality="OT", pixels=numbers("u1"), RescaleIntercept=0, **bare)
    del capture.PixelSpacing
    save(tmp_path / "in", [film, loop, capture])
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 0
    assert_all_there(planes_of_folder(tmp_path / "in"), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "3_THORAX.tif", "3_THORAX_2.tif", "3_THORAX_3.tif",
    }  # fmt: skip
    sizes = {v.grid.unit: v.grid.spacing for v in io.read_all(tmp_path / "out")}
    assert sizes["mm"] == pytest.approx((0.8, 0.7))
    assert sizes["pixel"] == (1, 1)


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({}, (0.8, 0.7)),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (0.8, 0.7)),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.2]}, (0.1, 0.2)),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.1, 0.2]}, (0.1, 0.2)),
    ],
)
def test_which_spacing_of_a_film(
    tmp_path: Path, elements: dict[str, Any], spacing: tuple[float, float]
) -> None:
    film = slice_of(Modality="CR", ImagePositionPatient=None, ImageOrientationPatient=None,
                    **elements)  # fmt: skip
    (volume,) = io.read_all(save(tmp_path, [film]))
    assert (volume.grid.spacing, volume.grid.unit) == (pytest.approx(spacing), "mm")


def nuclear(kind: str, slices: int, slots: int = 1, **elements: Any) -> Dataset:
    """Return reconstructed nuclear medicine: its place is that of the first slice."""
    pixels = numbers("<u2", shape=(slots * slices, *SHAPE))
    made = slice_of((1, 2, 3), pixels=pixels, NumberOfFrames=len(pixels), Modality="NM",
                    ImageType=["ORIGINAL", "PRIMARY", kind, "EMISSION"], RescaleSlope=None,
                    RescaleIntercept=None, ImageOrientationPatient=None,
                    ImagePositionPatient=None, **elements)  # fmt: skip
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 1, 0]
    made.DetectorInformationSequence = [detector]
    return made


@pytest.mark.parametrize(
    ("elements", "step"),
    [
        ({"SpacingBetweenSlices": 4}, 4),
        ({"SpacingBetweenSlices": -4}, -4),
        ({"SliceThickness": 3}, 3),
    ],
    ids=["spacing", "against the normal", "thickness"],
)
@pytest.mark.parametrize("slots", [1, 3])
def test_reconstructed_nuclear_medicine(
    tmp_path: Path, elements: dict[str, Any], step: float, slots: int
) -> None:
    """PS3.3 C.8.4.15: slices follow the normal, or with a negative spacing go against it."""
    kind = "RECON GATED TOMO" if slots > 1 else "RECON TOMO"
    order = np.tile(np.arange(5), slots)
    made = nuclear(kind, 5, slots, SliceVector=(order + 1).tolist(), **elements)
    (volume,) = io.read_all(save(tmp_path, [made]))
    assert volume.data.shape == ((slots, 5, *SHAPE) if slots > 1 else (5, *SHAPE))
    frames = made.pixel_array.reshape(slots, 5, *SHAPE)
    for k in range(5):
        index = volume.grid.world_to_index((-1, -2, 3 + k * step))
        np.testing.assert_allclose(index[1:], 0, atol=1e-9)
        found = volume.numpy().reshape(slots, 5, *SHAPE)[:, round(float(index[0]))]
        np.testing.assert_array_equal(found, frames[:, k])


@pytest.mark.parametrize("name", ["pydicom's", "8 bits in the place of 16"])
def test_the_range_of_a_palette(tmp_path: Path, name: str) -> None:
    made = palette(16, small=name != "pydicom's")
    (volume,) = io.read_all(save(tmp_path, made))
    tables = [np.frombuffer(made[0][f"{c}PaletteColorLookupTableData"].value, "<u2")
              for c in ("Red", "Green", "Blue")]  # fmt: skip
    for k, one in enumerate(made):
        expected = np.stack([t & 0xFF for t in tables])[:, one.pixel_array]
        np.testing.assert_array_equal(volume.numpy()[:, k], expected)


@pytest.mark.parametrize("compression", ["JPEG 2000", "JPEG-LS", "JPEG lossless"])
def test_without_the_extra_the_cure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    """As where python-gdcm is not installed: pydicom finds no plugin for it."""
    path = save(tmp_path, [slice_of(pixels=numbers("<u2", shape=LARGE))]) / "000.dcm"
    compress(path, compression)
    syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",)})
    with pytest.raises(ReadError, match=r'pip install "napari-monai\[codecs\]"') as caught:
        io.read(path)
    assert "\n" not in str(caught.value)


def test_an_element_longer_than_the_file_asks_for_no_memory(tmp_path: Path) -> None:
    path = save(tmp_path, axial([4], StudyID="TO-BE-LONG")) / "000.dcm"
    content = bytearray(path.read_bytes())
    at = content.index(b"TO-BE-LONG")
    # Another type, whose length has four bytes.
    content[at - 4 : at + 4] = b"UN\0\0" + (2**32 - 16).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    tracemalloc.start()
    with pytest.raises(ReadError, match="holds no DICOM image"):
        io.read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**26


def test_a_deflated_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (made,) = axial([4])
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(tmp_path, [made]) / "000.dcm"
    whole = path.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")  # behind the meta group
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(whole[start:], wbits=-zlib.MAX_WBITS))
    packed += packer.compress(bytes(2**28)) + packer.flush()
    path.write_bytes(whole[:start] + packed)
    tracemalloc.start()
    with pytest.raises(ReadError, match="far more than"):
        io.read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**26
