"""Erode, dilate, open, close: literal cases, SciPy's distances and brute force as judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.errors import EditError
from napari_monai.labels.distance import dilated, reach
from napari_monai.labels.morphology import closing, dilate, erode, opening
from napari_monai.labels.nearest import spread

from .pictures import labels, spacings
from .scenes import picture

DISTANCES = st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.5, 2.0, 3.3])
CASES = labels(max_side=6).flatmap(lambda a: st.tuples(st.just(a), spacings(a.ndim), DISTANCES))

FLAT, DEEP = (
    labels(max_side=6, ndim=n).flatmap(lambda a: st.tuples(st.just(a), spacings(a.ndim), DISTANCES))
    for n in (2, 3)
)


def _far(mask, spacing):
    """Return the distance of each voxel to a mask."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return ndimage.distance_transform_edt(~mask, sampling=spacing)


def _ball(distance, spacing):
    wide = [int(distance / s + 1e-6) for s in spacing]
    grid = np.meshgrid(*[np.arange(-w, w + 1) for w in wide], indexing="ij")
    return sum((g * s) ** 2 for g, s in zip(grid, spacing, strict=True)) <= distance**2 + 1e-6


@pytest.mark.parametrize(
    ("function", "before", "told", "after"),
    [
        pytest.param(dilate, "000 010 000", {}, "010 111 010", id="dilate"),
        pytest.param(dilate, "000 010 000", {"distance": 1.5}, "111 111 111", id="corners"),
        pytest.param(dilate, "00000 00100", {"spacing": (3, 0.5)}, "00000 11111", id="anisotropic"),
        pytest.param(dilate, "1020", {"distance": 5}, "1122", id="tie-goes-to-the-lower"),
        pytest.param(dilate, "2010", {"distance": 5}, "2111", id="lower-on-the-right"),
        pytest.param(dilate, "10200", {"values": [1], "distance": 9}, "11211", id="not-over"),
        pytest.param(
            dilate, "10200", {"values": [1], "distance": 9, "over": True}, "11111", id="over"
        ),
        pytest.param(
            dilate,
            "100302",
            {"values": [1, 2], "distance": 9, "over": True},
            "111222",
            id="two-over-a-third",
        ),
        pytest.param(erode, "111 111 111", {}, "111 111 111", id="erode-stays-at-the-border"),
        pytest.param(erode, "00000 11111 11111", {}, "00000 00000 11111", id="erode"),
        pytest.param(erode, "1122", {}, "1002", id="erode-each"),
        pytest.param(erode, "1122", {"values": [2]}, "1102", id="erode-one"),
        pytest.param(erode, "1110", {"spacing": (1, 0.4)}, "1000", id="erode-by-mm"),
        pytest.param(
            opening,
            "0000000 0010000 0111000 0010010 0000000",
            {},
            "0000000 0010000 0111000 0010000 0000000",
            id="open",
        ),
        pytest.param(opening, "0111 0111 0000 0100", {}, "0111 0011 0000 0000", id="open-cut"),
        pytest.param(opening, "111 111 000", {"distance": 1}, "111 111 000", id="open-at-border"),
        pytest.param(closing, "1101011 1111111", {}, "1111111 1111111", id="close-to-the-border"),
        pytest.param(
            closing, "00000 11111 00000", {"distance": 9}, "00000 11111 00000", id="unglued"
        ),
        pytest.param(closing, "101", {"distance": 1}, "111", id="close"),
        pytest.param(closing, "121", {"distance": 1}, "121", id="close-over-nothing"),
        pytest.param(closing, "1020102", {"values": [2], "distance": 2}, "1022122", id="past"),
    ],
)
def test_literal(function, before, told, after):
    image = picture(before)
    copy = image.copy()
    told = {"distance": 1, "spacing": (1, 1), **told}
    np.testing.assert_array_equal(function(image, **told), picture(after))
    np.testing.assert_array_equal(image, copy)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_millimetres_along_each_axis(axis):
    spacing = (3.0, 0.7, 1.5)
    image = np.zeros((21, 61, 41), np.uint8)
    image[10, 30, 20] = 4
    grown = dilate(image, distance=9, spacing=spacing)
    row = np.moveaxis(grown, axis, 0)
    row = row[(slice(None), *[n // 2 for n in row.shape[1:]])]
    assert row.sum() // 4 == 2 * int(9 / spacing[axis]) + 1
    assert grown.any(axis=tuple({0, 1, 2} - {axis})).sum() == row.sum() // 4


@settings(max_examples=40)
@given(CASES)
def test_dilate_and_erode_by_scipys_distances(case):
    image, spacing, distance = case
    for value in (1, 2):
        mask = image == value
        near = _far(mask, spacing) <= distance + 1e-6
        grown = dilate(image, distance=distance, spacing=spacing, values=[value], over=True)
        np.testing.assert_array_equal(grown == value, near)
        kept = mask & (_far(~mask, spacing) > distance + 1e-6)
        if not distance:
            kept = mask
        less = erode(image, distance=distance, spacing=spacing, values=[value])
        np.testing.assert_array_equal(less == value, kept)


@settings(max_examples=40)
@given(CASES)
def test_spread_by_brute_force(case):
    image, spacing, distance = case
    expected = image.copy()
    sources = np.argwhere(image)
    for place in np.argwhere(image == 0) if len(sources) else ():
        far = (((sources - place) * spacing) ** 2).sum(axis=1)
        if far.min() <= distance**2 + 1e-6:
            nearest = sources[far <= far.min() + 1e-6]
            expected[tuple(place)] = image[tuple(nearest.T)].min()
    result = spread(image, distance=distance, spacing=spacing)
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=40)
@given(CASES)
def test_spread_without_a_limit_is_the_widest_one(case):
    image, spacing, _ = case
    result = spread(image, distance=None, spacing=spacing)
    np.testing.assert_array_equal(result, spread(image, distance=1e3, spacing=spacing))
    assert result.all() or not image.any()


@settings(max_examples=40)
@given(CASES)
def test_open_and_close(case):
    image, spacing, distance = case
    told = {"distance": distance, "spacing": spacing}
    less, more = opening(image, **told), closing(image, **told)
    assert np.isin(less, [0, *np.unique(image)]).all()
    assert ((less == 0) | (less == image)).all()
    assert ((more == image) | (image == 0)).all()
    np.testing.assert_array_equal(opening(less, **told), less)
    assert (erode(image, **told)[less == 0] == 0).all()
    for value in (1, 2):
        one = np.where(image == value, image, 0)
        closed = closing(one, **told)
        np.testing.assert_array_equal(closing(closed, **told), closed)
        inside = dilate(one, **told)
        assert ((closed == 0) | (inside == value)).all()


@settings(max_examples=40)
@given(CASES)
def test_open_and_close_away_from_the_border_are_those_of_scipy(case):
    image, spacing, distance = case
    ball = _ball(distance, spacing)
    mask = np.pad(image == 1, [(n,) * 2 for n in ball.shape])
    told = {"distance": distance, "spacing": spacing}
    opened = ndimage.binary_opening(mask, ball)
    closed = ndimage.binary_closing(mask, ball)
    np.testing.assert_array_equal(opening(mask.astype(np.uint8), **told), opened)
    np.testing.assert_array_equal(closing(mask.astype(np.uint8), **told), closed)


@settings(max_examples=40)
@given(FLAT)
def test_at_the_border_all_goes_on_as_it_is_there(case):
    # Thin stacks: a volume of equal slices is treated as one slice is.
    image, spacing, distance = case
    stack = np.stack([image] * 2)
    for function in (erode, dilate, opening, closing):
        flat = function(image, distance=distance, spacing=spacing)
        deep = function(stack, distance=distance, spacing=(0.5, *spacing))
        np.testing.assert_array_equal(deep, np.stack([flat] * 2))


@settings(max_examples=40)
@given(DEEP)
def test_infinite_spacing_keeps_slices_apart(case):
    image, spacing, distance = case
    for function in (erode, dilate, opening, closing):
        flat = [function(s, distance=distance, spacing=spacing[1:]) for s in image]
        deep = function(image, distance=distance, spacing=(math.inf, *spacing[1:]))
        np.testing.assert_array_equal(deep, np.stack(flat))


@pytest.mark.parametrize("function", [erode, dilate, opening, closing])
def test_a_crop_with_its_margin_is_as_the_whole(function):
    rng = np.random.default_rng(3)
    image = np.zeros((12, 40, 40), np.uint16)
    image[3:12, 14:24, 15:26] = 700 * (rng.random((9, 10, 11)) < 0.7)
    spacing, distance = (2.0, 1.0, 0.9), 3.0
    whole = function(image, distance=distance, spacing=spacing, values=[700])
    margin = reach(distance, spacing) if function is dilate else (1, 1, 1)
    box = tuple(
        slice(max(a - m, 0), b + m)
        for a, b, m in zip((3, 14, 15), (12, 24, 26), margin, strict=True)
    )
    crop = function(image[box], distance=distance, spacing=spacing, values=[700])
    np.testing.assert_array_equal(crop, whole[box])
    outside = whole.copy()
    outside[box] = 0
    assert not outside.any()


def test_many_labels_with_large_numbers():
    image = np.zeros((1, 30), np.uint32)
    image[0, [3, 10, 20]] = 4_000_000_000, 70_000, 5
    grown = dilate(image, distance=3.5, spacing=(1, 1))
    edges = np.flatnonzero(np.diff(grown[0].astype(np.int64)))
    assert edges.tolist() == [6, 13, 16, 23]
    np.testing.assert_array_equal(np.unique(grown), np.unique(image))


@pytest.mark.parametrize(
    ("distance", "spacing"), [(-1, (1, 1)), (math.nan, (1, 1)), (math.inf, (1, 1)), (1, (0, 1))]
)
def test_what_is_no_distance_is_refused(distance, spacing):
    with pytest.raises(EditError, match=r"distance is 0 or more|above 0 along"):
        dilated(np.ones((3, 3), bool), distance=distance, spacing=spacing)
