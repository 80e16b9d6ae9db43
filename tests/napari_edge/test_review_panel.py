"""The review of labels: what is worth looking at, and a model's proposal, region by region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_monai._napari.edit_session import EditSession
from napari_monai._napari.kept_notes import kept_notes
from napari_monai._napari.label_colours import class_look
from napari_monai._napari.layers import MAP_OF
from napari_monai._napari.review_panel import KEYS, ReviewPanel
from napari_monai.volume import LabelClass

SPACING = (2.0, 1.0, 1.0)
CLASSES = (LabelClass(1, "liver", "#aa0000"), LabelClass(2, "spleen", "#00aa00"))
Opened = Callable[..., tuple[ReviewPanel, EditSession]]


@pytest.fixture
def opened(qtbot: Any) -> Opened:
    """Return a function that shows the review of labels, with other layers on their voxels."""

    def show(
        labels: np.ndarray, *, classes: tuple[LabelClass, ...] = (), **others: np.ndarray
    ) -> tuple[ReviewPanel, EditSession]:
        viewer = ViewerModel()
        place = {"scale": SPACING[-labels.ndim :], "units": "mm"}
        for name, data in others.items():
            if data.dtype.kind == "f":
                viewer.add_image(data, name=name, metadata={MAP_OF: ("image", "model")}, **place)
            else:
                viewer.add_labels(data, name=name, **place)
        layer = viewer.add_labels(labels, name="labels", **class_look(classes), **place)
        session = EditSession(viewer, layer)
        panel = ReviewPanel(session)
        panel.resize(380, 500)
        qtbot.addWidget(panel)
        panel.show()
        return panel, session

    return show


def choose(panel: ReviewPanel, what: str) -> Any:
    panel.what.setCurrentIndex(panel.what.findData(what))
    return panel.part


def search(qtbot: Any, part: Any) -> None:
    qtbot.mouseClick(part.search_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: part.search_button.text() != "Cancel", timeout=20_000)


def column(part: Any, at: int) -> list[str]:
    model = part.table.model()
    return [model.index(row, at).data() for row in range(model.rowCount())]


def cells() -> np.ndarray:
    """Return twelve equal boxes, one eight times as large, and one in two pieces."""
    labels = np.zeros((8, 40, 60), np.uint16)
    for number in range(1, 13):
        y, x = divmod(number - 1, 6)
        labels[1:3, 2 + 8 * y : 5 + 8 * y, 2 + 8 * x : 5 + 8 * x] = number
    labels[2:6, 25:31, 10:16] = 13
    labels[1:3, 34:36, 2:4] = labels[1:3, 34:36, 20:22] = 14
    return labels


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Return labels and a proposal that differs in three regions: 8, 4 and 2 voxels."""
    labels = np.zeros((4, 10, 12), np.uint8)
    labels[1, 2:6, 2:6] = 1
    labels[2, 5:9, 7:11] = 2
    proposed = labels.copy()
    proposed[1, 6:8, 2:6] = 1  # the liver is larger
    proposed[2, 5:7, 7:9] = 1  # a part of the spleen is liver
    proposed[2, 8, 9:11] = 0  # and one is nothing
    return labels, proposed


def test_odd_objects_one_after_the_other(opened: Opened, qtbot: Any) -> None:
    panel, session = opened(cells())
    part = choose(panel, "odd")
    search(qtbot, part)
    assert sorted(column(part, 1)) == ["object 13", "object 14"]
    first = part.current
    assert session.selected == (first.number,)
    assert session.viewer.dims.current_step[0] == pytest.approx(first.at[0], abs=1)
    assert part.progress.text() == "0 of 2 done"
    qtbot.mouseClick(part.done_button, Qt.MouseButton.LeftButton)
    assert part.progress.text() == "1 of 2 done"
    assert part.current.number == ({13, 14} - {first.number}).pop(), "goes on to the next"
    assert column(part, 2) == ["done", ""]
    part.forward()
    assert part.current.number != first.number, "what is done is passed over"
    qtbot.mouseClick(part.done_button, Qt.MouseButton.LeftButton)
    assert part.progress.text() == "2 of 2 done"
    assert kept_notes(session).notes.done == {"object 13", "object 14"}
    assert not part.next_button.isEnabled()


def test_what_is_done_is_done_in_the_next_session(opened: Opened, qtbot: Any) -> None:
    panel, session = opened(cells())
    part = choose(panel, "odd")
    search(qtbot, part)
    part.done()
    session.close()
    again = ReviewPanel(EditSession(session.viewer, session.layer))
    qtbot.addWidget(again)
    search(qtbot, again.findings)
    assert again.findings.progress.text() == "1 of 2 done"
    assert again.findings.current.key not in kept_notes(session).notes.done


def test_uncertain_slices(opened: Opened, qtbot: Any) -> None:
    labels, _ = halves()
    doubt = np.zeros(labels.shape, np.float32)
    doubt[labels == 1], doubt[labels == 2] = 0.2, 0.7
    panel, session = opened(labels, classes=CLASSES, entropy=doubt, other=labels.copy())
    part = choose(panel, "uncertain")
    assert part.map.currentText() == "entropy"
    part.by.setCurrentIndex(part.by.findData("slice"))
    search(qtbot, part)
    assert column(part, 1)[:2] == ["slice 2", "slice 1"]
    assert session.viewer.dims.current_step[0] == 2
    part.by.setCurrentIndex(part.by.findData("object"))
    search(qtbot, part)
    assert column(part, 1) == ["spleen", "liver"]


def test_differences_from_other_labels(opened: Opened, qtbot: Any) -> None:
    labels, proposed = halves()
    panel, _ = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "different")
    search(qtbot, part)
    assert set(column(part, 1)) == {"liver", "spleen"}
    assert all("labels and model differ" in reason for reason in column(part, 3))


