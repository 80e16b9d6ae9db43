"""Autosave in a real window: what was painted comes back after a crash, and only then is asked."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels
from tests.napari_edge.affines import affine_of

from napari_monai import LabelVolume, Volume, autosaving, read, write
from napari_monai._napari import autosave, autosave_layer
from napari_monai._napari.edit_session import EditSession
from napari_monai._napari.label_colours import class_look
from napari_monai._napari.layers import labels_layer, labels_of, placement_of
from napari_monai._napari.restore import RestoreDialog
from napari_monai.grid import Grid
from napari_monai.volume import LabelClass

PLUGIN = "napari-monai"
SHAPE = (9, 17, 19)
CLASSES = (LabelClass(1, "liver", "#ff0080"), LabelClass(3, "left kidney", "#12ab56"))


@pytest.fixture(autouse=True)
def _registered(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(package=PLUGIN):
        yield


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine_of("LSP")), path)
    return path


def opened(viewer: Any, path: Path) -> Any:
    return viewer.open(path, plugin=PLUGIN)[0]


def drawn(viewer: Any, *, name: str = "organs") -> Labels:
    """Return new labels of two classes on the image that a viewer shows."""
    on = placement_of(viewer.layers[0])
    blank = LabelVolume(
        np.zeros(on.volume.grid.shape, np.uint8), on.volume.grid, name=name, classes=CLASSES
    )
    data, settings, kind = labels_layer(blank, on=on)
    return viewer._add_layer_from_data(data, settings, kind)[0]


def settled(qtbot: Any, viewer: Any) -> Path | None:
    """Wait until nothing is being kept, and return where the last labels layer is."""
    saver = autosave.start(viewer)
    assert saver is not None

    def done() -> bool:
        return not any(state.busy or state.is_due for state in saver.states.values())

    saver.keep_all()
    qtbot.waitUntil(done, timeout=20_000)
    return [state.path for state in saver.states.values()][-1]


def asked(qtbot: Any, viewer: Any) -> RestoreDialog:
    """Wait for the question."""
    saver = autosave.start(viewer)
    assert saver is not None
    qtbot.waitUntil(lambda: saver._asking.dialog is not None, timeout=20_000)
    dialog = saver._asking.dialog
    assert isinstance(dialog, RestoreDialog)
    assert dialog.isVisible()
    assert not dialog.isModal(), "the window stays alive"
    return dialog


def not_asked(qtbot: Any, viewer: Any) -> None:
    saver = autosave.start(viewer)
    assert saver is not None
    qtbot.wait(900)
    assert saver._asking.dialog is None


def left_behind(viewer: Any) -> None:
    """Have the autosaves of a viewer be those of a process that is gone."""
    saver = autosave.start(viewer)
    assert saver is not None
    for state in saver.states.values():
        if state.path is not None:
            autosaving.forget(state.path)


CRASH = """
import sys
from pathlib import Path
import napari, numpy as np
from qtpy.QtCore import QTimer
from tests.napari_edge.test_autosave import drawn, opened
from napari_monai._napari import autosave, autosave_layer

image, work = Path(sys.argv[1]), Path(sys.argv[2])
viewer = napari.Viewer()
opened(viewer, image)
labels = drawn(viewer)
labels.brush_size = 4

def paint():
    labels.selected_label = 3
    labels.paint((4, 8, 6), 3)
    labels.paint((2, 3, 3), 1)
    np.save(work / "painted.npy", labels.data)
    autosave.start(viewer).keep_all()
    QTimer.singleShot(50, look)

def look():
    state = autosave.start(viewer).states[labels]
    if state.kept == state.changes:
        print("kept", flush=True)
    else:
        QTimer.singleShot(50, look)

