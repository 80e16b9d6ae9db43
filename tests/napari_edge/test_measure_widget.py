"""The Measure widget, used as a person does it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from scipy import ndimage
from skimage.measure import regionprops

import napari_monai as nm
from napari_monai._napari.label_colours import class_look
from napari_monai._napari.layers import layers_of
from napari_monai._napari.measure_widget import MeasureWidget
from napari_monai.cli import main
from napari_monai.volume import LabelClass

SPACING = (3.0, 0.5, 0.5)
WAIT = 120_000  # milliseconds, on a machine that does much else
Opened = Callable[..., tuple[MeasureWidget, Any]]
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def boxes() -> np.ndarray:
    """Return five boxes of 8, 27, 64, 12 and 6 voxels; 3 reaches the edge, 5 is two pieces."""
    labels = np.zeros((12, 30, 40), np.uint16)
    labels[1:3, 2:4, 2:4] = 1
    labels[4:7, 10:13, 10:13] = 2
    labels[8:12, 20:24, 30:34] = 3
    labels[5:8, 2:4, 30:32] = 4
    labels[2, 20, 2:5] = labels[6, 20, 2:5] = 5
    return labels


def squares() -> np.ndarray:
    """Return 30 squares of rising size in a picture."""
    labels = np.zeros((60, 120), np.uint16)
    for n in range(30):
        y, x = divmod(n, 10)
        labels[y * 20 + 1 : y * 20 + 3 + n // 3, x * 12 + 1 : x * 12 + 4] = n + 1
    return labels


@pytest.fixture
def opened(qtbot: Any) -> Opened:
    """Return a function that shows labels, and images of them, with the widget."""

    def show(labels: np.ndarray, *images: np.ndarray, **look: Any) -> tuple[MeasureWidget, Any]:
        viewer = ViewerModel()
        look = {"scale": SPACING[-labels.ndim :], "units": "mm", **look}
        place = {k: v for k, v in look.items() if k in ("scale", "units", "axis_labels")}
        for at, image in enumerate(images):
            viewer.add_image(image, name=f"channel {at}", **place)
        viewer.add_labels(labels, name="labels", **look)
        return begin(qtbot, viewer), viewer

    return show


def begin(qtbot: Any, viewer: Any) -> MeasureWidget:
    widget = MeasureWidget(viewer)
    widget.resize(380, 700)
    qtbot.addWidget(widget, before_close_func=MeasureWidget.leave)
    widget.show()
    return widget


def measured(qtbot: Any, widget: MeasureWidget, **settings: Any) -> None:
    for name, value in settings.items():
        widget.setup.form.fields[name].value = value
    qtbot.mouseClick(widget.measure_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)


def rest(qtbot: Any, widget: MeasureWidget) -> None:
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)


def cells(table: Any, title: str) -> list[str]:
    model = table.model()
    titles = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())]
    return [model.index(row, titles.index(title)).data() for row in range(model.rowCount())]


def click(qtbot: Any, widget: MeasureWidget, label: int, *keys: Qt.KeyboardModifier) -> None:
    table = widget.objects.table
    index = table.model().index(cells(table, "Label").index(str(label)), 0)
    table.scrollTo(index)
    modifier = keys[0] if keys else Qt.KeyboardModifier.NoModifier
    where = table.visualRect(index).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, where)


def highlighted(widget: MeasureWidget, viewer: Any) -> np.ndarray:
    """Return which voxels the highlight covers, on those of the labels."""
    layer, labels = viewer.layers["Selected"], widget.setup.layer.layer
    found = np.zeros(labels.data.shape, bool)
    if layer.visible:
        start = np.round(labels.world_to_data(layer.data_to_world([0] * layer.ndim))).astype(int)
        part = np.asarray(layer.data) > 0
        found[tuple(slice(a, a + n) for a, n in zip(start, part.shape, strict=True))] = part
    return found


def filled(widget: MeasureWidget, viewer: Any) -> np.ndarray:
    """Return the same of slices, whose outlines are filled again."""
    return ndimage.binary_fill_holes(highlighted(widget, viewer))


# -- what is shown --------------------------------------------------------------------------------


def test_the_numbers_are_those_of_measure(opened: Opened, qtbot: Any) -> None:
    labels = boxes()
    widget, _ = opened(labels, labels * 10.0, labels + 1.0)
    assert widget.objects.table.model().rowCount() == 0
    widget.setup.percentiles.setText("50, 90")
    measured(qtbot, widget, surface=True, neighbours=True)
    grid = nm.Grid.from_spacing(labels.shape, SPACING, unit="mm", origin=(0, 0, 0))
    image = nm.Volume(
        np.stack([labels * 10.0, labels + 1.0]),
        grid,
        leading="c",
        channel_names=("channel 0", "channel 1"),
    )
    settings = nm.MeasureSettings(surface=True, neighbours=True, percentiles=(50, 90))
    wanted = nm.measure(
        nm.LabelVolume(labels, grid, kind="instances"), image, settings=settings
    ).objects
    shown = widget.objects.table.written
    assert list(shown.titled()) == list(wanted.titled())
    for title, values in wanted.titled().items():
        np.testing.assert_array_equal(shown.titled()[title], values)
    assert cells(widget.objects.table, "Volume (mm³)") == ["6", "20.25", "48", "9", "4.5"]
    assert cells(widget.objects.table, "Border") == ["", "", "yes", "", ""]
    assert cells(widget.objects.table, "Mean channel 0") == ["10", "20", "30", "40", "50"]
    for region in regionprops(labels, spacing=SPACING):
        row = shown["label"].tolist().index(region.label)
        assert shown["voxels"][row] == region.num_pixels
        assert shown["equivalent diameter"][row] == pytest.approx(region.equivalent_diameter_area)
    assert widget.tabs.currentIndex() == 1
    assert widget.status.text().startswith("5 objects measured")


def test_an_image_without_its_tick_is_not_measured(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes(), boxes() * 10.0, boxes() * 1.0)
    viewer.add_image(np.zeros((5, 5)), name="elsewhere")
    names = [widget.setup.images.item(at).text() for at in range(widget.setup.images.count())]
    assert names == ["channel 1", "channel 0"]
    widget.setup.images.item(0).setCheckState(Qt.CheckState.Unchecked)
    widget.setup.unit.setText("counts")
    measured(qtbot, widget)
    assert "mean [counts]" in widget.objects.table.written.titled()


def test_what_does_not_fit_is_one_line(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    widget.setup.percentiles.setText("5, half")
    qtbot.mouseClick(widget.measure_button, Qt.MouseButton.LeftButton)
    assert widget.status.text().startswith("Percentiles are whole numbers")
    assert not widget.busy
    widget.setup.percentiles.setText("")
    viewer.layers["labels"].data = boxes().astype(np.int16) - 3
    qtbot.mouseClick(widget.measure_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)
    assert "go from 0 up" in widget.status.text()


def test_classes_have_names_and_a_summary(opened: Opened, qtbot: Any) -> None:
    classes = (LabelClass(2, "liver"), LabelClass(3, "spleen"), LabelClass(9, "none"))
    labels = np.where(np.isin(boxes(), (2, 3)), boxes(), 0).astype(np.uint8)
    widget, _ = opened(labels, **class_look(classes))
    assert "3 classes: liver, spleen, none" in widget.setup.space.text()
    measured(qtbot, widget)
    assert cells(widget.objects.table, "Class") == ["liver", "spleen"]
    assert widget.objects.counts.text() == "2 classes"
    assert cells(widget.summary, "Liver")[:2] == ["1", cells(widget.summary, "Liver")[1]]
    at = cells(widget.summary, "Measure").index("Volume (mm³)")
    assert [cells(widget.summary, c)[at] for c in ("Liver", "Spleen", "None")] == [
        "20.25",
        "48",
        "0",
    ]


def test_rows_are_sorted_filtered_and_copied(opened: Opened, qtbot: Any) -> None:
    widget, _ = opened(boxes())
    measured(qtbot, widget)
    table = widget.objects.table
    keys = [c.key for c in widget.objects.model.columns]
    table.sortByColumn(keys.index("volume [mm³]"), Qt.SortOrder.DescendingOrder)
    assert cells(table, "Label") == ["3", "2", "4", "1", "5"]
    qtbot.keyClicks(widget.objects.filter_line, "volume > 5 border != yes")
    assert cells(table, "Label") == ["2", "4", "1"]
    assert widget.objects.counts.text() == "5 objects, 3 shown"
    qtbot.mouseClick(widget.objects.copy_button, Qt.MouseButton.LeftButton)
    lines = list(csv.reader(QGuiApplication.clipboard().text().splitlines(), delimiter="\t"))
    assert [line[0] for line in lines] == ["label", "2", "4", "1"]
    assert "volume [mm³]" in lines[0]
    assert "start i" not in lines[0]
    click(qtbot, widget, 4)
    assert table.as_text().splitlines()[1].startswith("4\t")
    widget.objects.filter_line.setText("label = 1")
    assert len(widget.chosen.keys) == 0, "what is out of sight is not chosen"


# -- rows and the layer ---------------------------------------------------------------------------


def test_a_row_shows_its_object(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    click(qtbot, widget, 3)
    layer = viewer.layers["labels"]
    assert layer.selected_label == 3
    assert viewer.dims.current_step[0] == 10  # of 8 to 11, the middle is 9.5
    assert viewer.scene.camera.center[1:] == pytest.approx((21.5 * 0.5, 31.5 * 0.5))
    np.testing.assert_array_equal(highlighted(widget, viewer), layer.data == 3)
    click(qtbot, widget, 1, CTRL)
    click(qtbot, widget, 4, CTRL)
    np.testing.assert_array_equal(highlighted(widget, viewer), np.isin(layer.data, (1, 3, 4)))
    assert viewer.layers.selection.active is layer
    plane = np.asarray(viewer.layers["Selected"].data[0])
    assert plane.sum() == 4, "a slice of 2 x 2 is all outline"
    viewer.dims.ndisplay = 3
    click(qtbot, widget, 2)
    assert viewer.scene.camera.center == pytest.approx((5 * 3.0, 11 * 0.5, 11 * 0.5))
    qtbot.mouseClick(widget.objects.none_button, Qt.MouseButton.LeftButton)
    assert not viewer.layers["Selected"].visible
    widget.leave()
    assert "Selected" not in viewer.layers


def test_the_outline_of_a_slice_is_hollow(opened: Opened, qtbot: Any) -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[5:25, 5:25], labels[25:35, 5:25] = 1, 2
    widget, viewer = opened(labels)
    measured(qtbot, widget)
    widget.objects.table.selectAll()
    seen = highlighted(widget, viewer)
    assert not seen[7:23, 7:23].any()
    assert seen[23:27, 5:25].all(), "where two that are chosen touch there is a line"
    assert seen.sum() == 20 * 20 - 16 * 16 + 10 * 20 - 6 * 16


def test_the_layers_own_picker_chooses_the_row(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    viewer.layers["labels"].selected_label = 4
    assert widget.objects.table.selected.tolist() == [4]
    widget.hide()
    viewer.layers["labels"].selected_label = 2
    assert widget.chosen.keys.tolist() == [4], "nobody looks"


def test_axes_that_are_turned_to_be_shown(opened: Opened, qtbot: Any) -> None:
    """The file's axes run right, anterior, superior; the layer's inferior, posterior, left."""
    data = np.zeros((10, 12, 14), np.uint8)
    data[1:4, 2:4, 3:9], data[6:9, 7:8, 1:3] = 1, 2
    grid = nm.Grid(data.shape, np.diag([2.0, 1.5, 3.0, 1.0]))
    viewer = ViewerModel()
    for layer in layers_of([nm.LabelVolume(data, grid, kind="instances", name="labels")]):
        viewer.add_layer(Layer.create(*layer))
    widget = begin(qtbot, viewer)
    measured(qtbot, widget)
    assert widget.objects.table.written["centroid i"].tolist() == [2, 7]
    layer = viewer.layers["labels"]
    for label in (1, 2):
        click(qtbot, widget, label)
        np.testing.assert_array_equal(highlighted(widget, viewer), layer.data == label)
        places = np.argwhere(layer.data == label).mean(axis=0)
        assert viewer.dims.current_step[0] == pytest.approx(places[0], abs=0.51)
        middle = layer.data_to_world(places)
        assert viewer.scene.camera.center[1:] == pytest.approx(tuple(middle[1:]))


def test_pieces_have_rows_of_their_own(opened: Opened, qtbot: Any) -> None:
    labels = boxes()
    widget, viewer = opened(labels)
    measured(qtbot, widget, each="piece")
    owner = widget.objects.table.written["object"].tolist()
    assert sorted(owner) == [1, 2, 3, 4, 5, 5]
    one, other = (i + 1 for i, of in enumerate(owner) if of == 5)
    click(qtbot, widget, one)
    first = highlighted(widget, viewer)
    assert viewer.layers["labels"].selected_label == 5
    click(qtbot, widget, other)
    second = highlighted(widget, viewer)
    assert first.sum() == second.sum() == 3
    np.testing.assert_array_equal(first | second, labels == 5)
    assert not widget.verbs.delete_button.isEnabled()
    assert "row for each label" in widget.verbs.delete_button.toolTip()


def test_time_points_have_rows_of_their_own(opened: Opened, qtbot: Any) -> None:
    second = np.where(boxes() == 3, 8, boxes() * (boxes() == 2))
    labels = np.stack([boxes(), second]).astype(np.uint16)
    place = {"scale": (1, *SPACING), "axis_labels": ("t", "z", "y", "x"), "units": None}
    widget, viewer = opened(labels, labels * 2.0, **place)
    measured(qtbot, widget)
    assert cells(widget.objects.table, "Time") == ["0"] * 5 + ["1"] * 2
    widget.objects.filter_line.setText("time = 1")
    click(qtbot, widget, 2)
    assert viewer.dims.current_step[:2] == (1, 5)
    seen = highlighted(widget, viewer)
    np.testing.assert_array_equal(seen[1], labels[1] == 2)
    assert not seen[0].any()
    qtbot.mouseClick(widget.verbs.delete_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)
    data = viewer.layers["labels"].data
    assert (data[0] == boxes()).all(), "the other time point is as it was"
    assert sorted(np.unique(data[1])) == [0, 8]


def test_a_click_in_the_canvas_chooses_the_row(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_labels(boxes(), name="labels", scale=SPACING, units="mm")
    viewer.add_image(boxes() * 1.0, name="image", scale=SPACING, units="mm", visible=False)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Measure")
    qtbot.waitUntil(widget.isVisible)
    measured(qtbot, widget)
    click(qtbot, widget, 2)
    click(qtbot, widget, 4, CTRL)
    click(qtbot, widget, 2)
    widget.chosen.choose([1], None)
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    viewer.layers.selection.active = viewer.layers["image"]  # any layer that is not painted on
    qtbot.mouseMove(canvas, middle)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=middle)
    assert widget.objects.table.selected.tolist() == [2]
    assert widget.objects.table.currentIndex().row() == 1
    # Closing the dock while something is measured stops it, and takes what it drew away.
    qtbot.mouseClick(widget.measure_button, Qt.MouseButton.LeftButton)
    job = widget._job
    with qtbot.waitSignal(job.ended, timeout=WAIT):
        viewer.window.remove_dock_widget(dock)
    assert "Selected" not in viewer.layers
    assert not any("LayerLink" in repr(f) for f in viewer.mouse_drag_callbacks)


# -- plots ----------------------------------------------------------------------------------------


def laid_out(qtbot: Any, chart: Any) -> None:
    """Wait until the chart has its size and is drawn in it."""

    def is_so() -> bool:
        canvas = chart.canvas
        if canvas is None or chart._stale or chart._soon.isActive():
            return False
        drawn = canvas.figure.bbox.size.round().astype(int).tolist()
        return canvas.size() == chart.size() and drawn == [canvas.width(), canvas.height()]

    for _ in range(3):
        qtbot.wait(30)
        qtbot.waitUntil(is_so, timeout=WAIT)


def stroke(qtbot: Any, widget: MeasureWidget, places: Any, *keys: Qt.KeyboardModifier) -> None:
    """Draw on the chart with the mouse, through places in the units of its axes."""
    chart = widget.plots.chart
    laid_out(qtbot, chart)
    canvas = chart.canvas
    qtbot.mouseMove(canvas, canvas.rect().center())
    laid_out(qtbot, chart)
    pixels = chart.axes.transData.transform(places)
    points = [QPoint(round(x), round(canvas.height() - y)) for x, y in pixels]
    modifier = keys[0] if keys else Qt.KeyboardModifier.NoModifier
    qtbot.mouseMove(canvas, points[0])
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, modifier, points[0])
    for point in points[1:]:
        qtbot.mouseMove(canvas, point)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, modifier, points[-1])


def drawn_over(widget: MeasureWidget) -> np.ndarray:
    """Return the points that are drawn as chosen."""
    return np.sort(widget.plots.chart._over[0].get_xdata())


def test_a_lasso_chooses_what_lies_in_it(opened: Opened, qtbot: Any) -> None:
    labels = squares()
    rng = np.random.default_rng(3)
    levels = np.append(0, rng.uniform(0, 100, 30))
    widget, viewer = opened(labels, levels[labels])
    measured(qtbot, widget)
    widget.tabs.setCurrentIndex(2)
    widget.plots.plot("area [mm²]", "mean")
    area = widget.objects.table.written["area"]
    low, high = 2.0, 6.0
    diamond = [(low, 50), (4, 95), (high, 50), (4, 5), (low, 50)]
    stroke(qtbot, widget, diamond)
    mean = widget.objects.table.written["mean"]
    inside = np.abs(area - 4) / 2 + np.abs(mean - 50) / 45
    sure = np.abs(inside - 1) > 0.05  # the mouse moves in whole pixels
    wanted = np.arange(1, 31)[(inside < 1) & sure]
    chosen = widget.chosen.keys
    assert 3 < len(wanted) < 25
    assert set(wanted) <= set(chosen.tolist()) <= set(np.arange(1, 31)[(inside < 1) | ~sure])
    assert sorted(widget.objects.table.selected) == sorted(chosen)
    np.testing.assert_allclose(drawn_over(widget), np.sort(area[chosen - 1]))
    assert set(np.unique(labels[filled(widget, viewer)])) == set(chosen.tolist())
    # A box, and with Shift another one beside it.
    qtbot.mouseClick(widget.plots.tools["rectangle"], Qt.MouseButton.LeftButton)
    left, right, bottom, top = widget.plots.chart.axes.axis()
    stroke(qtbot, widget, [(left + 0.1, bottom + 1), (2.1, top - 1)])
    assert widget.chosen.keys.tolist() == (np.flatnonzero(area < 2.1) + 1).tolist()
    before = set(widget.chosen.keys.tolist())
    stroke(qtbot, widget, [(7.1, bottom + 1), (right - 0.1, top - 1)], SHIFT)
    assert set(widget.chosen.keys) == before | set((np.flatnonzero(area > 7.1) + 1).tolist())
    # A click takes the point under it, and shows the object.
    stroke(qtbot, widget, [(area[12], mean[12])])
    assert widget.chosen.keys.tolist() == [13]
    assert viewer.layers["labels"].selected_label == 13


def test_bars_are_chosen_and_rows_are_shown_in_them(opened: Opened, qtbot: Any) -> None:
    labels = squares()
    widget, _ = opened(labels)
    measured(qtbot, widget)
    widget.tabs.setCurrentIndex(2)
    area = widget.objects.table.written["area"]
    stroke(qtbot, widget, [(3.3, 1), (5.3, 2)])
    assert widget.chosen.keys.tolist() == (np.flatnonzero((area > 3.3) & (area < 5.3)) + 1).tolist()
    assert "Chosen 9: 4.5 ± 0.612 mm², median 4.5" in widget.plots.about.text()
    click_in = widget.objects
    widget.tabs.setCurrentIndex(1)
    click(qtbot, widget, 30)
    widget.tabs.setCurrentIndex(2)
    qtbot.waitUntil(lambda: not widget.plots.chart._stale, timeout=WAIT)
    (bars,) = widget.plots.chart._over
    values, edges, _ = bars.get_data()
    at = np.searchsorted(edges, area[29], side="right") - 1
    assert values.sum() == 1
    assert values[min(at, len(values) - 1)] == 1
    # What the filter leaves out is not drawn, nor what has no logarithm.
    click_in.filter_line.setText("area > 5")
    assert len(widget.plots.chart._drawn.x) == (area > 5).sum()
    widget.plots.plot("border")
    widget.plots.log_x.setChecked(True)
    assert not widget.plots.chart._drawn.usable.any()


# -- what is done ---------------------------------------------------------------------------------


def test_changes_make_it_old_until_it_is_measured_again(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    layer = viewer.layers["labels"]
    measured(qtbot, widget)
    assert widget.notice.isHidden()
    viewer.dims.set_point(0, 9.0)
    assert widget.notice.isHidden(), "to look at another slice changes nothing"
    layer.paint((3, 15, 15), 9)
    assert widget.notice.text() == "⚠ Labels changed: measure again."
    click(qtbot, widget, 1)
    assert not widget.verbs.delete_button.isEnabled()
    measured(qtbot, widget)
    assert widget.notice.isHidden()
    assert "9" in cells(widget.objects.table, "Label")
    assert widget.chosen.keys.tolist() == [1], "what was chosen is so still"
    layer.undo()
    assert not widget.notice.isHidden()


def test_chosen_objects_are_deleted_and_it_is_undone(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    click(qtbot, widget, 2)
    click(qtbot, widget, 5, CTRL)
    qtbot.mouseClick(widget.verbs.delete_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)
    layer = viewer.layers["labels"]
    np.testing.assert_array_equal(layer.data, np.where(np.isin(boxes(), (2, 5)), 0, boxes()))
    assert widget.status.text().startswith("33 voxels deleted")
    assert not widget.notice.isHidden()
    layer.undo()
    np.testing.assert_array_equal(layer.data, boxes())


def test_chosen_objects_become_a_layer(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    click(qtbot, widget, 1)
    click(qtbot, widget, 3, CTRL)
    qtbot.mouseClick(widget.verbs.keep_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)
    made = viewer.layers["labels: 2 chosen"]
    np.testing.assert_array_equal(made.data, np.where(np.isin(boxes(), (1, 3)), boxes(), 0))
    assert made.scale.tolist() == list(SPACING)
    assert made.data.dtype == np.uint16


def test_objects_in_colours_by_a_value(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    widget.verbs.colour_by("volume [mm³]")
    made = viewer.layers["labels: volume [mm³]"]
    levels = np.asarray(made.data)
    of = [int(np.unique(levels[boxes() == n]).item()) for n in (5, 1, 4, 2, 3)]  # by volume
    assert of == sorted(of)
    assert (of[0], of[-1]) == (1, 255)
    assert not levels[boxes() == 0].any()
    assert made.get_color(255)[:2] == pytest.approx((0.993, 0.906), abs=0.01)  # of viridis
    assert not widget.verbs.bar.isHidden()
    widget.verbs.colour_by("equivalent diameter [mm]")
    assert [x.name for x in viewer.layers] == ["labels", "labels: equivalent diameter [mm]"]
    widget.verbs.colour_by("Colour by…")
    assert [x.name for x in viewer.layers] == ["labels"]
    assert widget.verbs.bar.isHidden()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("labels", "images"):
        (tmp_path / name).mkdir()
    for at, name in enumerate(("a", "b")):
        array = np.roll(squares(), at, axis=1)
        tifffile.imwrite(tmp_path / "labels" / f"{name}.tif", array)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", array * 3)
    return tmp_path / "labels", tmp_path / "images"


def test_files_are_those_of_the_command(folders: Any, tmp_path: Path, qtbot: Any) -> None:
    labels, images = folders
    out = [tmp_path / f"{name}.csv" for name in ("own", "own_s", "command", "command_s")]
    viewer = ViewerModel()
    image = nm.read(images / "a.tif")
    marked = nm.read(labels / "a.tif", labels=True)
    for layer in layers_of([image, marked]):
        viewer.add_layer(Layer.create(*layer))
    # As the viewer does it that opens a file.
    viewer.layers[-1]._source = viewer.layers[-1].source.model_copy(
        update={"path": str(labels / "a.tif")}
    )
    widget = begin(qtbot, viewer)
    widget.setup.kind.setCurrentText("Objects")
    measured(qtbot, widget, feret=True)
    for what, path in (("all", out[0]), ("summary", out[1])):
        widget.export(what, path)
        rest(qtbot, widget)
    assert widget.status.text() == "own_s.csv: 1 row written."
    arguments = ["--images", str(images), "--feret", "--kind", "instances"]
    tables = ["--csv", str(out[2]), "--summary", str(out[3])]
    assert main(["measure", str(labels / "a.tif"), *arguments, *tables]) == 0
    assert out[0].read_text("utf-8") == out[2].read_text("utf-8")
    assert out[1].read_text("utf-8") == out[3].read_text("utf-8")
    click(qtbot, widget, 7)
    parquet = pytest.importorskip("pyarrow.parquet")
    widget.export("chosen", tmp_path / "seven.parquet")
    rest(qtbot, widget)
    table = parquet.read_table(tmp_path / "seven.parquet")
    assert table["label"].to_pylist() == [7]
    assert "Feret diameter [pixels]" in table.column_names


def test_a_folder_gives_the_table_of_the_command(
    folders: Any, tmp_path: Path, opened: Opened, qtbot: Any
) -> None:
    labels, images = folders
    (labels / "bad.tif").write_bytes(b"no picture")
    widget, _ = opened(boxes())
    widget.tabs.setCurrentIndex(4)
    qtbot.mouseClick(widget.folder.run_button, Qt.MouseButton.LeftButton)
    assert widget.status.text() == "Choose a folder of labels first."
    qtbot.keyClicks(widget.folder.labels, str(labels))
    qtbot.keyClicks(widget.folder.images, str(images))
    qtbot.keyClicks(widget.folder.table, str(tmp_path / "own.csv"))
    qtbot.keyClicks(widget.folder.summary, str(tmp_path / "own_s.csv"))
    qtbot.mouseClick(widget.folder.run_button, Qt.MouseButton.LeftButton)
    rest(qtbot, widget)
    assert widget.status.text() == "own.csv: 60 rows of 2 images; 1 failed."
    assert "bad.tif" in widget.folder.problems.toPlainText()
    command = ["--csv", str(tmp_path / "c.csv"), "--summary", str(tmp_path / "c_s.csv")]
    assert main(["measure", str(labels), "--images", str(images), *command]) == 1
    for one, other in (("own", "c"), ("own_s", "c_s")):
        own = (tmp_path / f"{one}.csv").read_text("utf-8")
        assert own == (tmp_path / f"{other}.csv").read_text("utf-8")


def test_other_labels_have_a_table_of_their_own(opened: Opened, qtbot: Any) -> None:
    widget, viewer = opened(boxes())
    measured(qtbot, widget)
    click(qtbot, widget, 2)
    other = viewer.add_labels(squares(), name="others")
    assert widget.setup.layer.layer.name == "labels", "the choice stays"
    widget.setup.layer.choose(other)
    assert widget.objects.table.model().rowCount() == 0
    assert widget.measure_button.text() == "Measure"
    assert "Selected" not in viewer.layers
    widget.setup.layer.choose(viewer.layers["labels"])
    assert len(cells(widget.objects.table, "Label")) == 5
    viewer.layers.remove("labels")
    assert widget.objects.table.model().rowCount() == 0
    assert not widget.verbs.export_button.isEnabled()
