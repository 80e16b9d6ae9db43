"""Components of classes: small literal cases, and MONAI's transforms as a judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from monai.transforms import FillHoles, KeepLargestConnectedComponent
from skimage.morphology import remove_small_objects

from napari_monai.labels.components import fill_holes, keep_largest, remove_small

IMAGES = arrays.arrays(
    np.uint8,
    st.one_of(arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), st.just((4, 5, 6))),
    elements=st.sampled_from([0, 0, 1, 1, 2]),
)


def _picture(text):
    return np.array([[int(c) for c in row] for row in text.split()], np.uint8)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        pytest.param("11011 11000 00000", {}, "11000 11000 00000", id="largest"),
        pytest.param("10010 10010", {}, "00010 00010", id="last-of-equals"),
        pytest.param("11022 00000 20001", {}, "11022 00000 00000", id="each-class"),
        pytest.param("11022 00000 20001", {"values": [2]}, "11022 00000 00001", id="one-class"),
        pytest.param("1200 0011 0000", {"together": True}, "1200 0011 0000", id="together"),
        pytest.param("110 001", {}, "110 001", id="corner"),
        pytest.param("110 001", {"connectivity": 1}, "110 000", id="face"),
        pytest.param("000 000", {}, "000 000", id="empty"),
    ],
)
def test_keep_largest(before, told, after):
    labels = _picture(before)
    copy = labels.copy()
    np.testing.assert_array_equal(keep_largest(labels, **told), _picture(after))
    np.testing.assert_array_equal(labels, copy)


@pytest.mark.parametrize(
    ("before", "size", "told", "after"),
    [
        pytest.param("11010 00000 02200", 2, {}, "11000 00000 02200", id="pixels"),
        pytest.param("11010 00000 02200", 0.5, {"voxel_size": 0.25}, "11000 00000 02200", id="mm"),
        pytest.param("111", 0.3, {"voxel_size": 0.1}, "111", id="just-reached"),
        pytest.param("1020", 2, {"values": [1]}, "0020", id="one-class"),
        pytest.param("10 01", 2, {}, "10 01", id="corner"),
        pytest.param("10 01", 2, {"connectivity": 1}, "00 00", id="face"),
        pytest.param("10 01", 0, {}, "10 01", id="nothing"),
    ],
)
def test_remove_small(before, size, told, after):
    np.testing.assert_array_equal(remove_small(_picture(before), size, **told), _picture(after))


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        pytest.param("111 101 111", {}, "111 111 111", id="hole"),
        pytest.param("111 121 111", {}, "111 121 111", id="other-class-stays"),
        pytest.param("111 121 111", {"over": True}, "111 111 111", id="over"),
        pytest.param("110 101 111", {}, "110 101 111", id="open-at-a-corner"),
        pytest.param("110 101 111", {"connectivity": 1}, "110 111 111", id="closed-by-faces"),
        pytest.param("111 101 111", {"values": [2]}, "111 101 111", id="another-class"),
    ],
)
def test_fill_holes(before, told, after):
    np.testing.assert_array_equal(fill_holes(_picture(before), **told), _picture(after))


def _monai(transform, labels):
    return np.asarray(transform(torch.from_numpy(labels.astype(np.int32))[None]))[0]


@given(IMAGES, st.sampled_from([None, 1, 2]), st.booleans())
def test_the_largest_is_that_of_monai(labels, connectivity, together):
    theirs = KeepLargestConnectedComponent(
        applied_labels=[1, 2], is_onehot=False, independent=not together, connectivity=connectivity
    )
    ours = keep_largest(labels, connectivity=connectivity, together=together)
    np.testing.assert_array_equal(ours, _monai(theirs, labels))


@given(IMAGES, st.integers(1, 6), st.sampled_from([1, 2]))
def test_the_small_are_those_of_scikit_image(labels, size, connectivity):
    ours = remove_small(labels, size, connectivity=connectivity)
    for value in (1, 2):
        theirs = remove_small_objects(labels == value, max_size=size - 1, connectivity=connectivity)
        np.testing.assert_array_equal(ours == value, theirs)


@given(IMAGES, st.sampled_from([None, 1, 2]))
def test_the_holes_are_those_of_monai(labels, connectivity):
    ours = fill_holes(labels, connectivity=connectivity, over=True)
    theirs = _monai(FillHoles(applied_labels=[1, 2], connectivity=connectivity), labels)
    np.testing.assert_array_equal(ours, theirs)
