"""Image layers as the channels of a model: the rows of the Segment widget, in a real viewer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels
from tests.models.known import threshold_model
from tests.napari_edge.test_segment_widget import errors, labels_layers, run

import napari_monai as nm
from napari_monai._napari.choices import choices
from napari_monai.models import Inputs

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def model(home: Path, *channels: str, dims: int = 3, name: str = "mr") -> nm.Model:
    """Write a model of what is above 100 in twice the first channel less the others."""
    return threshold_model(
        home / "models" / name,
        threshold=100.0,
        weights=(2.0, *(-1.0 for _ in channels[1:])),
        dims=dims,
        name=name,
        inputs=Inputs(channels, dims),
    )


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 200, (4, 9, 10, 11)).astype(np.int16)


@pytest.fixture
def patient(tmp_path: Path, voxels: np.ndarray) -> list[Path]:
    """Return the files of four images of one patient on one grid."""
    paths = [tmp_path / "a" / f"{n}.nii.gz" for n in ("flair", "t1", "t1ce", "t2")]
    paths[0].parent.mkdir()
    for path, array in zip(paths, voxels, strict=True):
        nib.save(nib.Nifti1Image(array, AFFINE), path)
    return paths


def opened(docked: Any, *paths: Path) -> tuple[Any, Any]:
    viewer, widget = docked()
    for path in paths:
        viewer.open(str(path), plugin="napari-monai")
    return viewer, widget


def named(widget: Any) -> list[str]:
    return [layer.name for layer in widget.channels.layers]


def listed(widget: Any) -> dict[str, tuple[str, bool]]:
    """Return the text of each model in the list, and whether it can be chosen."""
    box = widget.model
    items = [box.model().item(at) for at in range(box.count())]
    return {item.text().split()[0]: (item.text(), item.isEnabled()) for item in items}


def test_rows_find_their_images_and_give_the_labels_of_one_file(
    docked: Any, qtbot: Any, home: Path, patient: list[Path], tmp_path: Path
) -> None:
    mr = model(home, "T1c", "T1", "T2", "FLAIR")
    viewer, widget = opened(docked, *patient)
    assert widget.channels.isVisibleTo(widget)
    assert named(widget) == ["t1ce", "t1", "t2", "flair"]
    assert [box.currentText() for box in widget.channels.boxes] == named(widget)
    assert widget.run_button.isEnabled()
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    assert labels.name == "t1ce (mr)"
    assert widget.result is labels
    assert errors() == []

    order = [2, 1, 3, 0]
    read = [nm.read(patient[i]) for i in order]
    stack = np.stack([v.numpy() for v in read])
    one_file = replace(read[0], data=stack, leading="c", channel_names=())
    widget.save_to(tmp_path / "saved.nii.gz")
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    saved = nib.load(tmp_path / "saved.nii.gz")
    expected = nm.segment(one_file, mr)
    assert 0 < expected.numpy().sum() < expected.numpy().size
    np.testing.assert_array_equal(nm.read(tmp_path / "saved.nii.gz").numpy(), expected.numpy())
    np.testing.assert_array_equal(saved.affine, AFFINE)
    image = viewer.layers["t1ce"]
    assert tuple(labels.translate) == tuple(image.translate)


def test_what_is_chosen_by_hand_is_run(
    docked: Any, qtbot: Any, home: Path, patient: list[Path], voxels: np.ndarray
) -> None:
    model(home, "T1", "T2")
    viewer, widget = opened(docked, *patient)
    first, second = widget.channels.boxes
    assert named(widget) == ["t1", "t2"]
    first.setCurrentText("t2")  # which was the second: they change places
    assert named(widget) == ["t2", "t1"]
    second.setCurrentText("flair")
    run(qtbot, widget)
    assert named(widget) == ["t2", "flair"]
    (labels,) = labels_layers(viewer)
    expected = 2 * voxels[3].astype(int) - voxels[0] > 100
    back = nm.read(patient[3]).grid.reorientation_to().apply(expected)
    np.testing.assert_array_equal(labels.data, back)
    # Another order is other work.
    first.setCurrentText("flair")
    assert widget.run_button.isEnabled()


def test_rows_come_and_go_with_the_layers(docked: Any, home: Path, voxels: np.ndarray) -> None:
    model(home, "a", "b")
    viewer, widget = docked(voxels[0], name="one")
    assert not widget.channels.isVisibleTo(widget)
    lacking = "mr takes 2 channels (a, b), and this image has 1: open 1 more on its voxels"
    assert listed(widget)["mr"] == (lacking, False)
    viewer.add_image(voxels[1, :4], name="small")
    assert listed(widget)["mr"] == (lacking, False)
    viewer.add_image(voxels[1], name="two")
    assert listed(widget)["mr"] == ("mr", True)
    assert widget.model.currentText() == "mr"
    assert named(widget) == ["one", "two"]
    viewer.layers["one"].name = "b"
    assert named(widget) == ["two", "b"]
    viewer.layers.remove("b")
    assert widget.channels.layers == ()
    assert not widget.channels.isVisibleTo(widget)
    assert listed(widget)["mr"] == (lacking, False)


def test_several_selected_are_one_image(
    docked: Any, qtbot: Any, home: Path, voxels: np.ndarray
) -> None:
    model(home, "a", "b")
    viewer, widget = docked(*voxels[:2], name="part")
    viewer.layers.selection = set(viewer.layers)
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, 2 * voxels[0].astype(int) - voxels[1] > 100)


def test_a_film_of_two_channels(docked: Any, qtbot: Any, home: Path, voxels: np.ndarray) -> None:
    model(home, "a", "b", dims=2)
    axes = ("t", "y", "x")
    viewer, widget = docked(*voxels[:2, :3], name="film", axis_labels=axes)
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    expected = 2 * voxels[0, :3].astype(int) - voxels[1, :3] > 100
    np.testing.assert_array_equal(labels.data, expected)
    assert labels.axis_labels == axes


def test_the_same_work_is_queued_once(docked: Any, home: Path, qtbot: Any, voxels: Any) -> None:
    model(home, "a", "b")
    _, widget = docked(*voxels[:2], name="part")
    widget.run()
    assert not widget.run_button.isEnabled()
    widget.channels.boxes[0].setCurrentIndex(1)
    assert widget.run_button.isEnabled()
    widget.run()
    assert len(widget.queue.runs) == 2
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert [r.state for r in widget.queue.runs] == ["done", "done"]


def layer(array: np.ndarray, name: str) -> Image:
    return Image(array, name=name)


def test_two_patients_on_one_grid_are_not_mixed(home: Path, voxels: np.ndarray) -> None:
    mr = model(home, "t1", "t2")
    names = ["A-t2", "B-t1", "A-t1", "B-t2"]
    layers = [layer(v, n) for v, n in zip(voxels, names, strict=True)]
    for chosen, expected in ((0, ["A-t1", "A-t2"]), (1, ["B-t1", "B-t2"])):
        (choice,) = choices([mr], layers[chosen], layers)
        assert [x.name for x in choice.layers] == expected
        assert list(choice.offered) == layers


def test_neither_colours_nor_labels_nor_fewer_axes_are_channels(
    docked: Any, home: Path, voxels: np.ndarray
) -> None:
    model(home, "a", "b", dims=2)
    viewer, widget = docked(voxels[0, 0], name="grey")
    viewer.add_image(np.zeros((10, 11, 3), np.uint8), name="colour")
    viewer.add_layer(Labels(np.zeros((10, 11), np.uint8)))
    viewer.add_image(voxels[0], name="deep")
    viewer.layers.selection = {viewer.layers["grey"]}
    assert widget.channels.layers == ()
    assert not listed(widget)["mr"][1]


def test_more_images_are_no_cure_for_too_few_axes(home: Path, voxels: np.ndarray) -> None:
    flat = layer(voxels[0, 0], "flat")
    (choice,) = choices([model(home, "a", "b")], flat, [flat])
    assert choice.why_not == "takes volumes, and this image is 2D"


def test_models_of_one_channel_have_no_rows(docked: Any, bright_3d: Any, voxels: Any) -> None:
    _, widget = docked(*voxels[:2])
    assert widget.model.choice is not None
    assert widget.channels.layers == ()
    assert not widget.channels.isVisibleTo(widget)
