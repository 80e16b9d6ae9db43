"""DICOM series made in the tests: every kind that other readers get wrong."""

from __future__ import annotations

import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from tests.io.dicom_files import (
    ID,
    NAME,
    SHAPE,
    assert_holds,
    axial,
    csa_header,
    mr_slice,
    save,
    slice_of,
    world,
)

from napari_monai import io
from napari_monai.errors import ReadError, VolumeWarning
from napari_monai.io.dicom import codestream, csa, geometry, source
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import LabelVolume, Volume

HEIGHTS = [10, 12.5, 15, 17.5, 20]


def read(folder: Path, made: Sequence[Dataset], *, says: str | None = None) -> list[Volume]:
    """Save and read a series; check that each slice is in its place, and what is warned of."""
    save(folder, made)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = io.read_all(folder)
    texts = [str(w.message) for w in caught]
    assert all(w.category is VolumeWarning for w in caught), texts
    assert bool(texts) == (says is not None), texts
    assert says is None or says in "\n".join(texts), texts
    assert not any("\n" in t for t in texts)
    for one in made:
        assert_holds(found, one)
    for secret in (*NAME.split("^"), ID):
        assert secret not in "\n".join([*texts, *(v.name for v in found)])
    return found


def shapes(volumes: Sequence[Volume]) -> list[tuple[int, ...]]:
    return [tuple(v.data.shape) for v in volumes]


class TestSpace:
    @pytest.mark.parametrize(
        ("orientation", "step"),
        [
            ((1, 0, 0, 0, 1, 0), (0, 0, 2.5)),
            ((1, 0, 0, 0, 1, 0), (0, 0, -2.5)),
            ((0, 1, 0, 0, 0, -1), (3, 0, 0)),
            ((1, 0, 0, 0, 0, -1), (0, -1.5, 0)),
            ((-1, 0, 0, 0, -1, 0), (0, 0, 2)),
            ((0.8, 0.6, 0, 0, 0, -1), (-0.6, 0.8, 0)),
            ((1, 0, 0, 0, 0.9483237, -0.3173047), (0, 0, 2.5)),
        ],
        ids=["axial", "downwards", "sagittal", "coronal", "prone", "oblique", "tilted"],
    )
    def test_orientations(
        self, tmp_path: Path, orientation: tuple[float, ...], step: tuple[float, ...]
    ) -> None:
        made = [
            slice_of(np.array((-7, 11, 5)) + k * np.array(step), orientation=orientation, number=k)
            for k in range(4)
        ]
        (volume,) = read(tmp_path, made)
        assert volume.data.shape == (4, *SHAPE)
        assert (volume.grid.unit, volume.grid.anatomical) == ("mm", True)
        assert volume.grid.spacing == pytest.approx((np.linalg.norm(step), 0.8, 0.7))
        assert volume.grid.is_orthogonal == (orientation[4] != 0.9483237)

    @pytest.mark.parametrize(
        ("heights", "sizes"),
        [
            ([0, 5, 10, 20, 25, 30, 35], [3, 4]),
            ([0, 15, 20, 25, 30], [1, 4]),
            ([0, 5, 10, 15, 45], [4, 1]),
            ([0, 1, 2, 3, 6, 9, 12], [4, 3]),
            ([0, 5, 20, 25], [2, 2]),
            ([0, 0.1, 0.2, 0.4, 0.5, 0.6], [3, 3]),
        ],
        ids=["gap", "gap at the start", "gap at the end", "coarser", "pairs", "thin"],
    )
    def test_gaps_split(self, tmp_path: Path, heights: list[float], sizes: list[int]) -> None:
        found = read(tmp_path, axial(heights), says=f"split into {len(sizes)} volumes")
        assert [v.grid.shape[0] for v in found] == sizes
        assert [v.name for v in found] == [
            f"3 THORAX part {n} of {len(sizes)}" for n in range(1, len(sizes) + 1)
        ]

    def test_rounded_positions_are_one_volume(self, tmp_path: Path) -> None:
        heights = [round(k * 0.6666, 1) for k in range(40)]
        (volume,) = read(tmp_path, axial(heights))
        assert volume.grid.spacing[0] == pytest.approx(0.6666, abs=1e-3)

    @given(
        st.lists(st.floats(0.5, 8), min_size=1, max_size=12),
        st.floats(-0.4, 0.4),
    )
    def test_runs_keep_every_plane_within_the_tolerance(
        self, gaps: list[float], shear: float
    ) -> None:
        heights = np.cumsum([0, *np.round(gaps, 1)])
        cosines = (1, 0, 0, 0, 1, 0)
        places = [geometry.Place.of((0, shear * z, z), cosines, (1, 1)) for z in heights]
        assert all(p is not None for p in places)
        found = geometry.runs([p for p in places if p])
        assert [i for run in found for i in run] == list(range(len(heights)))
        for run in found:
            if len(run) > 2:
                assert geometry.deviation(np.array([places[i].position for i in run])) <= 0.05

    def test_no_position_is_a_picture(self, tmp_path: Path) -> None:
        film = slice_of(ImagePositionPatient=None, ImageOrientationPatient=None, Modality="CR")
        (volume,) = [*io.read_all(save(tmp_path, [film]))]
        assert volume.grid.shape == SHAPE
        assert (volume.grid.spacing, volume.grid.unit) == ((0.8, 0.7), "mm")
        assert not volume.grid.anatomical


