"""The Open widget, driven as a person does it, in a real viewer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.qt.threading import WorkerBase
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from tests.io.dicom_files import ID, NAME, axial, mr_slice, save

from napari_monai._napari.open_table import LABELS, PATIENT, SIGN, SIZE, SPACING, TYPE
from napari_monai._napari.open_table import NAME as NAME_COLUMN


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any]) -> Callable[[], tuple[Any, Any]]:
    """Return a function that opens a viewer and docks the Open widget."""

    def dock() -> tuple[Any, Any]:
        viewer = make_napari_viewer()
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Open")
        return viewer, widget

    return dock


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder of a scout, a CT with a gap, and labels beside them."""
    scout = [mr_slice((0, 0, z), number=z + 1, SeriesInstanceUID="1.2.9", SeriesNumber=1,
                      SeriesDescription="SCOUT") for z in range(2)]  # fmt: skip
    folder = save(tmp_path / "study", scout, "scout{:03}")
    save(folder / "ct", axial([0, 2, 4, 10]), "{:03}.dcm")
    nib.save(nib.Nifti1Image(np.eye(5, dtype=np.uint8)[None], np.eye(4)), folder / "organs.nii.gz")
    return folder


def at_rest(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(widget.folder_button.isEnabled, timeout=120_000)


def scan(qtbot: Any, widget: Any, *paths: Path) -> list[str]:
    """List what is in paths and return the names in the table."""
    widget.scan(*paths)
    at_rest(qtbot, widget)
    rows = range(widget.table.rowCount())
    return [widget.table.item(row, NAME_COLUMN).text() for row in rows]


def click_row(qtbot: Any, table: Any, row: int, *, column: int = NAME_COLUMN, **how: Any) -> None:
    at = table.visualItemRect(table.item(row, column)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at, **how)


def messages(severity: str) -> list[str]:
    return [n.message for n in notification_manager.records if str(n.severity) == severity]


def test_a_folder_is_listed_and_a_series_opened(docked, qtbot, study) -> None:
    viewer, widget = docked()
    assert not widget.open_button.isEnabled()
    names = scan(qtbot, widget, study)
    assert names == ["organs", "1 SCOUT", "3 THORAX part 1 of 2", "3 THORAX part 2 of 2"]
    assert widget.status.text() == "4 found."
    table = widget.table
    assert [table.item(2, c).text() for c in (NAME_COLUMN, TYPE, SIZE, SPACING)] == [
        "3 THORAX part 1 of 2",
        "CT",
        "5 × 6 × 3",
        "0.7 × 0.8 × 2 mm",
    ]
    assert [table.item(r, SIGN).icon().isNull() for r in range(4)] == [True, True, False, False]
    click_row(qtbot, table, 2)
    assert "Its 4 slices are not evenly spaced" in widget.about.text()
    qtbot.mouseClick(widget.open_button, Qt.MouseButton.LeftButton)
    at_rest(qtbot, widget)
    (layer,) = viewer.layers
    assert isinstance(layer, Image)
    assert (layer.name, layer.data.shape) == ("3 THORAX part 1 of 2", (3, 6, 5))
    np.testing.assert_allclose(layer.scale, (2, 0.8, 0.7))
    assert layer.contrast_limits != [0, 65535]
    assert messages("error") == messages("warning") == []
    assert not widget.progress.isVisible()


def test_several_by_the_keyboard_and_the_largest_is_shown(docked, qtbot, study) -> None:
    viewer, widget = docked()
    scan(qtbot, widget, study)
    assert widget.table.chosen == [0]
    qtbot.keyClick(widget.table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert widget.table.chosen == [0, 1, 2, 3]
    qtbot.keyClick(widget.table, Qt.Key.Key_Return)
    at_rest(qtbot, widget)
    shown = {layer.name: layer.visible for layer in viewer.layers}
    assert shown == {
        "3 THORAX part 1 of 2": True,
        "organs": False,
        "1 SCOUT": False,
        "3 THORAX part 2 of 2": False,
    }
    assert viewer.layers.selection.active is viewer.layers["3 THORAX part 1 of 2"]


def test_whole_numbers_open_as_labels_where_ticked(docked, qtbot, study) -> None:
    viewer, widget = docked()
    scan(qtbot, widget, study / "organs.nii.gz")
    assert not widget.table.as_labels(0)
    qtbot.keyClick(widget.table, Qt.Key.Key_Space)
    assert widget.table.item(0, LABELS).checkState() == Qt.CheckState.Checked
    at = widget.table.visualItemRect(widget.table.item(0, NAME_COLUMN)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseDClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    at_rest(qtbot, widget)
    (layer,) = viewer.layers
    assert isinstance(layer, Labels)
    assert layer.data.sum() == 5


def test_numbers_with_a_point_have_no_tick(docked, qtbot, tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 5), 0.5))
    _, widget = docked()
    scan(qtbot, widget, tmp_path / "a.npy")
    assert not widget.table.item(0, LABELS).flags() & Qt.ItemFlag.ItemIsUserCheckable
    qtbot.keyClick(widget.table, Qt.Key.Key_Space)
    assert not widget.table.as_labels(0)


def test_patients_show_on_demand_only(docked, qtbot, study) -> None:
    _, widget = docked()
    scan(qtbot, widget, study)
    table = widget.table

    def texts() -> str:
        columns = range(table.columnCount())
        cells = (table.item(r, c) for r in range(table.rowCount()) for c in columns)
        return " ".join(f"{cell.text()} {cell.toolTip()}" for cell in cells)

    words = (*NAME.split("^"), ID)
    assert not any(word in texts() + widget.about.text() for word in words)
    assert table.isColumnHidden(PATIENT)
    widget.patients.click()
    at_rest(qtbot, widget)
    assert not table.isColumnHidden(PATIENT)
    assert table.item(1, PATIENT).text() == f"Doe Jane, {ID}"
    assert table.item(0, PATIENT).text() == ""
    widget.patients.click()
    assert table.isColumnHidden(PATIENT)


def test_what_is_dropped_is_listed(docked, qtbot, study) -> None:
    _, widget = docked()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(study / "scout000")), QUrl.fromLocalFile(str(study))])
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    enter = QDragEnterEvent(QPoint(50, 90), copy, data, *buttons)
    widget.dragEnterEvent(enter)
    assert enter.isAccepted()
    widget.dropEvent(QDropEvent(QPointF(50, 90), copy, data, *buttons))
    at_rest(qtbot, widget)
    assert widget.table.rowCount() == 1 + 4
    assert widget.place.text() == "scout000 and 1 more"


