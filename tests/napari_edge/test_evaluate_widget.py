"""The Evaluate widget, driven as a person does it, in a real viewer."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

import napari_monai as nm
from napari_monai._napari.evaluate_look import COLOURS
from napari_monai._napari.layers import labels_layer
from napari_monai.cli import main
from napari_monai.evaluation import csv_text, evaluate, versus
from napari_monai.evaluation.difference import CLASSES
from napari_monai.grid import Grid
from napari_monai.settings import EvaluationSettings
from napari_monai.volume import LabelClass, LabelVolume

WAIT = 120_000  # milliseconds: what ends by itself, on a busy machine
SPACE = {"scale": (3.0, 1.0, 1.0), "translate": (10.0, 20.0, 30.0), "units": ("mm",) * 3}
NAMES = {"features": {"index": [1, 2], "name": ["liver", "spleen"]}}


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer with layers of labels, and docks the widget."""

    def dock(**labels: Any) -> tuple[Any, Any]:
        viewer = make_napari_viewer()
        for name, given in labels.items():
            array, settings = given if isinstance(given, tuple) else (given, {})
            viewer.add_labels(array, **{**settings, "name": name})
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Evaluate")
        return viewer, widget

    return dock


def objects() -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and the truth: one right, one missed, one split, one made up."""
    truth = np.zeros((40, 60), np.uint16)
    truth[4:12, 4:12], truth[4:12, 24:32], truth[24:32, 4:12] = 1, 2, 3
    found = np.zeros_like(truth)
    found[4:12, 4:12], found[24:32, 4:8], found[24:32, 8:12], found[30:36, 40:46] = 5, 6, 7, 9
    return found, truth


def organs() -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and the truth of two classes in 3-D."""
    truth = np.zeros((8, 20, 24), np.uint8)
    truth[2:6, 3:12, 3:12], truth[1:4, 12:18, 14:20] = 1, 2
    found = np.roll(truth, (1, 1), (0, 2))
    found[truth == 2] = 2
    return found, truth


def at_rest(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)


def run(qtbot: Any, widget: Any) -> None:
    assert widget.run_button.isEnabled(), widget.run_button.toolTip()
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    at_rest(qtbot, widget)


def click(view: Any, key: int) -> None:
    """Choose a row as a click does."""
    (row,) = view.model().rows_of([key])
    view.selectRow(int(row))


