"""The Models widget, driven as a person does it, in a real viewer."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.qt.threading import WorkerBase
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QDialog, QFileDialog, QPushButton, QWidget
from tests.models.known import threshold_model
from tests.models.web import Site, serving

from napari_monai._napari import model_card
from napari_monai._napari.model_card import ALLOW, FORBID
from napari_monai._napari.model_dialogs import (
    AddressDialog,
    BareDialog,
    DeleteDialog,
    ExportDialog,
    NameDialog,
    SmallerDialog,
    ZooDialog,
)
from napari_monai._napari.model_jobs import counted
from napari_monai._napari.model_table import DIMS, FITS, NAME, SIZE, TRUST
from napari_monai._napari.trust_dialog import TrustDialog
from napari_monai.models import Inputs, Model, NetworkSpec, bundle_zoo, find, list_models, trust
from napari_monai.models.costs import known_cost

SHIPPED = "nuclei-2d"
# The other one that comes with the package, of which most tests here need not speak.
OF_STACKS = "nuclei-3d"


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer, shows images in it, and docks the Models widget."""

    def dock(*images: np.ndarray, **settings: Any) -> tuple[Any, Any]:
        viewer = make_napari_viewer()
        for image in images:
            viewer.add_image(image, **{"name": "Image", **settings})
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Models")
        at_rest(qtbot, widget)
        return viewer, widget

    return dock


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def scripted(home: Path) -> Model:
    """Return a model that says it is code."""
    model = threshold_model(home / "models" / "scripted", threshold=1.0, name="scripted")
    file = model.folder / "model.json"
    told = json.loads(file.read_text())
    told["network"] = {"name": "torchscript", "arguments": {}, "source": "torchscript"}
    told["weights"][0]["loader"] = "torchscript"
    told["trust"] = "native_code"
    file.write_text(json.dumps(told))
    return find("scripted")


@pytest.fixture
def blocked(home: Path) -> Model:
    """Return a model that cannot run."""
    model = threshold_model(home / "models" / "blocked", threshold=1.0, name="blocked")
    file = model.folder / "model.json"
    told = {**json.loads(file.read_text()), "blockers": ["Prompts are not supported."]}
    file.write_text(json.dumps(told))
    return find("blocked")


def at_rest(qtbot: Any, widget: Any) -> None:
    def quiet() -> bool:
        listed = widget._lister is None and not widget._soon.isActive()
        return listed and widget._job is None and bool(widget.table.entries)

    qtbot.waitUntil(quiet, timeout=120_000)


def names(widget: Any) -> list[str]:
    """Return the names in sight, from the top, but for that of the shipped model of stacks."""
    table = widget.table
    rows = [r for r in range(table.rowCount()) if not table.isRowHidden(r)]
    found = [table.item(row, NAME).text() for row in rows]
    return [name for name in found if name != OF_STACKS]


def click(qtbot: Any, button: QPushButton | None) -> None:
    assert button is not None
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(qtbot: Any, widget: Any, name: str) -> None:
    table = widget.table
    item = table.item(table.row_of(name), NAME)
    table.scrollToItem(item)
    at = table.visualItemRect(item).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)


def asked(qtbot: Any, widget: Any, kind: type[QDialog]) -> Any:
    """Return the dialog that has opened."""

    def shown() -> list[Any]:
        return [d for d in widget.findChildren(kind) if d.isVisible()]

    qtbot.waitUntil(lambda: bool(shown()), timeout=20_000)
    return shown()[0]


def messages(severity: str) -> list[str]:
    return [n.message for n in notification_manager.records if str(n.severity) == severity]


def drop(widget: Any, *urls: QUrl) -> bool:
    """Drag addresses over the widget and drop them; return whether it takes them."""
    data = QMimeData()
    data.setUrls(list(urls))
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 90), Qt.DropAction.CopyAction, data, *buttons)
    enter.ignore()
    widget.dragEnterEvent(enter)
    if enter.isAccepted():
        widget.dropEvent(QDropEvent(QPointF(50, 90), Qt.DropAction.CopyAction, data, *buttons))
    return bool(enter.isAccepted())


