"""Operations that shape, combine and cut labels, as they are run: in boxes, slices, regions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_monai.errors import EditError
from napari_monai.labels import boxes, edits
from napari_monai.labels.combine import combine
from napari_monai.labels.edit_shape import clusters
from napari_monai.labels.edits import Region, Scene
from napari_monai.labels.lasso import inside_polygon
from napari_monai.labels.morphology import closing, dilate, erode, opening
from napari_monai.labels.nearest import parted, spread
from napari_monai.labels.operations import edit_labels, operation, run
from napari_monai.labels.rows_shape import ROWS_SHAPE
from napari_monai.labels.smooth import smooth

from .scenes import edit_of, edited, picture, scenes, stored

ALONE = ("smooth", "open", "close", "dilate", "erode", "expand")
DISTANCE = {"smooth": "sigma", "open": "radius", "close": "radius"}
FUNCTIONS = {"open": opening, "close": closing, "dilate": dilate, "erode": erode, "expand": spread}


def _called(name, distance):
    return {DISTANCE.get(name, "distance"): distance}


def _pure(name, labels, distance, spacing, values):
    if name == "smooth":
        return smooth(labels, sigma=distance, spacing=spacing, values=values)
    return FUNCTIONS[name](labels, distance=distance, spacing=spacing, values=values)


@st.composite
def full_scenes(draw):
    """Draw scenes that have all that an operation may need."""
    scene = draw(scenes())
    axis = draw(st.integers(0, scene.ndim - 1))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    square = np.zeros((4, scene.ndim))
    square[:, -2:] = [(-0.5, -0.5), (-0.5, 2.5), (1.5, 2.5), (1.5, -0.5)]
    return dataclasses.replace(
        scene,
        spacing=(2.0, 1.0, 0.5)[-scene.ndim :],
        image=random.random(scene.shape),
        other=random.integers(0, 5, scene.shape).astype(scene.dtype),
        lines=(square,),
        plane=(axis, draw(st.integers(0, scene.shape[axis] - 1))),
        region=scene.region or Region(scene.box, np.ones(scene.shape, bool)),
    )


@pytest.mark.parametrize("row", ROWS_SHAPE, ids=lambda row: row.name)
def test_rows_say_what_a_form_and_a_command_line_need(row):
    kind = row.settings_type()
    assert kind.from_json(kind().to_json()) == kind()
    assert row.help.endswith(".")
    for item in kind.options():
        assert item.help.endswith(".")
        assert item.default is None or isinstance(item.default, item.type)


@pytest.mark.parametrize("row", ROWS_SHAPE, ids=lambda row: row.name)
@settings(max_examples=25)
@given(scene=full_scenes(), data=st.data())
def test_locks_and_region_hold_whatever_is_asked_for(row, scene, data):
    told = {"lower": 0.4} if row.name == "threshold" else {}
    for item in row.settings_type().options():
        if item.choices:
            told[item.name] = data.draw(st.sampled_from(item.choices))
        elif item.type is bool:
            told[item.name] = data.draw(st.booleans())
    if row.name == "clear-outside":
        result = np.array(scene.labels)
        edit_of(run(row.name, scene)).apply(result)
        before = np.array(scene.labels)
        inside = scene.region.inside(boxes.whole(scene.shape))
        chosen = np.isin(before, scene.targets()) & ~inside
        np.testing.assert_array_equal(result, np.where(chosen, 0, before))
        return
    try:
        edited(scene, row.name, **told)
    except EditError as error:
        assert any(word in str(error) for word in ("locked", "no previous", "no next"))  # noqa: PT017


@pytest.mark.parametrize("name", ALONE)
@settings(max_examples=30)
@given(scene=scenes(regions=False), distance=st.sampled_from([0.5, 1.0, 2.1]))
def test_in_boxes_as_in_one_piece(name, scene, distance):
    scene = dataclasses.replace(scene, locked=frozenset(), spacing=(2.0, 1.0, 0.5)[-scene.ndim :])
    if name in ("close", "smooth"):
        # One label: what one has filled is there for the next; smoothing has an order of its own.
        scene = dataclasses.replace(scene, selected=scene.selected[:1] or (1,))
    values = scene.targets()
    result = edited(scene, name, **_called(name, distance))
    expected = _pure(name, scene.labels, distance, scene.spacing, values)
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=40)
@given(
    scene=scenes(),
    gap=st.booleans(),
    extent=st.sampled_from(["volume", "slice", "slices"]),
    data=st.data(),
)
def test_slab_by_slab_as_in_one_piece(scene, gap, extent, data):
    plane = (0, data.draw(st.integers(0, scene.shape[0] - 1)))
    scene = dataclasses.replace(scene, plane=plane)
    told = {"distance": 1.5, "gap": gap, "extent": extent}
    whole = edited(scene, "expand", **told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "SLAB", 1)
        patch.setattr(edits, "_TILES", {2: (2, 2), 3: (2, 2, 2)})
        np.testing.assert_array_equal(edited(scene, "expand", **told), whole)


@pytest.mark.parametrize("kind", ["memmap", "zarr"])
@pytest.mark.parametrize("row", ROWS_SHAPE, ids=lambda row: row.name)
def test_stored_labels_as_those_in_memory(row, kind, tmp_path):
    rng = np.random.default_rng(7)
    labels = (rng.integers(1, 4, (6, 8, 9)) * (rng.random((6, 8, 9)) < 0.4)).astype(np.uint16)
    other = rng.integers(0, 5, labels.shape).astype(np.uint16)
    scene = Scene(
        labels,
        (2.0, 1.0, 1.0),
        selected=(1, 2),
        image=other,
        other=other,
        plane=(1, 3),
        lines=(np.array([(3, -1, -1), (3, 5.5, -1), (3, 5.5, 5.5), (3, -1, 4.5)]),),
        region=None
        if row.name != "clear-outside"
        else Region((slice(1, 5), slice(0, 8), slice(2, 9)), rng.random((4, 8, 7)) < 0.5),
    )
    array = stored(labels, kind, tmp_path)
    edit = edit_of(run(row.name, dataclasses.replace(scene, labels=array)))
    assert edit.voxels
    result = labels.copy()
    edit_of(run(row.name, scene)).apply(result)
    np.testing.assert_array_equal(array[...], labels)
    edit.apply(array)
    np.testing.assert_array_equal(array[...], result)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ALONE)
def test_in_the_slice_only(name, axis):
    rng = np.random.default_rng(2)
    blob = np.linalg.norm(np.indices((9, 10, 11)) - 5.0, axis=0) < 4
    labels = np.where(blob & (rng.random(blob.shape) < 0.8), 3, 0).astype(np.uint8)
    spacing = (3.0, 1.0, 0.7)
    scene = Scene(labels, spacing, plane=(axis, 5), selected=(3,))
    told = _called(name, 1.1)
    result = edited(scene, name, extent="slice", **told)
    flat = np.delete(spacing, axis)
    expected = np.moveaxis(labels.copy(), axis, 0)
    expected[5] = _pure(name, expected[5], 1.1, flat, [3])
    np.testing.assert_array_equal(np.moveaxis(result, axis, 0), expected)
    assert (result != labels).any()
    if name != "smooth":  # which keeps the volume of all slices together
        result = edited(scene, name, extent="slices", **told)
        expected = [_pure(name, s, 1.1, flat, [3]) for s in np.moveaxis(labels, axis, 0)]
        np.testing.assert_array_equal(np.moveaxis(result, axis, 0), expected)


@pytest.mark.parametrize(
    ("name", "before", "told", "after"),
    [
        pytest.param("expand", "1000002", {"distance": 2}, "1110222", id="expand"),
        pytest.param("expand", "1000002", {}, "1111222", id="expand-all"),
        pytest.param("expand", "1000002", {"gap": True}, "1111022", id="expand-gap"),
        pytest.param("expand", "1002", {"gap": True, "selected": [2]}, "1022", id="gap-of-one"),
        pytest.param("dilate", "00100 00000", {"distance": 1, "locked": [2]}, "01110 00100",
                     id="dilate"),
        pytest.param("erode", "11011", {"distance": 1, "locked": [1]}, "11011", id="locked"),
        pytest.param("threshold", "01200", {"lower": 1, "upper": 2}, "01200", id="under"),
        pytest.param("threshold", "00000", {"lower": 1, "upper": 2}, "01100", id="threshold"),
        pytest.param("threshold", "00000", {"selected": [4], "lower": 3}, "00044", id="selected"),
        pytest.param("threshold", "00000", {}, "00011", id="otsu"),
        pytest.param("threshold", "22222", {"upper": 1, "over": True, "into": 5}, "55222",
                     id="below"),
        pytest.param("combine", "12000", {}, "12033", id="or"),
        pytest.param("combine", "12000", {"new_numbers": True}, "12055", id="new-numbers"),
        pytest.param("combine", "12012", {"how": "minus", "selected": [2]}, "12010", id="minus"),
        pytest.param("combine", "12012", {"how": "minus", "locked": [2]}, "02002", id="locked-one"),
        pytest.param("lasso", "11122 11122", {}, "11002 11122", id="lasso"),
        pytest.param("lasso", "11122 11122", {"selected": [1]}, "11022 11122", id="lasso-one"),
        pytest.param("lasso", "11122 11122", {"action": "keep"}, "00120 00000", id="lasso-keep"),
        pytest.param("lasso", "11122 11122", {"action": "relabel"}, "11332 11122", id="relabel"),
        pytest.param("lasso", "11122 11122", {"action": "relabel", "into": 7}, "11772 11122",
                     id="relabel-into"),
    ],
)  # fmt: skip
def test_literal(name, before, told, after):
    labels = picture(before)
    rows, columns = labels.shape
    image = np.tile([0.0, 1.0, 2.0, 7.0, 8.0], (rows, 2))[:, :columns]
    other = np.tile([1, 0, 0, 3, 3], (rows, 2))[:, :columns]
    result = edit_labels(
        labels,
        name,
        spacing=(1, 1),
        image=image,
        other=other,
        lines=[[(-0.5, 1.5), (-0.5, 3.5), (0.5, 3.5), (0.5, 1.5)]],
        **told,
    )
    np.testing.assert_array_equal(result, picture(after))


def test_a_gap_parts_what_has_met_and_nothing_else():
    rng = np.random.default_rng(0)
    seeds = rng.integers(1, 9, (30, 30)) * (rng.random((30, 30)) < 0.02)
    full = spread(seeds, distance=None, spacing=(1, 1))
    apart = parted(full, seeds, spacing=(1, 1))
    for axis in (0, 1):
        one, two = np.moveaxis(apart, axis, 0)[:-1], np.moveaxis(apart, axis, 0)[1:]
        old = np.moveaxis(seeds, axis, 0)
        met = (one != two) & (one != 0) & (two != 0)
        assert not (met & ((old[:-1] == 0) | (old[1:] == 0))).any()
    assert (apart[seeds != 0] == seeds[seeds != 0]).all()
    assert 0.5 < (apart != 0).mean() < 1


@pytest.mark.parametrize(
    ("told", "after"),
    [
        pytest.param({}, "00/12/12/30", id="next"),
        pytest.param({"to": "previous"}, "12/12/04/30", id="previous"),
        pytest.param({"slices": 2, "clear": False}, "00/12/14/32", id="two"),
        pytest.param({"slices": 2, "over": True}, "00/12/12/12", id="two-over"),
    ],
)
def test_copy_slice(told, after):
    scene = Scene(picture("00/12/04/30"), (3.0, 1.0, 1.0), plane=(0, 1))
    np.testing.assert_array_equal(edited(scene, "copy-slice", **told), picture(after))


def test_copy_slice_says_where_the_volume_ends():
    scene = Scene(picture("00/12/04"), (3.0, 1.0, 1.0), plane=(0, 1))
    settings_ = operation("copy-slice").settings_type()(slices=4)
    assert edit_of(run("copy-slice", scene, settings_)).notes == (
        "1 of 4 slices: the volume ends there.",
    )


def test_the_lasso_goes_straight_through_the_volume():
    labels = np.ones((7, 8, 9), np.uint8)
    # Drawn on a canvas that looks down the diagonal of the first two axes.
    outline = np.array([(0, 4.3, 2.5), (0, 4.3, 5.5), (3.3, 1, 5.5), (3.3, 1, 2.5)], float)
    spacing = (1.0, 1.0, 2.0)
    result = edit_labels(labels, "lasso", spacing=spacing, lines=[outline])
    inside = inside_polygon(labels.shape, outline, spacing=spacing, direction=(1, 1, 0))
    np.testing.assert_array_equal(result == 0, inside)
    assert 0 < inside.sum() < inside.size / 2
    flat = edit_labels(
        labels, "lasso", spacing=spacing, lines=[outline], plane=(0, 4), extent="slice"
    )
    np.testing.assert_array_equal(flat[4], result[4])
    assert np.delete(flat, 4, axis=0).all()


@pytest.mark.parametrize(
    ("name", "told", "says"),
    [
        pytest.param("smooth", {"extent": "slice"}, "Show a slice", id="no-slice"),
        pytest.param("erode", {"extent": "slice", "plane": (0, 9)}, "no slice 9", id="beyond"),
        pytest.param("copy-slice", {"plane": (0, 1)}, "no next slice", id="last-slice"),
        pytest.param("threshold", {"image": 1, "into": 300}, "uint8", id="number"),
        pytest.param("threshold", {"image": 1, "into": 2, "locked": [2]}, "2 is locked", id="lock"),
        pytest.param("threshold", {"image": 1}, "no contrast", id="flat"),
        pytest.param(
            "threshold", {"image": 1, "lower": 3, "upper": 2}, "exchange its ends", id="range"
        ),
        pytest.param("lasso", {"lines": [[(0, 0, 0), (1, 1, 1)]]}, "three points", id="line"),
        pytest.param("lasso", {"lines": [[(0, 0, 0), (1, 1, 1), (2, 2, 2)]]}, "is a line",
                     id="flat-outline"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_at_once(name, told, says):
    labels = np.ones((2, 3, 4), np.uint8)
    told = dict(told)
    if "image" in told:
        told["image"] = np.zeros(labels.shape)
    with pytest.raises(EditError, match=says):
        edit_labels(labels, name, spacing=(1, 1, 1), **told)


def test_notes_tell_what_went_and_what_was_too_short():
    scene = Scene(picture("10220 00222"), (1.0, 1.0), unit="mm", names={1: "cyst"})
    kind = operation("erode").settings_type()
    edit = edit_of(run("erode", scene, kind(distance=1)))
    assert edit.notes == ("Cyst is removed: thinner than the distance.",)
    for name in ("erode", "dilate", "expand"):
        kind = operation(name).settings_type()
        edit = edit_of(run(name, scene, kind(distance=0.5)))
        assert edit.notes == ("0.5 mm is less than a voxel: nothing changes.",)
        assert not edit.changes


def test_smoothing_two_that_touch_is_one_piece_of_work_and_two_that_do_not_are_two():
    near = {1: (slice(0, 9), slice(0, 9)), 2: (slice(8, 20), slice(8, 20))}
    far = {**near, 3: (slice(60, 70), slice(0, 12))}
    groups = clusters(far, (80, 40))
    assert groups == [
        ((1, 2), (slice(0, 20), slice(0, 20))),
        ((3,), (slice(60, 70), slice(0, 12))),
    ]
    labels = np.zeros((80, 40), np.uint8)
    labels[2:9, 2:9], labels[9:15, 3:9], labels[60:66, 3:9] = 1, 2, 3
    rough = np.where(np.random.default_rng(0).random(labels.shape) < 0.8, labels, 0)
    result = edit_labels(rough, "smooth", spacing=(1, 1), sigma=1.0)
    np.testing.assert_array_equal(result, smooth(rough, sigma=1.0, spacing=(1, 1)))
    np.testing.assert_array_equal(np.bincount(result.ravel()), np.bincount(rough.ravel()))


@pytest.mark.parametrize("name", ALONE)
def test_closing_the_events_leaves_no_trace(name):
    labels = picture("1020 2000 0030")
    events = run(name, Scene(labels, (1.0, 1.0)))
    next(events)
    next(events)
    events.close()
    np.testing.assert_array_equal(labels, picture("1020 2000 0030"))


def test_combined_numbers_that_do_not_fit_are_refused():
    other = np.array([[0, 300]])
    with pytest.raises(EditError, match="uint8 hold numbers"):
        edit_labels(picture("10"), "combine", spacing=(1, 1), other=other)
    assert combine(picture("10"), other, how="or").tolist() == [[1, 300]]
    large = np.array([[0, 2**63 + 5]], np.uint64)
    with pytest.raises(EditError, match=f"not {2**63 + 5}: convert"):
        edit_labels(picture("10"), "combine", spacing=(1, 1), other=large)
