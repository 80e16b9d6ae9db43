"""The Fine-tune widget, driven as a person does it, in a real viewer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QDialog, QMessageBox, QPushButton
from scipy import ndimage

import napari_monai as nm
from napari_monai._napari.finetune_curves import StepsDone
from napari_monai._napari.finetune_look import Pictures
from napari_monai._napari.finetune_preview import read_seen
from napari_monai._napari.finetune_steps import Begun, Previewed
from napari_monai._napari.kept_notes import NOTES
from napari_monai._napari.results import KEY as RESULT
from napari_monai._napari.results import Mark
from napari_monai.events import EpochDone, Said, Started, StepDone, Trained
from napari_monai.labels.notes import Notes
from napari_monai.models import find
from napari_monai.runfile import write_run
from napari_monai.training.process import list_runs

# A network that learns next to nothing, at once.
TINY = {
    "network_arguments": '{"channels": [4, 8], "strides": [2], "num_res_units": 0}',
    "patch": (16, 16),
    "batch_size": 2,
    "steps": 4,
    "validate_every": 2,
    "workers": 0,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def _no_old_notifications() -> None:
    notification_manager.records.clear()


@pytest.fixture
def docked(make_napari_viewer: Callable[..., Any], qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer with an image, labels on it, and the widget."""

    def dock(*layers: tuple[np.ndarray, np.ndarray | None], show: bool = False) -> tuple[Any, Any]:
        viewer = make_napari_viewer(show=show)
        for at, (image, labels) in enumerate(layers):
            viewer.add_image(image, name=f"image {at}")
            if labels is not None:
                viewer.add_labels(labels, name=f"labels {at}")
        _, widget = viewer.window.add_plugin_dock_widget("napari-monai", "Fine-tune")
        return viewer, widget

    return dock


def discs(seed: int = 0, shape: tuple[int, ...] = (48, 48)) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of bright discs, or a stack of rods, and its labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    rows, columns = np.indices(shape[-2:])
    for number in range(1, 8):
        r, c = rng.uniform(6, 42, 2)
        labels[..., (np.hypot(rows - r, columns - c) <= 5)] = number
    image = ndimage.gaussian_filter((labels > 0) * 150.0, 0.7) + rng.normal(20, 5, shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def settings(widget: Any, **values: Any) -> None:
    """Fill in settings, the tiny network first."""
    for name, value in {**TINY, **values}.items():
        widget.data.form.fields[name].value = value


def click(qtbot: Any, button: QPushButton | None) -> None:
    assert button is not None
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


# What ends by itself is waited for, for as long as a busy machine may take.
WAIT = 250_000  # milliseconds


def at_rest(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)


def errors() -> list[str]:
    return [n.message for n in notification_manager.records if str(n.severity) == "error"]


def pairs(widget: Any) -> list[tuple[str, str, bool]]:
    return [(*row.names, row.validation) for row in widget.data.pairs.rows]


# -- pairs ----------------------------------------------------------------------------------------


def test_labels_that_are_selected_are_a_pair_with_their_image(docked) -> None:
    viewer, widget = docked(discs(), discs(1))
    assert pairs(widget) == [("image 1", "labels 1", False)]
    assert widget.data.pairs.table.item(0, 2).text() == "training"
    viewer.layers.remove("image 1")
    assert pairs(widget) == []


def test_pairs_are_added_held_out_and_removed(docked, qtbot) -> None:
    viewer, widget = docked(discs(), discs(1))
    part = widget.data.pairs
    part.image.choose(viewer.layers["image 0"])
    part.labels.choose(viewer.layers["labels 0"])
    click(qtbot, part.add_button)
    click(qtbot, part.add_button)
    assert widget.status.text() == "image 0 with labels 0 is in the list already."
    assert "20%" in widget.data.validation.text()
    part.table.selectRow(1)
    click(qtbot, part.use_button)
    assert pairs(widget) == [("image 1", "labels 1", False), ("image 0", "labels 0", True)]
    assert widget.data.validation.isHidden()
    part.table.selectRow(0)
    click(qtbot, part.remove_button)
    click(qtbot, widget.start_button)
    assert widget.status.text().startswith("All pairs are for validation")
    viewer.layers["image 0"].name = "renamed"
    assert pairs(widget) == [("renamed", "labels 0", True)]


def test_files_are_dropped(docked, tmp_path) -> None:
    _, widget = docked()
    for name, array in zip(("a.tif", "a_labels.tif"), discs(), strict=True):
        tifffile.imwrite(tmp_path / name, array)
    tifffile.imwrite(tmp_path / "b.tif", discs()[0])
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    buttons = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drop = QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, *buttons)
    widget.data.pairs.dropEvent(drop)
    assert pairs(widget) == [("a.tif", "a_labels.tif", False)]
    assert widget.status.text() == "1 pair found; left out, without a partner: b.tif."


