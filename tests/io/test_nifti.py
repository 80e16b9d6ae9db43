"""NIfTI against nibabel: voxels, affines and headers, and every quirk that was met."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from napari_monai import io
from napari_monai.errors import FormatError, ReadError, VolumeWarning
from napari_monai.grid import Grid
from napari_monai.io import files, nifti
from napari_monai.io.lazy import LazyArray
from napari_monai.volume import LabelVolume, Volume

# A tilted, sheared patient, exact in 32 bits.
AFFINE = np.array([[-1.5, 0.25, 0, 90], [0.25, 2, -0.5, -126], [0, 0.5, 3, -72], [0, 0, 0, 1.0]])
SHAPE = (5, 6, 7)
KINDS = {"1": nib.Nifti1Image, "2": nib.Nifti2Image}


def voxels(shape: tuple[int, ...] = SHAPE, dtype: str = "<i2") -> npt.NDArray[Any]:
    array = np.random.default_rng(3).uniform(0, 100, shape)
    return array.astype(dtype)


def image(
    array: npt.NDArray[Any] | None = None,
    affine: npt.NDArray[np.float64] | None = AFFINE,
    kind: str = "1",
    order: str = "<",
) -> Any:
    array = voxels() if array is None else array
    header = KINDS[kind].header_class(endianness=order)
    header.set_data_dtype(array.dtype)
    return KINDS[kind](array, affine, header, dtype=array.dtype)


def saved(path: Path, made: Any, **fields: Any) -> Path:
    """Save an image, with header fields set behind nibabel's back."""
    nib.save(made, path)
    if not fields:
        return path
    content = bytearray(path.read_bytes())
    size = made.header.sizeof_hdr
    header = type(made.header)(bytes(content[:size]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:size] = header.binaryblock
    path.write_bytes(content)
    return path


def assert_as_nibabel(path: Path, other: Path) -> None:
    """Check that two files are the same to nibabel, to the bit."""
    one, two = nib.load(other), nib.load(path)
    assert type(two) is type(one)
    assert two.shape == one.shape
    assert two.get_data_dtype() == one.get_data_dtype()
    assert two.affine.tobytes() == one.affine.tobytes()
    assert np.asanyarray(two.dataobj).tobytes() == np.asanyarray(one.dataobj).tobytes()


class TestConverting:
    @pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
    def test_every_type_and_byte_order(
        self, tmp_path: Path, dtype: str, kind: str, order: str, extension: str
    ) -> None:
        source = saved(
            tmp_path / f"a{extension}", image(voxels(dtype=order + dtype), kind=kind, order=order)
        )
        volume = io.read(source)
        original = nib.load(source)
        assert volume.dtype == original.get_data_dtype()
        assert volume.grid.affine.tobytes() == original.affine.tobytes()
        np.testing.assert_array_equal(volume.numpy(), np.asanyarray(original.dataobj))
        io.write(tmp_path / "b.nii", volume)
        io.write(tmp_path / "b.nii.gz", volume)
        assert_as_nibabel(tmp_path / "b.nii", source)
        assert_as_nibabel(tmp_path / "b.nii.gz", source)
        assert nib.load(tmp_path / "b.nii").header.endianness == order

    @pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u2", "<i4"])
    @pytest.mark.parametrize(("slope", "inter"), [(0.1, 0), (2, -1024), (1, 5), (-3.3, 1e4)])
    def test_scaled_voxels_are_stored_as_they_were(
        self, tmp_path: Path, dtype: str, slope: float, inter: float
    ) -> None:
        made = image(voxels(dtype=dtype), order=">" if dtype[0] == ">" else "<")
        source = saved(tmp_path / "a.nii", made, scl_slope=slope, scl_inter=inter)
        volume = io.read(source)
        expected = np.asanyarray(nib.load(source).dataobj)
        assert volume.dtype == expected.dtype
        assert volume.numpy().tobytes() == expected.tobytes()
        io.write(tmp_path / "b.nii", volume)
        assert_as_nibabel(tmp_path / "b.nii", source)
        one, two = (nib.load(tmp_path / f"{n}.nii").dataobj for n in "ab")
        assert (one.slope, one.inter) == (two.slope, two.inter)
        np.testing.assert_array_equal(one.get_unscaled(), two.get_unscaled())

    def test_changed_voxels_are_exact_where_slope_and_intercept_no_longer_fit(
        self, tmp_path: Path
    ) -> None:
        source = saved(tmp_path / "a.nii", image(), scl_slope=2.0, scl_inter=0.0)
        volume = io.read(source)
        array = volume.numpy() + 0.3
        io.write(tmp_path / "b.nii", Volume(array, volume.grid, meta=volume.meta))
        found = nib.load(tmp_path / "b.nii")
        np.testing.assert_array_equal(np.asanyarray(found.dataobj), array)
        np.testing.assert_array_equal(found.affine, AFFINE)

    def test_the_header_is_kept(self, tmp_path: Path) -> None:
        made = image()
        made.header["descrip"] = b"a scan"
        made.header["cal_max"] = 88
        made.header.set_intent("t test", (9,), name="motor")
        made.header.set_dim_info(0, 1, 2)
        made.header.set_xyzt_units("micron", "msec")
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"hello"))
        source = saved(tmp_path / "a.nii", made)
        io.write(tmp_path / "b.nii", io.read(source))
        assert (tmp_path / "b.nii").read_bytes() == source.read_bytes()

    @pytest.mark.parametrize(
        "shape",
        [(6, 5), (6, 5, 1), (6, 5, 4, 1), (6, 5, 1, 3), (6, 5, 4, 1, 3), (6, 5, 4, 2, 3),
         (6, 1, 1), (7,), (1, 1, 1, 1, 1)],
        ids=str,
    )  # fmt: skip
    def test_axes_of_one_voxel_stay(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        source = saved(tmp_path / "a.nii", image(voxels(shape)))
        io.write(tmp_path / "b.nii", io.read(source))
        assert_as_nibabel(tmp_path / "b.nii", source)

    @pytest.mark.parametrize("letters", ["RGB", "RGBA"])
    def test_colour(self, tmp_path: Path, letters: str) -> None:
        plain = voxels((*SHAPE, len(letters)), "u1")
        colour = np.ascontiguousarray(plain).view([(c, "u1") for c in letters])[..., 0]
        source = saved(tmp_path / "a.nii.gz", image(colour))
        volume = io.read(source)
        assert (volume.rgb, volume.leading, volume.grid.shape) == (True, "c", SHAPE)
        np.testing.assert_array_equal(np.moveaxis(volume.numpy(), 0, -1), plain)
        io.write(tmp_path / "b.nii", volume)
        assert_as_nibabel(tmp_path / "b.nii", source)


class TestReading:
    @pytest.mark.parametrize(
        ("shape", "leading", "ours"),
        [
            ((5, 6), "", (5, 6)),
            ((5, 6, 7), "", (5, 6, 7)),
            ((5, 6, 7, 4), "t", (4, 5, 6, 7)),
            ((5, 6, 7, 1, 3), "c", (3, 5, 6, 7)),
            ((5, 6, 7, 4, 3), "tc", (4, 3, 5, 6, 7)),
            ((5, 6, 7, 1), "", (5, 6, 7)),
            ((9,), "", (9, 1)),
        ],
        ids=str,
    )
    def test_axes(
        self, tmp_path: Path, shape: tuple[int, ...], leading: str, ours: tuple[int, ...]
    ) -> None:
        array = voxels(shape)
        volume = io.read(saved(tmp_path / "a.nii", image(array)))
        assert (volume.leading, tuple(volume.data.shape)) == (leading, ours)
        index = tuple(n - 1 for n in ours)
        lead, place = index[: len(leading)], index[len(leading) :]
        there = (*place, *((0,) if leading == "c" else ()), *lead)
        expected = array[tuple(there[: array.ndim])]
        assert volume.numpy()[index] == expected

    def test_more_than_time_and_channels(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.nii", image(voxels((2, 2, 2, 2, 2, 2))))
        with pytest.raises(ReadError, match="more than space, time and channels"):
            io.read(path)

    @pytest.mark.parametrize(
        ("unit", "ours"), [("mm", "mm"), ("micron", "µm"), ("meter", "m"), ("unknown", "mm")]
    )
    def test_units(self, tmp_path: Path, unit: str, ours: str) -> None:
        made = image()
        made.header.set_xyzt_units(unit)
        grid = io.read(saved(tmp_path / "a.nii", made)).grid
        assert grid.unit == ours
        np.testing.assert_array_equal(grid.affine, AFFINE)

    @pytest.mark.parametrize("code", [5, 63, 7])
    def test_units_that_do_not_exist(self, tmp_path: Path, code: int) -> None:
        path = saved(tmp_path / "a.nii", image(), xyzt_units=code)
        assert io.read(path).grid.unit == "mm"

    @pytest.mark.parametrize(
        ("unit", "seconds"),
        [("sec", 2.5), ("msec", 0.0025), ("usec", 2.5e-6), ("hz", None), ("unknown", 2.5)],
    )
    def test_time(self, tmp_path: Path, unit: str, seconds: float | None) -> None:
        made = image(voxels((5, 6, 7, 4)))
        made.header.set_zooms((1, 1, 1, 2.5))
        made.header.set_xyzt_units("mm", unit)
        assert io.read(saved(tmp_path / "a.nii", made)).time_step == pytest.approx(seconds)

    @pytest.mark.parametrize(
        ("sform", "qform", "wins", "anatomical"),
        [
            (2, 1, "sform", True),
            (0, 1, "qform", True),
            (4, 0, "sform", True),
            (0, 0, "neither", False),
        ],
    )
    def test_sform_before_qform(
        self, tmp_path: Path, sform: int, qform: int, wins: str, anatomical: bool
    ) -> None:
        made = image()
        made.set_qform(np.diag([2.0, 3, 4, 1]), qform)
        made.set_sform(AFFINE, sform)
        path = saved(tmp_path / "a.nii", made)
        grid = io.read(path).grid
        assert grid.affine.tobytes() == nib.load(path).affine.tobytes()
        expected = {"sform": AFFINE, "qform": np.diag([2.0, 3, 4, 1])}.get(wins)
        if expected is not None:
            np.testing.assert_array_equal(grid.affine, expected)
        assert grid.anatomical == anatomical

    @pytest.mark.parametrize("slope", [0, np.nan, np.inf])
    def test_a_slope_without_meaning(self, tmp_path: Path, slope: float) -> None:
        path = saved(tmp_path / "a.nii", image(), scl_slope=slope, scl_inter=7)
        volume = io.read(path)
        assert volume.dtype == np.int16
        np.testing.assert_array_equal(volume.numpy(), voxels())

    def test_an_intercept_without_meaning(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.nii", image(), scl_slope=2, scl_inter=np.nan)
        np.testing.assert_array_equal(io.read(path).numpy(), voxels() * 2.0)

    @pytest.mark.parametrize(
        "row",
        [[np.nan, 0, 0, 0], [0, 0, 0, 0], [0, 3, 0, 5], [np.inf, 0, 0, 0]],
        ids=["nan", "zeros", "singular", "infinite"],
    )
    def test_a_broken_affine_is_said(self, tmp_path: Path, row: list[float]) -> None:
        made = image(affine=np.diag([2.0, 3, 4, 1]))
        path = saved(tmp_path / "a.nii", made, srow_x=row)
        with pytest.warns(VolumeWarning, match=r"a\.nii: its affine .*\(2\.0, 3\.0, 4\.0\) mm"):
            volume = io.read(path)
        assert volume.grid.spacing == (2, 3, 4)
        assert not volume.grid.anatomical
        io.write(tmp_path / "b.nii", volume)
        assert io.read(tmp_path / "b.nii").grid == volume.grid

    def test_voxel_sizes_without_meaning(self, tmp_path: Path) -> None:
        path = saved(
            tmp_path / "a.nii",
            image(),
            srow_x=[0, 0, 0, 0],
            pixdim=[1, 0, -3, np.nan, 0, 0, 0, 0],
        )
        with pytest.warns(VolumeWarning):
            assert io.read(path).grid.spacing == (1, 3, 1)

    def test_complex_numbers(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match="magnitude and phase"):
            io.read(saved(tmp_path / "a.nii", image(voxels(dtype="c8"))))

    @pytest.mark.parametrize(("name", "compressed"), [("a.nii", True), ("a.nii.gz", False)])
    def test_a_wrong_name_for_the_compression(
        self, tmp_path: Path, name: str, compressed: bool
    ) -> None:
        source = saved(tmp_path / "b.nii", image())
        content = source.read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(content) if compressed else content)
        np.testing.assert_array_equal(io.read(tmp_path / name).numpy(), voxels())

    def test_what_nibabel_logs_stays_inside(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = saved(tmp_path / "a.nii", image(), pixdim=[0, -2, 2, 2, 1, 1, 1, 1])
        io.read(path)
        assert capfd.readouterr() == ("", "")


class TestPairs:
    @pytest.mark.parametrize("opened", ["a.hdr", "a.img"])
    def test_nifti(self, tmp_path: Path, opened: str) -> None:
        nib.save(nib.Nifti1Pair(voxels(), AFFINE), tmp_path / "a.img")
        volume = io.read(tmp_path / opened)
        np.testing.assert_array_equal(volume.numpy(), voxels())
        assert volume.grid == Grid(SHAPE, AFFINE)
        assert [v.name for v in io.read_all(tmp_path)] == ["a"]
        io.write(tmp_path / "b.nii", volume)
        found = nib.load(tmp_path / "b.nii")
        assert found.affine.tobytes() == AFFINE.tobytes()
        np.testing.assert_array_equal(np.asanyarray(found.dataobj), voxels())

    def test_analyze_does_not_say_where_the_patient_lies(self, tmp_path: Path) -> None:
        made = nib.AnalyzeImage(voxels(), None)
        made.header.set_zooms((2, 3, 4))
        nib.save(made, tmp_path / "a.hdr")
        volume = io.read(tmp_path / "a.hdr")
        assert not volume.grid.anatomical
        assert volume.grid.spacing == (2, 3, 4)
        np.testing.assert_array_equal(volume.numpy(), voxels())
        io.write(tmp_path / "b.nii", volume)
        assert io.read(tmp_path / "b.nii").grid == volume.grid

    def test_a_lonely_header(self, tmp_path: Path) -> None:
        nib.save(nib.Nifti1Pair(voxels(), AFFINE), tmp_path / "a.img")
        (tmp_path / "a.img").unlink()
        with pytest.raises(ReadError, match=r"a\.hdr cannot be read"):
            io.read(tmp_path / "a.hdr")
        (tmp_path / "a.hdr").rename(tmp_path / "a.nii")
        with pytest.raises(ReadError, match=r"pair of files: name it \.hdr"):
            io.read(tmp_path / "a.nii")


class TestLabels:
    @pytest.mark.parametrize("dtype", ["u1", "<i4", ">u2", "<i8", "?"])
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_geometry_of_the_image(self, tmp_path: Path, kind: str, order: str, dtype: str) -> None:
        made = image(voxels(dtype=order + "i2"), kind=kind, order=order)
        made.set_qform(np.diag([1.0, 2, 3, 1]), 1)
        made.header["descrip"] = b"a scan"
        made.header.set_xyzt_units("mm", "sec")
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a name"))
        source = saved(tmp_path / "a.nii", made, scl_slope=0.5, scl_inter=-3)
        volume = io.read(source)
        numbers = (voxels() % 3).astype(dtype)
        io.write(tmp_path / "b.nii", LabelVolume(numbers, volume.grid, meta=volume.meta))
        one, two = nib.load(source), nib.load(tmp_path / "b.nii")
        assert type(two) is type(one)
        np.testing.assert_array_equal(np.asanyarray(two.dataobj), numbers)
        assert np.asanyarray(two.dataobj).dtype.kind in "iu"
        assert (two.dataobj.slope, two.dataobj.inter) == (1, 0)
        assert len(two.header.extensions) == 0
        same = {k for k in one.header.keys() if one.header[k].tobytes() == two.header[k].tobytes()}  # noqa: SIM118
        assert set(one.header.keys()) - same <= {"datatype", "bitpix", "vox_offset"}
        assert two.header.endianness == order

    def test_of_one_time_point(self, tmp_path: Path) -> None:
        volume = io.read(saved(tmp_path / "a.nii", image(voxels((5, 6, 7, 4))))).at_time(2)
        numbers = np.ones(SHAPE, np.uint8)
        io.write(tmp_path / "b.nii.gz", LabelVolume(numbers, volume.grid, meta=volume.meta))
        found = nib.load(tmp_path / "b.nii.gz")
        assert found.shape == SHAPE
        assert found.affine.tobytes() == AFFINE.tobytes()

    def test_of_a_cropped_image(self, tmp_path: Path) -> None:
        volume = io.read(saved(tmp_path / "a.nii", image()))
        grid = volume.grid.crop((1, 2, 3), (2, 2, 2))
        io.write(tmp_path / "b.nii", LabelVolume(np.ones((2, 2, 2), "u1"), grid, meta=volume.meta))
        expected = image().slicer[1:3, 2:4, 3:5]
        np.testing.assert_array_equal(nib.load(tmp_path / "b.nii").affine, expected.affine)

    def test_numbers_beyond_32_bits(self, tmp_path: Path) -> None:
        numbers = np.array([[0, 2**40]])
        io.write(tmp_path / "a.nii", LabelVolume(numbers, Grid.from_spacing((1, 2))))
        np.testing.assert_array_equal(io.read(tmp_path / "a.nii").numpy().T, numbers)


class TestWritingOtherVolumes:
    def test_a_stack_has_x_first_and_its_unit(self, tmp_path: Path) -> None:
        array = voxels((4, 5, 6))
        grid = Grid.from_spacing((4, 5, 6), (2, 0.5, 0.25), unit="µm", origin=(10, 20, 30))
        io.write(tmp_path / "a.nii", Volume(array, grid))
        found = nib.load(tmp_path / "a.nii")
        assert found.shape == (6, 5, 4)
        assert found.header.get_xyzt_units() == ("micron", "unknown")
        assert found.header.get_zooms() == (0.25, 0.5, 2)
        assert nib.aff2axcodes(found.affine) == ("L", "P", "I")
        for index in ((0, 0, 0), (3, 2, 1)):
            np.testing.assert_allclose(
                found.affine @ (*index[::-1], 1), (*grid.index_to_world(index), 1)
            )
            assert np.asanyarray(found.dataobj)[index[::-1]] == array[index]

    def test_a_patient_keeps_the_order_of_axes(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.nii", Volume(voxels(), Grid(SHAPE, AFFINE)))
        found = nib.load(tmp_path / "a.nii")
        np.testing.assert_array_equal(np.asanyarray(found.dataobj), voxels())
        np.testing.assert_array_equal(found.affine, AFFINE)
        assert (found.header["sform_code"], found.header["qform_code"]) == (1, 0)  # a shear

    def test_both_forms_agree_without_a_shear(self, tmp_path: Path) -> None:
        io.write(tmp_path / "a.nii", Volume(voxels(), Grid(SHAPE, np.diag([2.0, 3, 4, 1]))))
        header = nib.load(tmp_path / "a.nii").header
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-6)
        assert (header["sform_code"], header["qform_code"]) == (1, 1)

    def test_an_axis_too_long_for_nifti_1(self, tmp_path: Path) -> None:
        array = np.zeros((2, 40000), np.uint8)
        array[1, 39999] = 9
        io.write(tmp_path / "a.nii", Volume(array, Grid.from_spacing(array.shape)))
        found = nib.load(tmp_path / "a.nii")
        assert isinstance(found, nib.Nifti2Image)
        assert np.asanyarray(found.dataobj)[39999, 1] == 9

    def test_channels_are_a_vector(self, tmp_path: Path) -> None:
        volume = Volume(voxels((3, 4, 5, 6)), Grid.from_spacing((4, 5, 6)), "c")
        io.write(tmp_path / "a.nii", volume)
        found = nib.load(tmp_path / "a.nii")
        assert found.shape == (6, 5, 4, 1, 3)
        assert found.header.get_intent()[0] == "vector"

    def test_numbers_that_nifti_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError, match="NIfTI holds no complex128 voxels"):
            io.write(tmp_path / "a.nii", Volume(voxels(dtype="c16"), Grid(SHAPE, AFFINE)))


class TestDamage:
    @pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
    def test_more_voxels_than_the_file_can_hold(self, tmp_path: Path, extension: str) -> None:
        made = image(np.zeros((30, 30, 30), np.uint8))
        path = tmp_path / f"a{extension}"
        content = bytearray(made.to_bytes())
        content[40:48] = np.array([3, 30000, 30000, 30000], "<i2").tobytes()
        path.write_bytes(gzip.compress(content) if extension == ".nii.gz" else content)
        with pytest.raises(ReadError, match=r"promises 27000000000\d+ bytes of voxels"):
            io.read(path)

    @pytest.mark.parametrize("offset", [1e30, 1e9, -5, 3])
    def test_voxels_that_start_nowhere(self, tmp_path: Path, offset: float) -> None:
        path = saved(tmp_path / "a.nii", image(), vox_offset=offset)
        with pytest.raises(ReadError):
            io.read(path)

    def test_a_checksum_that_does_not_fit(self, tmp_path: Path) -> None:
        content = bytearray(gzip.compress(image().to_bytes()))
        content[-6] ^= 1
        (tmp_path / "a.nii.gz").write_bytes(content)
        with pytest.raises(ReadError, match="CRC"):
            io.read(tmp_path / "a.nii.gz")

    def test_far_more_than_the_header_promises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nifti, "LAZY_FROM", 1000)
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress(image().to_bytes() + bytes(900)))
        np.testing.assert_array_equal(io.read(path).numpy(), voxels())
        path.write_bytes(gzip.compress(image().to_bytes() + bytes(10**6)))
        with pytest.raises(ReadError, match="holds far more than the voxels"):
            io.read(path)

    def test_no_voxels(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError):
            io.read(saved(tmp_path / "a.nii", image(), dim=[3, 5, 0, 7, 1, 1, 1, 1]))

    def test_a_type_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match=r"a\.nii"):
            io.read(saved(tmp_path / "a.nii", image(), datatype=77))


