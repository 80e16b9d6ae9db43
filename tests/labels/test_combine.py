"""Boolean operations, thresholds and copied slices: literal cases and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.filters import threshold_otsu

from napari_monai.errors import EditError
from napari_monai.labels.combine import combine
from napari_monai.labels.slices import copied
from napari_monai.labels.threshold import otsu, threshold, within_range

from .scenes import picture

LINES = arrays.arrays(np.uint8, (12,), elements=st.integers(0, 3))


@pytest.mark.parametrize(
    ("how", "told", "after"),
    [
        pytest.param("or", {}, "1122031", id="or"),
        pytest.param("or", {"over": True}, "2121031", id="or-over"),
        pytest.param("or", {"into": 9}, "1122099", id="or-into"),
        pytest.param("or", {"shift": 5}, "1122086", id="or-with-new-numbers"),
        pytest.param("or", {"values": [1], "over": True}, "2122031", id="or-over-one"),
        pytest.param("or", {"values": [1], "same": True}, "1122001", id="or-one"),
        pytest.param("and", {}, "1122000", id="and"),
        pytest.param("and", {"same": True}, "0120000", id="and-same"),
        pytest.param("and", {"values": [1]}, "1122000", id="and-one"),
        pytest.param("minus", {}, "0000000", id="minus"),
        pytest.param("minus", {"same": True}, "1002000", id="minus-same"),
        pytest.param("minus", {"values": [2]}, "1100000", id="minus-one"),
        pytest.param("xor", {}, "0000031", id="xor"),
        pytest.param("xor", {"same": True}, "1002031", id="xor-same"),
        pytest.param("replace", {}, "2121031", id="replace"),
        pytest.param("replace", {"values": [2]}, "1121031", id="replace-one"),
        pytest.param("replace", {"values": [1], "same": True}, "0122001", id="replace-same"),
    ],
)
def test_combine(how, told, after):
    labels, other = picture("1122000"), picture("2121031")
    np.testing.assert_array_equal(combine(labels, other, how=how, **told), picture(after))
    np.testing.assert_array_equal(labels, picture("1122000"))


@settings(max_examples=60)
@given(LINES, LINES)
def test_foreground_is_that_of_python_sets(labels, other):
    a, b = set(np.flatnonzero(labels)), set(np.flatnonzero(other))
    sets = {"or": a | b, "and": a & b, "minus": a - b, "xor": a ^ b, "replace": b}
    for how, expected in sets.items():
        assert set(np.flatnonzero(combine(labels, other, how=how))) == expected
        each = combine(labels, other, how=how, same=True)
        for value in (1, 2, 3):
            a, b = set(np.flatnonzero(labels == value)), set(np.flatnonzero(other == value))
            wanted = {"and": a & b, "minus": a - b, "replace": b}.get(how)
            if wanted is not None:
                assert set(np.flatnonzero(each == value)) == wanted


def test_the_largest_numbers_are_kept_whole():
    large = np.array([[2**63 + 5, 0, 3]], np.uint64)
    for dtype in (np.uint64, np.int32, np.int64):
        found = combine(np.array([[0, 1, 0]], dtype), large, how="or")
        assert found.tolist() == [[2**63 + 5, 1, 3]]
    with pytest.raises(EditError, match=f"from -1 to {2**63 + 6}, which no type holds"):
        combine(np.array([[0, -1, 0]]), large, how="or", shift=1)


def test_numbers_that_do_not_fit_are_kept():
    added = combine(picture("10"), np.array([[0, 300]]), how="or")
    np.testing.assert_array_equal(added, [[1, 300]])


@pytest.mark.parametrize(
    ("other", "how", "says"),
    [
        pytest.param(np.zeros((2, 2), int), "or", "cannot be combined", id="shape"),
        pytest.param(np.zeros((1, 2), int), "nor", "not 'nor'", id="name"),
    ],
)
def test_what_cannot_be_combined(other, how, says):
    with pytest.raises(EditError, match=says):
        combine(picture("10"), other, how=how)


@pytest.mark.parametrize(
    ("told", "after"),
    [
        pytest.param({"lower": 3}, "001233", id="above"),
        pytest.param({"lower": 2, "upper": 3}, "001230", id="between"),
        pytest.param({"upper": 2}, "331200", id="below"),
        pytest.param({"lower": 2, "over": True}, "003333", id="over"),
        pytest.param({"lower": 4, "clear": True}, "001203", id="clear-others-stay"),
        pytest.param({"lower": 6, "clear": True, "into": 2}, "001000", id="clear"),
        pytest.param({}, "331233", id="all"),
    ],
)
def test_threshold(told, after):
    image = np.array([[0.0, 1.0, 2.0, 2.0, 3.0, 4.0]])
    told = {"into": 3, **told}
    result = threshold(picture("001200"), image, **told)
    np.testing.assert_array_equal(result, picture(after))


def test_nan_lies_in_no_range():
    image = np.array([np.nan, 1, -np.inf])
    assert within_range(image).tolist() == [False, True, True]
    assert within_range(image, lower=-5).tolist() == [False, True, False]
    with pytest.raises(EditError, match="exchange its ends"):
        within_range(image, lower=2, upper=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_otsu_is_that_of_scikit_image(dtype):
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(60, 8, 900), rng.normal(160, 20, 400)]).astype(dtype)
    image = image.reshape(10, 13, 10)
    expected = image > threshold_otsu(image)
    np.testing.assert_array_equal(within_range(image, lower=otsu(image)), expected)


def test_otsu_of_a_large_image_is_of_a_sample_and_of_a_flat_one_an_error():
    image = np.zeros((40, 300, 300), np.uint8)
    image[:, 100:] = 200
    assert 0 < otsu(image) <= 200
    with pytest.raises(EditError, match="no contrast"):
        otsu(np.full((3, 3), 7))


@pytest.mark.parametrize(
    ("told", "after"),
    [
        pytest.param({}, "1020", id="as-it-is"),
        pytest.param({"clear": False}, "1323", id="added"),
        pytest.param({"clear": False, "over": True}, "1323", id="added-over"),
        pytest.param({"values": [1]}, "1303", id="one"),
        pytest.param({"values": [2]}, "0323", id="other"),
        pytest.param({"values": [2, 1], "over": True}, "1323", id="two"),
    ],
)
def test_copied(told, after):
    result = copied(picture("1020"), picture("0303"), **told)
    np.testing.assert_array_equal(result, picture(after))


def test_copied_over_or_under():
    source, target = picture("111"), picture("021")
    assert copied(source, target, values=[1]).tolist() == [[1, 2, 1]]
    assert copied(source, target, values=[1], over=True).tolist() == [[1, 1, 1]]
