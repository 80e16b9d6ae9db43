"""Delete, merge, relabel, renumber: literal cases, and look-ups voxel by voxel as a judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.labels.scenes import edited, label_arrays, picture, scenes, stored

from napari_monai.errors import EditError, SettingsError
from napari_monai.labels import boxes, edits
from napari_monai.labels.edit_numbers import Lookup, census
from napari_monai.labels.edits import Region, Scene
from napari_monai.labels.operations import OPERATIONS, edit_labels, operation, run
from napari_monai.settings import InferenceSettings

SPACING = (1.0, 1.0)
HALF = np.array([[True, True, False, False]] * 2)


def _mapped(labels, mapping):
    return np.array([mapping.get(v, v) for v in labels.reshape(-1).tolist()]).reshape(labels.shape)


@pytest.mark.parametrize(
    ("name", "told", "after"),
    [
        pytest.param("delete", {"selected": (1, 5)}, "0023 0203", id="delete"),
        pytest.param("delete", {"selected": (9,)}, "1123 5203", id="delete-missing"),
        pytest.param("delete", {"selected": (1, 5), "locked": {5}}, "0023 5203", id="locked"),
        pytest.param("delete", {"selected": (2,), "region": HALF}, "1123 5003", id="region"),
        pytest.param("delete", {"region": HALF}, "0023 0003", id="delete-all-in-region"),
        pytest.param("merge", {"selected": (2, 3)}, "1122 5202", id="merge"),
        pytest.param("merge", {"selected": (2, 3), "into": 7}, "1177 5707", id="merge-into"),
        pytest.param("merge", {"selected": (1, 2), "into": 5}, "5553 5503", id="merge-into-there"),
        pytest.param(
            "merge", {"selected": (1, 2, 3), "locked": {1}}, "1122 5202", id="merge-locked"
        ),
        pytest.param("relabel", {"selected": (5,)}, "1123 4203", id="relabel-free"),
        pytest.param("relabel", {"selected": (5,), "to": 2}, "1123 2203", id="relabel-taken"),
        pytest.param("relabel", {"selected": (1,), "to": 3, "swap": True}, "3321 5201", id="swap"),
        pytest.param("relabel", {"selected": (1,), "to": 8, "swap": True}, "8823 5203", id="free"),
        pytest.param(
            "relabel", {"selected": (1,), "to": 4, "region": HALF}, "4423 5203", id="part"
        ),
        pytest.param("renumber", {}, "1123 4203", id="renumber"),
        pytest.param("renumber", {"order": "position"}, "1123 4203", id="by-position"),
        pytest.param("renumber", {"order": "size"}, "1123 4203", id="by-size"),
        pytest.param("renumber", {"locked": {1}}, "1123 4203", id="around-locked"),
        pytest.param("renumber", {"selected": (5, 3)}, "1123 4203", id="selected"),
    ],
)
def test_numbers(name, told, after):
    result = edit_labels(picture("1123 5203"), name, spacing=SPACING, **told)
    np.testing.assert_array_equal(result, picture(after))


def test_renumber_from_a_number():
    labels = picture("1123 5203")
    result = edit_labels(labels, "renumber", spacing=SPACING, first=10)
    np.testing.assert_array_equal(result, _mapped(labels, {1: 10, 2: 11, 3: 12, 5: 13}))


def test_renumber_by_size_and_position():
    labels = picture("4420 2222 0777")
    by = {
        order: edit_labels(labels, "renumber", spacing=SPACING, order=order)
        for order in ("number", "size", "position")
    }
    np.testing.assert_array_equal(by["number"], picture("2210 1111 0333"))
    np.testing.assert_array_equal(by["size"], picture("3310 1111 0222"))
    np.testing.assert_array_equal(by["position"], picture("1120 2222 0333"))


@pytest.mark.parametrize("per_box", [-(1 << 30), 0, 1 << 16], ids=["apart", "mixed", "at-once"])
@given(scene=scenes(), data=st.data())
def test_merge_and_delete_by_look_up(per_box, scene, data):
    there = [v for v in scene.selected if (scene.labels == v).any() and v not in scene.locked]
    free = scene.region.inside(boxes.whole(scene.shape)) if scene.region else np.True_
    into = data.draw(st.integers(1, 6).filter(lambda n: n not in scene.locked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_PER_BOX", per_box)
        if scene.selected or scene.region:
            every = set(np.unique(scene.labels).tolist()) - scene.locked
            gone = dict.fromkeys(there if scene.selected else every, 0)
            expected = np.where(free, _mapped(scene.labels, gone), scene.labels)
            np.testing.assert_array_equal(edited(scene, "delete"), expected)
        if there:
            expected = np.where(
                free, _mapped(scene.labels, dict.fromkeys(there, into)), scene.labels
            )
            np.testing.assert_array_equal(edited(scene, "merge", into=into), expected)


@pytest.mark.parametrize("per_box", [-(1 << 30), 0, 1 << 16], ids=["apart", "mixed", "at-once"])
@given(labels=label_arrays(), one=st.integers(1, 4), other=st.integers(1, 4))
def test_exchanging_twice_changes_nothing(per_box, labels, one, other):
    scene = Scene(labels, (1.0,) * labels.ndim, selected=(one,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_PER_BOX", per_box)
        once = edited(scene, "relabel", to=other, swap=True)
        there = (labels == one).any()
        np.testing.assert_array_equal(
            once, _mapped(labels, {one: other, other: one} if there else {})
        )
        if there:
            back = edited(
                replace(scene, labels=once, selected=(other,)), "relabel", to=one, swap=True
            )
            np.testing.assert_array_equal(back, labels)


@given(scene=scenes(regions=False), order=st.sampled_from(["number", "size", "position"]))
def test_renumbered_labels_are_the_same_objects(scene, order):
    result = edited(scene, "renumber", order=order)
    pairs = set(zip(scene.labels.reshape(-1).tolist(), result.reshape(-1).tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    left = {a for a, b in pairs if a in scene.locked or a not in (scene.selected or {a})}
    assert all(a == b for a, b in pairs if a in left)
    given_ = sorted(b for a, b in pairs if a and a not in left)
    taken = left | scene.locked
    assert given_ == [n for n in range(1, 100) if n not in taken][: len(given_)]
    again = edited(replace(scene, labels=result, selected=()), "renumber", order=order)
    if not scene.selected:
        np.testing.assert_array_equal(again, result)


@pytest.mark.parametrize("kind", ["memmap", "zarr"])
def test_counts_slab_by_slab(kind, tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    labels = np.sort(rng.integers(0, 70_000, 9 * 8 * 7)).reshape(9, 8, 7)[::-1].copy()
    labels[3:5] = 12
    values, index, counts = np.unique(labels, return_index=True, return_counts=True)
    monkeypatch.setattr(boxes, "SLAB", 100)
    counted = census(stored(labels, kind, tmp_path))
    there = values != 0
    assert counted.values.tolist() == values[there].tolist()
    assert counted.sizes.tolist() == counts[there].tolist()
    assert counted.first.tolist() == index[there].tolist()


@given(
    labels=label_arrays(highest=9),
    mapping=st.dictionaries(st.integers(0, 12), st.integers(0, 99), max_size=5),
)
def test_large_numbers_are_looked_up_as_small_ones_are(labels, mapping):
    expected = _mapped(labels, mapping)
    np.testing.assert_array_equal(Lookup(mapping)(labels), expected)
    far = {old + 2**40: new + 2**40 for old, new in mapping.items()}
    np.testing.assert_array_equal(Lookup(far)(labels.astype(np.int64) + 2**40), expected + 2**40)


REGION = Region((slice(0, 1), slice(0, 1)), np.ones((1, 1), bool))
SCENE = Scene(picture("1123 5203"), SPACING)


@pytest.mark.parametrize(
    ("name", "told", "settings", "said"),
    [
        pytest.param("delete", {}, {}, "select the labels", id="delete-nothing"),
        pytest.param("merge", {}, {}, "Select the labels", id="merge-nothing"),
        pytest.param("merge", {"selected": (1,)}, {}, "two labels or more", id="merge-one"),
        pytest.param(
            "merge",
            {"selected": (1, 2), "locked": frozenset({3})},
            {"into": 3},
            "locked",
            id="merge-into-locked",
        ),
        pytest.param("merge", {"selected": (1, 2)}, {"into": 256}, "uint8 hold", id="type"),
        pytest.param("relabel", {"selected": (1, 2)}, {}, "select one label", id="relabel-two"),
        pytest.param("renumber", {"region": REGION}, {}, "without one", id="renumber-region"),
        pytest.param("renumber", {}, {"first": 254}, "uint8 hold", id="renumber-type"),
    ],
)
def test_what_cannot_be_done_says_why(name, told, settings, said):
    kind = operation(name).settings_type()
    with pytest.raises(EditError, match=said):
        list(run(name, replace(SCENE, **told), kind.from_json(settings)))


def test_the_table_is_checked_before_an_operation_runs():
    with pytest.raises(EditError, match="Did you mean 'delete'"):
        run("delet", SCENE)
    with pytest.raises(EditError, match="takes Merge, not InferenceSettings"):
        run("merge", replace(SCENE, selected=(1, 2)), InferenceSettings())
    with pytest.raises(SettingsError, match="No setting named 'int'"):
        edit_labels(SCENE.labels, "merge", spacing=SPACING, selected=(1, 2), int=3)


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=OPERATIONS)
def test_every_row_leads_to_code(row):
    assert callable(row.load())
    assert row.settings_type()() is not None
    assert row.name == row.name.lower()
    assert row.help.endswith(".")
