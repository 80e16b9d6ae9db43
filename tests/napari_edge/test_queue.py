"""Several images in the queue of the Segment widget, in a real viewer."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

LARGE = (128, 128)  # a thousand windows


def click(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def at_rest(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def choose(widget: Any, text: str) -> None:
    """Choose an entry of the list of images by how it begins."""
    names = [widget.image.itemText(i) for i in range(widget.image.count())]
    widget.image.setCurrentIndex(next(i for i, n in enumerate(names) if n.startswith(text)))


def labels_in(viewer: Any) -> dict[str, Any]:
    return {x.name: x.data for x in viewer.layers if isinstance(x, Labels)}


def states(widget: Any) -> dict[str, str]:
    """Return what the list of the queue shows."""
    rows = [widget.queue_list.topLevelItem(i) for i in range(widget.queue_list.topLevelItemCount())]
    return {row.text(0): row.text(1) for row in rows}


def out_button(widget: Any, name: str) -> QToolButton:
    """Return the button that takes an image out of the queue."""
    shown = widget.queue_list
    (row,) = shown.findItems(name, Qt.MatchFlag.MatchExactly, 0)
    found = shown.itemWidget(row, 2)
    assert isinstance(found, QToolButton)
    return found


def errors() -> list[str]:
    return [n.message for n in notification_manager.records if str(n.severity) == "error"]


def workers() -> int:
    from napari.qt.threading import WorkerBase

    return len(WorkerBase._worker_set)


class Damaged:
    """An image in a file that is lost later."""

    shape, dtype, ndim, size = (32, 48), np.dtype(np.uint8), 2, 32 * 48
    is_gone = False

    def __getitem__(self, where: Any) -> np.ndarray:
        if self.is_gone:
            raise OSError("The disk is gone.")
        return np.zeros(self.shape, self.dtype)[where]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self[...]


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def three(docked, bright, squares):
    """Return a viewer with three images, a, b and c, and the widget; each has other squares."""
    viewer, widget = docked()
    for name, image in (("a", squares), ("b", squares[::-1]), ("c", squares[:, ::-1])):
        viewer.add_image(image, name=name)
    return viewer, widget


@pytest.fixture
def long(docked, bright):
    """Return a viewer with three images, each a second of work or more, and the widget."""
    viewer, widget = docked()
    for name in "abc":
        viewer.add_image(np.full(LARGE, 200, np.uint8), name=name)
    choose(widget, "All")
    return viewer, widget


def test_all_images_get_their_own_labels(three, qtbot, squares) -> None:
    viewer, widget = three
    choose(widget, "All 3 images")
    assert not widget.queue_list.isVisibleTo(widget)
    click(qtbot, widget.run_button)
    assert widget.queue_list.isVisibleTo(widget)
    assert list(states(widget)) == ["c", "b", "a"]
    assert widget.image.currentText() == "All 3 images"
    at_rest(qtbot, widget)
    found = labels_in(viewer)
    assert set(found) == {"a (bright)", "b (bright)", "c (bright)"}
    np.testing.assert_array_equal(found["a (bright)"], squares > 100)
    np.testing.assert_array_equal(found["b (bright)"], squares[::-1] > 100)
    np.testing.assert_array_equal(found["c (bright)"], squares[:, ::-1] > 100)
    assert states(widget) == {"a": "done", "b": "done", "c": "done"}
    assert widget.status.text() == "3 of 3 images done."
    assert widget.image.currentText() == "All 3 images", "layers that came changed no choice"
    assert not widget.progress.isVisibleTo(widget)
    assert errors() == []


def test_images_selected_in_the_viewer_are_the_choice(three, qtbot) -> None:
    viewer, widget = three
    viewer.layers.selection = {viewer.layers["a"], viewer.layers["c"]}
    assert widget.image.currentText() == "2 selected images"
    assert [x.name for x in widget.image.layers] == ["c", "a"]
    click(qtbot, widget.run_button)
    at_rest(qtbot, widget)
    assert set(labels_in(viewer)) == {"a (bright)", "c (bright)"}
    assert {x.name for x in viewer.layers.selection} == {"a", "c"}, "results do not interrupt"
    viewer.layers.selection = {viewer.layers["b"]}
    assert [x.name for x in widget.image.layers] == ["b"]


def test_run_again_joins_the_queue(long, qtbot) -> None:
    _, widget = long
    choose(widget, "a")
    click(qtbot, widget.run_button)
    assert widget.run_button.text() == "Add to queue"
    assert not widget.run_button.isEnabled(), "the very same work is not done twice"
    choose(widget, "b")
    assert widget.run_button.isEnabled()
    click(qtbot, widget.run_button)
    assert states(widget)["b"] == "waiting"
    choose(widget, "a")
    widget.form.fields["overlap"].widget.value = 0.1
    assert widget.run_button.isEnabled(), "with other settings it is other work"
    widget.cancel_all()
    at_rest(qtbot, widget)
    assert widget.run_button.text() == "Run"


def test_one_that_fails_does_not_stop_the_others(three, qtbot) -> None:
    viewer, widget = three
    broken = Damaged()
    viewer.add_image(broken, name="broken", contrast_limits=(0, 1))
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 9
    viewer.add_image(red, name="red", rgb=True)
    viewer.layers.selection = {viewer.layers["a"]}  # whose model is one of one channel
    viewer.layers.move(viewer.layers.index("a"), len(viewer.layers))
    choose(widget, "All 5 images")
    viewer.layers["broken"].visible = False  # nor does napari read it
    broken.is_gone = True
    click(qtbot, widget.run_button)
    at_rest(qtbot, widget)
    assert set(labels_in(viewer)) == {"a (bright)", "b (bright)", "c (bright)"}
    assert states(widget) == {"a": "done", "b": "done", "c": "done", "broken": "failed"}
    first, second = errors()
    assert first.startswith("red is left out: bright takes one channel")
    assert "\n" not in second
    assert widget.status.text() == f"3 of 4 images done.\nbroken: {second}"


def test_one_that_waits_is_taken_out(long, qtbot) -> None:
    viewer, widget = long
    click(qtbot, widget.run_button)
    click(qtbot, out_button(widget, "b"))
    assert list(states(widget)) == ["c", "a"]
    qtbot.waitUntil(lambda: widget.queue.running.total > 0, timeout=60_000)
    click(qtbot, out_button(widget, "c"))  # which runs: the next goes on
    qtbot.waitUntil(lambda: states(widget)["a"].endswith("%"), timeout=60_000)
    assert states(widget)["c"] == "cancelled"
    click(qtbot, widget.cancel_button)
    at_rest(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["a", "b", "c"]
    assert widget.status.text() == "0 of 2 images done."
    assert errors() == []


def test_progress_is_of_the_whole_queue_and_never_goes_back(long, qtbot) -> None:
    _, widget = long
    seen: list[tuple[int, int, str]] = []
    widget.queue.progressed.connect(lambda *told: seen.append(told))
    click(qtbot, widget.run_button)
    at_rest(qtbot, widget)
    done = [d for d, _, _ in seen]
    assert {total for _, total, _ in seen} == {1000}
    assert done == sorted(done)
    assert done[-1] > 950
    assert [f"Image {n} of 3" for n in (1, 2, 3)] == sorted({w.split(",")[0] for *_, w in seen})


def test_cancel_all_leaves_nothing_behind(long, qtbot) -> None:
    viewer, widget = long
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=60_000)
    assert widget.cancel_all_button.isVisibleTo(widget)
    click(qtbot, widget.cancel_all_button)
    at_rest(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["a", "b", "c"]
    qtbot.waitUntil(lambda: workers() == 0, timeout=10_000)
    assert not widget.cancel_all_button.isVisibleTo(widget)


@pytest.mark.parametrize("what", ["dock", "viewer"])
def test_closing_with_a_queue_leaves_nothing_behind(long, qtbot, what) -> None:
    viewer, widget = long
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=60_000)
    if what == "dock":
        viewer.window.remove_dock_widget(widget)
        assert [x.name for x in viewer.layers] == ["a", "b", "c"]
    else:
        viewer.close()
    del widget
    qtbot.waitUntil(lambda: workers() == 0, timeout=10_000)
    qtbot.wait(200)
    assert workers() == 0, "the next one does not begin"
    assert not [t for t in threading.enumerate() if "segment" in t.name.lower()]
    assert errors() == []


def test_an_image_closed_before_its_turn(long, qtbot) -> None:
    viewer, widget = long
    click(qtbot, widget.run_button)
    viewer.layers.remove("b")
    at_rest(qtbot, widget)
    assert states(widget) == {"c": "done", "b": "failed", "a": "done"}
    assert widget.status.text() == "2 of 3 images done.\nb: b is no longer open."


def test_cancel_answers_within_a_window(docked, qtbot, bright) -> None:
    """The work hears of it between two windows: none begins after the one under way."""
    import torch

    began: list[int] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook
    viewer, widget = docked(np.zeros(LARGE, np.uint8))
    widget.form.fields["batch_size"].widget.value = 1
    handle = hook(lambda module, _: began.append(1) if type(module).__name__ == "UNet" else None)
    try:
        click(qtbot, widget.run_button)
        qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=60_000)
        # The event loop stands here: the worker goes on until it is told.
        widget.cancel()
        at_cancel = len(began)
        at_rest(qtbot, widget)
        assert len(began) - at_cancel <= 2
    finally:
        handle.remove()
    assert at_cancel > 0
    assert [x.name for x in viewer.layers] == ["Image"]