# -- what there is --------------------------------------------------------------------------------


def test_models_are_listed_and_the_best_is_shown(docked, qtbot, bright, bright_3d, blobs) -> None:
    _, widget = docked(np.zeros((4, 32, 48), np.uint8))
    assert names(widget)[0] == "bright3d"
    assert set(names(widget)) == {"bright3d", "bright", "blobs", SHIPPED}
    table = widget.table
    row = table.row_of("bright3d")
    assert [table.item(row, c).text() for c in (FITS, DIMS, TRUST)] == ["yes", "3D", "data only"]
    assert table.item(table.row_of("bright"), FITS).text() == "with a note"
    assert "Fits “Image”." in widget.card.toPlainText()
    choose(qtbot, widget, "bright")
    assert "It looks at each slice by itself." in widget.card.toPlainText()
    assert messages("error") == messages("warning") == []


def test_what_does_not_fit_says_why(docked, qtbot, bright_3d) -> None:
    _, widget = docked(np.zeros((32, 48), np.uint8))
    assert names(widget) == [SHIPPED, "bright3d"]
    item = widget.table.item(1, NAME)
    assert item.toolTip() == "It takes volumes, and this image is 2D."
    assert item.foreground().color().alphaF() < 0.6
    choose(qtbot, widget, "bright3d")
    said = "Does not fit “Image”. It takes volumes, and this image is 2D."
    assert said in widget.card.toPlainText()
    widget.only_fitting.click()
    assert names(widget) == [SHIPPED]
    assert widget.table.entry.model.name == SHIPPED


def test_another_layer_another_order(docked, qtbot, bright, bright_3d) -> None:
    viewer, widget = docked(np.zeros((32, 48), np.uint8))
    assert names(widget) == ["bright", SHIPPED, "bright3d"]
    viewer.add_image(np.zeros((4, 32, 48), np.uint8), name="Stack")
    at_rest(qtbot, widget)
    assert widget.image.layer.name == "Stack"
    assert names(widget)[0] == "bright3d"
    viewer.layers.clear()
    at_rest(qtbot, widget)
    assert {widget.table.item(r, FITS).text() for r in range(3)} == {"yes"}


def test_closing_the_viewer_starts_no_work(docked, qtbot, bright) -> None:
    viewer, widget = docked(np.zeros((32, 48), np.uint8))
    ending = set(WorkerBase._worker_set)  # one that is done is taken out a moment later
    viewer.layers.clear()  # as closing does
    assert widget._lister is None
    assert ending >= WorkerBase._worker_set


def test_search(docked, qtbot, bright, blobs) -> None:
    _, widget = docked()
    qtbot.keyClicks(widget.search, "bsd nucle")
    assert names(widget) == [SHIPPED]
    widget.search.clear()
    qtbot.keyClicks(widget.search, "nothing has this")
    assert names(widget) == []
    assert widget.table.entry is None
    assert widget.card.toPlainText() == ""
    assert not widget.export_button.isEnabled()
    widget.search.clear()
    assert set(names(widget)) == {"bright", "blobs", SHIPPED}
    assert widget.table.entry is not None