class TestGroups:
    def test_order_is_that_of_positions_not_of_numbers(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        for number, one in zip((4, 1, 5, 2, 3), made, strict=True):
            one.InstanceNumber = number
        (volume,) = read(tmp_path, made)
        assert volume.grid.shape[0] == 5
        assert volume.name == "3 THORAX"

    def test_no_instance_number(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        for one in made:
            del one.InstanceNumber
        assert shapes(read(tmp_path, made)) == [(5, *SHAPE)]

    def test_copies_count_once(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        found = read(tmp_path, [*made, made[1], made[3]], says="2 slices are there twice")
        assert shapes(found) == [(5, *SHAPE)]

    @pytest.mark.parametrize("element", ["SeriesInstanceUID", "SOPInstanceUID"])
    def test_blank_uids_are_no_copies(self, tmp_path: Path, element: str) -> None:
        made = axial(HEIGHTS)
        for number, one in enumerate(made):
            setattr(one, element, "")
            one.save_as(tmp_path / f"{number}.dcm")  # not enforced: blank is against the standard
        assert shapes(io.read_all(tmp_path)) == [(5, *SHAPE)]

    def test_one_uid_for_all_is_no_copy(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        for one in made:
            one.SOPInstanceUID = "1.2.3"
        assert shapes(read(tmp_path, made)) == [(5, *SHAPE)]

    def test_repeated_positions_are_time(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=t * 3 + k, AcquisitionTime=f"1000{t * 2:02}.5")
            for t in range(4)
            for k, z in enumerate((0, 3, 6))
        ]
        (volume,) = read(tmp_path, made)
        assert (volume.leading, volume.data.shape) == ("t", (4, 3, *SHAPE))
        assert volume.time_step == pytest.approx(2)
        for one in made:
            t, k = divmod(one.InstanceNumber, 3)
            np.testing.assert_array_equal(volume.data[t, k], one.pixel_array)

    def test_no_time_step_is_guessed(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=2 * t + z, RepetitionTime=4.1)
            for t in range(3)
            for z in (0, 1)
        ]
        (volume,) = read(tmp_path, made)
        assert volume.time_step is None

    def test_an_echo_planar_repetition_is_the_step(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=2 * t + z, RepetitionTime=2200, ScanningSequence="EP")
            for t in range(3)
            for z in (0, 1)
        ]
        assert read(tmp_path, made)[0].time_step == 2.2

    def test_a_time_point_that_lacks_a_slice(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=10 * t + z, TemporalPositionIdentifier=t)
            for t in (1, 2, 3)
            for z in range(5)
            if (t, z) != (2, 4)
        ]
        found = read(tmp_path, made, says="do not have the same slices")
        assert sorted(shapes(found)) == [(2, 5, *SHAPE), (4, *SHAPE)]

    def test_two_acquisitions_of_other_ranges(self, tmp_path: Path) -> None:
        first = axial([0, 5, 10, 15, 20], AcquisitionNumber=1)
        second = axial([15, 20, 25, 30], AcquisitionNumber=2)
        for one in second:
            one.InstanceNumber += 5
        found = read(tmp_path, [*first, *second], says="do not have the same slices")
        assert sorted(shapes(found)) == [(4, *SHAPE), (5, *SHAPE)]

    def test_acquisitions_between_each_other(self, tmp_path: Path) -> None:
        first = axial([0, 5, 10, 15], AcquisitionNumber=1, SliceThickness=5)
        second = axial([2.5, 7.5, 12.5, 17.5], AcquisitionNumber=2, SliceThickness=5)
        assert shapes(read(tmp_path, [*first, *second])) == [(4, *SHAPE)] * 2

    def test_odd_and_even_slices_are_one_volume(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, 3 * k), number=k, AcquisitionNumber=1 + k % 2, SpacingBetweenSlices=3)
            for k in range(6)
        ]
        assert shapes(read(tmp_path, made)) == [(6, *SHAPE)]

    def test_every_slice_an_acquisition(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        for number, one in enumerate(made):
            one.AcquisitionNumber = number
        assert shapes(read(tmp_path, made)) == [(5, *SHAPE)]

    def test_echoes(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=n, EchoTime=echo, SeriesDescription="GRE")
            for n, (echo, z) in enumerate((e, z) for e in (4.92, 7.38) for z in (0, 2, 4))
        ]
        found = read(tmp_path, made)
        assert shapes(found) == [(3, *SHAPE)] * 2
        assert {v.name for v in found} == {"3 GRE TE 4.92 ms", "3 GRE TE 7.38 ms"}

    def test_phase_stands_beside_magnitude(self, tmp_path: Path) -> None:
        made = [
            mr_slice((0, 0, z), number=z, ImageType=["ORIGINAL", "PRIMARY", kind, "ND"])
            for kind in "MP"
            for z in (0, 2)
        ]
        assert {v.name for v in read(tmp_path, made)} == {"3 THORAX magnitude", "3 THORAX phase"}

    def test_a_localizer_in_the_series(self, tmp_path: Path) -> None:
        scout = slice_of((0, -200, 300), orientation=(1, 0, 0, 0, 0, -1), number=99,
                         ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])  # fmt: skip
        found = read(tmp_path, [scout, *axial(HEIGHTS)])
        assert sorted(shapes(found)) == [(1, *SHAPE), (5, *SHAPE)]
        assert any(v.name.endswith("localizer") for v in found)

    def test_mixed_orientations_and_sizes(self, tmp_path: Path) -> None:
        coronal = [
            slice_of((0, 2 * k, 0), orientation=(1, 0, 0, 0, 0, -1), number=20 + k)
            for k in range(3)
        ]
        small = [
            slice_of((0, 0, k), pixels=np.full((3, 4), k, "<u2"), number=40 + k) for k in range(2)
        ]
        found = read(tmp_path, [*coronal, *axial(HEIGHTS), *small])
        assert sorted(shapes(found)) == [(2, 3, 4), (3, *SHAPE), (5, *SHAPE)]
        assert len({v.name for v in found}) == 3

    def test_series_in_folders_inside(self, tmp_path: Path) -> None:
        save(tmp_path / "a" / "b", axial(HEIGHTS[:3]))
        save(tmp_path / "c", axial(HEIGHTS[3:], SeriesNumber=3))
        other = axial([0, 1], SeriesInstanceUID="1.9", SeriesNumber=1, SeriesDescription="SCOUT")
        save(tmp_path / "a", other)
        found = io.read_all(tmp_path)
        assert [(v.name, v.data.shape[0]) for v in found] == [("1 SCOUT", 2), ("3 THORAX", 5)]

    def test_names_without_the_patient(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS, SeriesDescription="Doe, Jane CHEST PAT-4711")
        assert read(tmp_path, made)[0].name == "3 CHEST"

    def test_names_without_a_description(self, tmp_path: Path) -> None:
        assert read(tmp_path, axial(HEIGHTS, SeriesDescription=""))[0].name == "CT 3"