QTimer.singleShot(300, paint)
napari.run()
"""


def test_a_killed_napari(
    image: Path, tmp_path: Path, repository: Path, make_napari_viewer: Any, qtbot: Any
) -> None:
    """A process with a window is killed; in the next one the labels are those that were painted."""
    command = [sys.executable, "-W", "ignore", "-c", CRASH, str(image), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=repository) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"kept"
        other.kill()
        other.wait()
    painted = np.load(tmp_path / "painted.npy")
    assert painted.any()

    viewer = make_napari_viewer()
    opened(viewer, image)
    dialog = asked(qtbot, viewer)
    assert "organs, on scan.nii.gz, today" in dialog.informativeText()
    dialog.restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    layer = viewer.layers[-1]
    assert layer.name == "organs"
    np.testing.assert_array_equal(layer.data, painted)
    found = labels_of(layer)
    assert found.classes == CLASSES
    assert found.grid == read(image).grid
    assert found.source == image

    path = settled(qtbot, viewer)
    assert path is not None
    assert path.is_file(), "it is this process's now, until it is saved"
    assert not autosaving.find(image).autosaves
    viewer.layers.selection.active = layer
    viewer.layers.save(str(tmp_path / "organs.nii.gz"), selected=True, plugin=PLUGIN)
    assert not path.exists()
    assert np.array_equal(
        np.asarray(nib.load(tmp_path / "organs.nii.gz").dataobj),
        placement_of(layer).how.inverse().apply(painted),
    )


def test_delete_and_later(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    grid = read(image).grid
    labels = LabelVolume(np.ones(SHAPE, np.uint8), grid, name="organs")
    path = autosaving.keep(labels, files=[image], view={"as": "grid"})
    autosaving.forget(path)
    viewer = make_napari_viewer()
    opened(viewer, image)
    asked(qtbot, viewer).later_button.click()
    assert path.exists()
    assert len(viewer.layers) == 1
    viewer.close()

    viewer = make_napari_viewer()
    opened(viewer, image)
    asked(qtbot, viewer).delete_button.click()
    assert not path.exists()
    assert len(viewer.layers) == 1


def test_closed_with_unsaved_labels(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    """A window closes without asking: what was not saved is kept, and asked for at the next."""
    viewer = make_napari_viewer()
    opened(viewer, image)
    layer = drawn(viewer)
    layer.paint((4, 8, 6), 3)
    painted = np.array(layer.data)
    assert painted.any()
    viewer.close()
    qtbot.waitUntil(lambda: len(autosaving.find(image).autosaves) == 1, timeout=20_000)
    (found,) = autosaving.find(image).autosaves
    how = read(image).grid.reorientation_to().inverse()
    np.testing.assert_array_equal(found.labels().data, how.apply(painted))


def test_a_layer_that_is_removed_is_kept(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    opened(viewer, image)
    layer = drawn(viewer)
    layer.paint((4, 8, 6), 3)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: len(autosaving.find(image).autosaves) == 1, timeout=20_000)


def test_what_nobody_changed_is_not_kept(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    opened(viewer, image)
    drawn(viewer)
    viewer.dims.current_step = (3, 3, 3)
    assert settled(qtbot, viewer) is None
    assert [p.name for p in image.parent.iterdir()] == [image.name]


def edited(layer: Labels) -> None:
    """Run a tool on the labels."""
    session = EditSession(napari.current_viewer(), layer)
    session.run("dilate", selected=(3,))
    session.close()


CHANGES = {
    "painted": lambda layer: layer.paint((4, 8, 6), 3),
    "filled": lambda layer: layer.fill((4, 8, 6), 1),
    "undone": lambda layer: layer.undo(),
    "redone": lambda layer: layer.redo(),
    "set in part": lambda layer: layer.data_setitem((np.array([0]),) * 3, 3),
    "edited": edited,
    "set": lambda layer: setattr(layer, "data", layer.data + 1),
    "told": lambda layer: (layer.data.__setitem__(..., 3), autosave.touched(layer)),
    "named": lambda layer: setattr(layer, "features", class_look(CLASSES[:1])["features"]),
}


def test_what_counts_as_a_change(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    opened(viewer, image)
    layer = drawn(viewer)
    layer.features = dict(layer.features)
    assert settled(qtbot, viewer) is None, "the same names again"
    layer.paint((1, 1, 1), 1)
    path = settled(qtbot, viewer)
    for name, change in CHANGES.items():
        changes = autosave.changes_of(layer)
        change(layer)
        assert autosave.changes_of(layer) > changes, name
        assert settled(qtbot, viewer) == path, "one file a layer"
        left_behind(viewer)
        (found,) = autosaving.find(image).autosaves
        kept = placement_of(layer).how.apply(found.labels().data)
        np.testing.assert_array_equal(kept, layer.data, name)
        assert found.labels().classes == labels_of(layer).classes, name
    autosave.saved(layer, autosave.changes_of(layer) - 1)
    assert found.path.exists(), "it was changed since it was saved"
    autosave.saved(layer)
    assert not found.path.exists()


def test_changed_while_it_is_copied(
    image: Path, make_napari_viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is one moment of the labels, although they change while they are copied."""
    viewer = make_napari_viewer()
    opened(viewer, image)
    layer = drawn(viewer)
    layer.paint((4, 8, 6), 3)
    copy, copies = autosave_layer.Kept.copy, []

    def slow(kept: Any) -> None:
        copies.append(1)
        time.sleep(0.3)
        copy(kept)

    monkeypatch.setattr(autosave_layer.Kept, "copy", slow)
    saver = autosave.start(viewer)
    assert saver is not None
    saver.keep_all()
    layer.fill((0, 0, 0), 1)
    settled(qtbot, viewer)
    assert len(copies) == 2
    left_behind(viewer)
    (found,) = autosaving.find(image).autosaves
    np.testing.assert_array_equal(placement_of(layer).how.apply(found.labels().data), layer.data)


