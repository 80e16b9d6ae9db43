"""Real DICOM series against pydicom alone, and mosaics against reference NIfTIs."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from tests.io.dicom_files import assert_holds

from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import ReadError, VolumeWarning
from napari_monai.grid import Grid, Reorientation
from napari_monai.volume import Volume

SLICES = ["compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle", "ct_head",
          "ct_tilted", "gap_slices", "mixed_orientation", "small_all_formats/image"]  # fmt: skip


def series(folder: Path) -> list[Volume]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        return io.read_series(folder)


@pytest.mark.parametrize("name", SLICES)
def test_every_source_slice_is_at_its_place(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom" / name
    volumes = series(folder)
    count = 0
    for path in folder.iterdir():
        made = pydicom.dcmread(path)
        if "Rows" in made:
            count += 1
            assert_holds(volumes, made)
    assert count == sum(v.grid.shape[0] for v in volumes)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ct_head", [(28, 512, 512)]),
        ("ct_tilted", [(20, 512, 512)]),
        ("gap_slices", [(3, 512, 512), (1, 512, 512)]),
        ("mixed_orientation", [(2, 288, 288), (2, 288, 288)]),
        ("enhanced_fmri", [(4, 8, 64, 64)]),
        ("enhanced_fieldmap", [(32, 64, 64), (32, 64, 64)]),
    ],
)
def test_volumes(shared_data: Path, name: str, shapes: list[tuple[int, ...]]) -> None:
    assert [v.data.shape for v in series(shared_data / "dicom" / name)] == shapes


def test_a_tilted_gantry_is_a_shear(shared_data: Path) -> None:
    (volume,) = series(shared_data / "dicom" / "ct_tilted")
    assert not volume.grid.is_orthogonal
    step, down, _ = volume.grid.direction.T
    assert np.degrees(np.arcsin(abs(step @ down))) == pytest.approx(18.5, abs=0.01)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "jpeg_lossless"])
def test_mosaics_are_as_the_reference(shared_data: Path, plane: str) -> None:
    (volume,) = series(shared_data / "dicom" / f"mosaic_{plane}")
    image = nib.load(shared_data / "dicom_reference" / f"mosaic_{plane}.nii.gz")
    reference = np.moveaxis(np.asanyarray(image.dataobj), 3, 0)
    grid = Grid(reference.shape[1:], image.affine)
    assert volume.time_step == pytest.approx(float(image.header.get_zooms()[3]))
    # The same voxels in another order of axes: columns, rows bottom up, slices either way.
    how = volume.grid.reorientation_to(grid.orientation)
    assert isinstance(how, Reorientation)
    assert volume.grid.reoriented(how).shape == grid.shape
    np.testing.assert_allclose(volume.grid.reoriented(how).affine, grid.affine, atol=2e-4)
    np.testing.assert_array_equal(how.apply(volume.numpy()), reference)


@pytest.mark.parametrize("name", ["enhanced_fieldmap/IM_0027_fMAP.dcm",
                                  "enhanced_fmri/IM-0001-9600-0001.dcm",
                                  "small_all_formats/multiframe/mf.dcm"])  # fmt: skip
def test_every_frame_has_its_own_place_and_rescale(shared_data: Path, name: str) -> None:
    made = pydicom.dcmread(shared_data / "dicom" / name)
    volumes = series((shared_data / "dicom" / name).parent)
    shared = made.SharedFunctionalGroupsSequence[0]
    found = 0
    for own, stored in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True):

        def of(name: str, own: pydicom.Dataset = own) -> pydicom.Dataset:
            return own.get(name, shared.get(name))[0]

        cosines = np.array(of("PlaneOrientationSequence").ImageOrientationPatient, float)
        down, right = of("PixelMeasuresSequence").PixelSpacing
        corner = np.array(of("PlanePositionSequence").ImagePositionPatient, float)
        corner = corner + 9 * cosines[:3] * right + 5 * cosines[3:] * down
        scaling = of("PixelValueTransformationSequence")
        values = stored * float(scaling.RescaleSlope) + float(scaling.RescaleIntercept)
        for volume in volumes:
            at = volume.grid.world_to_index(corner * (-1, -1, 1))
            np.testing.assert_allclose(at, [np.round(at[0]), 5, 9], atol=0.01)
            planes = volume.numpy().reshape(-1, *volume.grid.shape)[:, int(np.round(at[0]))]
            found += any(np.allclose(p, values, rtol=1e-6, atol=1e-4) for p in planes)
    assert found == len(made.pixel_array)


def test_a_field_map_stands_beside_its_magnitude(shared_data: Path) -> None:
    names = [v.name for v in series(shared_data / "dicom" / "enhanced_fieldmap")]
    assert names == ["801 B0 NS magnitude TE 1.52 ms", "801 B0 NS field map TE 0 ms"]


def test_one_file_of_a_series_is_the_series(shared_data: Path) -> None:
    volume = io.read(shared_data / "dicom" / "ct_tilted" / "I110")
    assert volume.grid.shape == (20, 512, 512)


def test_a_palette_of_compressions_is_one_image(shared_data: Path) -> None:
    first, *others = (series(shared_data / "dicom" / n)[0] for n in SLICES[:4])
    for other in others:
        assert other.grid == first.grid
        np.testing.assert_array_equal(other.numpy(), first.numpy())


@pytest.mark.parametrize("name", [*SLICES, "mosaic_coronal", "enhanced_fmri"])
def test_convert_a_folder(shared_data: Path, tmp_path: Path, name: str) -> None:
    folder = shared_data / "dicom" / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        assert main(["convert", str(folder), str(tmp_path / "out")]) == 0
    written = [io.read(p) for p in sorted((tmp_path / "out").iterdir())]
    assert len(written) == len(series(folder))
    for made in (pydicom.dcmread(p) for p in folder.iterdir() if name in SLICES):
        if "Rows" in made:
            assert_holds(written, made)


@pytest.mark.parametrize("name", ["j2k", "jpeg", "jpegls"])
def test_a_frame_of_another_size_is_an_error_and_no_crash(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    made = pydicom.dcmread(shared_data / "dicom" / f"compressed_{name}" / "IM-0001-0001-0001.dcm")
    made.Rows = 255
    made.save_as(tmp_path / "a.dcm")
    with pytest.raises(ReadError, match=r"a\.dcm \(cannot be decoded\)"):
        io.read(tmp_path / "a.dcm")
