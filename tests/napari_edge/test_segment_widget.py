"""The Segment widget, driven as a person does it, in a real viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from scipy import ndimage
from tests.models.known import INSTANCES, threshold_model
from tests.napari_edge.affines import affine_of

import napari_monai as nm
from napari_monai.models import Inferer, Inputs, Operation


def click(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(qtbot: Any, widget: Any) -> None:
    """Click Run, and wait until the widget is at rest again."""
    click(qtbot, widget.run_button)
    assert not widget.run_button.isEnabled()
    at_rest(qtbot, widget)


def at_rest(qtbot: Any, widget: Any) -> None:
    """Wait until nothing runs, waits or is saved."""
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def labels_layers(viewer: Any) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def errors() -> list[str]:
    return [n.message for n in notification_manager.records if str(n.severity) == "error"]


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


def test_run_shows_labels_on_the_image(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(squares, scale=(0.5, 0.25), translate=(3, 4), units="um", name="cells")
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, squares > 100)
    image = viewer.layers["cells"]
    for name in ("scale", "translate", "units", "axis_labels"):
        assert tuple(getattr(labels, name)) == tuple(getattr(image, name)), name
    assert labels.name == "cells (bright)"
    assert list(labels.features["name"]) == ["bright"]
    np.testing.assert_allclose(labels.get_color(1), (1, 0, 0, 1))
    assert "Found bright in" in widget.status.text()
    assert widget.status.text().endswith("on CPU")
    assert not widget.progress.isVisible()
    assert errors() == []


def test_objects_are_counted(docked, qtbot, blobs, squares) -> None:
    viewer, widget = docked(squares)
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    truth, _ = ndimage.label(squares > 100)
    assert np.unique(labels.data).tolist() == [0, 1, 2, 3]
    assert len(np.unique(np.stack([labels.data, truth])[:, squares > 100], axis=1).T) == 3
    assert widget.status.text().startswith("3 blobs in ")


def test_volume_on_a_turned_layer(docked, qtbot, bright_3d) -> None:
    image = np.zeros((9, 10, 11), np.float32)
    image[2:6, 3:8, 4:9] = 200
    turned = np.eye(3)
    turned[1:, 1:] = ((0.8, -0.6), (0.6, 0.8))  # in the plane, as the viewer shows it
    viewer, widget = docked(image, rotate=turned, scale=(3, 1, 1), units="mm")
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, image > 100)
    np.testing.assert_allclose(labels.rotate, viewer.layers[0].rotate)


def test_probabilities_and_uncertainty_lie_on_the_image(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(squares, scale=(0.5, 0.25), translate=(3, 4), units="um", name="cells")
    widget.form.fields["probabilities"].widget.value = True
    widget.form.fields["uncertainty"].widget.value = "entropy"
    for _ in range(2):  # the second run replaces what the first one left
        run(qtbot, widget)
        image = viewer.layers["cells"]
        (labels,) = labels_layers(viewer)
        dark, light = (
            viewer.layers[f"cells probability (bright): {name}"]
            for name in ("background", "bright")
        )
        unsure = viewer.layers["cells entropy (bright)"]
        assert len(viewer.layers) == 5
    np.testing.assert_allclose(dark.data + light.data, 1, atol=1e-6)
    np.testing.assert_array_equal(labels.data, light.data > 0.5)
    assert unsure.data.shape == squares.shape
    for layer in (dark, light, unsure):
        assert tuple(layer.scale) == tuple(image.scale)
        assert tuple(layer.translate) == tuple(image.translate)
        assert not layer.visible
        assert tuple(layer.contrast_limits) == (0, 1)
    assert errors() == []


def test_film_is_segmented_frame_by_frame(docked, qtbot, bright, squares) -> None:
    film = np.stack([squares, squares[::-1], squares[:, ::-1]])
    labels_t = ("t", "y", "x")
    viewer, widget = docked(film, axis_labels=labels_t, scale=(2, 1, 1), units=("s", "um", "um"))
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, film > 100)
    assert labels.axis_labels == labels_t
    assert [str(u) for u in labels.units] == ["second", "micrometer", "micrometer"]


def test_colour_picture(docked, qtbot, home, squares) -> None:
    threshold_model(
        home / "models" / "coloured",
        threshold=100.0,
        weights=(1.0, 0.0, 0.0),
        name="coloured",
        inputs=Inputs(("red", "green", "blue"), 2, colour=True),
    )
    picture = np.stack([squares, squares.T[:32, :32].repeat(2, 1)[:, :48], squares * 0], -1)
    viewer, widget = docked(picture, rgb=True)
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, squares > 100)


def test_all_channels_of_a_file(make_napari_viewer, qtbot, home, tmp_path) -> None:
    threshold_model(
        home / "models" / "both",
        threshold=100.0,
        weights=(1.0, -1.0),
        name="both",
    )
    rng = np.random.default_rng(5)
    data = rng.integers(0, 255, (2, 24, 36)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "two.ome.tif", data, metadata={"axes": "CYX"})
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "two.ome.tif", plugin="napari-monai")
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Segment")
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, data[0].astype(int) - data[1] > 100)


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize(("codes", "degrees"), [("RAS", 0), ("PIR", 0), ("LSA", 12), ("ASL", 12)])
def test_result_on_a_patient_is_what_scripts_get(
    make_napari_viewer, qtbot, bright_3d, tmp_path, codes, degrees, ndisplay
) -> None:
    """From a file through the viewer to a file: bit by bit the same as without the viewer."""
    rng = np.random.default_rng(3)
    voxels = rng.integers(0, 255, (11, 12, 13)).astype(np.int16)
    source = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine_of(codes, degrees)), source)
    nm.write(tmp_path / "script.nii.gz", nm.segment(nm.read(source), bright_3d))

    viewer = make_napari_viewer(ndisplay=ndisplay)
    viewer.open(source, plugin="napari-monai")
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Segment")
    run(qtbot, widget)
    assert errors() == []
    widget.save_to(tmp_path / "widget.nii.gz")
    at_rest(qtbot, widget)
    viewer.layers.save(str(tmp_path / "viewer.nii.gz"), selected=True, plugin="napari-monai")
    expected = nib.load(tmp_path / "script.nii.gz")
    assert np.asarray(expected.dataobj).any()
    for name in ("widget", "viewer"):
        written = nib.load(tmp_path / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
        np.testing.assert_array_equal(written.affine, nib.load(source).affine)
        assert written.header["sform_code"] == nib.load(source).header["sform_code"]


def test_second_run_replaces_the_first(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(squares)
    run(qtbot, widget)
    labels_layers(viewer)[0].opacity = 0.3
    viewer.layers[0].data = squares.T.copy().T[::-1]
    run(qtbot, widget)
    (labels,) = labels_layers(viewer)
    np.testing.assert_array_equal(labels.data, squares[::-1] > 100)
    assert labels.opacity == 0.3
    assert labels.name == "Image (bright)"


def test_second_run_keeps_what_was_painted(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(squares)
    run(qtbot, widget)
    first = labels_layers(viewer)[0]
    first.paint((30, 46), 1)
    painted = first.data.copy()
    run(qtbot, widget)
    kept, new = labels_layers(viewer)
    assert kept is first
    assert not kept.visible
    assert kept.name == "Image (bright), edited"
    np.testing.assert_array_equal(kept.data, painted)
    np.testing.assert_array_equal(new.data, squares > 100)


def test_painted_and_undone_is_not_edited(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(squares)
    run(qtbot, widget)
    first = labels_layers(viewer)[0]
    first.paint((30, 46), 1)
    first.undo()
    run(qtbot, widget)
    assert len(labels_layers(viewer)) == 1


def test_preview_grows_and_goes(docked, qtbot, bright) -> None:
    image = np.full((256, 256), 200, np.uint8)
    viewer, widget = docked(image)
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=60_000)
    preview = viewer.layers["Preview"]
    assert not preview.editable
    assert viewer.layers.selection.active is viewer.layers[0]
    assert preview.data.dtype == np.uint8
    qtbot.waitUntil(lambda: preview.data.any(), timeout=10_000)
    at_rest(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["Image", "Image (bright)"]


def test_cancel_leaves_the_layers_alone(docked, qtbot, bright) -> None:
    viewer, widget = docked(np.zeros((512, 512), np.uint8))
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=60_000)
    assert "windows" in widget.progress.format()
    click(qtbot, widget.cancel_button)
    at_rest(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["Image"]
    assert widget.status.text() == "Cancelled."
    assert not widget.cancel_button.isEnabled()


def test_cancel_brings_the_last_result_back(docked, qtbot, bright, squares) -> None:
    viewer, widget = docked(np.kron(squares, np.ones((12, 12), np.uint8)))
    run(qtbot, widget)
    (last,) = labels_layers(viewer)
    click(qtbot, widget.run_button)
    assert not last.visible
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=60_000)
    click(qtbot, widget.cancel_button)
    at_rest(qtbot, widget)
    assert labels_layers(viewer) == [last]
    assert last.visible


def test_damaged_weights_are_said_in_one_line(docked, qtbot, bright, squares) -> None:
    (bright.folder / bright.description.weights[0].path).write_bytes(b"nothing")
    viewer, widget = docked(squares)
    run(qtbot, widget)
    (message,) = errors()
    assert "bright" in message
    assert "\n" not in message
    assert widget.status.text() == message
    assert labels_layers(viewer) == []


def test_wrong_setting_is_said_before_the_run(docked, qtbot, bright, squares) -> None:
    _, widget = docked(squares)
    widget.form.fields["window"].widget.value = "16 by 16"
    click(qtbot, widget.run_button)
    assert "Window needs whole numbers" in errors()[0]
    assert widget.run_button.isEnabled()


def test_setting_of_wrong_dimension(docked, qtbot, bright, squares) -> None:
    _, widget = docked(squares)
    widget.form.fields["window"].widget.value = "16 x 16 x 16"
    run(qtbot, widget)
    assert "Window (16, 16, 16) has 3 numbers" in errors()[0]


def test_settings_reach_the_run(docked, qtbot, bright, squares) -> None:
    _, widget = docked(squares)
    totals = []
    for window in ("8 x 8", "32 x 48"):
        widget.form.fields["window"].widget.value = window
        click(qtbot, widget.run_button)
        at_rest(qtbot, widget)
        totals.append(widget.progress.maximum())
    assert totals[0] > totals[1] == 1


def test_image_follows_the_selection(docked, squares, bright) -> None:
    viewer, widget = docked(squares, squares, name="a")
    assert widget.image.layer is viewer.layers[1]
    viewer.layers.selection.active = viewer.layers[0]
    assert widget.image.layer is viewer.layers[0]
    labels = viewer.add_labels(np.zeros((4, 4), int))
    assert viewer.layers.selection.active is labels
    assert widget.image.layer is viewer.layers[0]
    viewer.layers[0].name = "renamed"
    assert widget.image.currentText() == "renamed"
    viewer.layers.clear()
    assert widget.image.layer is None
    assert not widget.run_button.isEnabled()


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave the models that come with the package out of the store."""
    monkeypatch.setattr("napari_monai.models.store.shipped_folder", lambda: tmp_path / "none")