def test_slices_that_count(docked, qtbot) -> None:
    image, labels = discs(shape=(8, 48, 48))
    labels[[0, 1, 2, 4, 5, 7]] = 0
    viewer, widget = docked((image, labels))
    box = widget.data.counted
    assert [box.itemText(n) for n in range(box.count())] == ["All", "Those with labels: 2 of 8"]
    assert widget.data.which == "labelled", "on most of them nobody drew"
    viewer.layers["labels 0"].metadata[NOTES] = Notes(corrected=frozenset({3}))
    widget.data.refresh()
    assert box.currentText() == "Corrected ones: 1 of 8"
    assert widget.data.which == "corrected"


def test_a_corrected_result_starts_from_its_model(docked) -> None:
    image, labels = discs()
    viewer, widget = docked((image, None))
    mark = Mark(viewer.layers[0].unique_id, "nuclei-2d", 0)
    viewer.add_image(image, name="another")
    viewer.add_labels(labels, name="found", metadata={RESULT: mark})
    widget.data.pairs.labels.choose(viewer.layers["found"])
    assert widget.data.pairs.image.layer.name == "image 0"
    widget.data.pairs.add_layers()
    assert widget.data.start.currentText() == "nuclei-2d"
    assert widget.data.name.placeholderText() == "nuclei-2d-tuned"


def test_images_without_labels(docked, qtbot, tmp_path) -> None:
    viewer, widget = docked((discs(1)[0], None), discs())
    part, hint = widget.data.pairs, widget.data.unlabelled
    part.image.choose(viewer.layers["image 0"])
    part.alone_layer.trigger()
    tifffile.imwrite(tmp_path / "a.tif", discs()[0])
    part.add_alone_paths([tmp_path])
    assert widget.status.text() == "1 image without labels added."
    assert pairs(widget) == [
        ("image 1", "labels 1", False), ("image 0", "", False), ("a.tif", "", False),
    ]  # fmt: skip
    assert part.table.item(1, 2).text() == "no labels"
    assert "need Remember or Warm start" in hint.text()
    widget.data.form.fields["warm_start"].value = "masked"
    assert hint.isHidden()
    part.table.selectRow(1)
    assert not part.use_button.isEnabled(), "without labels it cannot be held out"
    wanted = widget._wanted(widget.start)
    assert [one.labels is None for one in wanted.taken] == [False, True, True]
    part.table.selectAll()
    click(qtbot, part.use_button)
    click(qtbot, widget.start_button)
    assert widget.status.text().startswith("All pairs are for validation")
    part.table.selectAll()
    click(qtbot, part.remove_button)
    assert "add some without labels" in hint.text()


def test_scribbles(docked) -> None:
    _, widget = docked(discs())
    widget.data.complete.setCurrentIndex(1)
    widget.data.background.setValue(3)
    found = widget.data.settings()
    assert (found.ignore_label, found.background_label) == (0, 3)


# -- to look first --------------------------------------------------------------------------------