def test_text_that_is_dragged_is_not_ours(docked) -> None:
    _, widget = docked()
    data = QMimeData()
    data.setText("a word")
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 90), Qt.DropAction.CopyAction, data, *buttons)
    enter.ignore()
    widget.dragEnterEvent(enter)
    assert not enter.isAccepted()


@pytest.mark.parametrize("kind", ["zip", "file without extension", "zarr"])
def test_other_places(docked, qtbot, study, tmp_path, kind) -> None:
    viewer, widget = docked()
    if kind == "zip":
        place = Path(shutil.make_archive(str(tmp_path / "sent"), "zip", study))
        expected = ["1 SCOUT", "3 THORAX part 1 of 2", "3 THORAX part 2 of 2"]
    elif kind == "zarr":
        import napari_monai as nm

        labels = nm.LabelVolume(np.ones((3, 4, 5), np.uint8), nm.Grid.from_spacing((3, 4, 5)))
        place, expected = tmp_path / "cells.zarr", ["cells"]
        nm.write(place, labels)
    else:
        place, expected = study / "scout000", ["1 SCOUT"]
    assert scan(qtbot, widget, place) == expected
    qtbot.keyClick(widget.table, Qt.Key.Key_Return)
    at_rest(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == expected[:1]
    assert isinstance(viewer.layers[0], Labels if kind == "zarr" else Image)


def test_nothing_found_says_what_was_looked_for(docked, qtbot, tmp_path) -> None:
    _, widget = docked()
    assert scan(qtbot, widget, tmp_path) == []
    assert "Looked for DICOM files" in widget.table._hint
    assert not widget.open_button.isEnabled()
    assert messages("error") == []


def test_a_folder_that_may_not_be_read(docked, qtbot, study) -> None:
    _, widget = docked()
    study.chmod(0)
    try:
        if os.access(study, os.R_OK):
            pytest.skip("this user may read everything")
        assert scan(qtbot, widget, study) == []
    finally:
        study.chmod(0o700)
    (message,) = messages("error")
    assert "cannot be looked into" in message
    assert widget.status.text() == message


def test_a_path_that_is_gone(docked, qtbot, tmp_path) -> None:
    _, widget = docked()
    assert scan(qtbot, widget, tmp_path / "gone") == []
    (message,) = messages("error")
    assert "There is no file" in message
    assert widget.status.text() == message


def test_one_that_cannot_be_read_does_not_stop_the_others(docked, qtbot, study) -> None:
    viewer, widget = docked()
    scan(qtbot, widget, study)
    (study / "organs.nii.gz").write_bytes(b"damaged since")
    widget.table.selectAll()
    widget.open()
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert "organs.nii.gz" in message
    assert len(viewer.layers) == 3
    assert widget.status.text() == message


def test_slices_that_cannot_be_decoded_are_said(docked, qtbot, study) -> None:
    viewer, widget = docked()
    scan(qtbot, widget, study / "ct")
    next((study / "ct").glob("*14.dcm")).unlink()
    widget.open()
    at_rest(qtbot, widget)
    assert viewer.layers[0].data.shape[0] == 2
    (message,) = messages("warning")
    assert "014.dcm" in message


@pytest.fixture(scope="module")
def long_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    for part in range(4):
        save(
            folder / str(part),
            axial([part * 100 + z for z in range(100)], pixels=np.zeros((64, 64), "<u2")),
            "{:04}.dcm",
        )
    return folder


def test_listing_is_cancelled(docked, qtbot, long_series) -> None:
    _, widget = docked()
    widget.scan(long_series)
    qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=120_000)
    assert "of 400 files" in widget.progress.format()
    qtbot.mouseClick(widget.cancel_button, Qt.MouseButton.LeftButton)
    at_rest(qtbot, widget)
    assert widget.table.rowCount() == 0
    assert widget.status.text().startswith("Cancelled")
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=10_000)
    assert scan(qtbot, widget, long_series / "0") == ["3 THORAX"]


