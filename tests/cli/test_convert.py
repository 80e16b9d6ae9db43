"""``convert``: voxels and places stay, seen through other readers."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from tests.cli.bright import save_png, squares
from tests.io.dicom_files import axial, save

from napari_monai import io
from napari_monai.cli import main

NIFTIS = (
    "nifti/anatomical.nii",
    "nifti/chris_PD.nii.gz",
    "nifti/example_nifti2.nii.gz",
    "nifti/fmri_pitch.nii.gz",
    "nifti/spmMotor.nii.gz",
    "ct/ct.nii.gz",
)


@pytest.mark.parametrize("name", NIFTIS)
def test_real_niftis_are_exact(name, shared_data, tmp_path):
    target = tmp_path / "out.nii.gz"
    assert main(["convert", str(shared_data / name), str(target)]) == 0
    before, after = nib.load(shared_data / name), nib.load(target)
    np.testing.assert_array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.get_data_dtype() == after.get_data_dtype()


def test_the_extension_says_the_format(tmp_path):
    array = np.arange(24 * 36, dtype=np.uint8).reshape(24, 36)
    source = save_png(tmp_path / "x.png", array)
    for name in ("x.tif", "x.npy", "deep/er/x.bmp"):
        assert main(["convert", str(source), str(tmp_path / name)]) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.tif"), array)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), array)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep/er/x.bmp")), array)


def test_a_folder_is_one_file_an_image_and_a_bad_one_is_reported(tmp_path, capsys):
    for name in ("a", "b"):
        save_png(tmp_path / "in" / f"{name}.png", squares())
    (tmp_path / "in" / "bad.png").write_text("no picture")
    out = tmp_path / "out"
    assert main(["convert", str(tmp_path / "in"), str(out), "--format", "npy"]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.npy", "b.npy"]
    error, summary = capsys.readouterr().err.splitlines()
    assert "bad.png" in error
    assert summary == "napari-monai: 1 of 3 images failed."


def test_several_images_in_a_file(tmp_path, capsys):
    source = tmp_path / "two.npz"
    np.savez(source, first=np.zeros((4, 5), np.uint8), second=np.ones((6, 7), np.uint8))
    assert main(["convert", str(source), str(tmp_path / "one.tif")]) == 2
    assert "holds 2 images" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "out")]) == 0
    shapes = sorted(tifffile.imread(path).shape for path in (tmp_path / "out").iterdir())
    assert shapes == [(4, 5), (6, 7)]


def test_labels_keep_the_numbers_of_a_palette_picture(tmp_path):
    numbers = squares(corners=((2, 2), (2, 12)))
    picture = Image.new("P", numbers.shape[::-1])
    picture.putdata(numbers.ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "x.png")
    target = tmp_path / "x.npy"
    assert main(["convert", str(tmp_path / "x.png"), str(target), "--labels"]) == 0
    np.testing.assert_array_equal(np.load(target), numbers)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        pytest.param("x.png", 2, "is the input", id="input itself"),
        pytest.param("there.tif", 2, "add --overwrite", id="file that is there"),
        pytest.param("x.jpeg2", 1, "not known", id="unknown extension"),
        pytest.param("x.img", 1, "read only", id="read only"),
    ],
)
def test_what_is_not_written(target, code, words, tmp_path, capsys):
    source = save_png(tmp_path / "x.png", squares())
    (tmp_path / "there.tif").write_text("precious")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["convert", str(source), str(tmp_path / target)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_overwrite_replaces(tmp_path):
    source = save_png(tmp_path / "x.png", squares(corners=((0, 0),)))
    target = tmp_path / "there.npy"
    target.write_text("old")
    assert main(["convert", str(source), str(target), "--overwrite"]) == 0
    assert np.load(target).sum() == 36


def test_a_truncated_nifti_is_one_line_and_nothing_is_written(tmp_path, capsys):
    whole = tmp_path / "whole.nii.gz"
    volume = np.random.default_rng(0).integers(0, 999, (20, 20, 20), np.int16)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), whole)
    half = tmp_path / "half.nii.gz"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert main(["convert", str(half), str(tmp_path / "out.nii.gz")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "half.nii.gz" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.nii.gz", "whole.nii.gz"]


def test_labels_of_a_nifti_to_a_segmentation_of_their_series(tmp_path, capsys):
    uids = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    folder = save(tmp_path / "series", axial([0, 2.5, 5], **uids))
    (image,) = io.read_series(folder)
    how = image.grid.reorientation_to("RAS")  # as most programs turn what they convert
    array = np.random.default_rng(0).integers(0, 3, image.grid.shape).astype(np.uint8)
    labels = nib.Nifti1Image(how.apply(array), image.grid.reoriented(how).affine)
    nib.save(labels, tmp_path / "labels.nii.gz")
    arguments = ["convert", str(tmp_path / "labels.nii.gz"), str(tmp_path / "seg.dcm")]
    assert main([*arguments, "--labels"]) == 1
    assert "--reference FOLDER" in capsys.readouterr().err
    assert main(arguments) == 1
    assert "--labels" in capsys.readouterr().err
    assert main([*arguments, "--reference", str(folder), "--made-by", "manual"]) == 0
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (made.SegmentationType, made.StudyInstanceUID) == ("BINARY", "1.2.3")
    assert {s.SegmentAlgorithmType for s in made.SegmentSequence} == {"MANUAL"}
    found = io.read(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(found.numpy(), array)
    # And back, as a label map, and on to a NIfTI.
    back = ["convert", str(tmp_path / "seg.dcm")]
    options = ["--reference", str(folder), "--labelmap"]
    assert main([*back, str(tmp_path / "map.dcm"), *options]) == 0
    assert pydicom.dcmread(tmp_path / "map.dcm").SegmentationType == "LABELMAP"
    assert main([*back, str(tmp_path / "out.nii.gz")]) == 0
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii.gz").get_fdata(), array)


def test_how_labels_were_made_is_for_segmentations(tmp_path, capsys):
    source = save_png(tmp_path / "x.png", squares())
    arguments = ["convert", str(source), str(tmp_path / "x.npy"), "--made-by", "manual"]
    assert main(arguments) == 2
    assert "--made-by is for .dcm" in capsys.readouterr().err
