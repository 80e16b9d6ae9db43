"""Real DICOM series against pydicom alone, and mosaics against reference NIfTIs."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from tests.io.dicom_oracle import assert_all_there, planes_of_folder, written_in

from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import ReadError, VolumeWarning
from napari_monai.grid import Grid, Reorientation
from napari_monai.volume import Volume

COMPRESSED = ["compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle"]
# (times, slices) of each file that every folder becomes.
FOLDERS = {
    **{name: [(1, 4)] for name in COMPRESSED},
    "ct_head": [(1, 28)],
    "ct_tilted": [(1, 20)],
    "enhanced_fieldmap": [(1, 32), (1, 32)],
    "enhanced_fmri": [(4, 8)],
    "gap_slices": [(1, 1), (1, 3)],
    "mixed_orientation": [(1, 2), (1, 2)],
    "mosaic_axial": [(2, 35)],
    "mosaic_coronal": [(2, 35)],
    "mosaic_jpeg_lossless": [(2, 36)],
    "mosaic_sagittal": [(2, 35)],
    "small_all_formats": [(1, 3), (1, 3), (1, 3)],
}
# What is said of a folder.
SAID = {"gap_slices": "split into 2 volumes of 3 + 1", "ct_head": "DIRFILE (an index of files)"}


def series(folder: Path) -> list[Volume]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VolumeWarning)
        return io.read_series(folder)


def test_every_folder_is_here(shared_data: Path) -> None:
    assert {p.name for p in (shared_data / "dicom").iterdir()} == set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_plane_is_at_its_place_once(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = shared_data / "dicom" / name
    assert main(["convert", str(folder), str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert SAID.get(name, "") in said
    assert bool(said) == (name in SAID)
    for path in folder.rglob("*.nii"):  # converted too, and no business of this test
        (tmp_path / f"{path.name}.gz").unlink()
    assert_all_there(planes_of_folder(folder), tmp_path)
    assert sorted(w.values.shape[:2] for w in written_in(tmp_path)) == FOLDERS[name]


def test_the_command_itself(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dicom" / "ct_tilted"
    command = [sys.executable, "-m", "napari_monai", "convert", str(folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert_all_there(planes_of_folder(folder), tmp_path)


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


def test_a_field_map_stands_beside_its_magnitude(shared_data: Path) -> None:
    names = [v.name for v in series(shared_data / "dicom" / "enhanced_fieldmap")]
    assert names == ["801 B0 NS magnitude TE 1.52 ms", "801 B0 NS field map TE 0 ms"]


def test_one_file_of_a_series_is_the_series(shared_data: Path) -> None:
    volume = io.read(shared_data / "dicom" / "ct_tilted" / "I110")
    assert volume.grid.shape == (20, 512, 512)


def test_a_palette_of_compressions_is_one_image(shared_data: Path) -> None:
    first, *others = (series(shared_data / "dicom" / n)[0] for n in COMPRESSED)
    for other in others:
        assert other.grid == first.grid
        np.testing.assert_array_equal(other.numpy(), first.numpy())


@pytest.mark.parametrize("name", ["j2k", "jpeg", "jpegls"])
def test_a_frame_of_another_size_is_an_error_and_no_crash(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    made = pydicom.dcmread(shared_data / "dicom" / f"compressed_{name}" / "IM-0001-0001-0001.dcm")
    made.Rows = 255
    made.save_as(tmp_path / "a.dcm")
    with pytest.raises(ReadError, match=r"a\.dcm \(cannot be decoded\)"):
        io.read(tmp_path / "a.dcm")
