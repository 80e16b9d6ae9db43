"""Regions where two arrays of labels differ; scikit-image's components as the judge."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import label as components_of

from napari_monai.errors import EditError, VolumeError
from napari_monai.events import BlockDone, Started
from napari_monai.labels import proposals, runs
from napari_monai.labels.pairs import numbered_like, shared
from napari_monai.labels.proposals import accept, accepted, differences
from napari_monai.labels.scene import Region, Scene

SHAPES = st.one_of(
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=8),
    arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
)


@st.composite
def two(draw):
    shape = draw(SHAPES)
    values = st.sampled_from([0, 0, 1, 2])
    return tuple(draw(arrays.arrays(np.uint8, shape, elements=values)) for _ in range(2))


def _regions(labels, proposed, connectivity):
    """Return the regions by brute force: the old and the new label, and where."""
    found = set()
    for old in range(3):
        for new in range(3):
            mask = (labels == old) & (proposed == new) & (old != new)
            parts = components_of(mask, connectivity=connectivity)
            for number in range(1, parts.max() + 1):
                found.add((old, new, tuple(np.flatnonzero(parts == number).tolist())))
    return found


@settings(max_examples=60, deadline=None)
@given(two(), st.sampled_from([1, 2, None]))
def test_regions_are_connected_differences(pair, connectivity):
    labels, proposed = pair
    spacing = (2.0, 0.5, 1.5)[: labels.ndim]
    unsure = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    found = differences(
        labels, proposed, spacing=spacing, uncertainty=unsure, connectivity=connectivity
    )
    known = _regions(labels, proposed, connectivity or labels.ndim)
    seen = set()
    for one in found.regions:
        where = np.zeros(labels.shape, bool)
        where[one.box] = found.mask(one.number)
        places = np.argwhere(where)
        assert tuple(s.start for s in one.box) == tuple(places.min(axis=0))
        assert tuple(s.stop for s in one.box) == tuple(places.max(axis=0) + 1)
        assert one.voxels == len(places)
        assert one.volume == pytest.approx(len(places) * np.prod(spacing))
        assert where[one.at]
        assert one.uncertainty == pytest.approx(unsure[where].mean())
        seen.add((one.old, one.new, tuple(np.flatnonzero(where).tolist())))
    assert len(found) == len(known)
    assert seen == known
    assert found.voxels == np.count_nonzero(labels != proposed)


@pytest.mark.parametrize("many", [0, 1000], ids=["slab-by-slab", "one-by-one"])
@settings(max_examples=30, deadline=None)
@given(two(), st.data())
def test_accepting_all_or_some(many, pair, data):
    labels, proposed = pair
    found = differences(labels, proposed, spacing=(1,) * labels.ndim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proposals, "_MANY", many)
        _accept_all_or_some(labels, proposed, found, data)


def _accept_all_or_some(labels, proposed, found, data):
    scene, before = Scene(labels, (1,) * labels.ndim), labels.copy()
    result = labels.copy()
    accepted(found, scene).apply(result)
    np.testing.assert_array_equal(result, proposed)
    numbers = [one.number for one in found.regions]
    some = set(data.draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else [])
    result = labels.copy()
    accepted(found, scene, numbers=some).apply(result)
    wanted = labels.copy()
    for one in found.regions:
        if one.number in some:
            wanted[one.box][found.mask(one.number)] = one.new
    np.testing.assert_array_equal(result, wanted)
    np.testing.assert_array_equal(labels, before)
    rest = found.without(some)
    assert {one.number for one in rest.regions} == set(numbers) - some


LABELS = np.array([[1, 1, 0, 0, 2], [1, 1, 0, 0, 2], [0, 0, 0, 3, 3]], np.uint8)
PROPOSED = np.array([[1, 0, 0, 0, 2], [1, 0, 4, 0, 3], [0, 0, 0, 3, 3]], np.uint8)


def _found(**told):
    return differences(LABELS, PROPOSED, spacing=(1, 2), **told)


def test_what_a_region_says():
    assert [(r.number, r.old, r.new, r.voxels, r.volume) for r in _found().regions] == [
        (1, 1, 0, 2, 4.0),
        (2, 0, 4, 1, 2.0),
        (3, 2, 3, 1, 2.0),
    ]
    assert _found().regions[0].uncertainty is None


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        pytest.param({"min_volume": 4}, [1], id="small"),
        pytest.param({"min_volume": 2}, [1, 2, 3], id="just-reached"),
        pytest.param({"values": [3]}, [(2, 3)], id="coming"),
        pytest.param({"values": [1, 2]}, [(1, 0), (2, 3)], id="going"),
    ],
)
def test_only_what_was_asked_for(told, numbers):
    found = _found(**told).regions
    pairs = isinstance(numbers[0], tuple)
    assert [(r.old, r.new) if pairs else r.number for r in found] == numbers


def test_order():
    unsure = np.zeros(LABELS.shape)
    unsure[1, 2], unsure[1, 4] = 0.5, 0.7
    found = _found(uncertainty=unsure)
    assert [r.number for r in found.ordered("size")] == [1, 2, 3]
    assert [r.number for r in found.ordered("uncertainty")] == [3, 2, 1]
    assert [r.number for r in found.without([1]).ordered("place")] == [2, 3]


@pytest.mark.parametrize("many", [0, 1000], ids=["slab-by-slab", "one-by-one"])
def test_locked_labels_stay_and_it_is_said(monkeypatch, many):
    monkeypatch.setattr(proposals, "_MANY", many)
    scene = Scene(LABELS, (1, 2), locked=frozenset([1, 4]))
    edit = accepted(_found(), scene)
    result = LABELS.copy()
    edit.apply(result)
    assert np.argwhere(result != LABELS).tolist() == [[1, 4]]
    assert edit.title == "Accept 3 proposals"
    assert edit.notes == ("3 voxels are locked, outside of the region or changed, and stay.",)


def test_only_in_the_region():
    region = Region(np.s_[0:1, 0:5], np.ones((1, 5), bool))
    edit = accepted(_found(), Scene(LABELS, (1, 2), region=region))
    result = LABELS.copy()
    edit.apply(result)
    assert np.argwhere(result != LABELS).tolist() == [[0, 1]]


@pytest.mark.parametrize("many", [0, 1000], ids=["slab-by-slab", "one-by-one"])
def test_what_a_hand_has_changed_since_stays(monkeypatch, many):
    monkeypatch.setattr(proposals, "_MANY", many)
    now = LABELS.copy()
    now[0, 1] = 9
    result = now.copy()
    accepted(_found(), Scene(now, (1, 2)), numbers=[1]).apply(result)
    assert (result[0, 1], result[1, 1]) == (9, 0)


def test_steps_and_closing():
    events = list(accept(_found(), Scene(LABELS, (1, 2)), numbers=[3, 1]))
    assert events[:3] == [Started(2, "regions"), BlockDone(1, 2), BlockDone(2, 2)]
    assert events[3].edit.voxels == 3


def test_slab_by_slab_from_zarr(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)
    rng = np.random.default_rng(1)
    labels, proposed = (rng.integers(0, 3, (7, 6, 5)).astype(np.uint8) for _ in range(2))
    kept = zarr.create_array(tmp_path / "labels.zarr", data=labels, chunks=(2, 3, 5))
    found = differences(kept, proposed, spacing=(1, 1, 1), uncertainty=proposed / 2)
    whole = differences(labels, proposed, spacing=(1, 1, 1), uncertainty=proposed / 2)
    assert len(found) == len(_regions(labels, proposed, 3))
    assert [r.uncertainty for r in found.regions] == [r.uncertainty for r in whole.regions]
    result = labels.copy()
    monkeypatch.setattr(proposals, "_MANY", 0)
    accepted(found, Scene(kept, (1, 1, 1))).apply(result)
    np.testing.assert_array_equal(result, proposed)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(
            lambda: differences(LABELS, PROPOSED[:2], spacing=(1, 1)),
            VolumeError, "cannot be compared", id="shapes",
        ),
        pytest.param(
            lambda: differences(LABELS, PROPOSED, spacing=(1, 1, 1)),
            VolumeError, "Spacing", id="spacing",
        ),
        pytest.param(
            lambda: _found(uncertainty=np.zeros((2, 2))), VolumeError, "Uncertainty", id="map"
        ),
        pytest.param(
            lambda: _found().without([2]).mask(2), EditError, "Proposal 2 is not open", id="decided"
        ),
        pytest.param(
            lambda: accepted(_found(), Scene(LABELS.T, (1, 1))), EditError, r"not \(5, 3\)",
            id="other-labels",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call()


class TestPairs:
    @settings(max_examples=40, deadline=None)
    @given(two())
    def test_shared_voxels(self, pair):
        found = shared(*pair)
        known = {}
        for place in np.ndindex(pair[0].shape):
            key = (int(pair[0][place]), int(pair[1][place]))
            if key != (0, 0):
                known.setdefault(key, []).append(place)
        rows = zip(found.one, found.other, found.voxels, found.centre, strict=True)
        seen = {(int(a), int(b)): (int(n), c) for a, b, n, c in rows}
        assert seen.keys() == known.keys()
        for key, places in known.items():
            assert seen[key][0] == len(places)
            assert seen[key][1] == pytest.approx(np.mean(places, axis=0))

    @pytest.mark.parametrize(
        ("labels", "known", "result"),
        [
            pytest.param([5, 5, 0, 6], [1, 1, 0, 2], [1, 1, 0, 2], id="the-same"),
            pytest.param([1, 1, 0, 2], [2, 2, 0, 1], [2, 2, 0, 1], id="swapped"),
            pytest.param([1, 1, 0, 2], [7, 7, 0, 0], [7, 7, 0, 8], id="a-new-one"),
            pytest.param([1, 1, 1, 1], [1, 1, 2, 2], [3, 3, 3, 3], id="half-is-not-enough"),
            pytest.param([1, 1, 1, 0], [9, 9, 0, 0], [9, 9, 9, 0], id="two-thirds"),
            pytest.param([0, 0, 0, 0], [9, 9, 0, 0], [0, 0, 0, 0], id="nothing"),
            pytest.param([1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], id="nothing-known"),
            pytest.param([1, 1, 2, 0], [0, 70000, 70000, 70000], [70001, 70001, 70002, 0],
                         id="large-numbers"),
        ],
    )  # fmt: skip
    def test_objects_keep_their_numbers(self, labels, known, result):
        arrays = (np.array([row], np.uint8) for row in [labels])
        found = numbered_like(next(arrays), np.array([known], np.int32))
        assert found.tolist() == [result]

    def test_a_mask_is_one_object(self):
        mask = np.array([[True, False]])
        assert numbered_like(mask, np.array([[7, 0]])).tolist() == [[7, 0]]

    def test_an_object_has_one_partner(self):
        with pytest.raises(VolumeError, match=r"0\.3"):
            numbered_like(LABELS, LABELS, least=0.3)