def test_data_are_checked(docked, qtbot) -> None:
    image, labels = discs()
    _, widget = docked((image, labels * 0))
    settings(widget)
    click(qtbot, widget.check_button)
    at_rest(qtbot, widget)
    assert widget.problems.text().startswith("✖ ")
    assert widget.status.text() == "1 problem to solve before training."
    _, widget = docked((image, labels))
    settings(widget)
    click(qtbot, widget.check_button)
    at_rest(qtbot, widget)
    assert "✖" not in widget.problems.text()
    assert "4 of 2 patches of 16 x 16" in widget.problems.text()
    assert widget.status.text() == "The data can be trained on."


def test_changes_are_shown(docked, qtbot) -> None:
    _, widget = docked(discs())
    settings(widget)
    click(qtbot, widget.pictures_button)
    at_rest(qtbot, widget)
    (dialog,) = widget.findChildren(Pictures)
    assert dialog.isVisible()
    assert dialog.label.pixmap().width() > 100
    dialog.close()
    assert errors() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.data.pairs.rows.clear(), "Add a pair of image and labels first"),
        (lambda w: w.data.name.setText("nuclei-2d"), "There is a model named 'nuclei-2d' already"),
        (lambda w: settings(w, patch="many"), "Patch needs whole numbers"),
        (lambda w: w.data.start.choose("nuclei-2d"), ""),
    ],
    ids=["no pair", "name", "patch", "none"],
)
def test_what_is_missing_is_said_in_a_line(docked, qtbot, change, said) -> None:
    _, widget = docked(discs())
    if said.startswith("Patch"):
        widget.data.form.fields["patch"].widget.value = "many"
    else:
        change(widget)
    wanted = widget._wanted(widget.start)
    assert (wanted is None) == bool(said)
    assert widget.status.text().startswith(said)
    assert "\n" not in widget.status.text()


# -- training -------------------------------------------------------------------------------------


@pytest.mark.slow  # two processes that import PyTorch
@pytest.mark.timeout(900)
def test_from_painted_slices_to_the_labels_of_the_new_model(docked, qtbot, home) -> None:
    image, truth = discs(shape=(6, 48, 48))
    viewer, widget = docked((image, truth * 0))
    alone = viewer.add_image(discs(1, shape=(6, 48, 48))[0], name="alone")
    widget.data.pairs.image.choose(alone)
    widget.data.pairs.alone_layer.trigger()
    drawn = viewer.layers["labels 0"]
    for at in (1, 4):  # a person paints two slices
        viewer.dims.set_point(0, at)
        drawn.data_setitem(np.nonzero(truth[at : at + 1] > 0), 0)
        for number in range(1, 8):
            where = np.nonzero(truth[at] == number)
            drawn.data_setitem((np.full_like(where[0], at), *where), number)
    widget.data.refresh()
    assert widget.data.counted.currentText() == "Those with labels: 2 of 6"
    settings(widget, patch=(4, 16, 16), warm_start="masked", warm_start_steps=2)
    widget.data.name.setText("rods")
    click(qtbot, widget.start_button)
    assert widget.tabs.currentIndex() == 1, widget.status.text()
    at_rest(qtbot, widget)
    assert errors() == []
    progress = widget.watch.curves.progress
    assert progress.steps == 4
    assert progress.train[-1][0] == 4
    assert widget.watch.status.text().startswith("Trained in")
    assert widget.trained_model is not None
    folder = widget.watch.trained.path.parent
    (file,) = json.loads((folder / "run.json").read_text())["unlabelled"]
    np.testing.assert_array_equal(nm.read(folder / file).numpy(), alone.data)
    assert "steps of the warm start" in (folder / "events.jsonl").read_text()
    click(qtbot, widget.watch.use_button)
    at_rest(qtbot, widget)
    assert find("rods").description.inputs.spatial_dims == 3
    assert "rods is in the store, and chosen in Segment" in widget.watch.status.text()
    segment = viewer.window.dock_widgets["Segment (napari-monai)"]
    assert segment.model.choice.model.name == "rods"
    assert segment.status.text() == "rods is chosen: press Run."
    click(qtbot, segment.run_button)
    qtbot.waitUntil(lambda: not segment.busy, timeout=WAIT)
    found = viewer.layers["image 0 (rods)"]
    assert isinstance(found, Labels)
    assert found.data.shape == image.shape


