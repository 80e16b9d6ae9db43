"""The panel of objects, used as a person does it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt

from napari_monai import LabelVolume, write
from napari_monai._napari.edit_session import EditSession
from napari_monai._napari.fly import fly_to, slice_of
from napari_monai._napari.kept_notes import KeptNotes, kept_notes, labels_file
from napari_monai._napari.label_colours import class_look
from napari_monai._napari.objects_panel import ObjectsPanel
from napari_monai._napari.pointing import Picker
from napari_monai.grid import Grid
from napari_monai.labels.measure import measure
from napari_monai.labels.notes import notes_path, read_notes, write_notes
from napari_monai.volume import LabelClass

SPACING = (3.0, 0.5, 0.5)
PLUGIN = "napari-monai"
Opened = Callable[..., tuple[ObjectsPanel, EditSession]]


def objects() -> np.ndarray:
    """Return five boxes of 8, 27, 64, 12 and 6 voxels; 3 reaches the edge, 5 bends."""
    labels = np.zeros((12, 30, 40), np.uint16)
    labels[1:3, 2:4, 2:4] = 1
    labels[4:7, 10:13, 10:13] = 2
    labels[8:12, 20:24, 30:34] = 3
    labels[5:8, 2:4, 30:32] = 4
    labels[2, 20, 2:5] = labels[6, 20, 2:5] = 5
    return labels


@pytest.fixture
def opened(qtbot: Any) -> Opened:
    """Return a function that shows the panel of five objects, measured."""

    def show(
        classes: tuple[LabelClass, ...] = (), viewer: Any = None
    ) -> tuple[ObjectsPanel, EditSession]:
        viewer = viewer or ViewerModel()
        labels = objects()
        image = viewer.add_image(labels * 10.0, scale=SPACING, units="mm")
        layer = viewer.add_labels(labels, scale=SPACING, units="mm", **class_look(classes))
        session = EditSession(viewer, layer, image)
        panel = ObjectsPanel(session)
        panel.resize(380, 500)
        qtbot.addWidget(panel)
        panel.show()
        at_rest(qtbot, panel)
        return panel, session

    return show


def at_rest(qtbot: Any, panel: ObjectsPanel) -> None:
    qtbot.waitUntil(
        lambda: panel.measurements.table is not None and not panel.measurements.is_busy,
        timeout=20_000,
    )


def cells(panel: ObjectsPanel, title: str) -> list[str]:
    model = panel.table.model()
    titles = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())]
    return [model.index(row, titles.index(title)).data() for row in range(model.rowCount())]


def click(qtbot: Any, panel: ObjectsPanel, label: int, *keys: Qt.KeyboardModifier) -> None:
    index = panel.table.model().index(cells(panel, "Label").index(str(label)), 0)
    where = panel.table.visualRect(index).center()
    modifier = keys[0] if keys else Qt.KeyboardModifier.NoModifier
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, modifier, where)


def test_what_is_measured_is_shown(opened: Opened) -> None:
    panel, _ = opened((LabelClass(2, "nodule"),))
    assert cells(panel, "Label") == ["1", "2", "3", "4", "5"]
    assert cells(panel, "Volume (mm³)") == ["6", "20.25", "48", "9", "4.5"]
    assert cells(panel, "Mean") == ["10", "20", "30", "40", "50"]
    assert cells(panel, "Class") == ["", "nodule", "", "", ""]
    assert cells(panel, "Border") == ["", "", "edge", "", ""]
    assert cells(panel, "Slices") == ["2", "3", "4", "3", "2"]
    assert cells(panel, "Centroid")[1] == "5, 11, 11"
    assert panel.status.text() == "5 objects, 1 chosen"


def test_filter_and_what_is_wrong_with_it(opened: Opened, qtbot: Any) -> None:
    panel, _ = opened()
    qtbot.keyClicks(panel.filter_line, "volume > 8 border != edge")
    assert cells(panel, "Label") == ["2", "4"]
    assert panel.status.text().startswith("5 objects, 2 shown")
    panel.filter_line.setText("volume >")
    assert panel.status.text() == "Volume > what?"


def test_a_click_flies_there_and_selects(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 3)
    assert session.layer.selected_label == 3
    assert session.viewer.dims.current_step[0] == 10  # of 8 to 11, the middle is 9.5
    assert session.viewer.scene.camera.center[1:] == pytest.approx((21.5 * 0.5, 31.5 * 0.5))
    click(qtbot, panel, 5)
    assert session.viewer.dims.current_step[0] in (2, 6), "its middle is on a slice without it"


def test_the_viewers_picker_chooses_the_row(opened: Opened) -> None:
    panel, session = opened()
    session.layer.selected_label = 4
    assert panel.selected == (4,)


@pytest.mark.parametrize(("zoom", "part"), [(0.01, 0.3), (500.0, 0.3), (3.0, None)])
def test_zoom_changes_only_where_it_must(zoom: float, part: float | None) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(objects(), scale=SPACING)
    viewer.scene.camera.zoom = zoom
    box = (slice(8, 12), slice(0, 30), slice(0, 40))
    fly_to(viewer, layer, (9, 15, 20), box)
    height, width = viewer.canvas.viewbox_size(viewer.layers)
    seen = max(15 * viewer.scene.camera.zoom / height, 20 * viewer.scene.camera.zoom / width)
    assert seen == pytest.approx(part) if part else viewer.scene.camera.zoom == zoom


def test_fly_in_other_views_and_with_a_time_axis() -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.stack([objects()] * 3), scale=(1, *SPACING))
    viewer.dims.set_point(0, 2)
    viewer.dims.order = (0, 2, 1, 3)  # coronal
    fly_to(viewer, layer, (5, 11, 12))
    assert viewer.dims.point == pytest.approx((2, *viewer.dims.point[1:]))
    assert viewer.dims.current_step[2] == 11
    assert viewer.scene.camera.center[1:] == pytest.approx((5 * 3, 12 * 0.5))
    viewer.dims.ndisplay = 3
    fly_to(viewer, layer, (6, 11, 12))
    assert sorted(viewer.scene.camera.center) == pytest.approx(sorted((18, 5.5, 6)))


def test_merge_delete_and_undo_are_measured_again(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 2)
    click(qtbot, panel, 4, Qt.KeyboardModifier.ControlModifier)
    assert set(session.selected) == {2, 4}
    qtbot.mouseClick(panel.merge_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: cells(panel, "Label") == ["1", "2", "3", "5"], timeout=20_000)
    assert cells(panel, "Volume (mm³)")[1] == "29.25"
    assert panel.selected == (2,)
    click(qtbot, panel, 3)
    qtbot.keyClick(panel.table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: cells(panel, "Label") == ["1", "2", "5"], timeout=20_000)
    session.undo()
    session.undo()
    qtbot.waitUntil(lambda: len(cells(panel, "Label")) == 5, timeout=20_000)
    at_rest(qtbot, panel)
    again, first = panel.measurements.table, measure(objects(), spacing=SPACING)
    for name in ("label", "voxels", "centroid", "start", "stop", "border", "components"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))


def test_what_the_brush_paints_is_measured(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    session.layer.selected_label = 9
    session.layer.brush_size = 1
    session.layer.paint((0, 0, 0), 9)
    qtbot.waitUntil(lambda: "9" in cells(panel, "Label"), timeout=20_000)
    assert cells(panel, "Volume (mm³)")[-1] == "0.75"


def test_another_image_is_measured_when_the_panel_is_seen_again(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    panel.hide()
    session.image = None
    panel.show()
    qtbot.waitUntil(lambda: panel.measurements.table.mean is None, timeout=20_000)
    at_rest(qtbot, panel)
    assert cells(panel, "Mean") == [""] * 5
    session.image = session.viewer.add_image(np.full(objects().shape, 7.0), scale=SPACING)
    session.run("delete", selected=(1,))
    qtbot.waitUntil(lambda: cells(panel, "Mean") == ["7"] * 4, timeout=20_000)


def test_the_time_point_that_is_seen_is_measured(qtbot: Any) -> None:
    viewer = ViewerModel()
    second = np.where(objects() == 3, 8, objects() == 2)
    data = zarr.array(np.stack([objects(), second]).astype(np.uint16), chunks=(1, 4, 16, 16))
    layer = viewer.add_labels(data, scale=(1, *SPACING), axis_labels=("t", "z", "y", "x"))
    viewer.dims.set_point(0, 0)
    session = EditSession(viewer, layer)
    assert session.timed
    panel = ObjectsPanel(session)
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitUntil(lambda: cells(panel, "Label") == ["1", "2", "3", "4", "5"], timeout=20_000)
    viewer.dims.set_point(0, 1)
    qtbot.waitUntil(lambda: cells(panel, "Label") == ["1", "8"], timeout=20_000)
    panel.go(8)
    assert viewer.dims.current_step[:2] == (1, 10)
    session.select((8,))
    panel.delete()
    qtbot.waitUntil(lambda: cells(panel, "Label") == ["1"], timeout=20_000)
    assert (np.asarray(data[0]) == objects()).all(), "the other time point is as it was"


def test_labels_that_cannot_be_measured_say_why(qtbot: Any) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.array([[[0, -5], [3, 3]]], np.int16), units="mm")
    panel = ObjectsPanel(EditSession(viewer, layer))
    qtbot.addWidget(panel)
    with qtbot.waitSignal(panel.measurements.failed, timeout=20_000):
        panel.show()
    assert panel.progress.isHidden()
    assert "go from 0 up" in panel.table._hint
    assert cells(panel, "Label") == []


def test_locked_objects_stay(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 1)
    qtbot.keyClick(panel.table, Qt.Key.Key_L)
    assert session.locked == {1}
    assert cells(panel, "Flags")[0] == "locked"
    panel.delete()
    assert (session.layer.data == objects()).all()
    panel.lock()
    assert session.locked == frozenset()


def test_flags_and_done_are_noted_and_filtered(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 1)
    click(qtbot, panel, 3, Qt.KeyboardModifier.ShiftModifier)
    qtbot.mouseClick(panel.flag_button, Qt.MouseButton.LeftButton)
    click(qtbot, panel, 3)
    qtbot.keyClick(panel.table, Qt.Key.Key_D)
    assert cells(panel, "Flags") == ["flag", "flag", "flag, done", "", ""]
    assert kept_notes(session).notes.done == {"object 3"}
    assert kept_notes(session).notes.of("object", 3).centroid == (9.5, 21.5, 31.5)
    panel.filter_line.setText("done")
    assert cells(panel, "Label") == ["3"]
    panel.flag()
    assert cells(panel, "Flags") == ["done"]


def test_notes_stay_beside_the_file(tmp_path: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    """Flags and locks are there again when the file is opened again, and in a copy of it."""
    path = tmp_path / "cells_labels.nii.gz"
    grid = Grid.from_spacing((4, 4, 4))
    data = np.zeros((4, 4, 4), np.uint8)
    data[1, 1, 1], data[2:, 2:, 2:] = 1, 2
    classes = (LabelClass(1, "liver", "#ff0000"), LabelClass(2, "spleen", "#00ff00"))
    write(path, LabelVolume(data, grid, classes=classes))
    viewer = make_napari_viewer()
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert labels_file(layer) == path
    session = EditSession(viewer, layer)
    kept = kept_notes(session)
    session.set_classes([classes[0], LabelClass(2, "spleen", "#00ff00", False, True)])
    kept.set(kept.notes.marked("object", 2, flags=("ask",)))
    session.close()
    copy = tmp_path / "copy_labels.tif"
    viewer.layers.save(str(copy), selected=False, plugin=PLUGIN)
    viewer.layers.clear()
    for file in (path, copy):
        (layer,) = viewer.open(file, plugin=PLUGIN)
        again = EditSession(viewer, layer)
        assert KeptNotes(again).notes.of("object", 2).flags == ("ask",)
        assert [(c.visible, c.locked) for c in again.classes] == [(True, False), (False, True)]
        assert layer.get_color(2)[3] == 0
        again.close()


def test_notes_are_written_beside_the_window(
    tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def watched(*told: Any, **how: Any) -> None:
        threads.append(threading.current_thread().name)
        write_notes(*told, **how)

    monkeypatch.setattr("napari_monai._napari.kept_notes.write_notes", watched)
    path = tmp_path / "cells_labels.tif"
    write(path, LabelVolume(objects(), Grid.from_spacing(objects().shape)))
    viewer = ViewerModel()
    (layer,) = viewer.open(path, plugin=PLUGIN)
    session = EditSession(viewer, layer)
    kept = kept_notes(session)
    for done in (True, False):  # a file that was written here, too
        kept.set(kept.notes.marked("object", 2, flags=("ask",), done=done))
        qtbot.waitUntil(lambda: read_notes(path) == kept.notes, timeout=10_000)
    assert threads == ["notes", "notes"]
    notes_path(path).write_text("damaged by somebody else")
    kept.set(kept.notes.marked("object", 3, done=True))
    session.close()  # at once, without a second to wait
    assert read_notes(path) == kept.notes
    assert notes_path(path).with_name(notes_path(path).name + ".unread").exists()


def test_a_click_in_the_canvas_chooses_the_row(
    opened: Opened, make_napari_viewer: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    panel, session = opened(viewer=viewer)
    Picker(session)
    canvas = viewer.window._qt_viewer.canvas.native
    click(qtbot, panel, 2)
    viewer.layers.selection.active = session.layer
    session.select((1,))
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mouseMove(canvas, middle)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=middle)
    assert session.selected == (2,)
    assert panel.selected == (2,)
    assert cells(panel, "Label")[panel.table.currentIndex().row()] == "2"


def test_slice_of_takes_the_nearest_slice_with_the_object() -> None:
    viewer = ViewerModel()
    session = EditSession(viewer, viewer.add_labels(objects(), scale=SPACING))
    box = (slice(2, 7), slice(20, 21), slice(2, 5))
    assert slice_of(session, 5, (3.0, 20.0, 3.0), box) == (2.0, 20.0, 3.0)
    assert slice_of(session, 5, (6.0, 20.0, 3.0), box) == (6.0, 20.0, 3.0)