def test_opening_is_cancelled(docked, qtbot, long_series) -> None:
    viewer, widget = docked()
    scan(qtbot, widget, long_series)
    widget.open()
    assert not widget.open_button.isEnabled()
    qtbot.mouseClick(widget.cancel_button, Qt.MouseButton.LeftButton)
    at_rest(qtbot, widget)
    assert len(viewer.layers) == 0
    assert widget.status.text() == "Cancelled."
    widget.open()
    at_rest(qtbot, widget)
    assert viewer.layers[0].data.shape == (400, 64, 64)


@pytest.mark.parametrize("doing", ["listing", "opening"])
def test_closing_the_dock_leaves_no_thread(docked, qtbot, long_series, doing) -> None:
    viewer, widget = docked()
    if doing == "opening":
        scan(qtbot, widget, long_series)
        widget.open()
    else:
        widget.scan(long_series)
        bar = widget.progress
        qtbot.waitUntil(lambda: bar.value() > 0, timeout=120_000)
    viewer.window.remove_dock_widget(widget)
    del widget
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=60_000)
    assert len(viewer.layers) == 0
    assert messages("error") == []


def test_the_folder_is_remembered(docked, qtbot, study) -> None:
    from napari.utils.history import get_open_history

    _, widget = docked()
    scan(qtbot, widget, study / "organs.nii.gz")
    assert get_open_history()[0] == str(study)


def test_fits_a_narrow_dock(docked, qtbot, study) -> None:
    _, widget = docked()
    long_name = study.rename(study.with_name("long" * 50))
    (long_name / "organs.nii.gz").rename(long_name / f"{'x' * 200}.nii.gz")
    scan(qtbot, widget, long_name)
    assert widget.minimumSizeHint().width() <= 280
