"""``demo``: labels, a picture, scores; a viewer only where somebody can see it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from tests.cli.bright import squares

from napari_monai.cli import demo, main
from napari_monai.evaluation import evaluate
from napari_monai.grid import Grid
from napari_monai.io import read
from napari_monai.models import shipped_folder
from napari_monai.volume import LabelVolume, Volume


@pytest.fixture(autouse=True)
def viewers(monkeypatch):
    """Record what would be opened instead of opening it."""
    opened: list[list[str]] = []
    monkeypatch.setattr(demo.subprocess, "Popen", lambda command, **_: opened.append(command))
    return opened


def check_files_and_words(folder, sample_data, out):
    """Check the labels and the picture, and the scores against those of the files."""
    found = read(folder / "nuclei_2d_labels.tif", labels=True)
    truth = read(sample_data / "nuclei_2d_truth.tif", labels=True)
    scores = evaluate(found, truth, kind="instances").mean
    printed = re.search(r"precision ([\d.]+) at IoU 0.5, ([\d.]+) over", out)
    assert printed is not None
    assert [float(x) for x in printed.groups()] == [round(scores[n], 3) for n in ("AP50", "AP")]
    picture = np.asarray(Image.open(folder / "demo.png"))
    assert picture.shape == (*(2 * n for n in truth.grid.shape), 3)
    return scores


def test_demo_writes_labels_and_a_picture(blobs, sample_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "MODEL", "blobs")
    assert main(["demo", "--output", str(tmp_path / "out"), "--no-viewer"]) == 0
    check_files_and_words(tmp_path / "out", sample_data, capsys.readouterr().out)


@pytest.mark.skipif(
    not (shipped_folder() / demo.MODEL).is_dir(), reason="needs the shipped model nuclei-2d"
)
def test_demo_finds_the_nuclei_with_the_shipped_model(sample_data, tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path), "--no-viewer"]) == 0
    scores = check_files_and_words(tmp_path, sample_data, capsys.readouterr().out)
    assert scores["AP50"] > 0.8


@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        pytest.param({}, False, id="no display"),
        pytest.param({"DISPLAY": ":0"}, True, id="X11"),
        pytest.param({"WAYLAND_DISPLAY": "wayland-0"}, True, id="Wayland"),
        pytest.param({"DISPLAY": ":0", "CI": "true"}, False, id="build machine"),
    ],
)
def test_a_viewer_opens_where_there_is_a_display(
    environment, seen, blobs, viewers, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo.sys, "platform", "linux")
    monkeypatch.setattr(demo, "MODEL", "blobs")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert len(viewers) == seen
    if seen:
        assert viewers[0][4] == str(tmp_path / "nuclei_2d_labels.tif")


def test_outlines_are_the_edge_of_each_object_in_its_colour():
    array = squares((20, 20), ((2, 2), (10, 10)))
    grid = Grid.from_spacing(array.shape)
    image = Volume(np.where(array > 0, 200, 30).astype(np.uint8), grid)
    labels = LabelVolume(array, grid, kind="instances")
    picture = np.asarray(demo.outlined(image, labels, zoom=1)).astype(int)
    coloured = np.ptp(picture, axis=2) > 0
    inner = np.zeros_like(coloured)
    inner[3:7, 3:7] = inner[11:15, 11:15] = True
    np.testing.assert_array_equal(coloured, (array > 0) & ~inner)
    assert picture[2, 2].tolist() != picture[10, 10].tolist()