class TestLarge:
    def test_nii_is_mapped(self, tmp_path: Path) -> None:
        volume = io.read(saved(tmp_path / "a.nii", image(voxels((5, 6, 7, 4)))))
        assert isinstance(volume.data, np.memmap)
        assert isinstance(volume.at_time(1).data, np.memmap)

    def test_writing_into_what_was_read_spares_the_file(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.nii", image())
        before = path.read_bytes()
        io.read(path).numpy()[...] = 0
        assert path.read_bytes() == before

    @pytest.mark.skipif(sys.platform != "linux", reason="sparse files, /proc")
    def test_three_gigabytes_in_little_memory(self, tmp_path: Path) -> None:
        header = nib.Nifti1Header()
        header.set_data_shape((1000, 1000, 1500))
        header.set_data_dtype(np.int16)
        header.set_sform(np.eye(4), 1)
        path = tmp_path / "a.nii"
        for slope in (1.0, 0.5):
            header.set_slope_inter(slope, 0)
            with path.open("wb") as file:
                header.write_to(file)
                file.truncate(352 + 2 * 1000 * 1000 * 1500)
            code = (
                "import sys; from napari_monai import io; import numpy as np;"
                "v = io.read(sys.argv[1]); assert v.data[:, :, 700].max() == 0;"
                "assert v.data[500, ..., -1].shape == (1000,);"
                'print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])'
            )
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)], check=True, capture_output=True
            )
            assert int(done.stdout) < 300_000  # kB

    def test_scaled_voxels_are_scaled_when_they_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = saved(tmp_path / "a.nii", image(), scl_slope=0.1, scl_inter=3)
        expected = np.asanyarray(nib.load(path).dataobj)
        monkeypatch.setattr(nifti, "LAZY_FROM", 0)
        volume = io.read(path)
        assert isinstance(volume.data, LazyArray)
        assert volume.dtype == expected.dtype
        assert volume.data[2, ::-1, 3:].tobytes() == expected[2, ::-1, 3:].tobytes()
        io.write(tmp_path / "b.nii", volume)
        assert_as_nibabel(tmp_path / "b.nii", path)

    def test_gz_beyond_the_memory_goes_to_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = saved(tmp_path / "a.nii.gz", image(voxels((5, 6, 7, 4))))
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        monkeypatch.setattr(nifti, "memory_budget", lambda: 0)
        volume = io.read(path)
        assert isinstance(volume.data, np.memmap)
        np.testing.assert_array_equal(volume.numpy(), np.moveaxis(voxels((5, 6, 7, 4)), -1, 0))
        assert os.listdir(scratch) == []

    def test_a_truncated_gz_beyond_the_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = saved(tmp_path / "a.nii.gz", image())
        path.write_bytes(path.read_bytes()[:-50])
        monkeypatch.setattr(nifti, "memory_budget", lambda: 0)
        with pytest.raises(ReadError, match=r"is truncated\. Copy it"):
            io.read(path)

    def test_no_room_to_unpack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = saved(tmp_path / "a.nii.gz", image())
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        monkeypatch.setattr(nifti, "memory_budget", lambda: 0)
        with pytest.raises(ReadError, match="TMPDIR"):
            io.read(path)

    def test_maps_that_are_only_read_beyond_the_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "memory_budget", lambda: 100)
        assert files.map_mode(100) == "c"
        assert files.map_mode(101) == "r"


def test_real_files_are_exact(shared_data: Path, tmp_path: Path) -> None:
    sources = sorted((shared_data / "nifti").glob("*.nii*")) + [
        shared_data / "ct" / "ct.nii.gz",
        shared_data / "ct" / "organs.nii.gz",
    ]
    assert len(sources) >= 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in sources:
            volume = io.read(source)
            for name in ("b.nii", "b.nii.gz"):
                io.write(tmp_path / name, volume)
                assert_as_nibabel(tmp_path / name, source)
                one, two = (nib.load(p).header.binaryblock for p in (source, tmp_path / name))
                assert one == two


def test_real_organs(shared_data: Path) -> None:
    organs = io.read(shared_data / "ct" / "organs.nii.gz", labels=True)
    ct = io.read(shared_data / "ct" / "ct.nii.gz")
    assert organs.grid.is_close(ct.grid)
    assert organs.dtype == np.uint8