class TestValues:
    @pytest.mark.parametrize(
        ("dtype", "bits", "slope", "intercept", "expected"),
        [
            ("<u2", 12, 1, -1024, "int16"),
            ("<u2", 16, 1, -1024, "int32"),
            ("<u2", 16, 1, 0, "uint16"),
            ("<i2", 16, 1, 0, "int16"),
            ("<i2", 12, 2, 5, "int16"),
            ("<u1", 8, 1, 0, "uint8"),
            ("<i1", 8, 1, -100, "int16"),
            ("<u4", 32, 1, 0, "uint32"),
            ("<u2", 16, 0.25, -3.5, "float32"),
            ("<i4", 32, 0.1, 0, "float64"),
        ],
    )
    @pytest.mark.parametrize("lazy", [False, True])
    def test_types(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool,
        dtype: str, bits: int, slope: float, intercept: float, expected: str,
    ) -> None:  # fmt: skip
        signed = dtype[1] == "i"
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        random = np.random.default_rng(1)
        made = []
        for k in range(3):
            pixels = random.integers(low, high, SHAPE, endpoint=True).astype(dtype)
            pixels[0, :2] = low, high
            scaling = {"RescaleSlope": slope, "RescaleIntercept": intercept}
            depth = {"BitsStored": bits, "HighBit": bits - 1}
            made.append(slice_of((0, 0, k), pixels=pixels, number=k, **scaling, **depth))
        if lazy:
            monkeypatch.setattr("napari_monai.io.dicom.reader.memory_budget", lambda: 0)
        volume = io.read_all(save(tmp_path, made))[0]
        assert isinstance(volume.data, LazyArray) == lazy
        assert volume.dtype == np.dtype(expected)
        values = np.stack([m.pixel_array.astype(float) * slope + intercept for m in made])
        np.testing.assert_allclose(volume.numpy(), values, rtol=1e-7)
        np.testing.assert_array_equal(volume.data[1, 2:5, ::-2], volume.numpy()[1, 2:5, ::-2])

    def test_bits_that_do_not_count(self, tmp_path: Path) -> None:
        pixels = np.array([[0xF123, 0x0FFF]] * 2, "<u2")
        made = slice_of(pixels=pixels, BitsStored=12, HighBit=11, RescaleIntercept=0)
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        np.testing.assert_array_equal(volume.numpy()[0], [[0x123, 0xFFF]] * 2)

    def test_every_slice_its_own_rescale(self, tmp_path: Path) -> None:
        made = [slice_of((0, 0, k), number=k, RescaleSlope=0.1 + 0.03 * k) for k in range(4)]
        save(tmp_path, made)
        (volume,) = io.read_all(tmp_path)
        for k, one in enumerate(made):
            expected = one.pixel_array * float(one.RescaleSlope) - 1024
            np.testing.assert_allclose(volume.numpy()[k], expected, rtol=1e-6)

    def test_monochrome1_keeps_its_values(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS, PhotometricInterpretation="MONOCHROME1")
        (volume,) = read(tmp_path, made)
        assert volume.meta["inverted"] is True
        assert read(tmp_path / "other", axial(HEIGHTS))[0].meta["inverted"] is False

    @pytest.mark.parametrize("planar", [0, 1])
    def test_colour(self, tmp_path: Path, planar: int) -> None:
        colours = np.random.default_rng(2).integers(0, 256, (*SHAPE, 3)).astype("u1")
        stored = np.moveaxis(colours, -1, 0) if planar else colours
        made = slice_of(pixels=colours[..., 0], SamplesPerPixel=3, PlanarConfiguration=planar,
                        PhotometricInterpretation="RGB", PixelData=stored.tobytes())  # fmt: skip
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        assert (volume.rgb, volume.leading) == (True, "c")
        np.testing.assert_array_equal(volume.numpy()[:, 0], np.moveaxis(colours, -1, 0))

    def test_palette(self, tmp_path: Path) -> None:
        numbers = np.random.default_rng(3).integers(0, 4, SHAPE).astype("u1")
        table = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 10], [7, 8, 9]], "<u2") * 257
        made = slice_of(pixels=numbers, PhotometricInterpretation="PALETTE COLOR",
                        RescaleSlope=None, RescaleIntercept=None)  # fmt: skip
        for colour, column in zip(("Red", "Green", "Blue"), table.T, strict=True):
            setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
            setattr(made, f"{colour}PaletteColorLookupTableData", column.tobytes())
        path = save(tmp_path, [made]) / "000.dcm"
        volume = io.read(path)
        assert volume.rgb
        np.testing.assert_array_equal(
            volume.numpy()[:, 0], np.moveaxis((table // 257)[numbers], -1, 0)
        )
        found = io.read(path, labels=True)
        assert isinstance(found, LabelVolume)
        np.testing.assert_array_equal(found.numpy()[0], numbers)

    def test_a_table_of_real_values(self, tmp_path: Path) -> None:
        numbers = np.random.default_rng(6).integers(0, 4, SHAPE).astype("<u2")
        table = Dataset()
        table.LUTDescriptor, table.LUTData = [4, 0, 16], [5, 900, 7, 60000]
        table.ModalityLUTType = "US"
        made = slice_of(pixels=numbers, RescaleSlope=None, RescaleIntercept=None)
        made.ModalityLUTSequence = [table]
        made["ModalityLUTSequence"][0]["LUTData"].VR = "US"
        made["ModalityLUTSequence"][0]["LUTDescriptor"].VR = "US"
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        np.testing.assert_array_equal(volume.numpy()[0], np.array([5, 900, 7, 60000])[numbers])

    def test_a_film_in_time(self, tmp_path: Path) -> None:
        frames = np.random.default_rng(4).integers(0, 255, (5, *SHAPE)).astype("u1")
        made = slice_of(pixels=frames, NumberOfFrames=5, FrameTime=40, RescaleIntercept=0,
                        ImagePositionPatient=None, Modality="US")  # fmt: skip
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        assert (volume.leading, volume.time_step) == ("t", 0.04)
        np.testing.assert_array_equal(volume.numpy(), frames)

    def test_a_dose(self, tmp_path: Path) -> None:
        frames = np.random.default_rng(5).integers(0, 2**32, (4, *SHAPE)).astype("<u4")
        made = slice_of((1, 2, 3), pixels=frames, NumberOfFrames=4, DoseGridScaling=1e-6,
                        GridFrameOffsetVector=[0, 3, 6, 9], RescaleSlope=None,
                        RescaleIntercept=None)  # fmt: skip
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        assert volume.grid.spacing == pytest.approx((3, 0.8, 0.7))
        np.testing.assert_allclose(volume.numpy(), frames * 1e-6)


class TestFiles:
    @pytest.mark.parametrize("name", ["{:03}", "{:03}.IMA", "{:03}.dcm", "MR.1.2.{}", "{}.v2"])
    def test_any_name(self, tmp_path: Path, name: str) -> None:
        save(tmp_path, axial(HEIGHTS), name)
        assert shapes(io.read_all(tmp_path)) == [(5, *SHAPE)]
        assert io.read(tmp_path / name.format(0)).data.shape == (5, *SHAPE)

    @pytest.mark.parametrize("implicit", [False, True])
    def test_no_preamble(self, tmp_path: Path, implicit: bool) -> None:
        for number, one in enumerate(axial(HEIGHTS)):
            del one.file_meta
            pydicom.dcmwrite(tmp_path / str(number), one, implicit_vr=implicit, little_endian=True,
                             enforce_file_format=False)  # fmt: skip
        (volume,) = io.read_all(tmp_path)
        assert volume.data.shape == (5, *SHAPE)
        assert volume.dtype == np.int16

    def test_implicit_and_compressed_are_the_same(self, tmp_path: Path) -> None:
        made = axial(HEIGHTS)
        first = io.read_all(save(tmp_path / "a", made))[0]
        for folder, syntax in (("b", ImplicitVRLittleEndian), ("c", RLELossless)):
            for one in made:
                if syntax is RLELossless:
                    one.compress(RLELossless)
                else:
                    one.file_meta.TransferSyntaxUID = syntax
            other = io.read_all(save(tmp_path / folder, made))[0]
            assert other.grid == first.grid
            np.testing.assert_array_equal(other.numpy(), first.numpy())
            for one in made:
                one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian

    def test_one_file_is_its_series_and_not_the_others(self, tmp_path: Path) -> None:
        save(tmp_path, axial(HEIGHTS))
        save(tmp_path, axial([0, 1], SeriesInstanceUID="1.9", SeriesNumber=1), "b{}.dcm")
        assert shapes(io.read_all(tmp_path / "000.dcm")) == [(5, *SHAPE)]
        assert shapes(io.read_all(tmp_path / "b0.dcm")) == [(2, *SHAPE)]

    def test_one_file_gives_its_own_volume_first(self, tmp_path: Path) -> None:
        save(tmp_path, axial([0, 5, 20, 25, 30]))
        with pytest.warns(VolumeWarning, match="split into 2"):
            assert io.read(tmp_path / "000.dcm").data.shape[0] == 2
        with pytest.warns(VolumeWarning, match="split into 2"):
            assert io.read(tmp_path / "028.dcm").data.shape[0] == 3

    def test_a_zip(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "in" / "deep", axial(HEIGHTS))
        (folder / "notes.txt").write_text("hello")
        archive = shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "in")
        with pytest.warns(VolumeWarning, match=r"passed over notes\.txt \(no DICOM\)"):
            (zipped,) = io.read_all(archive)
        with pytest.warns(VolumeWarning, match=r"passed over notes\.txt"):
            (unzipped,) = io.read_all(folder)
        assert zipped.grid == unzipped.grid
        np.testing.assert_array_equal(zipped.numpy(), unzipped.numpy())

    def test_a_zip_bomb(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", bytes(codestream.RATIO_FROM + 1))
        with pytest.raises(ReadError, match="would unpack"):
            io.read(path)

    def test_a_zip_that_lies_of_its_size(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.dcm", b"hello")
        content = bytearray(path.read_bytes())
        at = content.index(b"PK\1\2")
        content[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(ReadError, match="would unpack"):
            io.read(path)

    def test_too_many_members(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "_MOST_MEMBERS", 3)
        save(tmp_path / "in", axial(HEIGHTS))
        archive = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
        with pytest.raises(ReadError, match="has 5 members: unpack it"):
            io.read(archive)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def without_pixels(path: Path) -> None:
    made = pydicom.dcmread(path)
    del made.PixelData
    made.save_as(path)


def absurd(path: Path) -> None:
    made = pydicom.dcmread(path)
    made.Rows = made.Columns = 30000
    made.save_as(path)


def garbage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200] + os.urandom(300))


class TestDamage:
    @pytest.mark.parametrize("damage", [truncated, without_pixels, absurd, garbage])
    def test_a_bad_slice_splits_and_is_said(
        self, tmp_path: Path, damage: Callable[[Path], None]
    ) -> None:
        save(tmp_path, axial([0, 1, 2, 3, 4, 5]), "{:03}")
        damage(tmp_path / "014")  # the third
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = io.read_all(tmp_path)
        said = "\n".join(str(w.message) for w in caught)
        assert "014" in said
        assert "split into 2 volumes of 2 + 3" in said
        assert shapes(found) == [(2, *SHAPE), (3, *SHAPE)]

    def test_a_slice_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        made = axial([0, 1, 2, 3, 4, 5])
        for one in made:
            one.compress(RLELossless)
        made[2].PixelData = made[2].PixelData[:16] + bytes(len(made[2].PixelData) - 16)
        save(tmp_path, made)
        with pytest.warns(VolumeWarning) as caught:
            found = io.read_all(tmp_path)
        said = "\n".join(str(w.message) for w in caught)
        assert "014.dcm (cannot be decoded)" in said
        assert shapes(found) == [(2, *SHAPE), (3, *SHAPE)]

    @pytest.mark.parametrize(
        ("syntax", "cure"), [(HTJ2KLossless, "save it uncompressed"), (MPEG2MPML, "not read")]
    )
    def test_a_compression_that_is_not_read(self, tmp_path: Path, syntax: Any, cure: str) -> None:
        one = slice_of()
        one.compress(RLELossless)
        one.file_meta.TransferSyntaxUID = syntax
        save(tmp_path, [one])
        with pytest.raises(ReadError, match=cure) as caught:
            io.read(tmp_path / "000.dcm")
        assert "\n" not in str(caught.value)

    def test_a_missing_decoder_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
    ) -> None:
        from pydicom.pixels.decoders import JPEGLSLosslessDecoder as Decoder

        monkeypatch.setattr(Decoder, "_available", {})
        monkeypatch.setattr(Decoder, "_unavailable", {"gdcm": ("gdcm>=3.0.10",)})
        folder = shared_data / "dicom" / "compressed_jpegls"
        with pytest.raises(ReadError, match=r'pip install "napari-monai\[codecs\]"'):
            io.read(folder / "IM-0001-0001-0001.dcm")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_what_else_is_in_a_folder(self, tmp_path: Path) -> None:
        save(tmp_path, axial(HEIGHTS))
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / "empty").write_bytes(b"")
        os.mkfifo(tmp_path / "pipe")
        os.mkfifo(tmp_path / "pipe.dcm")
        (tmp_path / "loop").symlink_to(tmp_path)
        (tmp_path / "itself").symlink_to(tmp_path / "itself")
        (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
        with pytest.warns(VolumeWarning) as caught:
            found = io.read_all(tmp_path)
        assert shapes(found) == [(5, *SHAPE)]
        (said,) = {str(w.message) for w in caught}
        for name in ("notes.txt", "empty", "pipe", "pipe.dcm", "loop", "itself", "nowhere"):
            assert name in said

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_beside_a_file(self, tmp_path: Path) -> None:
        save(tmp_path, axial(HEIGHTS))
        os.mkfifo(tmp_path / "pipe")
        assert io.read(tmp_path / "000.dcm").data.shape == (5, *SHAPE)

    def test_nothing_but_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.dcm").write_text("hello " * 100)
        with pytest.raises(ReadError, match="holds no DICOM image"):
            io.read(tmp_path / "a.dcm")

    @settings(max_examples=300)
    @given(st.data())
    def test_damaged_anywhere(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        path = folder / "a.dcm"
        save(folder, [slice_of(SOPInstanceUID="1.2.3")], "a.dcm")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 5))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VolumeWarning)
            said = ""
            try:
                volume = io.read(path)
                assert volume.nbytes < 2**20
                volume.numpy()
            except ReadError as error:
                said = str(error)
        assert "\n" not in said
        assert NAME not in said