def test_before_a_run(docked: Any, squares: np.ndarray, bright: Any, qtbot: Any) -> None:
    viewer, widget = docked(squares)
    layer = viewer.add_labels(np.zeros(squares.shape, np.uint8), name="mine")
    layer.paint((5, 5), 1)
    saver = autosave.start(viewer)
    viewer.layers.selection.active = viewer.layers[0]
    widget.run()
    qtbot.waitUntil(lambda: widget.queue.at_rest, timeout=60_000)
    qtbot.waitUntil(lambda: saver.states[layer].path is not None, timeout=20_000)
    result = viewer.layers[-1]
    settled(qtbot, viewer)
    assert saver.states[result].path is None, "a result can be computed again"
    result.paint((0, 0), 1)
    assert settled(qtbot, viewer) is not None
    widget.save_to(Path(saver.states[result].path).with_name("saved.tif"))
    qtbot.waitUntil(lambda: not widget.busy and saver.states[result].path is None, timeout=20_000)


def test_layers_of_others_come_back(make_napari_viewer: Any, qtbot: Any) -> None:
    """Labels on no file, turned and sheared, come back where they were, at the next start."""
    placed = {"scale": (2.0, 0.5), "rotate": 30.0, "shear": [0.2], "translate": (7.0, -1.0)}
    viewer = make_napari_viewer()
    autosave.start(viewer)
    layer = viewer.add_labels(np.zeros((12, 15), np.uint16), name="cells", **placed)
    layer.data_setitem((np.array([3, 4]), np.array([5, 6])), 900)
    painted, matrix = np.array(layer.data), layer._data_to_world.affine_matrix
    viewer.close()
    qtbot.waitUntil(lambda: len(autosaving.find().autosaves) == 1, timeout=20_000)

    viewer = make_napari_viewer()
    autosave.start(viewer)
    asked(qtbot, viewer).restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    (layer,) = viewer.layers
    np.testing.assert_array_equal(layer.data, painted)
    assert layer.data.dtype == np.uint16
    np.testing.assert_allclose(layer._data_to_world.affine_matrix, matrix)


