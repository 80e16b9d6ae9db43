"""The panel of classes, used as a person does it, on a layer in a viewer without a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit
from tests.models.known import threshold_model

from napari_monai import LabelVolume, write
from napari_monai._napari.class_dialogs import RemoveDialog
from napari_monai._napari.class_model import LOCKED, NAME, NUMBER, SHOWN
from napari_monai._napari.classes_panel import ClassesPanel
from napari_monai._napari.edit_session import EditSession
from napari_monai._napari.label_colours import class_look, classes_of
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass

LIVER = LabelClass(1, "liver", "#aa0000")
SPLEEN = LabelClass(2, "spleen", "#00aa00")
TUMOUR = LabelClass(5, "tumour", "#0000aa")
CLASSES = (LIVER, SPLEEN, TUMOUR)

Opened = Callable[..., tuple[ClassesPanel, EditSession]]


@pytest.fixture
def opened(qtbot: Any) -> Opened:
    """Return a function that shows the panel of labels with classes: 3 voxels of 1, 2 of 2."""

    def show(classes: tuple[LabelClass, ...] = CLASSES) -> tuple[ClassesPanel, EditSession]:
        viewer = ViewerModel()
        data = np.zeros((4, 6), np.uint8)
        data[0, :3], data[2, :2] = 1, 2
        layer = viewer.add_labels(data, name="organs", **class_look(classes))
        session = EditSession(viewer, layer)
        panel = ClassesPanel(session)
        panel.resize(340, 300)
        qtbot.addWidget(panel)
        panel.show()
        return panel, session

    return show


def cell(panel: ClassesPanel, number: int, column: int) -> Any:
    model = panel.table.model()
    numbers = [model.index(row, NUMBER).data() for row in range(model.rowCount())]
    return model.index(numbers.index(str(number)), column)


def click(
    qtbot: Any, panel: ClassesPanel, number: int, column: int, *, twice: bool = False
) -> None:
    """Click into a cell; on the tick of those that have one."""
    area = panel.table.visualRect(cell(panel, number, column))
    where = area.center()
    if column in (SHOWN, LOCKED):
        where = QPoint(area.left() + 10, area.center().y())
    (qtbot.mouseDClick if twice else qtbot.mouseClick)(
        panel.table.viewport(), Qt.MouseButton.LeftButton, pos=where
    )


def test_a_click_selects_the_class_and_the_picker_the_row(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 2, NAME)
    assert session.layer.selected_label == 2
    assert session.selected == (2,)
    session.layer.selected_label = 5
    assert panel.numbers == (5,)
    session.select((1, 2))
    assert panel.numbers == (1, 2)


def test_ticks_hide_and_lock(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 1, SHOWN)
    assert session.classes[0] == LabelClass(1, "liver", "#aa0000", visible=False)
    assert session.layer.get_color(1)[3] == 0
    assert session.layer.get_color(2)[3] == 1
    click(qtbot, panel, 2, LOCKED)
    assert session.locked == {2}
    assert classes_of(session.layer) == session.classes, "all of it is read back from the layer"
    click(qtbot, panel, 1, SHOWN)
    assert session.layer.get_color(1).tolist() == pytest.approx([0xAA / 255, 0, 0, 1])


def test_status_bar_names_and_says_what_is_locked(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    panel.toggle("locked")
    assert session.layer._get_properties((0, 0), world=True) == ["name: liver", "locked: yes"]
    assert session.layer._get_properties((2, 0), world=True) == ["name: spleen"]


def test_colours_are_read_back_while_one_label_is_shown(opened: Opened) -> None:
    _, session = opened()
    session.layer.show_selected_label = True
    assert classes_of(session.layer) == CLASSES


def test_rename_in_place(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 2, NAME)
    panel.rename()
    editor = panel.table.findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "Milz")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.classes[1].name == "Milz")
    assert [c.name for c in session.classes] == ["liver", "Milz", "tumour"]
    assert session.layer.features["name"].tolist() == ["liver", "Milz", "tumour"]
    model = panel.table.model()
    assert not model.setData(cell(panel, 2, NAME), "  "), "a class has a name"


def test_a_double_click_on_the_colour_asks_for_another(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 5, NUMBER)
    click(qtbot, panel, 5, NUMBER, twice=True)
    dialog = panel.findChild(QColorDialog)
    assert dialog.currentColor() == QColor("#0000aa")
    dialog.setCurrentColor(QColor("#123456"))
    dialog.accept()
    assert session.classes[2].colour == "#123456"
    assert session.layer.get_color(5)[:3] == pytest.approx(np.array([0x12, 0x34, 0x56]) / 255)


def test_show_only_and_back(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    session.select((2,))
    qtbot.mouseClick(panel.only_button, Qt.MouseButton.LeftButton)
    assert [c.visible for c in session.classes] == [False, True, False]
    assert panel.only_button.text() == "Show all"
    qtbot.mouseClick(panel.only_button, Qt.MouseButton.LeftButton)
    assert session.classes == CLASSES


def test_add_names_the_number_of_the_brush(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    session.layer.selected_label = 3
    qtbot.mouseClick(panel.add_button, Qt.MouseButton.LeftButton)
    assert [c.number for c in session.classes] == [1, 2, 3, 5]
    assert panel.numbers == (3,)
    assert panel.table.findChild(QLineEdit) is not None, "its name is asked for"
    qtbot.keyClick(panel.table.findChild(QLineEdit), Qt.Key.Key_Escape)
    qtbot.mouseClick(panel.add_button, Qt.MouseButton.LeftButton)
    assert [c.number for c in session.classes] == [1, 2, 3, 5, 6]
    assert session.layer.selected_label == 6


def test_remove_without_voxels_asks_nothing(opened: Opened, qtbot: Any) -> None:
    panel, session = opened()
    click(qtbot, panel, 5, NAME)
    qtbot.keyClick(panel.table, Qt.Key.Key_Delete)
    assert session.classes == (LIVER, SPLEEN)
    assert panel.findChild(RemoveDialog) is None


@pytest.mark.parametrize(
    ("fate", "first_row", "undo"),
    [("keep", [1, 1, 1, 0, 0, 0], False), ("delete", [0] * 6, True),
     ("merge", [2, 2, 2, 0, 0, 0], True)],
)  # fmt: skip
def test_remove_asks_what_becomes_of_the_voxels(
    opened: Opened, qtbot: Any, fate: str, first_row: list[int], undo: bool
) -> None:
    panel, session = opened()
    session.select((1,))
    qtbot.mouseClick(panel.remove_button, Qt.MouseButton.LeftButton)
    dialog = panel.findChild(RemoveDialog)
    getattr(dialog, fate).setChecked(True)
    assert [dialog.into.itemText(i) for i in range(dialog.into.count())] == ["spleen", "tumour"]
    dialog.accept()
    assert session.layer.data[0].tolist() == first_row
    assert session.classes == (SPLEEN, TUMOUR)
    assert session.can_undo == undo
    session.undo()
    assert session.layer.data[0].tolist() == [1, 1, 1, 0, 0, 0]


def test_the_voxels_of_a_locked_class_stay(opened: Opened, qtbot: Any) -> None:
    panel, session = opened((LabelClass(1, "liver", "#aa0000", locked=True), SPLEEN))
    session.select((1,))
    panel.remove()
    dialog = panel.findChild(RemoveDialog)
    assert not dialog.delete.isEnabled()
    assert not dialog.merge.isEnabled()
    dialog.accept()
    assert session.layer.data[0].tolist() == [1, 1, 1, 0, 0, 0]
    assert session.classes == (SPLEEN,)


def test_list_from_files(opened: Opened, tmp_path: Path) -> None:
    panel, session = opened((LIVER,))
    (tmp_path / "organs.txt").write_text('2 0 0 255 1 1 1 "Milz"\n')
    panel.take_file(tmp_path / "organs.txt")
    assert session.classes == (LIVER, LabelClass(2, "Milz", "#0000ff"))
    grid = Grid.from_spacing((2, 2, 2))
    labels = LabelVolume(np.zeros((2, 2, 2), np.uint8), grid, classes=(SPLEEN, TUMOUR))
    write(tmp_path / "labels.seg.nrrd", labels)
    panel.take_file(tmp_path / "labels.seg.nrrd")
    assert session.classes == CLASSES


def test_list_from_a_model(opened: Opened, home: Path, qtbot: Any) -> None:
    threshold_model(home / "models" / "bright", threshold=1.0, name="bright")
    panel, session = opened(())
    assert session.classes == ()
    menu = panel.list_button.menu()
    menu.aboutToShow.emit()
    action = next(a for a in menu.actions() if a.text().startswith("bright"))
    action.trigger()
    assert [(c.number, c.name) for c in session.classes] == [(1, "bright")]
    assert session.layer.get_color(1)[3] == 1


def test_without_classes_there_are_the_viewers_colours_again(opened: Opened) -> None:
    panel, session = opened((TUMOUR,))
    session.select((5,))
    panel.remove()
    assert session.classes == ()
    assert isinstance(session.layer, Labels)
    assert session.layer.get_color(1)[3] == 1
    assert not np.allclose(session.layer.get_color(1), session.layer.get_color(2))
    QApplication.processEvents()