def test_models_that_fit_come_first(nothing_shipped, docked, bright, bright_3d, squares) -> None:
    viewer, widget = docked(squares)
    box = widget.model
    assert [box.itemText(i) for i in range(box.count())] == [
        "bright",
        "bright3d takes volumes, and this image is 2D",
    ]
    assert box.choice.model.name == "bright"
    assert not box.model().item(1).isEnabled()
    viewer.add_image(np.zeros((8, 9, 10)))
    assert box.itemText(0) == "bright3d"
    assert box.choice.model.name == "bright3d"
    assert "3D" in widget.about.text()


def test_no_model_fits(nothing_shipped, docked, bright_3d, squares) -> None:
    _, widget = docked(squares)
    assert widget.about.text() == "bright3d takes volumes, and this image is 2D."
    assert not widget.run_button.isEnabled()


def test_many_that_do_not_fit_are_not_all_named(nothing_shipped, docked, home, squares) -> None:
    for n in range(6):
        name = f"solid{n}"
        threshold_model(home / "models" / name, threshold=1.0, dims=3, name=name)
    _, widget = docked(squares)
    lines = widget.about.text().splitlines()
    assert len(lines) == 4
    assert lines[3] == "3 more do not fit: see the list."


def test_no_image_yet(docked, bright, squares) -> None:
    viewer, widget = docked()
    assert "Open Sample" in widget.status.text()
    assert not widget.run_button.isEnabled()
    viewer.add_image(squares)
    assert widget.status.text() == ""
    assert widget.run_button.isEnabled()


