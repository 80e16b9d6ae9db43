"""A labels layer under correction: edits in the viewer's own history, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_monai._napari.edit_session import EditSession, why_not
from napari_monai._napari.paint_guard import PaintGuard
from napari_monai.errors import VolumeError
from napari_monai.volume import LabelClass

SHAPE = (6, 8, 9)
WHOLE = tuple(slice(0, n) for n in SHAPE)
KINDS = ("numpy", "memmap", "zarr")


@dataclass(frozen=True, eq=False)
class Change:
    box: tuple[slice, ...]
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True, eq=False)
class Edit:
    changes: tuple[Change, ...]
    title: str = "Fill holes of liver"


def painted(data: Any, value: int, *boxes: tuple[slice, ...]) -> Edit:
    """Return the edit that fills boxes with a value."""
    pairs = [(box, np.array(data[box])) for box in boxes]
    return Edit(tuple(Change(box, old, np.full_like(old, value)) for box, old in pairs))


def stored(kind: str, array: np.ndarray, folder: Path) -> Any:
    if kind == "numpy":
        return array.copy()
    if kind == "memmap":
        np.save(folder / "labels.npy", array)
        return np.lib.format.open_memmap(folder / "labels.npy", mode="r+")
    return zarr.create_array(folder / "labels.zarr", data=array, chunks=(4,) * array.ndim)


def box(*spans: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(*span) for span in spans)


@pytest.fixture
def start() -> np.ndarray:
    """Return labels of two objects."""
    labels = np.zeros(SHAPE, np.uint16)
    labels[1:4, 2:5, 2:6] = 3
    labels[4:, 6:, 6:] = 5
    return labels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [SHAPE[1:], SHAPE, (2, *SHAPE)], ids=["2d", "3d", "3d+t"])
def test_an_edit_is_one_undo_step(kind: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, shape).astype(np.uint16)
    viewer = ViewerModel()
    layer = viewer.add_labels(stored(kind, first, tmp_path))
    session = EditSession(viewer, layer)
    said: list[Any] = []
    session.changed.connect(said.append)
    n = min(3, len(shape))
    boxes = (box((0, 2), (1, 4), (1, 3))[-n:], box((2, 4), (5, 8), (4, 9))[-n:])
    here = (session.time,) if session.timed else ()
    wanted = first.copy()
    for part in boxes:
        wanted[(*here, *part)] = 9

    session.apply(painted(np.asarray(layer.data[...])[here], 9, *boxes))
    np.testing.assert_array_equal(layer.data[...], wanted)
    layer.undo()
    np.testing.assert_array_equal(layer.data[...], first)
    assert not session.can_undo
    layer.redo()
    np.testing.assert_array_equal(layer.data[...], wanted)
    assert not session.can_redo
    assert [sorted(map(str, s)) for s in said] == [sorted(map(str, boxes))] * 3


def test_what_is_seen_is_what_was_edited(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    viewer.dims.current_step = (2, 0, 0)
    session.apply(painted(start, 0, box((1, 4), (2, 5), (2, 6))))
    assert not np.any(layer._slice.image.raw)
    lines: list[str] = []
    session.stepped.connect(lines.append)
    session.undo()
    assert lines == ["Undone: Fill holes of liver."]
    np.testing.assert_array_equal(layer._slice.image.raw, start[2])


def test_an_edit_that_cannot_be_written_leaves_no_trace(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start.copy())
    session = EditSession(viewer, layer)
    good = painted(start, 9, box((0, 2), (0, 2), (0, 2)))
    bad = Change(box((0, 1), (0, 1), (0, 1)), start[:1, :1, :1], np.full((3, 3, 3), 7))
    with pytest.raises(ValueError, match="broadcast"):
        session.apply(Edit((*good.changes, bad)))
    np.testing.assert_array_equal(layer.data, start)
    assert not session.can_undo


def test_brush_and_undo_are_said(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    said: list[Any] = []
    session.changed.connect(said.append)
    layer.brush_size = 3
    layer.paint((0, 5, 5), 7)
    layer.data_setitem((np.array([1, 3]), np.array([0, 2]), np.array([4, 4])), 8)
    first, second = (box((0, 1), (4, 7), (4, 7)),), (box((1, 4), (0, 3), (4, 5)),)
    assert said == [first, second]
    lines: list[str] = []
    session.stepped.connect(lines.append)
    layer.undo()
    layer.undo()
    layer.redo()
    assert lines == ["Undone: painting.", "Undone: painting.", "Redone: painting."]
    assert said[2:] == [second, first, first]
    viewer.dims.current_step = (3, 0, 0)
    assert len(said) == 5, "another slice changes nothing"
    layer.data = np.zeros_like(start)
    assert said[5:] == [(box((0, 6), (0, 8), (0, 9)),)]


def test_another_time_point_is_other_labels(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.stack([start, start + 1]))
    session = EditSession(viewer, layer)
    viewer.dims.current_step = (0, 2, 0, 0)
    said: list[Any] = []
    session.changed.connect(said.append)
    viewer.dims.current_step = (0, 3, 0, 0)
    assert said == []
    viewer.dims.current_step = (1, 3, 0, 0)
    whole = box((0, 6), (0, 8), (0, 9))
    assert said == [(whole,)]
    assert session.time == 1
    np.testing.assert_array_equal(session.crop(whole), start + 1)
    assert session.plane == (0, 3)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_plane_is_the_slice_that_is_seen(start: np.ndarray, order: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start, scale=(3, 1, 2), translate=(10, 20, 30))
    session = EditSession(viewer, layer)
    viewer.dims.order = order
    viewer.dims.current_step = (4, 5, 6)
    assert session.plane == (order[0], (4, 5, 6)[order[0]])
    viewer.dims.ndisplay = 3
    assert session.plane is None


def test_spacing_is_physical(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start, scale=(3, 0.5, 0.25), units=("mm", "mm", "mm"))
    session = EditSession(viewer, layer)
    assert session.spacing == (3, 0.5, 0.25)
    assert session.unit == "mm"


def test_the_slice_is_right_where_the_viewer_counts_in_another_unit(start: np.ndarray) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 8, 9)), scale=(3, 1, 1), units=("mm",) * 3)
    layer = viewer.add_labels(start, scale=(3000, 1000, 1000), units=("um",) * 3)
    session = EditSession(viewer, layer)
    viewer.dims.current_step = (4, 0, 0)
    assert session.plane == (0, 4)
    np.testing.assert_array_equal(layer._slice.image.raw, start[4])
    assert session.spacing == (3000, 1000, 1000)
    assert session.unit == "µm"


def test_time_is_known_while_layers_come_and_go() -> None:
    viewer = ViewerModel()
    units = ("s", "um", "um")
    layer = viewer.add_labels(
        np.zeros((3, 8, 9), np.uint8), units=units, axis_labels=("t", "y", "x")
    )
    viewer.dims.current_step = (2, 0, 0)
    session = EditSession(viewer, layer)
    times: list[int | None] = []
    viewer.layers.events.inserted.connect(lambda _event: times.append(session.time))
    viewer.layers.events.removed.connect(lambda _event: times.append(session.time))
    other = viewer.add_image(np.zeros((3, 8, 9)))  # in pixels
    viewer.layers.remove(other)
    viewer.layers.clear()
    viewer.add_image(np.zeros((8, 9)))
    viewer.add_labels(np.zeros((8, 9), np.uint8))
    assert times[:2] == [2, 2]
    assert len(set(times[2:])) == 1, "the last one stays when the labels are gone"


def test_selection_follows_the_picker_and_the_picker_the_selection(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    told: list[tuple[int, ...]] = []
    session.selected_changed.connect(lambda: told.append(session.selected))
    session.select((5, 3, 0, 5))
    assert layer.selected_label == 5
    layer.selected_label = 3  # one of those: they stay
    layer.selected_label = 7
    layer.selected_label = 0
    assert told == [(5, 3), (7,), ()]


def test_classes_are_shown_and_lock(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    session.set_classes((LabelClass(3, "liver", "#ff0000"), LabelClass(5, "spleen", "#00ff00")))
    np.testing.assert_allclose(layer.get_color(3), (1, 0, 0, 1))
    assert layer.get_status((2, 3, 3), world=True)["value"].endswith("liver")
    assert [session.name_of(n) for n in (3, 5, 8)] == ["liver", "spleen", "8"]
    assert session.locked == frozenset()
    session.lock((8, 5))
    session.lock((5,), locked=False)
    assert session.locked == {8}
    assert EditSession(viewer, layer).locked == {8}, "kept with the layer"


def test_session_ends_with_its_layer(start: np.ndarray) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    ended: list[str] = []
    session.closed.connect(lambda: ended.append("closed"))
    session.changed.connect(lambda _: ended.append("changed"))
    viewer.layers.remove(layer)
    layer.paint((0, 5, 5), 7)
    session.close()
    assert ended == ["closed"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (dask.array.zeros((4, 5), chunks=2, dtype=np.uint8), "duplicate it into memory"),
        ([np.zeros((8, 8), np.uint8), np.zeros((4, 4), np.uint8)], "several resolutions"),
        (np.broadcast_to(np.zeros((), np.uint8), (4, 5)), "can be read only"),
    ],
    ids=["dask", "multiscale", "read-only"],
)
def test_what_cannot_be_edited_is_refused_with_the_cure(data: Any, said: str) -> None:
    layer = Labels(data, name="cells")
    assert why_not(layer) is not None
    with pytest.raises(VolumeError, match=f"^cells .*{said}"):
        EditSession(ViewerModel(), layer)


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
@pytest.mark.parametrize("timed", [False, True], ids=["3d", "3d+t"])
def test_labels_as_they_were(kind: str, timed: bool, tmp_path: Path, start: np.ndarray) -> None:
    """Any stretch of the history can be taken back in any box, without changing anything."""
    viewer = ViewerModel()
    first = np.stack([start, start]) if timed else start
    layer = viewer.add_labels(stored(kind, first, tmp_path))
    session = EditSession(viewer, layer)
    here = (session.time,) if timed else ()
    layer.brush_size = 4
    states = [first.copy()]

    def painted_index() -> None:
        place = tuple(np.array([n - 2, n - 1]) for n in SHAPE)
        layer.data_setitem((*(np.array([at, at]) for at in here), *place), 9)

    steps = (
        lambda: layer.paint((*here, 2, 4, 4), 7),
        lambda: session.apply(painted(session.crop(WHOLE), 8, box((1, 4), (2, 6), (3, 7)))),
        lambda: layer.fill((*here, 2, 0, 0), 6),
        *([] if kind == "zarr" else [painted_index]),
        lambda: layer.paint((*here, 2, 5, 5), 0),
    )
    for step in steps:
        step()
        states.append(np.array(layer.data[...]))
    entries = list(layer._undo_history)
    assert len(entries) == len(steps)
    for part in (WHOLE, box((2, 3), (3, 8), (0, 5)), box((0, 6), (4, 5), (4, 5))):
        for back in range(len(steps) + 1):
            found = session.past(entries[len(entries) - back :], part)
            np.testing.assert_array_equal(found, states[len(steps) - back][here][part])
    np.testing.assert_array_equal(layer.data[...], states[-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timed", [False, True], ids=["3d", "3d+t"])
def test_operations_on_stored_labels(
    kind: str, timed: bool, tmp_path: Path, start: np.ndarray
) -> None:
    viewer = ViewerModel()
    first = np.stack([start, start]) if timed else start
    layer = viewer.add_labels(stored(kind, first, tmp_path))
    session = EditSession(viewer, layer)
    session.select((3,))
    lines: list[str] = []
    session.runs.said.connect(lines.append)
    session.run("delete")
    wanted = first.copy()
    wanted[(session.time,) if timed else ()][start == 3] = 0
    np.testing.assert_array_equal(layer.data[...], wanted)
    assert lines == ["Delete label 3: 36 voxels changed."]
    session.undo()
    session.lock((3,))
    session.run("delete")
    np.testing.assert_array_equal(layer.data[...], first)
    assert lines[1:] == ["Delete label 3: there is nothing to change. 1 label is locked and stays."]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timed", [False, True], ids=["3d", "3d+t"])
def test_guard_of_the_brush(kind: str, timed: bool, tmp_path: Path, start: np.ndarray) -> None:
    viewer = ViewerModel()
    first = np.stack([start, start]) if timed else start
    image = viewer.add_image(np.arange(start.size).reshape(SHAPE))  # one for all times
    layer = viewer.add_labels(stored(kind, first, tmp_path))
    session = EditSession(viewer, layer, image)
    session.lock((5,))
    guard = PaintGuard(session)
    here = (session.time,) if timed else ()
    layer.n_edit_dimensions, layer.brush_size = 3, 40

    def all_painted(number: int) -> np.ndarray:
        layer.paint((*here, 3, 4, 4), number)
        found = np.array(layer.data[here + (...,)])
        if timed:
            np.testing.assert_array_equal(layer.data[1 - here[0]], start)
        layer.undo()
        np.testing.assert_array_equal(layer.data[...], first)
        return found

    np.testing.assert_array_equal(all_painted(9), np.where(start == 5, 5, 9))
    np.testing.assert_array_equal(all_painted(5), start)
    guard.over = 3
    np.testing.assert_array_equal(all_painted(9), np.where(start == 3, 9, start))
    guard.over = 0
    np.testing.assert_array_equal(all_painted(9), np.where(start == 0, 9, start))
    np.testing.assert_array_equal(all_painted(0), np.where(start == 5, 5, 0))
    guard.over, guard.intensity = None, (100, 200)
    within = (image.data >= 100) & (image.data <= 200) & (start != 5)
    np.testing.assert_array_equal(all_painted(9), np.where(within, 9, start))
    session.close()
    np.testing.assert_array_equal(all_painted(9), np.full_like(start, 9))


@pytest.mark.parametrize("first_out", [0, 1], ids=["the older leaves", "the newer leaves"])
def test_two_sessions_guard_the_same_labels(start: np.ndarray, first_out: int) -> None:
    layer = Labels(start.copy())
    sessions = []
    for viewer in (ViewerModel(), ViewerModel()):
        viewer.add_layer(layer)
        sessions.append(EditSession(viewer, layer))
        sessions[-1].lock((5,))
    said: list[str] = []
    guards = [PaintGuard(session, said.append) for session in sessions]
    assert all(guard.works for guard in guards)
    layer.brush_size = 3
    sessions.pop(first_out).close()
    layer.paint((5, 7, 7), 9)
    layer.paint((2, 3, 3), 5)
    np.testing.assert_array_equal(layer.data, start)
    assert [line.split(":")[0] for line in said] == ["Nothing is painted there", "5 is locked"]
    sessions.pop().close()
    layer.paint((5, 7, 7), 9)
    assert layer.data[5, 7, 7] == 9


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (np.ones((3, 4, 5), np.uint16), False),
        (np.ones((4, 5), np.uint16), True),
        (np.ones((2, 3, 4, 5), np.uint16), True),
        (dask.array.ones(SHAPE, dtype=np.uint16), True),
    ],
    ids=["another shape", "2d", "3d+t", "dask"],
)
def test_another_array_may_need_another_session(start: np.ndarray, data: Any, ends: bool) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    said: list[str] = []
    session.closed.connect(lambda: said.append("closed"))
    session.outgrown.connect(lambda: said.append("outgrown"))
    layer.data = data
    assert said == (["closed", "outgrown"] if ends else [])


def test_boxes_that_are_looked_for_meanwhile(start: np.ndarray) -> None:
    """What was painted during the search counts; another array makes it void."""
    viewer = ViewerModel()
    layer = viewer.add_labels(start)
    session = EditSession(viewer, layer)
    known = session.known_boxes
    answer = known.search()()
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3)
    known.found(*answer)
    assert known.known is not None
    assert known.known.get(3) == box((0, 4), (0, 5), (0, 6))
    assert known.known.get(5) == box((4, 6), (6, 8), (6, 9))
    known.forget()
    answer = known.search()()
    layer.data = np.zeros_like(start)
    known.found(*answer)
    assert known.known is None
    assert session.boxes.values() == ()