def cells(table: Any) -> list[dict[str, str]]:
    """Return the texts of the rows that are shown, by the titles of the columns."""
    model = table.model
    return [
        {c.title: model.data(model.index(r, at)) for at, c in enumerate(model.columns)}
        for r in range(model.rowCount())
    ]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder of predictions of two models, the truth and images, three each."""
    found, truth = objects()
    for at in range(3):
        best = np.roll(truth, at, 1)
        for name, array in (("a", best), ("b", found), ("truth", truth), ("images", truth * 50)):
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / name / f"{at}.tif", array)
    return tmp_path


def from_files(widget: Any, root: Path, against: bool = False) -> None:
    widget.data.from_files.setChecked(True)
    widget.data.prediction_path.path = root / "a"
    widget.data.truth_path.path = root / "truth"
    if against:
        widget.data.against_path.path = root / "b"


# -- layers ---------------------------------------------------------------------------------------


def test_objects_of_layers(docked, qtbot) -> None:
    found, truth = objects()
    viewer, widget = docked(truth=truth, found=found)
    assert (widget.data.prediction.layer.name, widget.data.truth.layer.name) == ("found", "truth")
    run(qtbot, widget)
    expected = evaluate(found, truth, kind="instances")
    assert widget.result.models[0].scores.mean == pytest.approx(expected.mean)
    assert "objects (auto): AP" in widget.status.text()
    assert widget.data.kind.itemText(0) == "auto: objects"
    rows = {row["Measure"]: row for row in cells(widget.tables.scores)}
    assert rows["F1"]["Mean"] == f"{expected.mean['F1']:.3f}"
    assert rows["Splits"]["Mean"] == "1.0"
    layer = widget.layers.difference
    np.testing.assert_array_equal(
        layer.data, nm.evaluation.difference(found, truth, kind="instances").numpy()
    )
    assert not viewer.layers["truth"].visible, "it would change the colours"
    widget.look.visible.setChecked(False)
    assert viewer.layers["truth"].visible
    assert not layer.visible


def test_a_click_on_a_wrong_object_goes_there(docked, qtbot) -> None:
    found, truth = objects()
    stack = [np.zeros((6, *found.shape), np.uint16) for _ in range(2)]
    stack[0][1:3], stack[1][1:3] = found, truth
    viewer, widget = docked(truth=(stack[1], SPACE), found=(stack[0], SPACE))
    run(qtbot, widget)
    table = widget.tables.errors
    what = {(row["What"], row["Label"]): int(row["Row"]) for row in cells(table)}
    assert set(what) == {
        ("missed", "2"), ("missed, split", "3"), ("false", "6"), ("false", "7"), ("false", "9"),
    }  # fmt: skip
    assert "2 missed, 3 false, 1 split" in table.about.text()
    viewer.dims.set_point(0, 10.0)
    click(table.view, what["false", "9"])
    # Slices 1 and 2, at 13 and 16 mm; rows 30 to 35 and columns 40 to 45 of one mm.
    assert viewer.dims.point[0] in (13.0, 16.0)
    assert viewer.scene.camera.center[1:] == pytest.approx((20 + 32.5, 30 + 42.5), abs=1)
    viewer.dims.ndisplay = 3
    click(table.view, what["missed", "2"])
    assert viewer.scene.camera.center == pytest.approx((14.5, 20 + 7.5, 30 + 27.5), abs=2)


def test_a_wrong_object_of_a_patient_is_found_on_the_canvas(docked, qtbot) -> None:
    """The axes of the file run right, anterior, superior; those of the canvas the other way."""
    truth = np.zeros((20, 24, 9), np.uint8)
    truth[2:5, 18:22, 6:8], truth[10:14, 5:9, 1:3] = 1, 2
    found = np.where(truth == 2, 0, truth)
    grid = Grid(truth.shape, np.diag([1.0, 1.0, 3.0, 1.0]), "mm", anatomical=True)
    layers = [
        labels_layer(LabelVolume(x, grid, name=n, kind="instances"))
        for x, n in ((truth, "truth"), (found, "found"))
    ]
    viewer, widget = docked(**{d["name"]: (data, d) for data, d, _ in layers})
    run(qtbot, widget)
    layer = viewer.layers["truth"]
    np.testing.assert_array_equal(
        widget.layers.difference.data, np.where(layer.data == 2, 3, layer.data)
    )
    (row,) = cells(widget.tables.errors)
    assert (row["What"], row["Label"]) == ("missed", "2")
    click(widget.tables.errors.view, int(row["Row"]))
    places = np.argwhere(layer.data == 2)
    low, high = (np.array(layer.data_to_world(places[at])) for at in (0, -1))
    assert low[0] <= viewer.dims.point[0] <= high[0]
    assert viewer.scene.camera.center[1:] == pytest.approx((low[1:] + high[1:]) / 2, abs=1)


def test_time_points_are_cases(docked, qtbot) -> None:
    found, truth = objects()
    film, true = np.stack([found, truth, found]), np.stack([truth] * 3)
    settings = {"axis_labels": ("t", "y", "x")}
    viewer, widget = docked(truth=(true, settings), found=(film, settings))
    run(qtbot, widget)
    assert [row["Case"] for row in cells(widget.tables.cases)] == [f"truth t={t}" for t in range(3)]
    for case, wrong in ((2, 5), (1, 0)):
        click(widget.tables.cases.view, case)
        at_rest(qtbot, widget)
        assert viewer.dims.point[0] == case
        assert len(cells(widget.tables.errors)) == wrong


def test_classes_of_layers_lie_where_the_truth_does(docked, qtbot) -> None:
    found, truth = organs()
    viewer, widget = docked(manual=(truth, {**SPACE, **NAMES}), found=(found, {**SPACE, **NAMES}))
    run(qtbot, widget)
    grid = Grid.from_spacing(truth.shape, (3.0, 1.0, 1.0), unit="mm")
    classes = (LabelClass(1, "liver"), LabelClass(2, "spleen"))
    volumes = [LabelVolume(x, grid, classes=classes) for x in (found, truth)]
    assert widget.result.models[0].scores.mean == pytest.approx(evaluate(*volumes).mean)
    layer = widget.layers.difference
    for name in ("scale", "translate", "units"):
        assert tuple(getattr(layer, name)) == tuple(getattr(viewer.layers["manual"], name))
    rows = {row["Class"]: int(row["Row"]) for row in cells(widget.tables.scores)}
    assert list(rows) == ["all classes", "liver", "spleen"]
    click(widget.tables.scores.view, rows["spleen"])
    at_rest(qtbot, widget)
    assert widget.look.class_name == "spleen"
    np.testing.assert_array_equal(
        widget.layers.difference.data, nm.evaluation.difference(*volumes, label=2).numpy()
    )
    assert cells(widget.tables.cases)[0]["Dice"] == cells(widget.tables.scores)[2]["Dice"]


def test_a_turned_truth_turns_the_difference(docked, qtbot) -> None:
    found, truth = objects()
    turn = {"rotate": 30.0, "shear": [0.2], "translate": (5.0, -3.0), "scale": (2.0, 2.0)}
    _, widget = docked(truth=(truth, turn), found=(found, turn))
    run(qtbot, widget)
    layer, true = widget.layers.difference, widget.data.truth.layer
    for corner in ((0, 0), (39, 0), (0, 59)):
        np.testing.assert_allclose(layer.data_to_world(corner), true.data_to_world(corner))


def test_layers_that_do_not_fit(docked, qtbot) -> None:
    found, truth = objects()
    viewer, widget = docked(truth=truth, found=found[:20])
    run(qtbot, widget)
    assert "another grid" in widget.status.text()
    assert "\n" not in widget.status.text()
    assert widget.result is None
    viewer.add_labels(found, name="moved", scale=(2, 2), translate=(100, 0))
    viewer.layers["truth"].scale = (2, 2)
    widget.data.prediction.choose(viewer.layers["moved"])
    run(qtbot, widget)
    assert "lies elsewhere than truth" in widget.status.text()
    viewer.layers.remove("moved")
    viewer.layers.remove("found")
    assert not widget.run_button.isEnabled()
    assert "two layers" in widget.run_button.toolTip()


def test_two_predictions(docked, qtbot) -> None:
    found, truth = objects()
    viewer, widget = docked(truth=truth, found=found, other=np.roll(truth, 1, 0))
    widget.data.prediction.choose(viewer.layers["found"])
    widget.data.against.choose(viewer.layers["other"])
    run(qtbot, widget)
    assert widget.tabs.currentWidget() is widget.tables.versus
    assert "other is ahead of found, in one case" in widget.tables.versus.about.text()
    widget.look.model.setCurrentIndex(1)
    at_rest(qtbot, widget)
    expected = nm.evaluation.difference(np.roll(truth, 1, 0), truth, kind="instances")
    np.testing.assert_array_equal(widget.layers.difference.data, expected.numpy())
    assert widget.tables.errors.about.text().startswith("truth: no object is wrong")


# -- files ----------------------------------------------------------------------------------------


def test_folders_with_a_broken_file(docked, qtbot, folders, capsys) -> None:
    (folders / "a" / "1.tif").write_bytes(b"broken")
    tifffile.imwrite(folders / "truth" / "late.tif", objects()[1])
    viewer, widget = docked()
    from_files(widget, folders)
    widget.data.images_path.path = folders / "images"
    run(qtbot, widget)
    assert "1.tif" in widget.problems.text()
    assert "late.tif" in widget.problems.text()
    assert [row["Case"] for row in cells(widget.tables.cases)] == ["0", "2"]
    assert [row["Mark"] for row in cells(widget.tables.cases)] == ["best", "worst"]

    table = folders / "out" / "widget.csv"
    widget.save_table(table)
    command = ["evaluate", "--prediction", str(folders / "a"), "--truth", str(folders / "truth")]
    assert main([*command, "--csv", str(folders / "out" / "command.csv")]) == 1
    assert table.read_text() == (folders / "out" / "command.csv").read_text()

    click(widget.tables.cases.view, 1)
    at_rest(qtbot, widget)
    names = [layer.name for layer in viewer.layers]
    assert names == ["2", "2 (truth)", "2 (prediction)", "2 difference (a)"]
    shown = viewer.layers["2 (prediction)"].data
    np.testing.assert_array_equal(shown, np.roll(objects()[1], 2, 1))
    viewer.layers["2 (truth)"].data_setitem(
        (np.array([0]), np.array([0])), 4
    )  # what is painted stays
    click(widget.tables.cases.view, 0)
    at_rest(qtbot, widget)
    names = [layer.name for layer in viewer.layers]
    assert names == ["2 (truth)", "0", "0 (truth)", "0 (prediction)", "0 difference (a)"]


def test_report_and_comparison_of_folders(docked, qtbot, folders, monkeypatch) -> None:
    _, widget = docked()
    from_files(widget, folders, against=True)
    widget.data.form.fields["resamples"].value = 200
    run(qtbot, widget)
    settings = EvaluationSettings(resamples=200)
    scores = [
        nm.evaluation.evaluate_folder(folders / x, folders / "truth", settings=settings)
        for x in ("a", "b")
    ]
    expected = versus(*scores, names=("a", "b"))
    rows = cells(widget.tables.versus)
    assert [row["p Holm"] for row in rows] == [f"{r.holm:.3f}" for r in expected.rows]
    assert [row["Better in"] for row in rows] == [
        f"{r.better[0]} : {r.better[1]}" for r in expected.rows
    ]
    assert "a is ahead" in widget.tables.versus.about.text()

    text = csv_text(list(zip(("a", "b"), scores, strict=True)))
    widget.save_table(folders / "t.csv")
    assert (folders / "t.csv").read_text() == text
    assert len(list(csv.reader(io.StringIO(text)))) == 7

    assert not widget.open_button.isEnabled()
    report = folders / "report.html"
    widget.save_report(report)
    at_rest(qtbot, widget)
    page = report.read_text(encoding="utf-8")
    assert "a against b" in page
    assert "The worst" in page
    opened: list[str] = []
    monkeypatch.setattr(
        "napari_monai._napari.evaluate_widget.QDesktopServices.openUrl",
        lambda url: opened.append(url.toLocalFile()),
    )
    qtbot.mouseClick(widget.open_button, Qt.MouseButton.LeftButton)
    assert [Path(p) for p in opened] == [report.resolve()]


def test_a_folder_is_dropped(docked, tmp_path) -> None:
    _, widget = docked()
    line = widget.data.truth_path
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    line.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, *buttons))
    assert line.path == tmp_path


# -- work that is left ----------------------------------------------------------------------------


def test_cancel_and_closing(docked, qtbot, folders) -> None:
    viewer, widget = docked()
    from_files(widget, folders)
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    assert widget.busy
    widget.cancel()
    at_rest(qtbot, widget)
    assert widget.status.text() == "Cancelled."
    assert widget.result is None
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    job = widget._job
    (dock,) = [d for n, d in viewer.window.dock_widgets.items() if n.startswith("Evaluate")]
    ended: list[str] = []
    job.ended.connect(ended.append)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: bool(ended), timeout=WAIT)
    assert ended == ["cancelled"]
    assert not [n for n in notification_manager.records if str(n.severity) == "error"]


def test_the_key_has_the_colours_of_the_difference() -> None:
    assert list(COLOURS) == [(c.name, c.colour) for c in CLASSES]
