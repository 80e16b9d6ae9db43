"""The Edit labels widget, driven by mouse and keys in a real viewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from skimage.measure import points_in_poly

from napari_monai._napari import edit_keys
from napari_monai._napari.edit_inputs import INSIDE, OUTLINES, SLICE, THROUGH
from napari_monai.events import BlockDone, Edited, Event, Started
from napari_monai.labels import operations
from napari_monai.labels.changes import Change, Edit
from napari_monai.labels.rows import Operation
from napari_monai.labels.scene import Scene
from napari_monai.settings import Settings, option
from napari_monai.volume import LabelClass

SHAPE = (5, 40, 50)


@dataclass(frozen=True)
class Paint(Settings):
    """Settings of an operation that this file has for itself."""

    number: int = option(7, "What everything becomes.", minimum=1, advanced=False)


def flood(scene: Scene, settings: Paint) -> Iterator[Event]:
    """Give all that may change a number, slice by slice, slowly."""
    box = scene.box
    changes = []
    yield Started(box[0].stop - box[0].start, "slices")
    for at in range(box[0].start, box[0].stop):
        time.sleep(0.06)
        part = (slice(at, at + 1), *box[1:])
        before = np.array(scene.labels[part])
        mask = np.ones(before.shape, bool) if scene.region is None else scene.region.inside(part)
        after = np.where(mask & ~np.isin(before, list(scene.locked)), settings.number, before)
        if (after != before).any():
            changes.append(Change(part, before, after.astype(before.dtype)))
        yield BlockDone(at + 1, box[0].stop)
    yield Edited(Edit("Flood", tuple(changes), ("It was slow.",)))


def marks(scene: Scene, _settings: Settings) -> Iterator[Event]:
    """Put 9 where points are, and 8 at the corners of lines."""
    new = np.array(scene.labels)
    for point in scene.points:
        new[tuple(np.round(point).astype(int))] = 9
    for corner in (c for line in scene.lines for c in line):
        new[tuple(np.round(corner).astype(int))] = 8
    box = tuple(slice(0, n) for n in scene.shape)
    yield Edited(Edit("Mark", (Change(box, np.array(scene.labels), new),)))


ROWS = {
    "flood": Operation("flood", "Flood", "Grow", f"{__name__}:flood", "Slow.", f"{__name__}:Paint"),
    "mark": Operation("mark", "Mark", "Grow", f"{__name__}:marks", "Marks.", needs=("points",)),
    "line": Operation("line", "Line", "Split", f"{__name__}:marks", "Marks.", needs=("lines",)),
}


@pytest.fixture
def start() -> np.ndarray:
    """Return labels of three objects."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[1:4, 5:15, 5:15] = 3
    labels[1:4, 20:30, 5:15] = 4
    labels[:, 10:30, 30:45] = 5
    return labels


@pytest.fixture
def edit(
    make_napari_viewer: Callable[..., Any], start: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, Any, Any]]:
    """Return a function that opens labels on an image, and docks the widget."""
    functions = {f"{__name__}:flood": flood, f"{__name__}:marks": marks}
    monkeypatch.setattr(Operation, "load", _load(functions, Operation.load))
    monkeypatch.setattr(
        Operation,
        "settings_type",
        lambda row, plain=Operation.settings_type: Paint if row.name == "flood" else plain(row),
    )
    for name, row in ROWS.items():
        monkeypatch.setitem(operations.OPERATIONS, name, row)

    def make(labels: Any = None, *, show: bool = False, **settings: Any) -> tuple[Any, Any, Any]:
        array = start.copy() if labels is None else labels
        settings = {"scale": (3, 1, 1)[-array.ndim :], **settings}
        viewer = make_napari_viewer(show=show)
        viewer.add_image(np.asarray(array[...]) * 10.0, name="ct", **settings)
        layer = viewer.add_labels(array, name="organs", **settings)
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Edit labels")
        if show:
            QTest.qWait(200)  # until all has its place
            viewer.fit_to_view()
        return viewer, layer, widget

    return make


