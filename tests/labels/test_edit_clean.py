"""Fill holes, remove small, keep largest: beside SciPy, label by label on the whole array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.labels.scenes import edit_of, edited, label_arrays, picture, scenes, stored

from napari_monai.events import Busy
from napari_monai.labels import boxes, components, connected, edit_clean, edits
from napari_monai.labels.edits import Region, Scene
from napari_monai.labels.operations import edit_labels, operation, run

NEIGHBOURS = {"faces": 1, "edges": 2, "corners": 3}
REACH = st.sampled_from(sorted(NEIGHBOURS))


def _structure(ndim, neighbours):
    return ndimage.generate_binary_structure(ndim, min(ndim, NEIGHBOURS[neighbours]))


def _free(scene):
    """Return which voxels may change at all."""
    free = ~np.isin(scene.labels, list(scene.locked))
    if scene.region is not None:
        free &= scene.region.inside(boxes.whole(scene.shape))
    return free


def _targets(scene):
    there = np.unique(scene.labels[scene.labels > 0]).tolist()
    return [v for v in there if v not in scene.locked and v in (scene.selected or there)]


@given(labels=label_arrays(), reach=st.integers(1, 3), piece=st.sampled_from([1, 9, 1 << 20]))
def test_components_are_those_of_scipy(labels, reach, piece):
    reach = min(reach, labels.ndim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connected, "_PIECE", piece)
        patch.setattr(boxes, "SLAB", piece)
        found = connected.components(labels, reach)
    numbers = np.full(labels.shape, -1)
    for n in range(len(found.sizes)):
        chosen = found.runs_of(np.arange(len(found.sizes)) == n)
        connected.fill_runs(numbers.reshape(-1), found.runs, chosen, n)
    structure = ndimage.generate_binary_structure(labels.ndim, reach)
    expected = np.full(labels.shape, -1)
    count = 0
    for value in np.unique(labels[labels > 0]):
        parts, n = ndimage.label(labels == value, structure)
        expected[parts > 0] = parts[parts > 0] + count - 1
        count += n
    np.testing.assert_array_equal(numbers < 0, expected < 0)
    pairs = set(zip(numbers[numbers >= 0].tolist(), expected[numbers >= 0].tolist(), strict=True))
    assert len(pairs) == count == len(found.sizes)
    firsts = [int(np.flatnonzero(numbers.reshape(-1) == n)[0]) for n in range(count)]
    assert firsts == sorted(firsts)
    assert found.sizes.tolist() == [int((numbers == n).sum()) for n in range(count)]
    assert found.values.tolist() == labels.reshape(-1)[firsts].tolist()
    assert found.boxes(labels.ndim) == ndimage.find_objects(numbers + 1)


def test_components_of_many_forms():
    """Spirals, combs and checks, whose parts meet late."""
    y, x = np.indices((40, 60))
    angle, away = np.arctan2(y - 20, x - 30), np.hypot(y - 20, x - 30)
    forms = [
        (away + angle * 5 / np.pi) % 10 < 4,
        (x % 2 == 0) | (y == 39),
        (x + y) % 2 == 0,
        np.random.default_rng(0).random((40, 60)) < 0.45,
        np.ones((40, 60), bool),
    ]
    for form in forms:
        for reach in (1, 2):
            structure = ndimage.generate_binary_structure(2, reach)
            sizes = np.bincount(ndimage.label(form, structure)[0].reshape(-1))[1:]
            found = connected.components(form.astype(np.uint8), reach)
            assert sorted(found.sizes.tolist()) == sorted(sizes.tolist())


@pytest.mark.parametrize("large", [True, False], ids=["runs", "voxels"])
@given(labels=label_arrays(highest=2), reach=st.integers(1, 3))
def test_holes_are_those_of_scipy(large, labels, reach):
    mask, reach = labels > 0, min(reach, labels.ndim)
    structure = ndimage.generate_binary_structure(mask.ndim, reach)
    expected = ndimage.binary_fill_holes(mask, structure) & ~mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "_LARGE", 0 if large else 1 << 20)
        found = components.holes(mask, reach)
        parts, _ = ndimage.label(expected, structure)
        small = np.bincount(parts.reshape(-1)) <= 1
        small[0] = False
        least = components.holes(mask, reach, most=1)
    np.testing.assert_array_equal(np.zeros_like(mask) if found is None else found, expected)
    np.testing.assert_array_equal(np.zeros_like(mask) if least is None else least, small[parts])


@pytest.mark.parametrize("scattered", [2.0, -1.0], ids=["labels", "pieces"])
@given(scene=scenes(), reach=REACH, over=st.booleans())
def test_fill_holes(scattered, scene, reach, over):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edit_clean, "_SCATTERED", scattered)
        result = edited(scene, "fill-holes", neighbours=reach, over=over)
    expected, free = scene.labels.copy(), _free(scene)
    for value in _targets(scene):
        inside = ndimage.binary_fill_holes(expected == value, _structure(expected.ndim, reach))
        expected[inside & free & ((expected == 0) | over)] = value
    np.testing.assert_array_equal(result, expected)
    if not over:
        again = edited(replace(scene, labels=result), "fill-holes", neighbours=reach)
        np.testing.assert_array_equal(again, result)


@pytest.mark.parametrize("scattered", [2.0, -1.0], ids=["labels", "pieces"])
def test_fill_holes_slice_by_slice_and_up_to_a_size(scattered, monkeypatch):
    monkeypatch.setattr(edit_clean, "_SCATTERED", scattered)
    # A tube along the first axis, open at both ends, with a hole of one and one of two voxels.
    plane = picture("11111 10101 11111 11111 10011 11111")
    labels = np.stack([plane] * 3)
    spacing = (5.0, 0.5, 2.0)
    told = {"spacing": spacing}
    np.testing.assert_array_equal(edit_labels(labels, "fill-holes", **told), labels)
    filled = edit_labels(labels, "fill-holes", in_slices=True, **told)
    assert (filled == 1).all()
    # Holes of one square unit and two: only the small ones are filled.
    small = edit_labels(labels, "fill-holes", in_slices=True, largest=1.0, **told)
    np.testing.assert_array_equal(small == 0, (labels == 0) & (np.arange(6) > 2)[:, None])
    turned = np.moveaxis(labels, 0, 2)
    shown = edit_labels(
        turned, "fill-holes", in_slices=True, largest=1.0, spacing=(0.5, 2.0, 5.0), plane=(2, 1)
    )
    np.testing.assert_array_equal(np.moveaxis(shown, 2, 0), small)


def _removed(scene, reach, choose):
    """Return the labels without the parts whose sizes are chosen."""
    expected = scene.labels.copy()
    for value in _targets(scene):
        parts, _ = ndimage.label(scene.labels == value, _structure(expected.ndim, reach))
        remove = choose(np.bincount(parts.reshape(-1)))
        remove[0] = False
        expected[remove[parts] & _free(scene)] = 0
    return expected


@pytest.mark.parametrize("per_box", [-(1 << 30), 0, 1 << 16], ids=["apart", "mixed", "at-once"])
@given(scene=scenes(), reach=REACH, size=st.integers(0, 5))
def test_remove_small(per_box, scene, reach, size):
    spaced = replace(scene, spacing=(0.5,) * scene.ndim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_PER_BOX", per_box)
        told = {"neighbours": reach}
        result = edited(scene, "remove-small", min_size=size, measure="voxels", **told)
        volume = edited(spaced, "remove-small", min_size=size * 0.5**scene.ndim, **told)
    np.testing.assert_array_equal(result, _removed(scene, reach, lambda sizes: sizes < size))
    np.testing.assert_array_equal(volume, result)
    again = replace(scene, labels=result)
    if scene.region is None:
        np.testing.assert_array_equal(
            edited(again, "remove-small", min_size=size, measure="voxels", **told), result
        )


@pytest.mark.parametrize("per_box", [-(1 << 30), 0, 1 << 16], ids=["apart", "mixed", "at-once"])
@given(scene=scenes(), reach=REACH)
def test_keep_largest(per_box, scene, reach):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_PER_BOX", per_box)
        result = edited(scene, "keep-largest", neighbours=reach)
    smaller = _removed(scene, reach, lambda sizes: sizes < sizes[1:].max(initial=0))
    np.testing.assert_array_equal(result[smaller == 0], 0)
    if scene.region is None:
        # Of several as large one is kept, with all its voxels.
        for value in _targets(scene):
            parts = [
                ndimage.label(a == value, _structure(a.ndim, reach)) for a in (result, smaller)
            ]
            sizes = [np.bincount(p.reshape(-1))[1:] for p, _ in parts]
            assert sizes[0].tolist() == [sizes[1].max()]
        others = ~np.isin(scene.labels, _targets(scene))
        np.testing.assert_array_equal(result[others], scene.labels[others])


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        pytest.param("1200 0011 0000 2200", {}, "1200 0011 0000 0000", id="all"),
        pytest.param("1200 0010 0000 2200", {"selected": (2,)}, "1000 0010 0000 2200", id="one"),
        pytest.param("1203 0011 0000 2200", {"selected": (1, 2)}, "1203 0011 0000 0000", id="two"),
        pytest.param("1200 0033 0000 2200", {"locked": {2}}, "1200 0033 0000 2200", id="locked"),
        pytest.param("13 00 22 22", {"locked": {3}}, "03 00 22 22", id="locked-part"),
    ],
)
def test_keep_largest_together(before, told, after):
    result = edit_labels(picture(before), "keep-largest", spacing=(1, 1), together=True, **told)
    np.testing.assert_array_equal(result, picture(after))


@pytest.mark.parametrize("kind", ["memmap", "zarr"])
@pytest.mark.parametrize("name", ["fill-holes", "remove-small", "keep-largest"])
def test_stored_labels_slab_by_slab_as_in_one_piece(kind, name, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    noise = ndimage.gaussian_filter(rng.standard_normal((3, 24, 20, 22)), (0, 1.5, 1.5, 1.5))
    labels = np.where(noise.max(0) > 0.04, noise.argmax(0) + 1, 0).astype(np.uint16)
    labels[2::6, 1::3, ::4] = 0
    told = {"min_size": 60.0} if name == "remove-small" else {}
    whole = edit_labels(labels, name, spacing=(1, 1, 1), **told)
    assert (whole != labels).any()
    monkeypatch.setattr(boxes, "SLAB", 900)
    monkeypatch.setattr(edits, "_TILES", {3: (8, 8, 8)})
    array = stored(labels, kind, tmp_path)
    scene = Scene(array, (1.0, 1.0, 1.0))
    edit = edit_of(run(name, scene, operation(name).settings_type().from_json(told)))
    edit.apply(array)
    np.testing.assert_array_equal(array[...], whole)
    edit.revert(array)
    np.testing.assert_array_equal(array[...], labels)
    assert all(max(boxes.shape_of(box)) <= 20 for box in edit.boxes)


def test_a_region_of_one_speck_is_looked_at_alone():
    labels = picture("1010 0000 1000 0011")
    mask = np.ones((2, 2), bool)
    scene = Scene(labels, (1.0, 1.0), region=Region((slice(2, 4), slice(0, 2)), mask))
    result = edited(scene, "remove-small", min_size=2)
    np.testing.assert_array_equal(result, picture("1010 0000 0000 0011"))


@settings(max_examples=5)
@given(scene=scenes())
def test_long_operations_can_be_cancelled_before_they_end(scene):
    events = run("remove-small", scene, operation("remove-small").settings_type()())
    before = scene.labels.copy()
    for event in events:
        if isinstance(event, Busy):
            events.close()
    np.testing.assert_array_equal(scene.labels, before)
