"""Classes, objects and review inside the Edit labels widget of a real viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt

from napari_monai._napari.classes_panel import ClassesPanel
from napari_monai._napari.objects_panel import ObjectsPanel
from napari_monai._napari.review_panel import ReviewPanel

PLUGIN = "napari-monai"


def touching() -> np.ndarray:
    """Return ten cubes, one of them in two halves with numbers of their own, 3 and 11."""
    labels = np.zeros((12, 40, 60), np.uint16)
    for number in range(1, 11):
        y, x = divmod(number - 1, 5)
        labels[3:9, 4 + 18 * y : 12 + 18 * y, 3 + 11 * x : 11 + 11 * x] = number
    labels[3:9, 4:12, 29:33] = 11
    return labels


def test_a_correction_through_the_panels(make_napari_viewer: Any, qtbot: Any) -> None:
    """Find two halves in the table, merge them, mark what is right, undo: in the dock itself."""
    viewer = make_napari_viewer(show=True)
    start = touching()
    layer = viewer.add_labels(start.copy(), name="cells", scale=(2, 1, 1), units="um")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Edit labels")
    tabs = widget.tabs
    panels = {tabs.tabText(at): tabs.widget(at) for at in range(tabs.count())}
    classes, objects, review = (panels[name] for name in ("Classes", "Objects", "Review"))
    assert isinstance(classes, ClassesPanel)
    assert isinstance(objects, ObjectsPanel)
    assert isinstance(review, ReviewPanel)
    assert objects.measurements.table is None, "nothing is measured before it is looked at"

    tabs.setCurrentWidget(objects)
    qtbot.waitUntil(lambda: len(objects.measurements.table or ()) == 11, timeout=20_000)
    qtbot.keyClicks(objects.filter_line, "volume < 500")
    assert objects.table.model().keys.tolist() == [3, 11]
    objects.table.setFocus()
    objects.table.selectAll()
    assert set(widget.session.selected) == {3, 11}
    qtbot.keyClick(objects.table, Qt.Key.Key_M)
    assert (layer.data[:, 4:12, 25:33] == 3).sum() == 6 * 8 * 8
    qtbot.waitUntil(lambda: len(objects.measurements.table) == 10, timeout=20_000)

    # What was merged is in the middle of the canvas: a click on it selects it.
    objects.filter_line.clear()
    objects.table.select([3])
    objects.go(3)
    widget.session.select((7,))
    viewer.layers.selection.active = layer
    layer.mode = "pan_zoom"
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mouseMove(canvas, middle)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=middle)
    assert objects.selected == (3,)

    viewer.layers.selection.active = layer
    layer.undo()
    assert (layer.data == start).all()
    qtbot.waitUntil(lambda: len(objects.measurements.table) == 11, timeout=20_000)
    tabs.setCurrentWidget(review)
    assert not objects.measurements._wanted, "nothing is measured while nobody looks"
    layer.data[3:9, 4:12, 29:33] = 0
    layer.refresh()
    review.findings.search()
    qtbot.waitUntil(lambda: bool(review.findings.findings), timeout=20_000)
    assert review.findings.current.number == 3
    canvas.setFocus()
    viewer.layers.selection.active = layer
    qtbot.keyClick(canvas, Qt.Key.Key_O)
    qtbot.waitUntil(lambda: review.findings.progress.text() == "1 of 1 done", timeout=20_000)


def test_panels_go_with_their_labels(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(touching(), name="one")
    other = viewer.add_labels(touching() % 3, name="two")
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Edit labels")
    widget.tabs.setCurrentIndex(2)
    first = widget.tabs.widget(2)
    qtbot.waitUntil(lambda: first.measurements.table is not None, timeout=20_000)
    viewer.layers.remove(widget.session.layer)
    assert widget.session is not None
    second = widget.tabs.widget(2)
    assert second is not first
    assert widget.session.layer in viewer.layers
    viewer.layers.clear()
    assert widget.session is None
    assert widget.tabs.count() == 1
    assert other not in viewer.layers
    assert not viewer.keymap