def _load(known: dict[str, Any], plain: Any) -> Any:
    return lambda row: known.get(row.function) or plain(row)


def press(
    qtbot: Any, viewer: Any, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier
) -> None:
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier=modifier)


def where(viewer: Any, layer: Any, voxel: tuple[float, ...]) -> QPoint:
    """Return the pixel of the canvas at which a voxel is drawn."""
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    shown = [voxel[axis] for axis in viewer.dims.displayed][::-1]
    x, y, _, w = node.get_transform("visual", "canvas").map([*shown, *[0] * (3 - len(shown)), 1])
    return QPoint(round(x / w), round(y / w))


def click(qtbot: Any, viewer: Any, layer: Any, voxel: Any, shift: bool = False) -> None:
    modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(
        canvas, Qt.MouseButton.LeftButton, modifier=modifier, pos=where(viewer, layer, voxel)
    )


def drag(viewer: Any, places: list[QPoint]) -> None:
    """Draw with the left button held down, which the moves of Qt's own tests are not told."""
    canvas, left = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.LeftButton
    kinds = [QEvent.Type.MouseButtonPress, *[QEvent.Type.MouseMove] * (len(places) - 1)]
    for kind, place in [*zip(kinds, places, strict=True), (None, places[-1])]:
        at = QPointF(place)
        event = QMouseEvent(
            kind or QEvent.Type.MouseButtonRelease,
            at,
            QPointF(canvas.mapToGlobal(place)),
            Qt.MouseButton.NoButton if kind is QEvent.Type.MouseMove else left,
            Qt.MouseButton.NoButton if kind is None else left,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas, event)
        QTest.qWait(15)  # moves in quick succession are left out


def move(viewer: Any, place: QPoint) -> None:
    """Move the mouse over the canvas."""
    canvas, none = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.NoButton
    at, there = QPointF(place), QPointF(canvas.mapToGlobal(place))
    plain = Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, at, there, none, none, plain))
    QTest.qWait(15)


