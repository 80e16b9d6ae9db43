"""Labels corrected in files: the operations, what they are given, and what is refused."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_monai import io
from napari_monai.cli import main
from napari_monai.labels.operations import OPERATIONS

LABELS = np.zeros((3, 6, 7), np.uint8)
LABELS[:, 1:5, 1:4] = 2
LABELS[1, 2, 2] = 0
LABELS[2, 5, 6] = 2
LABELS[0, 0, 6] = 5
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "labels.nii.gz"
    nib.save(nib.Nifti1Image(LABELS, AFFINE), path)
    return path


def _run(*arguments):
    return main(["labels", *map(str, arguments)])


def test_list_names_every_operation(capsys):
    assert _run("list") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_help_has_the_words_of_the_form(name, capsys):
    assert _run(name, "--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert OPERATIONS[name].help in out
    assert all(
        option.flag.lstrip("-") in out for option in OPERATIONS[name].settings_type().options()
    )


def test_holes_are_filled_in_a_file_and_its_space_stays(source, tmp_path, capsys):
    target = tmp_path / "new" / "filled.nii.gz"
    assert _run("fill-holes", source, target) == 0
    assert "Fill holes of all labels: 1 voxel changed" in capsys.readouterr().out
    expected = LABELS.copy()
    expected[1, 2, 2] = 2
    made = nib.load(target)
    np.testing.assert_array_equal(np.asarray(made.dataobj), expected)
    np.testing.assert_array_equal(made.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(nib.load(source).dataobj), LABELS)


def test_sizes_are_in_the_unit_of_the_file(source, tmp_path):
    # One voxel is 6 cubic millimetres.
    for size, left in ((6, LABELS), (6.1, np.where(LABELS == 5, 0, LABELS))):
        expected = left.copy()
        if size > 6:
            expected[2, 5, 6] = 0
        target = tmp_path / f"{size}.nii.gz"
        assert _run("remove-small", source, target, "--min-size", size) == 0
        np.testing.assert_array_equal(io.read(target, labels=True).numpy(), expected)


def test_chosen_locked_and_region(source, tmp_path, capsys):
    region = np.zeros(LABELS.shape, np.uint8)
    region[2] = 7
    nib.save(nib.Nifti1Image(region, AFFINE), tmp_path / "region.nii.gz")
    told = ["--labels", "2,5", "--locked", "5", "--region", tmp_path / "region.nii.gz"]
    assert _run("delete", source, tmp_path / "out.nii.gz", *told) == 0
    expected = LABELS.copy()
    expected[2] = 0
    np.testing.assert_array_equal(io.read(tmp_path / "out.nii.gz", labels=True).numpy(), expected)
    assert "1 label is locked and stays." in capsys.readouterr().err


def test_every_time_point_is_corrected(tmp_path, capsys):
    path, target = tmp_path / "times.ome.tif", tmp_path / "out.ome.tif"
    frames = np.stack([LABELS, np.where(LABELS == 2, 3, 0).astype(np.uint8)])
    tifffile.imwrite(path, frames, metadata={"axes": "TZYX"}, ome=True)
    assert _run("merge", path, target, "--labels", "2,3,5", "--into", "1") == 0
    np.testing.assert_array_equal(io.read(target, labels=True).numpy(), (frames > 0))
    assert "at time 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["fill-hole", "{}", "o.tif"], 2, "invalid choice", id="unknown operation"),
        pytest.param(["merge", "{}", "o.tif"], 2, "--labels", id="needs labels"),
        pytest.param(["merge", "{}", "o.tif", "--labels", "a"], 2, "such as 1,3", id="no number"),
        pytest.param(["delete", "{}", "o.nii"], 1, "select the labels", id="nothing chosen"),
        pytest.param(["renumber", "{}", "{}"], 2, "is the input", id="input itself"),
        pytest.param(["renumber", "{}", "there.tif"], 2, "--overwrite", id="there"),
        pytest.param(["renumber", "no.nii", "o.nii"], 1, "no.nii", id="no input"),
        pytest.param(
            ["delete", "{}", "o.nii", "--region", "there.tif"], 1, "does not lie", id="other grid"
        ),
    ],
)
def test_what_is_refused(arguments, code, words, source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("there.tif", LABELS[0])
    before = sorted(tmp_path.iterdir())
    assert _run(*(a.format(source) for a in arguments)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(tmp_path.iterdir()) == before