def test_sorted_by_a_click_on_a_header(docked, qtbot, bright, blobs) -> None:
    _, widget = docked()
    header = widget.table.horizontalHeader()

    def click_header(column: int) -> None:
        at = QPoint(header.sectionViewportPosition(column) + 5, header.height() // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)

    choose(qtbot, widget, "bright")
    click_header(NAME)
    assert names(widget) == ["blobs", "bright", SHIPPED]
    click_header(NAME)
    assert names(widget) == [SHIPPED, "bright", "blobs"]
    widget.table.horizontalScrollBar().setValue(0)
    widget.table.scrollTo(widget.table.model().index(0, SIZE))
    click_header(SIZE)
    assert names(widget)[-1] == SHIPPED
    assert widget.table.entry.model.name == "bright"


def test_the_card_shows_the_picture_and_what_the_maker_wrote_as_it_is(docked, qtbot, home) -> None:
    threshold_model(
        home / "models" / "m",
        threshold=1.0,
        name="m",
        title="<img src='file:///x.png'>",
        description="<b>bold</b> https://a.b/c, and doi:10.1000/x-1.",
    )
    _, widget = docked()
    choose(qtbot, widget, "m")
    assert "<img src='file:///x.png'>" in widget.card.toPlainText()
    assert "<b>bold</b>" in widget.card.toPlainText()
    assert 'href="https://a.b/c"' in widget.card.toHtml()
    assert 'href="https://doi.org/10.1000/x-1"' in widget.card.toHtml()
    assert "picture:preview" not in widget.card.toHtml()
    choose(qtbot, widget, SHIPPED)
    assert "picture:preview" in widget.card.toHtml()


def test_a_picture_that_is_none_is_left_out(docked, qtbot, bright) -> None:
    (bright.folder / "preview.png").write_bytes(b"no picture")
    _, widget = docked()
    choose(qtbot, widget, "bright")
    assert "picture:preview" not in widget.card.toHtml()


def test_one_that_cannot_run_says_why(docked, qtbot, blocked) -> None:
    _, widget = docked(np.zeros((32, 48), np.uint8))
    assert names(widget) == [SHIPPED, "blocked"]
    choose(qtbot, widget, "blocked")
    assert "It cannot run: Prompts are not supported." in widget.card.toPlainText()
    assert not widget.export_button.isEnabled()


def test_a_damaged_one_is_said_and_the_others_are_listed(docked, qtbot, bright, blobs) -> None:
    (blobs.folder / "model.json").write_text("{")
    _, widget = docked()
    assert set(names(widget)) == {"bright", SHIPPED}
    assert "blobs" in widget.status.text()


def test_a_model_made_meanwhile_shows_after_looking_again(docked, qtbot, home) -> None:
    _, widget = docked()
    threshold_model(home / "models" / "late", threshold=1.0, name="late")
    widget.refresh_action.trigger()
    at_rest(qtbot, widget)
    assert "late" in names(widget)


def test_what_a_model_costs_is_counted_beside_the_window(
    docked, qtbot, bright, monkeypatch
) -> None:
    threads = []

    def spied(model: Model) -> Any:
        threads.append(threading.current_thread())
        return counted(model)

    monkeypatch.setattr(model_card, "counted", spied)
    _, widget = docked()
    choose(qtbot, widget, "bright")
    qtbot.waitUntil(lambda: widget.card.at_rest, timeout=120_000)
    words = str(known_cost(bright))
    assert "58 parameters" in words
    assert words in widget.card.toPlainText()
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    widget.refresh()
    at_rest(qtbot, widget)
    assert words in widget.card.toPlainText()
    assert widget.card.at_rest  # it is known, and not counted again


# -- rename, delete, show -------------------------------------------------------------------------


def test_renamed(docked, qtbot, bright) -> None:
    _, widget = docked()
    choose(qtbot, widget, "bright")
    widget.rename_action.trigger()
    dialog = asked(qtbot, widget, NameDialog)
    qtbot.keyClicks(dialog.name, "brighter")
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    assert set(names(widget)) == {"brighter", SHIPPED}
    assert widget.table.entry.model.name == "brighter"
    assert widget.status.text() == "bright is called brighter now."


def test_a_name_that_is_taken_is_said(docked, qtbot, bright) -> None:
    _, widget = docked()
    choose(qtbot, widget, "bright")
    widget.rename_action.trigger()
    dialog = asked(qtbot, widget, NameDialog)
    qtbot.keyClicks(dialog.name, SHIPPED)
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert "There is a model named 'nuclei-2d' already" in message
    assert widget.status.text() == message


@pytest.mark.parametrize("sure", [True, False])
def test_deleted_after_a_question(docked, qtbot, bright, sure) -> None:
    _, widget = docked()
    choose(qtbot, widget, "bright")
    widget.delete_action.trigger()
    dialog = asked(qtbot, widget, DeleteDialog)
    assert str(bright.folder) in dialog.informativeText()
    click(qtbot, dialog.delete_button if sure else dialog.keep_button)
    at_rest(qtbot, widget)
    assert ("bright" in names(widget)) is not sure
    assert bright.folder.exists() is not sure


def test_what_comes_with_the_package_stays(docked, qtbot, bright) -> None:
    _, widget = docked()
    choose(qtbot, widget, SHIPPED)
    assert not widget.rename_action.isEnabled()
    assert not widget.delete_action.isEnabled()
    assert widget.show_action.isEnabled()
    choose(qtbot, widget, "bright")
    assert widget.delete_action.isEnabled()


def test_shown_on_disk(docked, qtbot, bright, monkeypatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)  # starts a file manager
    _, widget = docked()
    choose(qtbot, widget, "bright")
    widget.show_action.trigger()
    assert [u.toLocalFile() for u in opened] == [str(bright.folder)]


# -- trust ----------------------------------------------------------------------------------------


def test_code_is_allowed_after_a_question_and_forbidden_again(docked, qtbot, scripted) -> None:
    _, widget = docked()
    choose(qtbot, widget, "scripted")
    row = widget.table.row_of("scripted")
    assert widget.table.item(row, TRUST).text() == "runs code, not allowed"
    widget.card.anchorClicked.emit(QUrl(ALLOW))
    dialog = asked(qtbot, widget, TrustDialog)
    sha256 = trust.fingerprint(scripted)
    said = dialog.text() + dialog.informativeText()
    for part in ("scripted", "TorchScript", sha256, str(scripted.folder)):
        assert part in said
    assert dialog.defaultButton() is dialog.refuse_button
    click(qtbot, dialog.allow_button)
    at_rest(qtbot, widget)
    assert trust.has_consent(sha256)
    row = widget.table.row_of("scripted")
    assert widget.table.item(row, TRUST).text() == "runs code, allowed"
    widget.card.anchorClicked.emit(QUrl(FORBID))
    at_rest(qtbot, widget)
    assert not trust.has_consent(sha256)


def test_the_question_names_python_code_and_its_call(qtbot, home: Path) -> None:
    made = threshold_model(home / "models" / "coded", threshold=1.0, name="coded")
    code = {"callable": "Net", "kwargs": {"width": 8}, "file": "net.py", "sha256": "0" * 64}
    network = NetworkSpec("python", code, source="python")
    told = replace(made.description, network=network, trust="python_code")
    parent = QWidget()
    qtbot.addWidget(parent)
    dialog = TrustDialog(replace(made, description=told), lambda: None, parent)
    assert "runs Python code that came with it (Net(width=8) in net.py)" in dialog.informativeText()


def test_code_is_refused_for_good(docked, qtbot, scripted) -> None:
    _, widget = docked()
    choose(qtbot, widget, "scripted")
    widget.card.anchorClicked.emit(QUrl(ALLOW))
    dialog = asked(qtbot, widget, TrustDialog)
    dialog.never.click()
    assert not dialog.allow_button.isEnabled()
    click(qtbot, dialog.refuse_button)
    assert trust.refuses_all()
    assert widget.never_action.isChecked()
    widget.card.anchorClicked.emit(QUrl(ALLOW))
    (message,) = messages("error")
    assert "your settings refuse all" in message
    widget.never_action.trigger()
    at_rest(qtbot, widget)
    assert not trust.refuses_all()


def test_segment_asks_before_it_runs_code(make_napari_viewer, qtbot, scripted) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((32, 48), np.uint8))
    _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Segment")
    at = widget.model.findText("scripted")
    widget.model.setCurrentIndex(at)
    widget.model.activated.emit(at)  # as by hand
    click(qtbot, widget.run_button)
    dialog = asked(qtbot, widget, TrustDialog)
    click(qtbot, dialog.refuse_button)
    assert widget.queue.at_rest
    assert not trust.has_consent(trust.fingerprint(scripted))
    trust.refuse_all(True)
    click(qtbot, widget.run_button)
    assert "your settings refuse all" in messages("error")[0]
    assert widget.queue.at_rest


