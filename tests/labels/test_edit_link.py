"""Labels of slices linked by the operation, and those of a film by the command."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

import napari_monai as nm
from napari_monai import io
from napari_monai.cli import main
from napari_monai.errors import EditError
from napari_monai.labels.linked_slices import link_slices
from napari_monai.labels.scene import Scene

SPACING = (2.0, 1.0, 1.0)


def stack(rows: list[str]) -> np.ndarray:
    """Return slices of one row: ``"11.2"`` is 1, 1, 0, 2."""
    return np.array([[[0 if c == "." else int(c) for c in row]] for row in rows], np.uint8)


SLICES = stack(["11.55", "44.66", ".....", "2..33"])


def test_slices_are_linked_as_by_the_function():
    for gap in (0, 1):
        found = nm.edit_labels(SLICES, "link-slices", spacing=SPACING, gap=gap)
        np.testing.assert_array_equal(found, link_slices(SLICES, gap=gap))
    assert found[:, 0].tolist() == [
        [1, 1, 0, 2, 2],
        [1, 1, 0, 2, 2],
        [1, 0, 0, 2, 2],
        [1, 0, 0, 2, 2],
    ]


@pytest.mark.parametrize("axis", [1, 2])
def test_along_another_axis(axis):
    turned = np.moveaxis(SLICES, 0, axis)
    found = nm.edit_labels(turned, "link-slices", spacing=SPACING, axis=str(axis))
    np.testing.assert_array_equal(np.moveaxis(found, axis, 0), link_slices(SLICES))


def test_other_labels_stay_and_keep_their_numbers():
    found = nm.edit_labels(
        SLICES, "link-slices", spacing=SPACING, selected=(1, 4, 5, 6), locked=[6]
    )
    # 6 is locked and no part of it, 2 and 3 are not selected.
    assert found[:, 0].tolist() == [[7, 7, 0, 8, 8], [7, 7, 0, 6, 6], [0] * 5, [2, 0, 0, 3, 3]]


def test_a_bridge_takes_nothing_from_labels_that_are_not_linked():
    rows = ["1111", "..99", "2222"]
    found = nm.edit_labels(stack(rows), "link-slices", spacing=SPACING, selected=(1, 2), gap=1)
    assert found[:, 0].tolist() == [[10] * 4, [10, 10, 9, 9], [10] * 4]


def test_short_objects_are_deleted():
    found = nm.edit_labels(SLICES, "link-slices", spacing=SPACING, min_slices=2)
    assert found[:, 0].tolist() == [[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0] * 5, [0] * 5]


def test_what_cannot_be_linked_is_refused():
    with pytest.raises(EditError, match="no slices"):
        nm.edit_labels(SLICES[0], "link-slices", spacing=(1, 1))
    with pytest.raises(EditError, match="without one"):
        nm.edit_labels(SLICES, "link-slices", spacing=SPACING, region=SLICES > 0)


def test_the_scene_is_left_alone():
    from napari_monai.events import Edited
    from napari_monai.labels.operations import run

    before = SLICES.copy()
    scene = Scene(SLICES, SPACING)
    *_, last = run("link-slices", scene)
    assert isinstance(last, Edited)
    np.testing.assert_array_equal(SLICES, before)


# -- time, on the command line --------------------------------------------------------------------

FRAMES = np.stack([stack([r])[0] for r in ("111.22", "333.44", "333.44", "3.3.44")]).astype(
    np.uint16
)
FRAMES = np.repeat(FRAMES, 2, axis=1)
FRAMES[3, :, 0] = 5


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, FRAMES, metadata={"axes": "TYX"})
    return path


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_a_film_is_linked_in_a_file(film, tmp_path, capsys, ending):
    target, tracks = tmp_path / f"linked{ending}", tmp_path / "tracks.csv"
    told = ["--divisions", "--tracks", str(tracks)]
    assert main(["labels", "link-frames", str(film), str(target), *told]) == 0
    assert "4 objects in 4 time points, 2 of them from divisions" in capsys.readouterr().out
    found = io.read(target, labels=True)
    assert found.leading == "t"
    first = [found.at_time(t).numpy()[0].tolist() for t in range(4)]
    assert first == [[1, 1, 1, 0, 2, 2]] * 3 + [[3, 0, 4, 0, 2, 2]]
    with tracks.open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["label", "begin", "end", "parent"],
        ["1", "0", "2", "0"], ["2", "0", "3", "0"], ["3", "3", "3", "1"], ["4", "3", "3", "1"],
    ]  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [film.name, target.name, tracks.name]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one.tif", "new.tif"], "has one time point"),
        (["film.ome.tif", "film.ome.tif"], "is the input"),
        (["film.ome.tif", "one.tif"], "add --overwrite"),
        (["film.ome.tif", "new.tif", "--tracks", "one.tif"], "add --overwrite"),
    ],
    ids=["no time", "same file", "there already", "tracks there already"],
)
def test_what_the_command_refuses(film, tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("one.tif", FRAMES[0])
    assert main(["labels", "link-frames", *arguments]) in (1, 2)
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new.tif").exists()