def test_no_models_says_where_they_go(docked, home, squares, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("napari_monai.models.store.shipped_folder", lambda: tmp_path / "none")
    _, widget = docked(squares)
    assert str(home / "models") in widget.about.text()


def test_a_new_model_shows_when_the_list_opens(docked, home, bright, squares, qtbot) -> None:
    _, widget = docked(squares)
    threshold_model(home / "models" / "newer", threshold=1.0, name="newer")
    widget.model.showPopup()
    widget.model.hidePopup()
    assert widget.model.findText("newer") >= 0


def test_image_with_too_many_axes(docked, bright, squares) -> None:
    _, widget = docked(np.zeros((2, 2, 2, 8, 8)))
    assert "5 axes" in widget.status.text()
    assert not widget.run_button.isEnabled()


def test_closing_the_dock_cancels(docked, qtbot, bright) -> None:
    from napari.qt.threading import WorkerBase

    viewer, widget = docked(np.zeros((512, 512), np.uint8))
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=60_000)
    viewer.window.remove_dock_widget(widget)
    assert [layer.name for layer in viewer.layers] == ["Image"]
    del widget
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=10_000)
    assert errors() == []


def test_closing_the_viewer_cancels(docked, qtbot, bright) -> None:
    from napari.qt.threading import WorkerBase

    viewer, widget = docked(np.zeros((512, 512), np.uint8))
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=60_000)
    viewer.close()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=10_000)
    assert errors() == []