class TestSiemens:
    TAGS: ClassVar = {"EchoLinePosition": ["31", "", "7"], "SliceNormalVector": ["0", "-0.5", "1"]}

    @pytest.mark.parametrize("second", [True, False])
    def test_both_kinds_of_header(self, second: bool) -> None:
        found = csa.parse(csa_header(second, self.TAGS))
        assert found["EchoLinePosition"] == ("31", "7")
        assert found["SliceNormalVector"] == ("0", "-0.5", "1")

    @pytest.mark.parametrize("content", [b"", b"SV10", bytes(40), b"\xff" * 400, b"<xml>" * 60])
    def test_no_header(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="CSA header"):
            csa.parse(content)

    def test_truncated(self) -> None:
        content = csa_header(True, self.TAGS)
        for size in range(len(content) - 4):
            with pytest.raises(ValueError, match="CSA header"):
                csa.parse(content[:size])

    @pytest.mark.parametrize("sign", [1, -1])
    def test_slices_follow_the_header(self, tmp_path: Path, sign: int) -> None:
        tiles = np.arange(9 * 6 * 5).reshape(9, 6, 5).astype("<u2")
        tiles[7:] = 0
        sheet = tiles.reshape(3, 3, 6, 5).transpose(0, 2, 1, 3).reshape(18, 15)
        kind = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
        made = mr_slice((-10, -20, 30), pixels=sheet, ImageType=kind, SpacingBetweenSlices=4)
        vector = ["0.00000000", "0.00000000", f"{sign:.8f}"]
        block = made.private_block(0x29, "SIEMENS CSA HEADER", create=True)
        tags = {"NumberOfImagesInMosaic": ["7"], "SliceNormalVector": vector}
        block.add_new(0x10, "OB", csa_header(True, tags))
        volume = io.read(save(tmp_path, [made]) / "000.dcm")
        assert volume.grid.shape == (7, 6, 5)
        # The first slice's corner: that of the sheet, moved by half of what is more than a tile.
        lps = np.array([-10 + 0.7 * 5, -20 + 0.8 * 6, 30])
        for k in range(7):
            where = (lps + (0, 0, sign * 4 * k)) * (-1, -1, 1)
            index = volume.grid.world_to_index(where)
            np.testing.assert_allclose(index[1:], 0, atol=1e-9)
            np.testing.assert_array_equal(volume.numpy()[round(float(index[0]))], tiles[k])


