"""The canvas of a real window: what is seen, pointed at and painted is one voxel, not mirrored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from tests.napari_edge.affines import affine_of

from napari_monai import LabelVolume
from napari_monai._napari.layers import labels_layer
from napari_monai.grid import Grid

PLUGIN = "napari-monai"
SHAPE = (17, 19, 23)
VOXEL = (4, 12, 16)
VIEWS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
# Where the patient's directions point on the screen, (right, down), as radiologists read it.
SCREEN = {
    "axial": {"L": (1, 0), "P": (0, 1)},
    "coronal": {"L": (1, 0), "I": (0, 1)},
    "sagittal": {"P": (1, 0), "I": (0, 1)},
}
WORLD = {"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)}


def tilted() -> np.ndarray:
    """Return the affine of a CT whose gantry was tilted by 20 degrees: slices are shifted."""
    affine = affine_of("LPS")
    affine[:3, 2] = (0, -3.0 * np.sin(np.radians(20)), 3.0 * np.cos(np.radians(20)))
    return affine


AFFINES = {
    "axial": affine_of("LPS"),
    "coronal": affine_of("LIP"),
    "sagittal": affine_of("AIL"),
    "oblique": affine_of("LSP", 16),
    "sheared": tilted(),
}


@pytest.fixture(params=AFFINES)
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, make_napari_viewer: Any, qtbot: Any
) -> tuple[Any, Any, Path]:
    """Return a window that shows a file of one bright voxel, its layer, and the file."""
    data = np.zeros(SHAPE, np.int16)
    data[VOXEL] = 1000
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, AFFINES[request.param]), path)
    viewer = make_napari_viewer(show=True)
    (image,) = viewer.open(path, plugin=PLUGIN)
    image.contrast_limits = (0, 1000)
    return viewer, image, path


def look(viewer: Any, view: str, at: tuple[int, ...]) -> np.ndarray:
    """Turn to a view and slice, and return the picture of the canvas, (row, column, colour)."""
    viewer.dims.order = VIEWS[view]
    viewer.dims.current_step = at
    viewer.fit_to_view()
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(int)


def middle(seen: np.ndarray) -> tuple[int, int]:
    """Return the pixel in the middle of what is seen, (x, y)."""
    y, x = np.argwhere(seen).mean(axis=0).round().astype(int)
    return int(x), int(y)


def test_seen_pointed_at_and_painted_are_one_voxel(
    opened: tuple[Any, Any, Path], qtbot: Any, tmp_path: Path
) -> None:
    viewer, image, path = opened
    at = tuple(int(i) for i in np.argwhere(image.data == 1000)[0])
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    labels = viewer.layers[-1]
    labels.brush_size = 1
    for number, view in enumerate(VIEWS, start=1):
        labels.data[...] = 0
        labels.refresh()
        bright = look(viewer, view, at).min(axis=-1) > 200
        assert bright.any(), f"{view}: the slice that is shown holds the voxel"
        pixel = middle(bright)
        where = QPoint(*pixel)

        labels.selected_label, labels.mode = number, "paint"
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=where)
        assert image.get_value(viewer.cursor.position, world=True) == 1000, view
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=where)
        labels.mode = "pan_zoom"  # the brush's outline covers the voxel
        assert np.argwhere(labels.data).tolist() == [list(at)], view
        picture = look(viewer, view, at)
        coloured = picture.max(axis=-1) - picture.min(axis=-1) > 40
        assert np.abs(np.subtract(middle(coloured), pixel)).max() <= 1, view

    viewer.layers.selection.active = labels
    viewer.layers.save(str(tmp_path / "drawn.nii.gz"), selected=True, plugin=PLUGIN)
    written, source = nib.load(tmp_path / "drawn.nii.gz"), nib.load(path)
    assert np.argwhere(written.dataobj).tolist() == [list(VOXEL)]
    assert written.affine.tobytes() == source.affine.tobytes()
    for field in ("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b"):
        assert written.header[field].tobytes() == source.header[field].tobytes()


def test_views_are_radiological(opened: tuple[Any, Any, Path]) -> None:
    """The patient's left on the right of the screen, the front or the head up."""
    viewer, image, path = opened
    grid = Grid(SHAPE, nib.load(path).affine)
    start = np.array(SHAPE) / 2
    node = viewer.window._qt_viewer.canvas.layer_to_visual[image].node
    for view, (_, row, column) in VIEWS.items():
        look(viewer, view, tuple(n // 2 for n in image.data.shape))
        to_canvas = node.get_transform("visual", "canvas")
        for letter, direction in SCREEN[view].items():
            # Two places along the file's axis that runs most in that direction of the patient.
            axis = int(np.abs(grid.direction.T @ WORLD[letter]).argmax())
            step = np.sign(grid.direction[:, axis] @ WORLD[letter]) * np.eye(3)[axis]
            ends = [on_canvas(grid, start + side * step) for side in (0, 4)]
            one, two = (to_canvas.map([e[column], e[row], 0, 1])[:2] for e in ends)
            found = (two - one) / np.linalg.norm(two - one)
            assert found == pytest.approx(direction, abs=1e-3), (view, letter)


def on_canvas(grid: Grid, index: np.ndarray) -> np.ndarray:
    """Return the index in the layer of a voxel of the file: by nibabel, not by us."""
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(grid.affine), nib.orientations.axcodes2ornt("IPL")
    )
    matrix = np.linalg.inv(nib.orientations.inv_ornt_aff(ornt, grid.shape))
    return np.asarray(nib.affines.apply_affine(matrix, index))


@pytest.mark.parametrize("name", AFFINES)
def test_three_dimensions_are_not_mirrored(name: str, make_napari_viewer: Any, qtbot: Any) -> None:
    """Seen from the front with the head up, the patient's left is on the right of the screen.

    Told by the picture alone: which of two blocks hides the other says where the front is.
    """
    steps = np.linalg.norm(AFFINES[name][:3, :3], axis=0)
    grid = Grid((24, 24, 24), AFFINES[name] / [*steps, 1])
    world = grid.index_to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.centre
    x, y, z = np.moveaxis(world, -1, 0)
    data = np.zeros(grid.shape, np.uint8)
    narrow = (np.abs(x) < 3) & (np.abs(z) < 3)
    data[narrow & (y > 5)] = 1  # anterior, in front of
    data[narrow & (y < -5)] = 2  # posterior
    data[(np.abs(y) < 3) & (np.abs(z) < 3) & (x < -5)] = 3  # left
    data[(np.abs(y) < 3) & (np.abs(x) < 3) & (z > 5)] = 4  # superior
    viewer = make_napari_viewer(show=True, ndisplay=3)
    layer = viewer.add_layer(Layer.create(*labels_layer(LabelVolume(data, grid))))
    layer.opacity = 1
    colours = {number: 255 * np.array(layer.get_color(number)[:3]) for number in (1, 2, 3, 4)}
    # Backwards, with the head up, as (z, y, x).
    viewer.scene.camera.set_view_direction((0, 1, 0), (-1, 0, 0))
    viewer.fit_to_view()
    picture = np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]
    # Light makes faces darker, and leaves the hue.
    lit = picture.max(axis=-1) > 40
    unit = picture / np.maximum(np.linalg.norm(picture, axis=-1, keepdims=True), 1)
    likeness = np.stack([unit @ (c / np.linalg.norm(c)) for c in colours.values()], -1)
    seen = np.where(lit, likeness.argmax(axis=-1) + 1, 0)
    rows, columns = seen.shape
    assert seen[rows // 2, columns // 2] == 1, "the block in front hides the one behind"
    left, top = middle(seen == 3), middle(seen == 4)
    # To 25 degrees: an oblique volume is shown straight.
    right, up = left[0] - columns / 2, rows / 2 - top[1]
    assert right > 20
    assert up > 20
    assert abs(left[1] - rows / 2) < 0.47 * right
    assert abs(top[0] - columns / 2) < 0.47 * up