# -- import and export ----------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Model:
    """Return a model outside the store."""
    return threshold_model(tmp_path / "there" / "cells", threshold=100.0, name="cells")


def test_a_folder_that_is_dropped_is_imported(docked, qtbot, elsewhere, home) -> None:
    _, widget = docked()
    assert drop(widget, QUrl.fromLocalFile(str(elsewhere.folder)))
    assert not widget.import_button.isEnabled()
    at_rest(qtbot, widget)
    assert widget.table.entry.model.name == "cells"
    assert find("cells").folder == home / "models" / "cells"
    assert widget.status.text() == "Imported cells."
    assert messages("error") == []


def test_of_several_one_that_is_no_model_does_not_stop_the_others(
    docked, qtbot, elsewhere, tmp_path
) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    _, widget = docked()
    paths = (tmp_path / "notes.txt", elsewhere.folder)
    assert drop(widget, *(QUrl.fromLocalFile(str(p)) for p in paths))
    at_rest(qtbot, widget)
    assert "cells" in names(widget)
    (message,) = messages("error")
    assert "notes.txt" in message


def test_text_that_is_dragged_is_not_ours(docked) -> None:
    _, widget = docked()
    assert not drop(widget, QUrl("mailto:a@b.c"))


def test_imported_by_dialogs(docked, qtbot, elsewhere, monkeypatch) -> None:
    _, widget = docked()
    folder = str(elsewhere.folder)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: folder)
    widget.imports.folder_action.trigger()
    at_rest(qtbot, widget)
    assert "cells" in names(widget)


