"""The frame of all operations: changes that undo themselves, locks, regions, drafts, slabs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.labels.scenes import check_guarded, edit_of, label_arrays, picture, scenes, stored

from napari_monai.errors import EditError
from napari_monai.events import BlockDone, Edited, Started
from napari_monai.labels import boxes, edits
from napari_monai.labels.boxes import shape_of, whole
from napari_monai.labels.edits import Change, Draft, Edit, Region, Scene, by_slabs, each_label
from napari_monai.labels.packing import Packed

SPACING = (1.0, 1.0)


@given(labels=label_arrays())
def test_packed_labels_come_back(labels):
    large = np.repeat(labels, 500 // labels.shape[-1] + 1, axis=-1)
    for array in (labels, large, large[::2], np.asfortranarray(large)):
        packed = Packed(array)
        back = np.asarray(packed)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
        assert packed.shape == array.shape
        np.testing.assert_array_equal(np.asarray(packed, dtype=float), array)


def test_an_organ_is_packed_small():
    z, y, x = np.indices((20, 100, 100))
    ball = ((z - 10) ** 2 * 20 + (y - 50) ** 2 + (x - 50) ** 2 < 45**2).astype(np.uint16)
    assert Packed(ball).nbytes < ball.nbytes / 10


def test_a_packed_copy_is_not_the_array():
    labels = np.ones(10, np.uint8)
    packed = Packed(labels)
    labels[:] = 2
    assert np.asarray(packed).tolist() == [1] * 10


@pytest.mark.parametrize("kind", ["numpy", "memmap", "zarr"])
def test_an_edit_is_applied_and_taken_back(kind, tmp_path):
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 3, (2, 7, 8, 9)).astype(np.uint16)
    labels = stored(before, kind, tmp_path)
    scene = Scene(labels, (1.0, 1.0, 1.0))
    box = (slice(1, 6), slice(2, 8), slice(0, 9))
    change = edits.finish(scene, after[box], box)
    edit = Edit("Change", (change,))
    np.testing.assert_array_equal(labels[...], before)
    edit.apply(labels)
    expected = before.copy()
    expected[box] = after[box]
    np.testing.assert_array_equal(labels[...], expected)
    assert edit.voxels == np.count_nonzero(before != expected)
    edit.revert(labels)
    np.testing.assert_array_equal(labels[...], before)
    edit.reverted().revert(labels)
    np.testing.assert_array_equal(labels[...], expected)


def test_a_change_is_tight_and_says_what_it_brings():
    scene = Scene(picture("0000 0120 0000"), SPACING)
    change = edits.finish(scene, picture("0000 0130 0000"), whole((3, 4)))
    assert change.box == (slice(1, 2), slice(2, 3))
    assert (change.before.tolist(), change.after.tolist()) == ([[2]], [[3]])
    assert (change.values, change.voxels) == ((3,), 1)
    assert edits.finish(scene, picture("0000 0120 0000"), whole((3, 4))) is None


@given(scene=scenes(), data=st.data())
def test_finish_keeps_what_is_locked_and_outside_the_region(scene, data):
    after = data.draw(arrays.arrays(scene.dtype, scene.shape, elements=st.integers(0, 4)))
    change = edits.finish(scene, after, whole(scene.shape))
    result = scene.labels.copy()
    Edit("", (change,) if change else ()).apply(result)
    check_guarded(scene, scene.labels, result)
    # All that may change does.
    free = ~np.isin(scene.labels, list(scene.locked)) & ~np.isin(after, list(scene.locked))
    if scene.region is not None:
        free &= scene.region.inside(whole(scene.shape))
    np.testing.assert_array_equal(result, np.where(free, after, scene.labels))


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
@given(data=st.data())
def test_a_draft_is_the_array_that_is_written_to(kind, data):
    before = data.draw(label_arrays())
    scene = Scene(stored(before, kind), (1.0,) * before.ndim, locked=frozenset({3}))
    expected = before.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_TILES", {2: (2, 3), 3: (2, 3, 2)})
        patch.setattr(edits, "_CACHE", 100)
        draft = Draft(scene)
        for _ in range(3):
            box = _box(data, before.shape)
            np.testing.assert_array_equal(draft.read(box), expected[box])
            new = data.draw(arrays.arrays(before.dtype, shape_of(box), elements=st.integers(0, 4)))
            old = expected[box].copy()
            expected[box] = np.where((old == 3) | (new == 3), old, new)
            assert draft.write(new, box) == np.count_nonzero(old != expected[box])
        edit = draft.edit("Draft")
    np.testing.assert_array_equal(scene.labels[...], before)
    result = before.copy()
    edit.apply(result)
    np.testing.assert_array_equal(result, expected)


def _box(data, shape):
    lows = [data.draw(st.integers(0, n - 1)) for n in shape]
    pairs = zip(lows, shape, strict=True)
    return tuple(slice(low, data.draw(st.integers(low + 1, n))) for low, n in pairs)


def test_what_is_read_cannot_be_changed():
    draft = Draft(Scene(picture("10 01"), SPACING))
    with pytest.raises(ValueError, match="read-only"):
        draft.read(whole((2, 2)))[0, 0] = 5


def _one_wider(crop, value, box):
    """Let a label take the background to its right."""
    new = crop.copy()
    new[:, 1:][(crop[:, :-1] == value) & (crop[:, 1:] == 0)] = value
    return new


@pytest.mark.parametrize(
    ("told", "after"),
    [
        pytest.param({}, "1120 2200 0033", id="all"),
        pytest.param({"selected": (2,)}, "1020 2200 0030", id="selected"),
        pytest.param({"locked": {1}}, "1020 2200 0033", id="locked"),
        pytest.param({"selected": (1, 7)}, "1120 2000 0030", id="not-there"),
    ],
)
def test_each_label_sees_what_the_ones_before_have_done(told, after):
    told = {**told, "locked": frozenset(told.get("locked", ()))}
    scene = Scene(picture("1020 2000 0030"), SPACING, **told)
    # The last 2 of the first row has no room: its crop ends there without the margin below.
    events = list(each_label(scene, _one_wider, margin=(0, 1), title="Widen"))
    result = scene.labels.copy()
    events[-1].edit.apply(result)
    expected = picture(after)
    if "2" in after and 2 in scene.targets():
        expected[0, 3] = 2
    np.testing.assert_array_equal(result, expected)
    total = len(scene.targets())
    assert events[0] == Started(total, "labels")
    assert events[1:-1] == [BlockDone(n, total) for n in range(1, total + 1)]


def test_notes_tell_of_locked_and_missing_labels():
    scene = Scene(picture("12 30"), SPACING, selected=(1, 2, 9), locked=frozenset({1, 2}))
    edit = edit_of(each_label(scene, _one_wider, title="Widen"))
    assert edit.notes == ("2 labels are locked and stay.", "1 label is not there.")
    assert edit.changes == ()
    scene = Scene(picture("12 30"), SPACING, locked=frozenset({1, 8}))
    assert scene.notes() == ("1 label is locked and stays.",)


@given(scene=scenes())
def test_slabs_make_the_same_of_labels_as_one_piece(scene):
    def change(crop, box):
        # Looks at the planes beside it, so that the margin counts.
        new = crop.copy()
        new[1:][crop[:-1] == 0] = 0
        return new

    whole_edit = edit_of(by_slabs(scene, change, title="Change", margin=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "SLAB", 1)
        patch.setattr(edits, "_TILES", {2: (2, 2), 3: (2, 2, 2)})
        events = list(by_slabs(scene, change, title="Change", margin=1))
    results = [scene.labels.copy(), scene.labels.copy()]
    whole_edit.apply(results[0])
    events[-1].edit.apply(results[1])
    np.testing.assert_array_equal(*results)
    check_guarded(scene, scene.labels, results[0])


def test_a_closed_operation_leaves_no_trace():
    labels = picture("1020 2000 0030")
    scene = Scene(labels, SPACING)
    events = each_label(scene, _one_wider, margin=1, title="Widen")
    assert isinstance(next(events), Started)
    assert isinstance(next(events), BlockDone)
    events.close()
    np.testing.assert_array_equal(labels, picture("1020 2000 0030"))
    assert not any(isinstance(e, Edited) for e in events)


def test_numbers_that_do_not_fit_are_refused():
    scene = Scene(picture("10"), SPACING)
    with pytest.raises(EditError, match="uint8 hold numbers from 0 to 255, not 300"):
        edits.finish(scene, np.array([[300, 0]]), whole((1, 2)))


LABELS = np.zeros((3, 4), np.uint8)
BOX = (slice(0, 2), slice(0, 2))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: Scene(LABELS.astype(float), SPACING), "whole numbers", id="type"),
        pytest.param(lambda: Scene(LABELS[0], (1.0,)), "2 or 3 axes", id="axes"),
        pytest.param(lambda: Scene(LABELS, (1.0,)), "2 sizes of a voxel", id="spacing"),
        pytest.param(lambda: Scene(LABELS, (1.0, 0.0)), "above 0", id="no-spacing"),
        pytest.param(lambda: Scene(LABELS, SPACING, image=LABELS.T), "image of shape", id="image"),
        pytest.param(lambda: Scene(LABELS, SPACING, other=LABELS.T), "other labels", id="other"),
        pytest.param(
            lambda: Scene(LABELS, SPACING, points=np.zeros((2, 3))), "2 numbers each", id="points"
        ),
        pytest.param(
            lambda: Scene(LABELS, SPACING, lines=(np.zeros((2, 3)),)), "2 numbers", id="lines"
        ),
        pytest.param(lambda: Region(BOX, np.ones((2, 3), bool)), "does not fit", id="region"),
        pytest.param(lambda: Region(BOX, np.ones((2, 2))), "one truth value", id="region-type"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(EditError, match=said):
        make()


@pytest.mark.parametrize(
    ("labels", "locked", "names", "new", "lowest"),
    [
        ([[0, 1, 2]], (), {}, [3, 4, 5], 3),
        ([[0, 0, 2]], (4,), {}, [5, 6, 7], 1),
        ([[0, 1, 2]], (), {1: "liver", 3: "spleen"}, [4, 5, 6], 4),
        ([[1, 254, 0]], (), {2: "cyst"}, [255, 3, 4], 3),
        ([[1, 2, 0]], (), {70000: "of another file"}, [3, 4, 5], 3),
    ],
    ids=["after the last", "after a lock", "classes without a voxel", "gaps", "beyond the type"],
)
def test_new_labels_take_no_number_that_stands_for_something(labels, locked, names, new, lowest):
    scene = Scene(np.array(labels, np.uint8), SPACING, locked=frozenset(locked), names=names)
    numbers = scene.new_numbers()
    assert [next(numbers) for _ in new] == new
    assert scene.first_free() == lowest


def test_where_all_numbers_are_taken_there_is_no_new_label():
    scene = Scene(np.arange(256, dtype=np.uint8).reshape(2, 128), SPACING)
    with pytest.raises(EditError, match="uint8 go up to 255, and all numbers are taken"):
        next(scene.new_numbers())


def test_titles_name_labels():
    scene = Scene(LABELS, SPACING, selected=(2, 0, 2), names={2: "liver"})
    assert scene.selected == (2,)
    assert scene.named() == "liver"
    assert scene.named((5,)) == "label 5"
    assert scene.named((2, 5)) == "2 labels"
    assert Scene(LABELS, SPACING).named() == "all labels"


def test_a_change_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="do not fit the box"):
        Change(BOX, LABELS, LABELS)
