"""What the Segment widget offers for slices and time points, in a real viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Tracks
from qtpy.QtCore import Qt
from scipy import ndimage

import napari_monai as nm
from napari_monai._napari.choices import LINKS

DETAILS = {"link_overlap", "link_gap", "link_neck"}


def offered(widget: Any) -> set[str]:
    """Return which of the settings are shown, or would be if *More settings* were open."""
    form = widget.form
    form.more.expand()
    return {n for n in LINKS if form.fields[n].widget.native.isVisibleTo(form)}


def run(qtbot: Any, widget: Any) -> None:
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def result(viewer: Any) -> np.ndarray:
    (layer,) = (x for x in viewer.layers if isinstance(x, Labels))
    return np.asarray(layer.data)


@pytest.fixture
def discs() -> np.ndarray:
    """Return a stack of one bright object above another, which lies a little aside."""
    stack = np.zeros((6, 20, 20), np.uint8)
    stack[:3, 4:10, 4:10] = 200
    stack[3:, 8:15, 8:15] = 200
    return stack


def test_details_are_shown_where_they_matter(docked, blobs, squares, discs) -> None:
    viewer, widget = docked(squares)
    assert offered(widget) == set()
    viewer.layers.clear()
    viewer.add_image(discs)
    assert widget.use("blobs")
    assert offered(widget) == {"slices", *DETAILS}
    for way, shown in (("together", set()), ("orthogonal", set()), ("linked", DETAILS)):
        widget.form.fields["slices"].widget.value = way
        assert offered(widget) == {"slices", *shown}
    viewer.layers.clear()
    viewer.add_image(np.stack([discs] * 2), axis_labels=("t", "z", "y", "x"))
    assert widget.use("blobs")
    time = {"link_time", "link_overlap", "link_gap", "link_divisions"}
    assert offered(widget) == {"slices", *DETAILS, *time}
    widget.form.fields["slices"].widget.value = "together"
    assert offered(widget) == {"slices", *time}
    widget.form.fields["link_time"].widget.value = False
    assert offered(widget) == {"slices", "link_time"}


def test_models_of_classes_and_of_volumes_have_less_to_link(
    docked, bright, bright_3d, discs
) -> None:
    _viewer, widget = docked(np.stack([discs] * 2), axis_labels=("t", "z", "y", "x"))
    assert widget.use("bright3d")
    assert offered(widget) == set()
    assert widget.use("bright")
    assert offered(widget) == {"slices"}


def test_slices_are_made_objects_as_it_is_set(docked, qtbot, blobs, discs) -> None:
    viewer, widget = docked(discs)
    assert widget.use("blobs")
    for way, count in (("linked", 2), ("together", 1)):
        widget.form.fields["slices"].widget.value = way
        run(qtbot, widget)
        settings = nm.InferenceSettings(slices=way)
        expected = nm.segment(nm.Volume(discs, nm.Grid.from_spacing(discs.shape)), blobs,
                              settings=settings)  # fmt: skip
        np.testing.assert_array_equal(result(viewer), expected.numpy())
        assert result(viewer).max() == count
        assert widget.status.text().startswith(f"{count} blob")


def test_objects_of_a_film_keep_their_numbers(docked, qtbot, blobs, squares) -> None:
    film = np.stack([squares] * 3)
    for time, frame in enumerate(film):  # the square on the right climbs beyond the others
        frame[:, 24:] = np.roll(frame[:, 24:], -4 * time, axis=0)
    viewer, widget = docked(film, axis_labels=("t", "y", "x"))
    for linked in (True, True, False):
        widget.form.fields["link_time"].widget.value = linked
        run(qtbot, widget)
        climbing = [int(frame[13 - 4 * t, 32]) for t, frame in enumerate(result(viewer))]
        assert climbing == ([2, 2, 2] if linked else [2, 2, 1])
        paths = [x for x in viewer.layers if isinstance(x, Tracks)]
        assert len(paths) == linked  # the same layer again, and none of what was not linked
        for number, time, *centre in paths[0].data if paths else ():
            frame = result(viewer)[int(time)]
            np.testing.assert_allclose(centre, ndimage.center_of_mass(frame == number))


def test_paths_lie_over_the_labels_and_show_divisions(docked, qtbot, blobs) -> None:
    film = np.zeros((3, 24, 24), np.uint8)
    film[0, 6:18, 8:14] = 200
    film[1:, 6:11, 8:14] = 200
    film[1:, 13:18, 8:14] = 200
    viewer, widget = docked(film, axis_labels=("t", "y", "x"), scale=(1, 0.5, 0.5))
    widget.form.fields["link_divisions"].widget.value = True
    run(qtbot, widget)
    (paths,) = (x for x in viewer.layers if isinstance(x, Tracks))
    (labels,) = (x for x in viewer.layers if isinstance(x, Labels))
    assert paths.graph == {2: [1], 3: [1]}
    np.testing.assert_array_equal(np.unique(paths.data[:, 0]), [1, 2, 3])
    for row in paths.data:
        voxel = np.rint(labels.world_to_data(paths.data_to_world(row[1:]))).astype(int)
        assert labels.data[tuple(voxel)] == row[0]