def test_deleted_layers_do_not_stop_a_run(docked, qtbot, bright) -> None:
    image = np.full((256, 256), 200, np.uint8)
    viewer, widget = docked(image)
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=60_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: bool(labels_layers(viewer)), timeout=60_000)
    assert (labels_layers(viewer)[0].data == 1).all()
    assert errors() == []


def test_fits_a_narrow_dock_and_a_low_window(docked, qtbot, blobs, squares) -> None:
    _, widget = docked(squares)
    widget.form.more.expand()
    assert widget.minimumSizeHint().width() <= 280
    assert widget.minimumSizeHint().height() <= 300


def test_save_button_writes_the_labels(docked, qtbot, bright, squares, tmp_path) -> None:
    from napari_monai import read

    _, widget = docked(squares, scale=(0.5, 0.25), units="um")
    assert not widget.save_button.isEnabled()
    run(qtbot, widget)
    assert widget.save_button.isEnabled()
    widget.save_to(tmp_path / "found.ome.tif")
    at_rest(qtbot, widget)
    labels = read(tmp_path / "found.ome.tif", labels=True)
    np.testing.assert_array_equal(labels.numpy(), squares > 100)
    assert labels.grid.spacing == (0.5, 0.25)
    assert labels.grid.unit == "µm"
    assert widget.status.text() == "Saved found.ome.tif."


def test_save_where_there_is_no_folder(docked, qtbot, bright, squares, tmp_path) -> None:
    _, widget = docked(squares)
    run(qtbot, widget)
    widget.save_to(tmp_path / "missing" / "found.tif")
    at_rest(qtbot, widget)
    assert "There is no folder" in errors()[0]


def test_three_clicks_segment_the_sample(make_napari_viewer, qtbot, home) -> None:
    """Open Sample > Nuclei (2D), Plugins > Segment, Run."""
    from napari._app_model import get_app_model

    scale = Operation("scale_percentiles", {"lower": 1.0, "upper": 99.8})
    threshold_model(
        home / "models" / "bright-nuclei",
        threshold=0.3,
        name="bright-nuclei",
        preprocess=(scale,),
        inferer=Inferer((128, 128)),
        **INSTANCES,
    )
    viewer = make_napari_viewer()
    commands = get_app_model().commands
    commands.execute_command("napari-monai.nuclei_2d").result()
    commands.execute_command("napari-monai.segment").result()
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    widget = dock.widget()
    qtbot.waitUntil(lambda: viewer.layers.selection.active is viewer.layers["Nuclei"])
    widget.model._wanted = "bright-nuclei"
    widget.model.fit(widget.image.layer)
    run(qtbot, widget)
    found, truth = viewer.layers["Nuclei (bright-nuclei)"].data > 0, viewer.layers[1].data > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.6