def test_imported_from_the_web(docked, qtbot, elsewhere, site, tmp_path) -> None:
    file = Path(shutil.make_archive(str(tmp_path / "cells"), "zip", elsewhere.folder))
    site.offer("/cells.zip", file.read_bytes())
    _, widget = docked()
    widget.imports.address_action.trigger()
    dialog = asked(qtbot, widget, AddressDialog)
    assert not dialog.done_button.isEnabled()
    qtbot.keyClicks(dialog.address, site.url("/cells.zip"))
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    assert messages("error") == []
    assert "cells" in names(widget)


def test_a_wrong_sha256_imports_nothing(docked, qtbot, site) -> None:
    site.offer("/cells.zip", b"something else")
    _, widget = docked()
    widget.imports.address_action.trigger()
    dialog = asked(qtbot, widget, AddressDialog)
    qtbot.keyClicks(dialog.address, site.url("/cells.zip"))
    qtbot.keyClicks(dialog.sha256, "0" * 64)
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert "has the sha256" in message
    assert names(widget) == [SHIPPED]


def test_a_download_shows_how_far_it_is_and_is_cancelled(docked, qtbot, site) -> None:
    go_on = threading.Event()
    size = 40_000_000

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        handler.wfile.write(bytes(size // 4))
        go_on.wait(60)

    site.answers["/large.zip"] = answer
    _, widget = docked()
    widget.import_models(site.url("/large.zip"))
    try:
        qtbot.waitUntil(lambda: "of 40 MB" in widget.progress.format(), timeout=20_000)
        qtbot.waitUntil(lambda: widget.progress.value() > 0, timeout=20_000)
        click(qtbot, widget.cancel_button)
    finally:
        go_on.set()
    at_rest(qtbot, widget)
    assert widget.status.text() == "Cancelled."
    assert not widget.progress.isVisible()
    assert [m.name for m in list_models()] == [SHIPPED, OF_STACKS]


def test_closing_the_dock_stops_the_download(docked, qtbot, site) -> None:
    site.answers["/a.zip"] = lambda handler: handler.send(503, Retry_After="30")
    viewer, widget = docked()
    widget.import_models(site.url("/a.zip"))
    qtbot.waitUntil(lambda: bool(site.asked), timeout=20_000)
    viewer.window.remove_dock_widget(widget)
    del widget
    qtbot.waitUntil(lambda: not WorkerBase._worker_set, timeout=20_000)
    assert messages("error") == []


def test_what_is_said_of_bare_weights_reaches_the_import(docked, qtbot, elsewhere) -> None:
    _, widget = docked()
    widget.imports.bare_action.trigger()
    dialog = asked(qtbot, widget, BareDialog)
    assert not dialog.done_button.isEnabled()
    qtbot.keyClicks(dialog.path, str(elsewhere.folder))
    dialog.options["normalise"].setCurrentText("minmax")
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")  # it says so itself
    assert "has no option 'normalise'" in message


def test_exported(docked, qtbot, bright, tmp_path, monkeypatch) -> None:
    target = tmp_path / "out" / "bright"
    target.parent.mkdir()
    monkeypatch.setattr(QFileDialog, "exec", lambda self: 1)
    monkeypatch.setattr(QFileDialog, "selectedFiles", lambda self: [str(target)])
    _, widget = docked()
    choose(qtbot, widget, "bright")
    click(qtbot, widget.export_button)
    dialog = asked(qtbot, widget, ExportDialog)
    dialog.half.click()
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    assert messages("error") == []
    written = next(target.parent.iterdir())
    assert widget.status.text() == f"Wrote {written.name}."


def test_one_network_of_several_is_exported(docked, qtbot, home, tmp_path, monkeypatch) -> None:
    model = threshold_model(home / "models" / "folds", threshold=1.0, name="folds")
    shutil.copyfile(model.folder / "weights.safetensors", model.folder / "other.safetensors")
    file = model.folder / "model.json"
    told = json.loads(file.read_text())
    told["weights"] = [told["weights"][0], {**told["weights"][0], "path": "other.safetensors"}]
    file.write_text(json.dumps(told))
    monkeypatch.setattr(QFileDialog, "exec", lambda self: 1)
    monkeypatch.setattr(QFileDialog, "selectedFiles", lambda self: [str(tmp_path / "n.onnx")])
    _, widget = docked()
    choose(qtbot, widget, "folds")
    click(qtbot, widget.export_button)
    dialog = asked(qtbot, widget, ExportDialog)
    assert not dialog.fold.isEnabled()  # our own format has them all
    assert [dialog.fold.itemText(i) for i in range(2)] == [
        "0: weights.safetensors",
        "1: other.safetensors",
    ]
    formats = [dialog.format.itemData(i).name for i in range(dialog.format.count())]
    dialog.format.setCurrentIndex(formats.index("onnx"))
    dialog.fold.setCurrentIndex(1)
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    assert messages("error") == []
    assert (tmp_path / "n.onnx").is_file()


def test_layers_on_one_grid_are_judged_as_channels(docked, qtbot, home) -> None:
    threshold_model(home / "models" / "both", threshold=1.0, weights=(1, 1), name="both")
    viewer, widget = docked(np.zeros((16, 20), np.float32))
    choose(qtbot, widget, "both")
    assert "open 1 more on its voxels" in widget.card.toPlainText()
    viewer.add_image(np.zeros((16, 20), np.float32), name="second")
    at_rest(qtbot, widget)
    choose(qtbot, widget, "both")
    assert "Fits “" in widget.card.toPlainText()
    assert "second" in widget.card.toPlainText()
    assert " + " in widget.card.toPlainText()


# -- smaller models -------------------------------------------------------------------------------


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (40, 40)).astype(np.uint8)


@pytest.mark.parametrize(("method", "name"), [("float16", ""), ("int8", "small")])
def test_made_smaller_and_listed_with_its_cost(docked, qtbot, bright, method, name) -> None:
    _, widget = docked(picture())
    choose(qtbot, widget, "bright")
    widget.smaller_action.trigger()
    dialog = asked(qtbot, widget, SmallerDialog)
    assert "measured on “Image”" in dialog.about.text()
    dialog.method.setCurrentIndex(dialog.method.findData(method))
    assert dialog.name.text() == f"bright-{method}"
    if name:
        dialog.name.selectAll()
        qtbot.keyClicks(dialog.name, name)
        dialog.method.setCurrentIndex(1 - dialog.method.currentIndex())
        dialog.method.setCurrentIndex(dialog.method.findData(method))
        assert dialog.name.text() == name
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    assert messages("error") == []
    name = name or f"bright-{method}"
    said = widget.status.text()
    assert said.startswith(f"{name} is in the list. {method}: ")
    assert "of the voxels labelled as before, Dice" in said
    assert names(widget).count(name) == 1
    assert widget.table.entry.model.name == name
    assert {"bright", name} <= {m.name for m in list_models()}


def test_a_smaller_model_needs_an_image_that_fits(docked, qtbot, bright, bright_3d) -> None:
    viewer, widget = docked()
    choose(qtbot, widget, "bright3d")
    widget.smaller_action.trigger()
    assert widget.status.text().startswith("Open an image that the model is for")
    viewer.add_image(picture(), name="Flat")
    at_rest(qtbot, widget)
    choose(qtbot, widget, "bright3d")
    widget.smaller_action.trigger()
    said = "bright3d does not fit “Flat”. It takes volumes, and this image is 2D."
    assert widget.status.text() == said
    assert not any(d.isVisible() for d in widget.findChildren(SmallerDialog))


@pytest.mark.parametrize(
    ("name", "missing", "said"),
    [
        ("bright", None, "There is a model named 'bright' already"),
        ("small", "onnxruntime", 'needs the package onnxruntime: pip install "napari-monai[onnx]"'),
    ],
)
def test_what_stands_against_a_smaller_model_is_one_line(
    docked, qtbot, bright, monkeypatch, name, missing, said
) -> None:
    if missing is not None:
        monkeypatch.setitem(sys.modules, missing, None)
    _, widget = docked(picture())
    choose(qtbot, widget, "bright")
    widget.smaller_action.trigger()
    dialog = asked(qtbot, widget, SmallerDialog)
    dialog.method.setCurrentIndex(dialog.method.findData("int8"))
    dialog.name.selectAll()
    qtbot.keyClicks(dialog.name, name)
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert said in message
    assert widget.status.text() == message
    assert set(names(widget)) == {"bright", SHIPPED}


def test_the_model_zoo_is_asked_for_its_names(docked, qtbot, site, monkeypatch) -> None:
    index = {"tiny_v0.1": {"source": site.url("/tiny.zip"), "checksum": "0" * 40}}
    site.offer("/index.json", json.dumps(index).encode())
    site.offer("/tiny.zip", b"another file")
    monkeypatch.setattr(bundle_zoo, "INDEX", site.url("/index.json"))
    monkeypatch.setattr(bundle_zoo, "_PAUSE", 0.01)
    _, widget = docked()
    widget.imports.zoo_action.trigger()
    dialog = asked(qtbot, widget, ZooDialog)
    qtbot.waitUntil(lambda: dialog.about.text().startswith("1 bundles"), timeout=20_000)
    assert dialog.name.currentText() == "tiny"
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert "its sum is not 0000" in message
    assert names(widget) == [SHIPPED]


def test_an_export_that_cannot_be_is_one_line(docked, qtbot, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(QFileDialog, "exec", lambda self: 1)
    monkeypatch.setattr(QFileDialog, "selectedFiles", lambda self: [str(tmp_path / "bundle")])
    _, widget = docked()
    click(qtbot, widget.export_button)
    dialog = asked(qtbot, widget, ExportDialog)
    offered = [dialog.format.itemData(i).name for i in range(dialog.format.count())]
    assert offered == ["native", "monai_bundle", "bioimageio", "onnx", "torchscript"]
    dialog.format.setCurrentIndex(offered.index("monai_bundle"))
    click(qtbot, dialog.done_button)
    at_rest(qtbot, widget)
    (message,) = messages("error")
    assert "The operation zoom has no counterpart in MONAI" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


# -- how it looks ---------------------------------------------------------------------------------


def test_fits_a_narrow_dock(docked, qtbot, home) -> None:
    threshold_model(
        home / "models" / "long",
        threshold=1.0,
        name="long" * 40,
        title="A title of many words " * 20,
        inputs=Inputs(("c" * 200,), 2),
    )
    _, widget = docked(np.zeros((3, 8, 8), np.uint8), name="x" * 200)
    widget.refresh()
    at_rest(qtbot, widget)
    assert widget.minimumSizeHint().width() <= 280