def test_without_another_layer_it_says_what_is_missing(opened: Opened, qtbot: Any) -> None:
    panel, _ = opened(cells())
    part = choose(panel, "uncertain")
    qtbot.mouseClick(part.search_button, Qt.MouseButton.LeftButton)
    assert "Ask for a map of it when you segment" in part.status.text()
    assert choose(panel, "proposal").other.count() == 0


def test_layers_that_come_and_go_are_offered(opened: Opened) -> None:
    panel, session = opened(cells())
    part = choose(panel, "proposal")
    layer = session.viewer.add_labels(cells(), name="of a model")
    session.viewer.add_labels(np.zeros((2, 2), int), name="of something else")
    session.viewer.add_shapes([np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0]])], shape_type="polygon")
    assert [part.other.itemText(i) for i in range(part.other.count())] == ["of a model"]
    session.viewer.layers.remove(layer)
    assert part.other.layer is None


def test_accept_and_reject_region_by_region(opened: Opened, qtbot: Any) -> None:
    labels, proposed = halves()
    start = labels.copy()
    panel, session = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "proposal")
    part.least.setValue(0)
    search(qtbot, part)
    assert [*zip(column(part, 1), column(part, 2), strict=True)] == [
        ("background", "liver"), ("spleen", "liver"), ("spleen", "background"),
    ]  # fmt: skip
    assert column(part, 3) == ["16", "8", "4"]
    outline = session.viewer.layers["Proposal"]
    assert outline.contour > 0
    assert outline.extent.world.tolist()[0] == pytest.approx([1 * 2, 6, 2], abs=1.01)
    assert session.viewer.dims.current_step[0] == 1
    assert session.viewer.layers.selection.active is session.layer, "nothing else is selected"

    qtbot.mouseClick(part.accept_button, Qt.MouseButton.LeftButton)
    assert (session.layer.data[1] == proposed[1]).all()
    assert (session.layer.data[2] == start[2]).all()
    assert session.viewer.dims.current_step[0] == 2, "goes on to the next"
    qtbot.mouseClick(part.reject_button, Qt.MouseButton.LeftButton)
    assert (session.layer.data[2] == start[2]).all()
    assert part.progress.text() == "2 of 3 decided"
    part.accept()
    assert part.progress.text() == "3 of 3 decided"
    assert "Proposal" not in session.viewer.layers
    expected = proposed.copy()
    expected[2, 5:7, 7:9] = 2
    assert (session.layer.data == expected).all()
    session.undo()
    session.undo()
    assert (session.layer.data == start).all(), "each is one step"
    assert not session.can_undo


def test_accept_a_class_is_one_step_and_locks_hold(opened: Opened, qtbot: Any) -> None:
    labels, proposed = halves()
    start = labels.copy()
    panel, session = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "proposal")
    part.least.setValue(0)
    search(qtbot, part)
    session.lock((2,))
    qtbot.mouseClick(part.class_button, Qt.MouseButton.LeftButton)
    assert (session.layer.data[1] == proposed[1]).all()
    assert (session.layer.data[2] == start[2]).all(), "the spleen is locked"
    session.undo()
    assert (session.layer.data == start).all()


def test_small_regions_are_left_out(opened: Opened, qtbot: Any) -> None:
    labels, proposed = halves()
    panel, _ = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "proposal")
    part.least.setValue(8)
    search(qtbot, part)
    assert column(part, 3) == ["16", "8"]


def test_objects_of_a_proposal_keep_the_numbers_they_have(opened: Opened, qtbot: Any) -> None:
    labels = cells()
    proposed = np.where(labels, 100 - labels, 0)
    proposed[6, 0:3, 50:53] = 7
    panel, session = opened(labels, model=proposed)
    part = choose(panel, "proposal")
    search(qtbot, part)
    assert len(part.regions) == 1, "the numbers alone do not differ"
    part.accept()
    new = np.unique(session.layer.data[6, 0:3, 50:53]).tolist()
    assert new == [15]


def test_keys_of_the_viewer(opened: Opened, qtbot: Any) -> None:
    labels, proposed = halves()
    panel, session = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "proposal")
    part.least.setValue(0)
    search(qtbot, part)
    keys = {str(key): slot for key, slot in session.viewer.keymap.items()}
    assert set(keys) >= {key.replace("Shift-", "Shift+") for key in KEYS}
    first = part.chosen
    keys["."](session.viewer)
    assert part.chosen != first
    keys[","](session.viewer)
    assert part.chosen == first
    keys["O"](session.viewer)
    assert part.progress.text() == "1 of 3 decided"
    keys["Shift+O"](session.viewer)
    assert part.progress.text() == "2 of 3 decided"
    panel.hide()
    assert not session.viewer.keymap
    assert "Proposal" not in session.viewer.layers
    panel.show()
    assert "Proposal" in session.viewer.layers


def test_keys_that_somebody_has_use_for_are_left(opened: Opened) -> None:
    panel, session = opened(cells())
    panel.hide()
    session.viewer.bind_key(".", print)
    panel.show()
    panel.hide()
    assert list(session.viewer.keymap.values()) == [print]


def test_in_two_dimensions(opened: Opened, qtbot: Any) -> None:
    labels, proposed = (x[1] for x in halves())
    panel, session = opened(labels, classes=CLASSES, model=proposed)
    part = choose(panel, "proposal")
    search(qtbot, part)
    part.accept()
    assert (session.layer.data == proposed).all()
    part = choose(panel, "different")
    assert not part.by.isVisible()
    search(qtbot, part)
    assert part.status.text() == ""
    assert part.findings == ()
    assert part.table._hint == "Nothing stands out."
