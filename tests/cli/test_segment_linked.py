"""``segment`` with slices and time points that are linked: settings, tracks, and the run file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tests.models.known import INSTANCES, threshold_model

from napari_monai.cli import main
from napari_monai.io import read


def segment(*arguments):
    return main(["segment", *map(str, arguments)])


@pytest.fixture
def model(tmp_path):
    return threshold_model(tmp_path / "m", threshold=100.0, name="blobs", **INSTANCES).folder


@pytest.fixture
def film(tmp_path):
    frames = np.zeros((3, 16, 16), np.uint8)
    for time, frame in enumerate(frames):
        frame[8 - 2 * time : 14 - 2 * time, 1:6] = 200
        frame[6:11, 9:14] = 200
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, frames, metadata={"axes": "TYX"})
    return path


@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_a_film_is_linked_and_its_tracks_are_written(home, tmp_path, model, film, ending):
    out = tmp_path / "out"
    assert segment(film, "--model", model, "--output", out, "--format", ending) == 0
    labels = read(out / f"film{ending}", labels=True)
    frames = [labels.at_time(t).numpy() for t in range(3)]
    assert [[int(f[10 - 2 * t, 3]), int(f[8, 11])] for t, f in enumerate(frames)] == [[2, 1]] * 3
    assert (out / "film_tracks.csv").read_text() == "label,begin,end,parent\n1,0,2,0\n2,0,2,0\n"
    (row,) = json.loads((out / "run.json").read_text())["written"]
    assert row["tracks"] == str(out / "film_tracks.csv")
    # Again, over its own files, with the settings of the run.
    assert segment("--settings", out / "run.json", "--output", out) == 0


def test_without_linking_there_are_no_tracks(home, tmp_path, model, film):
    out = tmp_path / "out"
    assert segment(film, "--model", model, "--output", out, "--no-link-time") == 0
    assert sorted(p.name for p in out.iterdir()) == ["film.tif", "run.json"]
    frames = read(out / "film.tif", labels=True).numpy()
    assert [int(f[8, 11]) for f in frames] == [1, 2, 2]


def test_tracks_of_someone_else_are_not_replaced(home, tmp_path, model, film, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "film_tracks.csv").write_text("mine")
    assert segment(film, "--model", model, "--output", out) in (1, 2)
    assert "add --overwrite" in capsys.readouterr().err
    assert (out / "film_tracks.csv").read_text() == "mine"


@pytest.mark.parametrize(("way", "count"), [("linked", 2), ("together", 1), ("orthogonal", 1)])
def test_slices_become_objects_as_it_is_said(home, tmp_path, model, way, count, capsys):
    stack = np.zeros((6, 20, 20), np.uint8)
    stack[:3, 4:10, 4:10] = 200
    stack[3:, 8:15, 8:15] = 200
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "ZYX"})
    out = tmp_path / "out"
    told = ["--model", model, "--output", out, "--slices", way]
    assert segment(tmp_path / "stack.tif", *told) == 0
    assert f"{count} object" in capsys.readouterr().out
    assert json.loads((out / "run.json").read_text())["settings"]["slices"] == way
    again = tmp_path / "again"
    assert segment("--settings", out / "run.json", "--output", again) == 0
    np.testing.assert_array_equal(
        read(again / "stack.tif", labels=True).numpy(), read(out / "stack.tif", labels=True).numpy()
    )