@pytest.mark.slow  # two processes that import PyTorch
@pytest.mark.timeout(900)
def test_a_run_is_stopped_resumed_left_and_followed(docked, qtbot, home) -> None:
    _, widget = docked(discs(), discs(1))
    widget.data.pairs.add_layers()
    # So many that it is stopped before, and few enough to end if nobody stops it.
    settings(widget, steps=2000)
    widget.data.name.setText("long")

    def beyond(step: int) -> None:
        """Wait until the curves show a later step."""
        shown = widget.watch.curves.progress
        qtbot.waitUntil(lambda: bool(shown.train) and shown.train[-1][0] > step, timeout=WAIT)

    click(qtbot, widget.start_button)
    beyond(0)
    click(qtbot, widget.watch.stop_button)
    at_rest(qtbot, widget)
    trained = widget.watch.trained
    assert trained is not None
    assert widget.watch.use_button.isEnabled()
    (run,) = list_runs()
    assert (run.name, run.folder) == ("long", trained.path.parent)
    assert 0 < run.step < 2000
    # Some other day it goes on: here in the same window.
    widget.tabs.setCurrentIndex(2)
    assert widget.runs.open_button.text() == "Resume"
    click(qtbot, widget.runs.open_button)
    beyond(run.step)
    # The window is closed, and the training goes on.
    widget.watch.stays.setChecked(True)
    widget.leave()
    at_rest(qtbot, widget)
    assert [one.state for one in list_runs()] == ["running"]
    # The next window follows it from its first step on.
    widget.tabs.setCurrentIndex(2)
    assert widget.runs.open_button.text() == "Follow"
    click(qtbot, widget.runs.open_button)
    assert widget.watch.stays.isChecked(), "it was left to go on"
    beyond(run.step)
    assert widget.watch.curves.progress.train[0][0] <= run.step
    # That window is closed as well, and this time the training ends with it.
    widget.watch.stays.setChecked(False)
    widget.leave()
    at_rest(qtbot, widget)
    assert [one.state for one in list_runs()] == ["unfinished"]
    assert errors() == []


def test_an_error_of_the_training_is_a_line(docked, qtbot) -> None:
    image, labels = discs()
    _, widget = docked((image, labels * 0))
    settings(widget)
    click(qtbot, widget.start_button)
    at_rest(qtbot, widget)
    assert widget.watch.status.text()
    assert "\n" not in widget.watch.status.text()
    assert errors() == [widget.watch.status.text()]
    assert widget.watch.use_button.isHidden()
    assert widget.start_button.isEnabled()


# -- what is shown --------------------------------------------------------------------------------


def preview(folder: Path, found: np.ndarray) -> Path:
    """Write a preview as a training does."""
    image, truth = discs()
    folder.mkdir(exist_ok=True)
    told = {"name": "cells", "spacing": [2.0, 1.0], "rgb": False, "kind": "instances"}
    (folder / "preview.json").write_text(json.dumps({**told, "classes": {}, "ignored": -1}))
    np.save(folder / "image.npy", image[np.newaxis].astype(np.float32))
    for name, array in (("truth", truth), ("prediction", found), ("before", truth * 0)):
        np.save(folder / f"{name}.npy", array.astype(np.int32))
    return folder


