"""``segment`` into OME-Zarr piece by piece, and what is written beside the labels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from tests.cli.bright import bright_model
from tests.models.known import random_model

from napari_monai.cli import main
from napari_monai.io import read
from napari_monai.models import Inferer


def segment(*arguments):
    return main(["segment", *map(str, arguments)])


@pytest.fixture
def image(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (20, 24, 18)).astype(np.uint8)
    path = tmp_path / "image.nii.gz"
    nib.Nifti1Image(data, np.diag([-1.0, -1.5, 2.0, 1.0])).to_filename(path)
    return path


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_zarr_holds_what_nifti_does(home, tmp_path, image, kind, capsys):
    model = bright_model(home / "models" / "m", kind=kind, dims=3).folder
    assert segment(image, "--model", model, "--output", tmp_path / "a") == 0
    assert (
        segment(image, "--model", model, "--output", tmp_path / "b", "--format", ".ome.zarr") == 0
    )
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["image.ome.zarr", "run.json"]
    one = read(tmp_path / "a" / "image.nii.gz", labels=True)
    other = read(tmp_path / "b" / "image.ome.zarr", labels=True)
    turned = one.grid.reorientation_to(other.grid.orientation).apply(one.numpy())
    np.testing.assert_array_equal(other.numpy(), turned)
    counts = [line.split(": ")[1].split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert counts[0] == counts[1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_goes_on(home, tmp_path):
    data = np.random.default_rng(0).random((64, 64, 48), np.float32)
    image = tmp_path / "image.npy"
    np.save(image, data)
    model = random_model(tmp_path / "m", dims=3, inferer=Inferer((8, 8, 8), overlap=0.5)).folder
    out = tmp_path / "out"
    command = [sys.executable, "-m", "napari_monai", "segment", str(image), "--model", str(model)]
    command += ["--output", str(out), "--format", ".ome.zarr", "--device", "cpu"]
    state = out / ".image.ome.zarr.part" / "state.json"
    with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 120
        while run.poll() is None and time.monotonic() < deadline:
            if state.is_file() and json.loads(state.read_text()).get("row", 0) >= 3:
                break
            time.sleep(0.01)
        assert run.poll() is None, "it was over before it could be killed"
        os.kill(run.pid, signal.SIGKILL)
    assert sorted(p.name for p in out.iterdir()) == [state.parent.name]
    again = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "where an earlier run stopped" in again.stderr
    assert segment(image, "--model", model, "--output", tmp_path / "whole", "--device", "cpu") == 0
    whole = read(tmp_path / "whole" / "image.tif", labels=True).numpy()
    np.testing.assert_array_equal(read(out / "image.ome.zarr", labels=True).numpy(), whole)
    assert 0.05 < whole.mean() < 0.95
    assert not state.parent.exists()


def test_probabilities_and_uncertainty_beside_the_labels(home, tmp_path, image):
    model = bright_model(home / "models" / "m", dims=3).folder
    out = tmp_path / "out"
    wanted = ("--probabilities", "--uncertainty", "entropy")
    assert segment(image, "--model", model, "--output", out, *wanted) == 0
    source = nib.load(image)
    labels = nib.load(out / "image.nii.gz")
    probable = nib.load(out / "image_probabilities.nii.gz")
    unsure = nib.load(out / "image_uncertainty.nii.gz")
    for made in (labels, probable, unsure):
        np.testing.assert_allclose(made.affine, source.affine)
    values = np.squeeze(np.asanyarray(probable.dataobj))
    bright = 1 / (1 + np.exp(-20 * (np.asanyarray(source.dataobj) / 255.0 - 0.5)))
    np.testing.assert_allclose(values[..., 1], bright, atol=1e-2)
    np.testing.assert_array_equal(np.asanyarray(labels.dataobj), values.argmax(-1))
    entropy = -(values * np.log2(np.clip(values, 1e-12, 1))).sum(-1)
    np.testing.assert_allclose(np.asanyarray(unsure.dataobj), entropy, atol=1e-4)
    rows = json.loads((out / "run.json").read_text())["written"]
    assert rows[0]["uncertainty"].endswith("image_uncertainty.nii.gz")
    assert segment(image, "--model", model, "--output", out, *wanted) == 0  # its own files


def test_a_file_of_someone_else_stays(home, tmp_path, image, capsys):
    model = bright_model(home / "models" / "m", dims=3).folder
    other = tmp_path / "out" / "image_uncertainty.nii.gz"
    other.parent.mkdir()
    other.write_text("mine")
    assert (
        segment(image, "--model", model, "--output", other.parent, "--uncertainty", "entropy") == 2
    )
    assert "--overwrite" in capsys.readouterr().err
    assert [p.name for p in other.parent.iterdir()] == [other.name]
    assert other.read_text() == "mine"
