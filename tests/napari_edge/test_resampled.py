"""A volume that is shown resampled: its own voxels are segmented, and labels come back on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from tests.napari_edge.affines import affine_of

import napari_monai as nm
from napari_monai._napari.layers import placement_of
from napari_monai._napari.preview import Preview
from napari_monai.events import WindowDone

PLUGIN = "napari-monai"


@pytest.fixture
def two_scans(tmp_path: Path) -> tuple[Path, Path]:
    """Return the files of a straight and of an oblique scan of the same patient."""
    rng = np.random.default_rng(3)
    paths = tmp_path / "first.nii.gz", tmp_path / "second.nii.gz"
    for path, affine in zip(paths, (affine_of("RAS"), affine_of("LSA", 16)), strict=True):
        voxels = rng.integers(0, 255, (11, 12, 13)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, affine), path)
    return paths


@pytest.fixture
def viewer(two_scans: tuple[Path, Path], make_napari_viewer: Any) -> Any:
    """Return a viewer that shows both, the second one resampled."""
    notification_manager.records.clear()
    viewer = make_napari_viewer()
    viewer.open(two_scans[0], plugin=PLUGIN)
    with pytest.warns(nm.errors.VolumeWarning, match="second lies oblique"):
        viewer.open(two_scans[1], plugin=PLUGIN)
    return viewer


def test_result_is_what_scripts_get(
    viewer: Any, qtbot: Any, bright_3d: Any, two_scans: tuple[Path, Path], tmp_path: Path
) -> None:
    nm.write(tmp_path / "script.nii.gz", nm.segment(nm.read(two_scans[1]), bright_3d))
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    assert widget.image.layer.name == "second"
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(widget.run_button.isEnabled, timeout=60_000)
    result, image = viewer.layers[-1], viewer.layers["second"]
    for name in ("scale", "translate", "units", "axis_labels"):
        assert tuple(getattr(result, name)) == tuple(getattr(image, name)), name
    assert result.data.shape == image.data.shape

    widget.save_to(tmp_path / "widget.nii.gz")
    qtbot.waitUntil((tmp_path / "widget.nii.gz").exists, timeout=20_000)
    viewer.layers.selection.active = result
    viewer.layers.save(str(tmp_path / "viewer.nii.gz"), selected=True, plugin=PLUGIN)
    expected = nib.load(tmp_path / "script.nii.gz")
    assert np.asarray(expected.dataobj).any()
    for name in ("widget", "viewer"):
        written = nib.load(tmp_path / f"{name}.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
        np.testing.assert_array_equal(written.affine, nib.load(two_scans[1]).affine)
    assert not [n for n in notification_manager.records if str(n.severity) == "error"]


def test_preview_grows(viewer: Any, qtbot: Any, bright_3d: Any) -> None:
    place = placement_of(viewer.layers["second"])
    parent = QWidget()
    qtbot.addWidget(parent)
    preview = Preview(viewer, place, bright_3d.description, parent)
    whole = (slice(0, 11), slice(0, 12), slice(0, 13))
    preview.take(WindowDone(1, 2, whole, np.ones((11, 12, 13), np.uint8)))
    preview.show_soon()
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=10_000)
    layer = viewer.layers["Preview"]
    middle = tuple(n // 2 for n in layer.data.shape)
    assert layer.data[middle] == 1
    np.testing.assert_array_equal(layer.translate, viewer.layers["second"].translate)
    preview.take(WindowDone(2, 2, whole, np.zeros((11, 12, 13), np.uint8)))
    preview.show_soon()
    qtbot.waitUntil(lambda: not np.asarray(layer.data).any(), timeout=10_000)
    preview.close()
    assert "Preview" not in viewer.layers


def test_image_is_saved_with_its_own_voxels(
    viewer: Any, two_scans: tuple[Path, Path], tmp_path: Path
) -> None:
    viewer.layers.selection.active = viewer.layers["second"]
    viewer.layers.save(str(tmp_path / "copy.nii.gz"), selected=True, plugin=PLUGIN)
    copy, source = nib.load(tmp_path / "copy.nii.gz"), nib.load(two_scans[1])
    np.testing.assert_array_equal(np.asarray(copy.dataobj), np.asarray(source.dataobj))
    np.testing.assert_array_equal(copy.affine, source.affine)


def test_new_labels_on_it_are_saved_on_its_own_grid(
    viewer: Any, two_scans: tuple[Path, Path], tmp_path: Path
) -> None:
    viewer.layers.selection.active = viewer.layers["second"]
    viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    labels = viewer.layers[-1]
    labels.data[...] = 2
    viewer.layers.selection.active = labels
    viewer.layers.save(str(tmp_path / "drawn.nii.gz"), selected=True, plugin=PLUGIN)
    written = nib.load(tmp_path / "drawn.nii.gz")
    assert (np.asarray(written.dataobj) == np.full((11, 12, 13), 2)).all()
    np.testing.assert_array_equal(written.affine, nib.load(two_scans[1]).affine)
