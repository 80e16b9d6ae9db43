"""Boxes of labels: beside SciPy's find_objects, in memory and slab by slab."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage
from tests.labels.scenes import label_arrays, picture, stored

from napari_monai.labels import boxes
from napari_monai.labels.boxes import Boxes, grown, overlap, slabs, tight, whole


@given(labels=label_arrays(highest=9))
def test_boxes_are_those_of_scipy(labels):
    found = ndimage.find_objects(labels.astype(np.int32))
    expected = {v: box for v, box in enumerate(found, start=1) if box is not None}
    made = Boxes.of(labels)
    assert {v: made.get(v) for v in made.values()} == expected
    assert made.get(10) is None
    assert 10 not in made
    assert len(made) == len(expected)


@given(labels=label_arrays(highest=9))
def test_large_and_negative_numbers(labels):
    numbers = np.array([0, -3, 70_000, 5, 2**40, 2**62, 6, 7, 8, 9])
    small, large = Boxes.of(labels), Boxes.of(numbers[labels])
    assert {numbers[v]: small.get(v) for v in small.values()} == {
        v: large.get(v) for v in large.values()
    }


@pytest.mark.parametrize("kind", ["memmap", "zarr"])
def test_slab_by_slab_as_in_one_piece(kind, tmp_path, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 70, (13, 5, 4)).astype(np.uint16)
    labels[:6][labels[:6] > 40] = 0
    monkeypatch.setattr(boxes, "SLAB", 40)
    one, other = Boxes.of(labels), Boxes.of(stored(labels, kind, tmp_path))
    assert {v: one.get(v) for v in one.values()} == {v: other.get(v) for v in other.values()}


def test_include_and_look_grow_boxes():
    made = Boxes.of(picture("1000 0000 0002"))
    made.include((slice(1, 2), slice(1, 3)), [1, 3, 0])
    made.look(picture("20"), (slice(1, 2), slice(2, 4)))
    assert made.values() == (1, 2, 3)
    assert made.get(1) == (slice(0, 2), slice(0, 3))
    assert made.get(2) == (slice(1, 3), slice(2, 4))
    assert made.get(3) == (slice(1, 2), slice(1, 3))
    assert made.around([1, 3, 4]) == (slice(0, 2), slice(0, 3))
    assert made.around([4]) is None


def test_slabs_cover_a_box_and_end_with_chunks(tmp_path):
    array = stored(np.zeros((20, 4, 4), np.uint8), "zarr", tmp_path)  # chunks of 10 planes
    parts = list(slabs(array, (slice(3, 20), slice(0, 2), slice(0, 4)), voxels=8 * 12))
    assert [p[0] for p in parts] == [slice(3, 10), slice(10, 20)]
    assert all(p[1:] == (slice(0, 2), slice(0, 4)) for p in parts)
    parts = list(slabs(array, voxels=3 * 16))
    assert [p[0].stop - p[0].start for p in parts] == [3] * 6 + [2]


def test_boxes_grow_and_meet_within_the_array():
    box = (slice(1, 3), slice(4, 5))
    assert grown(box, 2, (4, 9)) == (slice(0, 4), slice(2, 7))
    assert grown(box, (0, 1), (4, 9)) == (slice(1, 3), slice(3, 6))
    assert overlap(box, (slice(2, 9), slice(0, 5))) == (slice(2, 3), slice(4, 5))
    assert overlap(box, (slice(3, 9), slice(0, 5))) is None
    assert whole((2, 3)) == (slice(0, 2), slice(0, 3))


@given(labels=label_arrays())
def test_tight_is_the_box_of_what_is_true(labels):
    found = ndimage.find_objects((labels > 0).astype(np.uint8))
    assert tight(labels > 0) == (found[0] if found else None)