def test_click_select_key_edit_undo(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit(show=True)
    widget.session.set_classes((LabelClass(3, "liver"), LabelClass(4, "spleen")))
    viewer.dims.current_step = (2, 0, 0)
    viewer.fit_to_view()
    click(qtbot, viewer, layer, (2, 10, 10))
    assert widget.session.selected == (3,)
    click(qtbot, viewer, layer, (2, 25, 10), shift=True)
    assert widget.picked.text() == "Selected: liver (3), spleen (4)"
    click(qtbot, viewer, layer, (2, 2, 2))
    assert widget.session.selected == (3, 4), "beside all labels nothing is chosen"

    press(qtbot, viewer, Qt.Key.Key_J)
    merged = np.where(start == 4, 3, start)
    np.testing.assert_array_equal(layer.data, merged)
    assert widget.status.text() == "Merge 2 labels into liver: 300 voxels changed."
    press(qtbot, viewer, Qt.Key.Key_Delete)
    deleted = np.where(merged == 3, 0, merged)
    np.testing.assert_array_equal(layer.data, deleted)
    control = Qt.KeyboardModifier.ControlModifier
    for _ in range(2):
        press(qtbot, viewer, Qt.Key.Key_Z, control)
    np.testing.assert_array_equal(layer.data, start)
    assert widget.status.text() == "Undone: Merge 2 labels into liver."
    for _ in range(2):
        press(qtbot, viewer, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(layer.data, deleted)

    move(viewer, where(viewer, layer, (2, 20, 40)))
    press(qtbot, viewer, Qt.Key.Key_Q)
    assert widget.session.selected == (5,)


def test_painting_keeps_within_limits(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit(show=True)
    viewer.dims.current_step = (2, 0, 0)
    viewer.fit_to_view()
    widget.session.lock((4,))
    layer.mode, layer.selected_label, layer.brush_size = "paint", 6, 5
    stroke = [where(viewer, layer, (2, y, 10)) for y in range(2, 38, 3)]
    drag(viewer, stroke)
    painted = np.argwhere(layer.data == 6)
    assert len(painted) > 100
    assert not np.any(layer.data[start == 4] != 4), "what is locked stays"
    assert np.any(layer.data[start == 3] == 6)
    layer.undo()
    np.testing.assert_array_equal(layer.data, start)
    assert not widget.session.can_undo, "a stroke is one step"

    widget.painting.over.setCurrentText("Background only")
    drag(viewer, stroke)
    np.testing.assert_array_equal(layer.data[start != 0], start[start != 0])
    assert np.any(layer.data == 6)
    layer.undo()
    widget.painting.over.setCurrentText("Anything")
    widget.painting.within.setChecked(True)
    widget.painting.low.setValue(25)
    widget.painting.high.setValue(35)  # the image is ten times the labels
    drag(viewer, stroke)
    assert set(start[layer.data == 6]) == {3}
    layer.undo()
    layer.mode, layer.selected_label = "fill", 4
    click(qtbot, viewer, layer, (2, 10, 10))
    np.testing.assert_array_equal(layer.data, start)  # nothing becomes what is locked
    viewer.layers.remove(layer)
    layer.mode = "paint"
    layer.paint((2, 25, 10), 9)
    assert layer.data[2, 25, 10] == 9, "the layer is free again"


def test_before_while_a_key_is_held(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit(show=True)
    viewer.dims.current_step = (2, 0, 0)
    layer.mode = "paint"
    widget.session.select((3,))
    press(qtbot, viewer, Qt.Key.Key_Delete)
    widget.session.select((4,))
    press(qtbot, viewer, Qt.Key.Key_Delete)
    now = layer.data.copy()
    canvas = viewer.window._qt_viewer.canvas.native
    before = np.where(start == 3, 0, start)
    for modifier, wanted in (
        (Qt.KeyboardModifier.NoModifier, before),
        (Qt.KeyboardModifier.ShiftModifier, start),
    ):
        qtbot.keyPress(canvas, Qt.Key.Key_C, modifier=modifier)
        ghost = next(x for x in viewer.layers if x.name == "organs before")
        np.testing.assert_array_equal(ghost.data[0], wanted[2])
        assert not layer.visible
        assert layer.mode == "pan_zoom"
        viewer.dims.current_step = (1, 0, 0)
        ghost = next(x for x in viewer.layers if x.name == "organs before")
        np.testing.assert_array_equal(ghost.data[0], wanted[1])
        np.testing.assert_allclose(ghost.data_to_world((0, 0, 0)), (3, 0, 0))
        qtbot.keyRelease(canvas, Qt.Key.Key_C, modifier=modifier)
        viewer.dims.current_step = (2, 0, 0)
        assert [x.name for x in viewer.layers] == ["ct", "organs"]
        assert layer.visible
        assert layer.mode == "paint"
    np.testing.assert_array_equal(layer.data, now)
    assert viewer.layers.selection.active is layer


def test_long_tools_show_progress_and_cancel(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    _, layer, widget = edit()
    widget.session.lock((5,))
    widget.inputs.work_on.setCurrentText("All labels")
    widget.tools.choose("flood")
    qtbot.mouseClick(widget.apply_button, Qt.MouseButton.LeftButton)
    assert widget.session.runs.busy
    assert not widget.progress.isHidden()
    assert not widget.apply_button.isEnabled()
    qtbot.mouseClick(widget.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.runs.busy, timeout=10_000)
    assert widget.status.text() == "Cancelled: nothing was changed."
    np.testing.assert_array_equal(layer.data, start)
    assert not widget.session.can_undo

    widget.tools.form.fields["number"].widget.value = 8
    qtbot.mouseClick(widget.apply_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.runs.busy, timeout=10_000)
    np.testing.assert_array_equal(layer.data, np.where(start == 5, 5, 8))
    assert widget.status.text() == "Flood: 8,500 voxels changed. It was slow."
    assert widget.progress.isHidden()
    widget.undo()
    np.testing.assert_array_equal(layer.data, start)

    qtbot.mouseClick(widget.apply_button, Qt.MouseButton.LeftButton)
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 2)
    qtbot.waitUntil(lambda: not widget.session.runs.busy, timeout=10_000)
    assert "changed meanwhile" in widget.status.text()
    assert (layer.data == start).sum() == start.size - 1


def test_where_labels_may_change(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit()
    viewer.dims.current_step = (2, 0, 0)
    widget.tools.choose("delete")
    widget.session.select((5,))
    widget.inputs.where.setCurrentText(SLICE)
    widget.apply()
    wanted = start.copy()
    wanted[2][start[2] == 5] = 0
    np.testing.assert_array_equal(layer.data, wanted)
    layer.undo()

    widget.inputs.where.setCurrentText(OUTLINES)
    qtbot.waitUntil(lambda: not widget.apply_button.isEnabled(), timeout=5000)
    assert widget.hint.text() == "Draw an outline on this slice first."
    qtbot.mouseClick(widget.inputs.lines_button, Qt.MouseButton.LeftButton)
    shapes = viewer.layers.selection.active
    assert isinstance(shapes, Shapes)
    assert shapes.mode == "add_polygon_lasso"
    np.testing.assert_allclose(shapes.scale, layer.scale)
    outline = np.array([(2, 9.5, 29.5), (2, 9.5, 34.5), (2, 19.5, 34.5), (2, 19.5, 29.5)])
    shapes.add_polygons(outline)
    qtbot.waitUntil(widget.apply_button.isEnabled, timeout=5000)
    widget.apply()
    wanted = start.copy()
    wanted[2, 10:20, 30:35] = 0
    np.testing.assert_array_equal(layer.data, wanted)
    layer.undo()
    widget.inputs.where.setCurrentText(THROUGH)
    widget.apply()
    wanted[:, 10:20, 30:35] = 0
    np.testing.assert_array_equal(layer.data, wanted)
    layer.undo()

    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 10:12] = 1
    viewer.add_labels(mask, name="mask", scale=(3, 1, 1))
    widget.inputs.where.setCurrentText(INSIDE)
    widget.apply()
    np.testing.assert_array_equal(layer.data, np.where((mask == 1) & (start == 5), 0, start))
    assert widget.layer.layer is layer, "another labels layer that is added is not edited"


def test_points_and_lines_are_taken_in_voxels(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    film = np.stack([start, start])
    viewer, layer, widget = edit(
        film, scale=(1, 3, 0.5, 0.5), translate=(0, 7, 8, 9), axis_labels=("t", "z", "y", "x")
    )
    viewer.dims.current_step = (1, 2, 0, 0)
    widget.inputs.work_on.setCurrentText("All labels")
    widget.tools.choose("mark")
    assert widget.hint.text() == "Place points for it."
    qtbot.mouseClick(widget.inputs.points_button, Qt.MouseButton.LeftButton)
    points = viewer.layers.selection.active
    assert isinstance(points, Points)
    assert points.mode == "add"
    points.add([(1, 2, 33, 44), (0, 2, 1, 1)])
    widget.apply()
    wanted = film.copy()
    wanted[1, 2, 33, 44] = 9  # and nothing of the other time point
    np.testing.assert_array_equal(layer.data, wanted)
    assert len(points.data) == 0, "they have been used"

    widget.tools.choose("line")
    mine = viewer.add_shapes(name="mine")  # two axes, in the world: y and x of the slice
    mine.add_lines(np.array([(8 + 0.5 * 20, 9 + 0.5 * 3), (8 + 0.5 * 22, 9 + 0.5 * 4)]))
    widget.inputs.shapes.choose(mine)
    widget.apply()
    wanted[1, 2, 20, 3] = wanted[1, 2, 22, 4] = 8
    np.testing.assert_array_equal(layer.data, wanted)
    assert len(mine.data) == 1, "a layer of one's own stays as it is"


def test_apply_waits_for_what_is_drawn_on_this_slice(edit: Any, qtbot: Any) -> None:
    """Nothing else has to be touched after a point or an outline is there."""
    viewer, _layer, widget = edit()
    viewer.dims.current_step = (2, 0, 0)
    ready = widget.apply_button.isEnabled
    widget.tools.choose("mark")
    qtbot.mouseClick(widget.inputs.points_button, Qt.MouseButton.LeftButton)
    assert not ready()
    points = viewer.layers.selection.active
    points.add([(2, 20, 20)])
    qtbot.waitUntil(ready)
    points.data = np.empty((0, 3))
    qtbot.waitUntil(lambda: not ready())

    widget.tools.choose("delete")
    widget.inputs.where.setCurrentText(OUTLINES)
    qtbot.waitUntil(lambda: widget.hint.text().startswith("Draw an outline"))
    qtbot.mouseClick(widget.inputs.lines_button, Qt.MouseButton.LeftButton)
    shapes = viewer.layers.selection.active
    assert isinstance(shapes, Shapes)
    shapes.add_polygons(np.array([(2, 5, 5), (2, 5, 20), (2, 20, 20), (2, 20, 5)]))
    qtbot.waitUntil(ready)
    viewer.dims.current_step = (3, 0, 0)
    qtbot.waitUntil(lambda: not ready())
    viewer.dims.current_step = (2, 0, 0)
    qtbot.waitUntil(ready)
    viewer.layers.remove(shapes)
    qtbot.waitUntil(lambda: not ready())


def test_lasso_in_3d(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    """The outline lies where the mouse was, in a plane across the direction of view."""
    viewer, layer, widget = edit(show=True)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 20, 70)
    viewer.fit_to_view()
    qtbot.wait(50)
    got: list[np.ndarray] = []
    widget.lasso.drawn.connect(got.append)
    widget.tools.choose("lasso")  # which deletes what lies inside
    widget.inputs.work_on.setCurrentText("All labels")
    qtbot.mouseClick(widget.inputs.lines_button, Qt.MouseButton.LeftButton)
    angles = viewer.scene.camera.angles
    corners = [(2, 12, 12), (2, 30, 12), (2, 30, 40), (2, 12, 40)]
    places = [where(viewer, layer, c) for c in corners]
    drag(viewer, places)
    assert viewer.scene.camera.angles == angles, "the camera stays"
    assert (viewer.scene.camera.mouse_pan, viewer.scene.camera.mouse_zoom) == (True, True)
    assert [x.name for x in viewer.layers] == ["ct", "organs"]
    (outline,) = got
    direction = np.asarray(viewer.scene.camera.view_direction)
    world = outline * (3, 1, 1)
    assert np.ptp(world @ direction) < 1e-3, "one plane"
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    to_canvas = node.get_transform("visual", "canvas")
    for place, corner in zip(places, outline, strict=True):
        seen = to_canvas.map([*corner[::-1], 1])
        np.testing.assert_allclose(seen[:2] / seen[3], (place.x(), place.y()), atol=1.5)
    voxels = np.argwhere(np.ones(SHAPE, bool))
    drawn = to_canvas.map(np.c_[voxels[:, ::-1], np.ones(len(voxels))])
    drawn = drawn[:, :2] / drawn[:, 3:]
    inside = points_in_poly(drawn, [(p.x(), p.y()) for p in places]).reshape(SHAPE)
    differs = (layer.data == 0) != (inside | (start == 0))
    assert (inside & (start != 0)).sum() > 500
    assert differs.sum() < 30  # at the very border, to a pixel of the screen
    layer.undo()
    np.testing.assert_array_equal(layer.data, start)


def test_keys_are_none_of_the_viewers_own(edit: Any) -> None:
    viewer, layer, _ = edit()
    own = {str(k) for k in (*viewer.class_keymap, *viewer.keymap, *Labels.class_keymap)}
    ours = {str(k) for k in layer.keymap}
    assert len(ours) == len(edit_keys.tool_keys()) + 5
    assert {"P", "B"} <= own
    assert not ours & (own | {"V", "Shift+V"})
    assert all(
        edit_keys.OPERATIONS[name].title in edit_keys.key_table() for name in edit_keys.tool_keys()
    )
    viewer.layers.remove(layer)
    assert not layer.keymap


def test_labels_that_cannot_be_edited(edit: Any) -> None:
    viewer, layer, widget = edit()
    levels = [np.zeros((8, 8), np.uint8), np.zeros((4, 4), np.uint8)]
    other = viewer.add_labels(levels, name="levels")
    widget.layer.choose(other)
    assert widget.session is None
    assert "several resolutions" in widget.status.text()
    assert not widget.apply_button.isEnabled()
    widget.layer.choose(layer)
    assert widget.session.layer is layer
    viewer.layers.clear()
    assert widget.session is None
    assert widget.status.text().startswith("Open labels")


def test_the_image_goes_with_the_labels_that_are_chosen(edit: Any) -> None:
    viewer, layer, widget = edit()
    second = viewer.add_labels(np.zeros(SHAPE, np.uint16), name="second")
    flat = viewer.add_labels(np.zeros((7, 8), np.uint16), name="flat")
    image = viewer.layers["ct"]
    for chosen, wanted in ((second, image), (flat, None), (layer, image)):
        widget.layer.choose(chosen)
        assert widget.session.layer is chosen
        assert widget.session.image is widget.image.layer is wanted
    layer.data = np.zeros((7, 8), np.uint16)
    assert widget.session.shape == (7, 8)
    assert widget.session.image is None


def test_threshold_is_seen_before_it_is_done(edit: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit()
    viewer.dims.current_step = (2, 0, 0)
    image = viewer.layers["ct"].data  # ten times the labels
    widget.session.select((9,))
    widget.tools.choose("threshold")
    fields = widget.tools.form.fields
    assert fields["lower"].widget.native.text().startswith("auto: ")
    widget.preview_box.setChecked(True)
    for lower, upper in ((25, 35), (35, 45)):
        fields["lower"].widget.value, fields["upper"].widget.value = lower, upper
        fields["over"].widget.value = True
        wanted = np.where((image >= lower) & (image <= upper), 9, start)
        ghost = viewer.layers["organs preview"]
        np.testing.assert_array_equal(ghost.data[0], wanted[2])
        np.testing.assert_array_equal(layer.data, start)
        assert not layer.visible
    viewer.dims.current_step = (3, 0, 0)
    np.testing.assert_array_equal(viewer.layers["organs preview"].data[0], wanted[3])
    widget.apply()
    np.testing.assert_array_equal(layer.data, wanted)
    widget.preview_box.setChecked(False)
    assert [x.name for x in viewer.layers] == ["ct", "organs"]
    assert layer.visible

    widget.preview_box.setChecked(True)
    assert not layer.visible
    viewer.layers.remove("organs preview")
    assert layer.visible, "the labels themselves are there again"
    assert [x.name for x in viewer.layers] == ["ct", "organs"]


def test_a_whole_correction(edit: Any, qtbot: Any, tmp_path: Path) -> None:
    """Paint two slices, interpolate, split, merge; undo and redo all; save and open again."""
    viewer, layer, widget = edit(np.zeros((7, 40, 50), np.uint8), show=True)
    layer.mode, layer.selected_label, layer.brush_size = "paint", 2, 9
    stages = [layer.data.copy()]
    for z in (1, 5):
        viewer.dims.current_step = (z, 0, 0)
        drag(viewer, [where(viewer, layer, (z, 20, x)) for x in range(10, 41, 5)])
        stages.append(layer.data.copy())
        assert set(np.unique(np.nonzero(layer.data)[0])) == {1, z}
    press(qtbot, viewer, Qt.Key.Key_I)
    stages.append(layer.data.copy())
    assert (layer.data[1] == layer.data[5]).all()
    for z in (2, 3, 4):
        np.testing.assert_array_equal(layer.data[z], layer.data[1])  # the same shape: no other

    widget.tools.choose("split-by-line")
    viewer.dims.current_step = (3, 0, 0)
    qtbot.mouseClick(widget.inputs.lines_button, Qt.MouseButton.LeftButton)
    shapes = viewer.layers.selection.active
    assert shapes.mode == "add_path"
    drag(viewer, [where(viewer, layer, (3, y, 25)) for y in (5, 15, 25, 35)])
    qtbot.waitUntil(widget.apply_button.isEnabled, timeout=5000)
    qtbot.mouseClick(widget.apply_button, Qt.MouseButton.LeftButton)
    stages.append(layer.data.copy())
    assert len(np.unique(layer.data)) == 3
    assert len(shapes.data) == 0
    viewer.layers.selection.active = layer
    widget.session.select([n for n in np.unique(layer.data) if n])
    press(qtbot, viewer, Qt.Key.Key_J)
    stages.append(layer.data.copy())
    assert len(np.unique(layer.data)) == 2

    control = Qt.KeyboardModifier.ControlModifier
    for stage in stages[-2::-1]:
        press(qtbot, viewer, Qt.Key.Key_Z, control)
        np.testing.assert_array_equal(layer.data, stage)
    assert not widget.session.can_undo
    for stage in stages[1:]:
        press(qtbot, viewer, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
        np.testing.assert_array_equal(layer.data, stage)
    viewer.layers.save(str(tmp_path / "done.nii.gz"), selected=True, plugin="napari-monai")
    (again,) = viewer.open(tmp_path / "done.nii.gz", plugin="napari-monai", layer_type="labels")
    np.testing.assert_array_equal(np.asarray(again.data), stages[-1])


def test_tabs_and_notes_belong_to_the_labels(edit: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit()
    titles = [widget.tabs.tabText(at) for at in range(widget.tabs.count())]
    assert titles == ["Tools", "Classes", "Objects", "Review"]
    viewer.dims.current_step = (2, 0, 0)
    widget.session.select((3,))
    widget.inputs.where.setCurrentText(SLICE)
    widget.tools.choose("delete")
    widget.apply()
    layer.paint((4, 2, 2), 7)
    layer.undo()
    assert widget.session.notes.corrected == {2, 4}
    widget.tabs.setCurrentIndex(1)
    assert widget.verbs.isHidden()
    viewer.layers.remove(layer)
    assert widget.tabs.count() == 1
    assert not widget.verbs.isHidden()


def test_pictures_are_corrected_too(edit: Any, qtbot: Any, start: np.ndarray) -> None:
    viewer, layer, widget = edit(start[2].copy(), units=("um", "um"))
    assert widget.session.unit == "µm"
    widget.session.select((5,))
    widget.inputs.where.setCurrentText(OUTLINES)
    qtbot.mouseClick(widget.inputs.lines_button, Qt.MouseButton.LeftButton)
    viewer.layers.selection.active.add_ellipses(np.array([(10, 30), (10, 40), (20, 40), (20, 30)]))
    widget.tools.choose("delete")
    widget.apply()
    y, x = np.indices(start[2].shape)
    away = (y - 15) ** 2 + (x - 35) ** 2
    gone = layer.data != start[2]
    assert gone[away < 24].all()
    assert not gone[away > 25].any()