BUNDLED = {
    "grey": ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm",
             "MR_small_implicit.dcm", "MR_small_padded.dcm", "MR_small_RLE.dcm",
             "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "693_J2KI.dcm",
             "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm", "image_dfl.dcm", "liver_1frame.dcm"],
    "colour": ["SC_rgb_rle.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_jpeg.dcm", "ExplVR_BigEnd.dcm",
               "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_small_odd.dcm"],
    "nothing": ["rtplan.dcm", "rtstruct.dcm", "test-SR.dcm", "waveform_ecg.dcm", "MR_truncated.dcm",
                "no_meta.dcm", "reportsi.dcm"],
}  # fmt: skip


def bundled(name: str) -> Path:
    """Return a test file that comes with pydicom."""
    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"this pydicom comes without {name}")
    return Path(found)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
class TestBundled:
    @pytest.mark.parametrize("name", BUNDLED["grey"])
    def test_grey(self, tmp_path: Path, name: str) -> None:
        made = pydicom.dcmread(shutil.copy(bundled(name), tmp_path))
        values = made.pixel_array * float(made.get("RescaleSlope", 1))
        values = values + float(made.get("RescaleIntercept", 0))
        (volume,) = io.read_all(tmp_path)
        np.testing.assert_array_equal(volume.numpy().squeeze(), values.squeeze())

    @pytest.mark.parametrize("name", BUNDLED["colour"])
    def test_colour(self, tmp_path: Path, name: str) -> None:
        made = pydicom.dcmread(shutil.copy(bundled(name), tmp_path))
        (volume,) = io.read_all(tmp_path)
        assert volume.rgb
        values = pixel_array(made)  # YBR becomes RGB
        np.testing.assert_array_equal(volume.numpy(), np.moveaxis(values, -1, 0))

    @pytest.mark.parametrize("name", BUNDLED["nothing"])
    def test_nothing_to_see(self, tmp_path: Path, name: str) -> None:
        path = Path(shutil.copy(bundled(name), tmp_path))
        with pytest.raises(ReadError, match="holds no DICOM image") as caught:
            io.read(path)
        assert "\n" not in str(caught.value)


def test_a_folder_stands_for_each_series_once(tmp_path: Path) -> None:
    save(tmp_path / "a", axial(HEIGHTS))
    save(tmp_path / "b", axial(HEIGHTS, SeriesInstanceUID=generate_uid()))
    assert list(io.images_in(tmp_path)) == [tmp_path / "a" / "000.dcm", tmp_path / "b" / "000.dcm"]
    assert list(io.images_in(tmp_path, series=False)) == []


def test_written_and_read_again(tmp_path: Path) -> None:
    made = axial(HEIGHTS, ImageOrientationPatient=[1, 0, 0, 0, 0.9483237, -0.3173047])
    (volume,) = io.read_all(save(tmp_path / "in", made))
    io.write(tmp_path / "a.nii.gz", volume)
    found = io.read(tmp_path / "a.nii.gz")
    corner = found.grid.index_to_world((4, 5, 4))
    np.testing.assert_allclose(corner, world(made[4], 5, 4), atol=1e-4)
    np.testing.assert_array_equal(found.numpy(), volume.numpy())
