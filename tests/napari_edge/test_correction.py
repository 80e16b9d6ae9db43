"""A whole correction in a real window, by mouse and keys: from the first stroke to the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_monai import Volume, autosaving, read, write
from napari_monai.grid import Grid

PLUGIN = "napari-monai"
SHAPE = (18, 48, 64)
FIRST, LAST = 3, 14  # slices that are painted
LEFT, RIGHT = (24, 22), (24, 37)  # where the brush comes down
BRUSH = 16
_CONTROL = Qt.KeyboardModifier.ControlModifier
_SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(autouse=True)
def _registered(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(package=PLUGIN):
        yield


class Hands:
    """Mouse and keys over the canvas of a viewer."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self._viewer, self._bot = viewer, qtbot
        self._canvas = viewer.window._qt_viewer.canvas
        self._canvas.native.setFocus()

    def key(self, key: Qt.Key, *modifiers: Any) -> None:
        """Press and let go a key."""
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= modifier
        self._bot.keyClick(self._canvas.native, key, held)
        self._bot.wait(50)

    def step_to(self, index: int) -> None:
        """Go to a slice by the arrow keys."""
        for _ in range(SHAPE[0]):
            at = self._viewer.dims.current_step[0]
            if at != index:
                self.key(Qt.Key.Key_Right if at < index else Qt.Key.Key_Left)
        assert self._viewer.dims.current_step[0] == index

    def click(self, layer: Any, voxel: tuple[int, int], *modifiers: Any) -> None:
        """Click on a voxel of the slice that is seen."""
        where = self._pixel(layer, voxel)
        held = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            held |= modifier
        native = self._canvas.native
        self._bot.mouseMove(native, where)
        self._bot.mousePress(native, Qt.MouseButton.LeftButton, held, where)
        self._bot.mouseRelease(native, Qt.MouseButton.LeftButton, held, where)
        self._bot.wait(50)

    def _pixel(self, layer: Any, voxel: tuple[int, int]) -> QPoint:
        node = self._canvas.layer_to_visual[layer].node
        x, y = node.get_transform("visual", "canvas").map((voxel[1] + 0.5, voxel[0] + 0.5))[:2]
        return QPoint(round(x), round(y))


def test_a_whole_correction(tmp_path: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    path = tmp_path / "stack.nii.gz"
    grid = Grid.from_spacing(SHAPE, (1.2, 1.0, 1.0), unit="mm", anatomical=True)
    write(path, Volume(np.zeros(SHAPE, np.int16), grid))
    viewer = make_napari_viewer(show=True)
    viewer.open(path, plugin=PLUGIN)
    viewer.window._qt_viewer.layerButtons.newLabelsButton.click()
    labels = viewer.layers[-1]
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Edit labels")
    qtbot.waitUntil(lambda: widget.session is not None)
    qtbot.wait(300)
    viewer.fit_to_view()
    hands = Hands(viewer, qtbot)
    states = [np.array(labels.data)]

    def done() -> np.ndarray:
        """Return the labels when nothing is under way, which are others than before."""
        qtbot.waitUntil(lambda: not widget.session.runs.busy, timeout=20_000)
        states.append(np.array(labels.data))
        assert (states[-1] != states[-2]).any(), widget.status.text()
        return states[-1]

    labels.brush_size = BRUSH
    hands.key(Qt.Key.Key_P)
    for index in (FIRST, LAST):
        hands.step_to(index)
        for voxel in (LEFT, RIGHT):
            hands.click(labels, voxel)
            found = done()
    assert [z for z in range(SHAPE[0]) if found[z].any()] == [FIRST, LAST]
    assert found[FIRST][LEFT] == found[FIRST][RIGHT] == 1

    hands.key(Qt.Key.Key_I)  # interpolate
    found = done()
    between = slice(FIRST, LAST + 1)
    np.testing.assert_array_equal(found[between], np.broadcast_to(found[FIRST], (12, 48, 64)))
    assert not np.delete(found, range(FIRST, LAST + 1), axis=0).any()

    widget.tools.choose("split")
    widget.tools.form.fields["depth"].value = 0.5
    hands.key(Qt.Key.Key_A)  # apply
    found = done()
    one, two = found[8][LEFT], found[8][RIGHT]
    assert one != two
    assert set(np.unique(found)) == {0, one, two}

    hands.key(Qt.Key.Key_Z)  # pan/zoom, where a click selects
    hands.step_to(8)
    hands.click(labels, LEFT)
    hands.click(labels, RIGHT, _SHIFT)
    assert set(widget.session.selected) == {one, two}
    hands.key(Qt.Key.Key_J)  # merge
    found = done()
    np.testing.assert_array_equal(found, states[-3])

    for state in reversed(states[:-1]):
        hands.key(Qt.Key.Key_Z, _CONTROL)
        np.testing.assert_array_equal(labels.data, state)
    assert not labels.data.any()
    for state in states[1:]:
        hands.key(Qt.Key.Key_Z, _CONTROL, _SHIFT)
        np.testing.assert_array_equal(labels.data, state)

    viewer.layers.selection.active = labels
    saved = tmp_path / "stack_labels.nii.gz"
    viewer.layers.save(str(saved), selected=True, plugin=PLUGIN)
    (again,) = viewer.open(saved, plugin=PLUGIN)
    np.testing.assert_array_equal(again.data, states[-1])
    assert read(saved, labels=True).grid.is_close(read(path).grid)
    assert not list(tmp_path.glob(f"*{autosaving.ENDING}"))
    assert not list(tmp_path.glob(f".*{autosaving.ENDING}"))
