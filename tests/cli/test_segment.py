"""``segment``: the labels of a model whose answer is known, and files that stay safe."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from safetensors.torch import load_file, save_file
from tests.cli.bright import bright_model, save_png, squares
from tests.io.dicom_files import axial, save

from napari_monai.cli import main
from napari_monai.io import read

CORNERS = ((2, 2), (2, 14), (14, 26))


def save_image(path, corners=CORNERS):
    """Write a dark picture with squares of brightness 200 and return its labels."""
    labels = squares(corners=corners)
    save_png(path, np.where(labels > 0, 200, 30))
    return labels


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(("a", "b", "c"), 1):
        save_image(tmp_path / "images" / f"{name}.png", CORNERS[:number])
    return tmp_path / "images"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def segment(*arguments):
    return main(["segment", *map(str, arguments)])


def test_a_folder_of_images(bright, images, out, capsys):
    assert segment(images, "--model", "bright", "--output", out) == 0
    for number, name in enumerate(("a", "b", "c"), 1):
        expected = squares(corners=CORNERS[:number]) > 0
        np.testing.assert_array_equal(tifffile.imread(out / f"{name}.tif"), expected)
    assert sorted(p.name for p in out.iterdir()) == ["a.tif", "b.tif", "c.tif", "run.json"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(out / f"{n}.tif") for n in "abc"]
    assert "1 of 1 classes" in lines[0]


def test_a_series_becomes_a_segmentation_that_refers_to_it(bright, tmp_path, out):
    pixels = np.where(squares(corners=CORNERS) > 0, 1200, 1030).astype(np.uint16)
    uids = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    series = axial([0, 2.5, 5], pixels=pixels, **uids)
    folder = save(tmp_path / "series", series)
    assert segment(folder, "--model", "bright", "--output", out, "--format", ".dcm") == 0
    (path,) = out.glob("*.dcm")
    made = pydicom.dcmread(path)
    (one,) = made.SegmentSequence
    assert (one.SegmentLabel, one.SegmentAlgorithmType) == ("bright", "AUTOMATIC")
    about = one.SegmentationAlgorithmIdentificationSequence[0]
    assert (about.AlgorithmName, about.AlgorithmVersion) == ("bright", "1.0")
    references = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {r.ReferencedSOPInstanceUID for r in references} == {s.SOPInstanceUID for s in series}
    np.testing.assert_array_equal(read(path).numpy(), [pixels > 1100] * 3)


def test_objects_are_told_apart(blobs, images, out, capsys):
    assert segment(images / "c.png", "--model", "blobs", "--output", out) == 0
    found = tifffile.imread(out / "c.tif")
    np.testing.assert_array_equal(found > 0, squares(corners=CORNERS) > 0)
    assert [len(np.unique(found[squares(corners=CORNERS) == n])) for n in (1, 2, 3)] == [1, 1, 1]
    assert len(np.unique(found)) == 4
    assert "3 objects" in capsys.readouterr().out
    assert read(out / "c.tif", labels=True).numpy().max() == 3


def test_nifti_comes_back_on_its_own_grid(home, tmp_path, out):
    bright_model(home / "models" / "bright3d", dims=3)
    volume = np.full((20, 24, 18), 30, np.int16)
    volume[4:9, 5:12, 6:11] = 200
    affine = np.asarray([[-1, 0, 0, 9.0], [0, 0.1, 2, -4], [0, -2, 0.1, 7], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "ct.nii.gz")
    assert segment(tmp_path / "ct.nii.gz", "--model", "bright3d", "--output", out) == 0
    written = nib.load(out / "ct.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), volume > 127)
    np.testing.assert_allclose(written.affine, affine, atol=1e-6)


def test_format_is_that_of_choice(bright, images, out):
    for text in (".nii.gz", "npy"):
        assert (
            segment(images / "a.png", "--model", "bright", "--output", out, "--format", text) == 0
        )
    assert {p.name for p in out.iterdir()} == {"a.nii.gz", "a.npy", "run.json"}
    assert np.load(out / "a.npy").sum() == 36


def test_run_json_repeats_the_run(bright, images, out, tmp_path):
    flags = ["--format", "npy", "--threshold", "0.5", "--window", "32,32", "--no-flips"]
    assert segment(images, "--model", "bright", "--output", out, *flags) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["settings"]["window"] == [32, 32]
    assert run["settings"]["flips"] is False
    assert run["model"]["name"] == run["model"]["path"] == "bright"
    assert run["model"]["sha256"] == {"weights.safetensors": bright.description.weights[0].sha256}
    assert run["kind"] == "classes"
    assert run["napari_monai"]
    assert run["versions"]["torch"]

    again = tmp_path / "again"
    assert segment("--settings", out / "run.json", "--output", again, "--overlap", "0.5") == 0
    repeated = json.loads((again / "run.json").read_text())
    assert repeated["settings"] == {**run["settings"], "overlap": 0.5}
    assert repeated["inputs"] == run["inputs"]
    for name in ("a.npy", "b.npy", "c.npy"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_a_run_with_other_weights_is_said(bright, images, out, tmp_path, capsys):
    assert segment(images, "--model", "bright", "--output", out) == 0
    run = json.loads((out / "run.json").read_text())
    run["model"]["sha256"] = {"weights.safetensors": "0" * 64}
    (out / "run.json").write_text(json.dumps(run))
    assert segment("--settings", out / "run.json", "--output", tmp_path / "again") == 0
    assert "its weights differ" in capsys.readouterr().err


def test_a_bad_file_is_reported_and_the_others_are_done(bright, images, out, capsys):
    (images / "b.png").write_text("this is no picture")
    assert segment(images, "--model", "bright", "--output", out, "--device", "cpu") == 1
    assert sorted(p.name for p in out.iterdir()) == ["a.tif", "c.tif", "run.json"]
    running, error, summary = capsys.readouterr().err.splitlines()
    assert running == "napari-monai: Running bright on CPU."
    assert error.startswith("napari-monai: error: ")
    assert "b.png" in error
    assert summary == "napari-monai: 1 of 3 images failed."
    (failed,) = json.loads((out / "run.json").read_text())["failed"]
    assert failed["input"].endswith("b.png")


def truncated_nifti(folder):
    whole = folder / "whole.nii.gz"
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20), np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), whole)
    half = folder / "half.nii.gz"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return half


def text_file(folder):
    path = folder / "notes.png"
    path.write_text("not a picture\n")
    return path


def missing_file(folder):
    return folder / "missing.tif"


def unknown_extension(folder):
    path = folder / "scan.xyz"
    path.touch()
    return path


@pytest.mark.parametrize(
    "make", [truncated_nifti, text_file, missing_file, unknown_extension], ids=lambda m: m.__name__
)
def test_a_bad_image_is_one_line_and_nothing_is_written(make, bright, tmp_path, out, capsys):
    path = make(tmp_path)
    assert segment(path, "--model", "bright", "--output", out) == 1
    error, _summary = capsys.readouterr().err.splitlines()
    assert error.startswith("napari-monai: error: ")
    assert path.name in error
    assert not out.exists()


def missing_tensor(folder):
    file = folder / "weights.safetensors"
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file)
    # With the right sum, so that the tensor is what is missed.
    import hashlib

    card = json.loads((folder / "model.json").read_text())
    card["weights"][0]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    return "lacks tensor"


def other_weights(folder):
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    return "sha256 differs"


def no_weights(folder):
    (folder / "weights.safetensors").unlink()
    return "weights.safetensors"


@pytest.mark.parametrize(
    "damage", [missing_tensor, other_weights, no_weights], ids=lambda f: f.__name__
)
def test_a_damaged_model_is_one_line_and_nothing_is_written(damage, bright, images, out, capsys):
    words = damage(bright.folder)
    assert segment(images, "--model", "bright", "--output", out) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("napari-monai: error: ")
    assert words in line
    assert not out.exists()


def test_a_name_that_is_not_known_hints(bright, images, out, capsys):
    assert segment(images, "--model", "brigth", "--output", out) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'bright'?" in line


def test_a_device_that_is_not_there_is_one_line(bright, images, out, capsys):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    assert segment(images, "--model", "bright", "--output", out, "--device", "mps") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "mps" in line
    assert not out.exists()


# -- files stay safe ------------------------------------------------------------------------------


def test_two_images_of_one_name_are_refused(bright, images, tmp_path, out, capsys):
    save_image(tmp_path / "more" / "a.bmp")
    assert segment(images, tmp_path / "more", "--model", "bright", "--output", out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "both be written" in line
    assert not out.exists()


def test_an_image_is_never_written_over(bright, images, capsys):
    before = (images / "a.png").read_bytes()
    arguments = ["--model", "bright", "--output", images, "--format", "png", "--overwrite"]
    assert segment(images, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is an image to segment" in line
    assert (images / "a.png").read_bytes() == before


def test_labels_of_others_stay_and_own_ones_are_replaced(bright, images, out, capsys):
    out.mkdir()
    (out / "a.tif").write_text("drawn by hand")
    assert segment(images, "--model", "bright", "--output", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["a.tif"]
    assert segment(images, "--model", "bright", "--output", out, "--overwrite") == 0
    assert segment(images, "--model", "bright", "--output", out) == 0


def test_interrupt_leaves_whole_files_only(bright, images, out, monkeypatch, capsys):
    from napari_monai import io

    def read_two(path, **kwargs):
        if path.name == "c.png":
            raise KeyboardInterrupt
        return read(path, **kwargs)

    monkeypatch.setattr(io, "read", read_two)
    assert segment(images, "--model", "bright", "--output", out) == 130
    assert sorted(p.name for p in out.iterdir()) == ["a.tif", "b.tif", "run.json"]
    run = json.loads((out / "run.json").read_text())
    assert len(run["written"]) == 2


def test_a_run_of_another_command_is_refused(bright, images, out, tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"command": "train", "settings": {}}')
    arguments = ["--model", "bright", "--output", out, "--settings", tmp_path / "run.json"]
    assert segment(images, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'train'" in line


def test_code_of_a_model_runs_after_consent_only(bright, images, out, capsys):
    file = bright.folder / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "trust": "python_code"}))
    assert segment(images, "--model", "bright", "--output", out) == 1
    said = capsys.readouterr().err
    assert "bright runs Python code that came with it" in said
    assert len(said.splitlines()) == 1
    assert not out.exists()
    assert segment(images, "--model", "bright", "--output", out, "--trust") == 0
    assert "so run it only if you trust" in capsys.readouterr().err
    assert segment(images, "--model", "bright", "--output", out) == 0  # asked once