def test_validation_before_and_after(docked, qtbot, tmp_path) -> None:
    viewer, widget = docked(discs())
    watch = widget.watch
    watch.begin("a training")
    truth = discs()[1]
    for found in (truth * 0, truth):
        watch.take(Previewed(read_seen(preview(tmp_path / "preview", found))))
        assert len(viewer.layers) == 3  # the others follow, one at a time
    names = ["image 0", "labels 0", "cells image", "cells prediction", "cells truth"]
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == names)
    np.testing.assert_array_equal(viewer.layers["cells prediction"].data, truth)
    assert tuple(viewer.layers["cells image"].scale) == (2, 1)
    watch.take(Trained(tmp_path, {"AP": 0.75}, 3.0, {"AP": 0.5}))
    assert [watch.scores.item(0, n).text() for n in range(4)] == [
        "AP, mean", "0.500", "0.750", "+0.250",
    ]  # fmt: skip
    watch.beside_button.click()
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled)
    groups = dict(viewer.canvas.grid.iter_viewboxes(viewer.layers))
    shown = {at: [viewer.layers[n].name for n in found] for at, found in groups.items()}
    assert shown == {
        (0, 0): ["cells (before)", "cells before", "cells truth (before)"],
        (0, 1): ["cells (after)", "cells after", "cells truth (after)"],
    }
    assert not viewer.layers["cells before"].data.any()
    watch.beside_button.click()
    assert not viewer.canvas.grid.enabled
    assert [layer.name for layer in viewer.layers] == names
    assert viewer.layers["labels 0"].visible
    watch.show_validation.click()
    assert [layer.name for layer in viewer.layers] == names[:2]


def test_curves_are_drawn_at_most_twice_a_second(docked, qtbot) -> None:
    _, widget = docked(show=True)
    watch = widget.watch
    widget.tabs.setCurrentIndex(1)
    watch.begin("a training")
    watch.take(Started(200, "steps"))
    watch.take(Said("Class 3 is in no label.", "warning"))
    begun = time.monotonic()
    for step in range(1, 101):
        watch.take(StepsDone((StepDone(step, 200, 1 / step, 1e-3),)))
        qtbot.wait(5)
    watch.take(EpochDone(100, 200, 0.1, 0.2, {"Dice": 0.5, "Dice liver": 0.25}, True, 1.0))
    qtbot.waitUntil(lambda: not watch.curves._stale, timeout=WAIT)
    # One more each for the first size and for a change of it.
    assert 1 <= watch.curves.drawings <= 3 + (time.monotonic() - begun) / 0.5
    assert watch.warnings.text() == "⚠ Class 3 is in no label."
    assert watch.status.text() == "Validation after 100 steps: Dice, mean 0.500, the best so far."
    loss, score = watch.curves._axes
    assert [line.get_label() for line in score.get_lines()][:2] == ["mean", "liver"]
    assert loss.get_lines()[0].get_xdata()[-1] == 100


def test_curves_of_a_run_that_is_over_are_drawn(docked, qtbot) -> None:
    _, widget = docked(show=True)
    widget.tabs.setCurrentIndex(1)
    curves = widget.watch.curves
    widget.watch.begin("a training")
    curves.take(Started(2, "steps"))
    curves.take(StepsDone((StepDone(1, 2, 1.0, 1e-3), StepDone(2, 2, 0.5, 1e-3))))
    curves.end({})  # all at once, before anything was drawn
    qtbot.waitUntil(lambda: curves.drawings > 0, timeout=WAIT)
    assert curves._axes[0].get_lines()[0].get_xdata()[-1] == 2


def test_a_run_is_deleted(docked, qtbot, home) -> None:
    folder = home / "runs" / "old-1"
    folder.mkdir(parents=True)
    write_run(folder, {"command": "train", "name": "old", "settings": {}})
    _, widget = docked()
    widget.tabs.setCurrentIndex(2)
    widget.runs.refresh()
    assert [run.name for run in widget.runs.runs] == ["old"]
    click(qtbot, widget.runs.delete_button)
    (box,) = widget.findChildren(QMessageBox)
    (yes,) = [b for b in box.buttons() if b.text() == "Delete"]
    qtbot.mouseClick(yes, Qt.MouseButton.LeftButton)
    assert not folder.exists()
    assert not widget.runs.runs


def test_a_card_can_be_read(docked, qtbot, bright, tmp_path) -> None:
    _, widget = docked()
    widget.watch.take(Begun(tmp_path, "bright"))
    widget.watch.take(Trained(bright.folder, {}, 1.0, {}))
    click(qtbot, widget.watch.card_button)
    (dialog,) = [d for d in widget.findChildren(QDialog) if d.windowTitle() == "bright"]
    assert dialog.isVisible()
    dialog.close()