def test_on_a_volume_that_is_resampled(
    image: Path, tmp_path: Path, make_napari_viewer: Any, qtbot: Any
) -> None:
    """Of a volume oblique to the first, what was painted comes back voxel by voxel as shown."""
    second = tmp_path / "oblique" / "second.nii.gz"
    second.parent.mkdir()
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine_of("LSP", 16)), second)

    def both(viewer: Any) -> Any:
        opened(viewer, image)
        with pytest.warns(UserWarning, match="resampled"):
            return opened(viewer, second)

    viewer = make_napari_viewer()
    place = placement_of(both(viewer))
    blank = LabelVolume(np.zeros(SHAPE, np.uint8), place.volume.grid, name="x", classes=CLASSES)
    layer = viewer._add_layer_from_data(*labels_layer(blank, on=place))[0]
    layer.brush_size = 5
    layer.paint(tuple(n // 2 for n in layer.data.shape), 3)
    painted, wanted = np.array(layer.data), labels_of(layer)
    assert painted.any()
    viewer.close()
    qtbot.waitUntil(lambda: len(autosaving.find(second).autosaves) == 1, timeout=20_000)

    viewer = make_napari_viewer()
    both(viewer)
    asked(qtbot, viewer).restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    again = viewer.layers[-1]
    np.testing.assert_array_equal(again.data, painted)
    assert labels_of(again).grid == wanted.grid
    np.testing.assert_array_equal(labels_of(again).data, wanted.data)


def test_labels_of_a_file(tmp_path: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    """Opening either the labels' file or their image asks; the file's own state is hidden."""
    grid = Grid.from_spacing((12, 14), (0.5, 0.5), unit="µm")
    write(tmp_path / "cells.npz", Volume(np.ones(grid.shape, np.float32), grid))
    path = tmp_path / "cells_labels.npz"
    write(path, LabelVolume(np.zeros(grid.shape, np.uint8), grid))
    viewer = make_napari_viewer()
    autosave.start(viewer)
    viewer.layers.extend([_layer(tmp_path / "cells.npz"), _layer(path)])
    viewer.layers[-1].paint((5, 5), 1)
    viewer.close()
    for asks in (tmp_path / "cells.npz", path):
        qtbot.waitUntil(lambda file=asks: len(autosaving.find(file).autosaves) == 1, timeout=20_000)

    viewer = make_napari_viewer()
    autosave.start(viewer)
    viewer.layers.append(_layer(path))
    asked(qtbot, viewer).restore_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    assert [layer.visible for layer in viewer.layers] == [False, True]
    assert viewer.layers[-1].data.sum() > 0


def _layer(path: Path) -> Any:
    from napari.layers import Layer

    from napari_monai._napari.layers import layers_of

    labels = "labels" in path.name
    return Layer.create(*layers_of([read(path, labels=labels)])[0])


def test_a_live_one_is_not_asked_for(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    first = make_napari_viewer()
    opened(first, image)
    drawn(first).paint((4, 8, 6), 3)
    assert settled(qtbot, first) is not None
    second = make_napari_viewer()
    opened(second, image)
    not_asked(qtbot, second)


def test_edited_in_its_file(tmp_path: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    """What is painted into a zarr or a memory map is in the file already."""
    import zarr

    viewer = make_napari_viewer()
    saver = autosave.start(viewer)
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(8, 9), dtype=np.uint8)
    mapped = np.memmap(tmp_path / "a.raw", np.uint8, "w+", shape=(8, 9))
    (tmp_path / "b.raw").write_bytes(bytes(72))
    copied = np.memmap(tmp_path / "b.raw", np.uint8, "c", shape=(8, 9))
    layers = [viewer.add_labels(data) for data in (stored, mapped, copied)]
    for layer in layers:
        layer.paint((4, 4), 1)
    saver.keep_all()
    qtbot.waitUntil(lambda: saver.states[layers[-1]].path is not None, timeout=20_000)
    assert [saver.states[layer].path is None for layer in layers] == [True, True, False]


def test_switched_off(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings(PLUGIN).autosave
    assert settings.enabled
    assert settings.minutes == 1
    viewer = make_napari_viewer()
    opened(viewer, image)
    drawn(viewer).paint((4, 8, 6), 3)
    settings.enabled = False
    try:
        autosave.before_run(viewer)
        viewer.close()
        qtbot.wait(500)
    finally:
        settings.enabled = True
    assert [p.name for p in image.parent.iterdir()] == [image.name]


def test_every_minute(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings(PLUGIN).autosave
    settings.minutes = 0.1
    try:
        viewer = make_napari_viewer()
        opened(viewer, image)
        saver = autosave.start(viewer)
        assert saver is not None
        layer = drawn(viewer)
        layer.paint((4, 8, 6), 3)
        assert saver._timer.interval() == 6000
        saver._timer.timeout.emit()
        qtbot.waitUntil(lambda: saver.states[layer].path is not None, timeout=20_000)
    finally:
        settings.minutes = 1.0


def test_nothing_is_held(image: Path, make_napari_viewer: Any, qtbot: Any) -> None:
    """A layer that was removed does not stay in memory."""
    import weakref

    viewer = make_napari_viewer()
    opened(viewer, image)
    layer = drawn(viewer)
    layer.paint((4, 8, 6), 3)
    settled(qtbot, viewer)
    viewer.layers.remove(layer)
    gone = weakref.ref(layer)
    del layer

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    qtbot.waitUntil(is_gone, timeout=5000)
