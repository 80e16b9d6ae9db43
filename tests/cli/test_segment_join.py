"""``segment --join``: files as the channels of one image."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from tests.models.known import threshold_model

from napari_monai.cli import main
from napari_monai.models import Inputs

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture
def two(home):
    """Return a model of what is above 100 in twice the first channel less the second."""
    inputs = Inputs(("t1", "t2"), 3)
    folder = home / "models" / "two"
    return threshold_model(
        folder, threshold=100.0, weights=(2.0, -1.0), dims=3, name="two", inputs=inputs
    )


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(3)
    for name in ("t1", "t2", "flair"):
        array = rng.integers(0, 200, (9, 10, 11)).astype(np.int16)
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
    return tmp_path


def voxels(path):
    return np.asanyarray(nib.load(path).dataobj).astype(int)


def segment(*arguments):
    return main(["segment", *map(str, arguments)])


def test_files_are_the_channels_of_one_image(two, images, tmp_path):
    out = tmp_path / "out"
    t1, t2 = images / "t1.nii.gz", images / "t2.nii.gz"
    assert segment("--join", t1, t2, "--model", "two", "--output", out) == 0
    assert sorted(p.name for p in out.iterdir()) == ["run.json", "t1.nii.gz"]
    expected = 2 * voxels(t1) - voxels(t2) > 100
    np.testing.assert_array_equal(voxels(out / "t1.nii.gz"), expected)
    np.testing.assert_array_equal(nib.load(out / "t1.nii.gz").affine, AFFINE)

    both = tmp_path / "both.nii.gz"
    stack = np.stack([voxels(t1), voxels(t2)], -1).astype(np.int16)[..., None, :]
    nib.save(nib.Nifti1Image(stack, AFFINE), both)  # x, y, z, no time, channels
    assert segment(both, "--model", "two", "--output", tmp_path / "one") == 0
    np.testing.assert_array_equal(voxels(tmp_path / "one" / "both.nii.gz"), expected)


def test_run_json_joins_again(two, images, tmp_path):
    out, again, other = (tmp_path / n for n in ("out", "again", "other"))
    t1, t2 = images / "t1.nii.gz", images / "t2.nii.gz"
    assert segment("--join", t2, t1, "--model", "two", "--output", out) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["join"] is True
    assert run["inputs"] == [str(t2), str(t1)]
    assert segment("--settings", out / "run.json", "--output", again) == 0
    np.testing.assert_array_equal(voxels(again / "t2.nii.gz"), voxels(out / "t2.nii.gz"))
    expected = 2 * voxels(t2) - voxels(t1) > 100
    np.testing.assert_array_equal(voxels(again / "t2.nii.gz"), expected)
    assert json.loads((again / "run.json").read_text())["join"] is True
    # Other images are not joined unasked.
    assert segment("--settings", out / "run.json", t1, t2, "--output", other) == 1


def test_one_file_for_both_channels_is_kept_twice(two, images, tmp_path):
    out, t1 = tmp_path / "out", images / "t1.nii.gz"
    assert segment("--join", t1, t1, "--model", "two", "--output", out) == 0
    again = tmp_path / "again"
    assert segment("--settings", out / "run.json", "--output", again) == 0
    np.testing.assert_array_equal(voxels(again / "t1.nii.gz"), voxels(t1) > 100)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("t1",), "takes 2 channels (t1, t2), and 1 image is given to --join"),
        (("t1", "t2", "flair"), "takes 2 channels (t1, t2), and 3 images are given to --join"),
        (("t1", "small"), "t1 and small cannot be joined: one has 9 x 10 x 11 voxels"),
        (("t1", "absent"), "absent.nii.gz"),
    ],
    ids=["few", "many", "another grid", "no file"],
)
def test_what_cannot_be_joined_is_said_in_a_line(two, images, tmp_path, capsys, names, told):
    small = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), AFFINE)
    nib.save(small, images / "small.nii.gz")
    paths = [images / f"{n}.nii.gz" for n in names]
    out = tmp_path / "out"
    assert segment("--join", *paths, "--model", "two", "--output", out, "--device", "cpu") != 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error: " in x]
    assert told in line
    assert not out.exists()


def test_a_folder_of_images_is_no_channel(two, images, tmp_path, capsys):
    paths = (images, images / "t1.nii.gz")
    assert segment("--join", *paths, "--model", "two", "--output", tmp_path / "out") == 2
    assert "holds 3 images: --join takes one image an input" in capsys.readouterr().err


def test_no_channel_is_replaced(two, images, capsys):
    paths = (images / "t1.nii.gz", images / "t2.nii.gz")
    assert segment("--join", *paths, "--model", "two", "--output", images, "--overwrite") == 2
    assert "is an image to segment" in capsys.readouterr().err
