"""Smoothing: SciPy's Gaussian as a judge, and what must hold of any labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.errors import EditError
from napari_monai.labels.smooth import blurred, margin, smooth

from .pictures import labels, spacings
from .scenes import picture

SIGMAS = st.sampled_from([0.0, 0.4, 1.0, 2.5])
CASES = labels(highest=3).flatmap(lambda a: st.tuples(st.just(a), spacings(a.ndim), SIGMAS))

FLAT = labels(ndim=2).flatmap(lambda a: st.tuples(st.just(a), spacings(2), SIGMAS))


def _ball(shape, centre, radius, spacing):
    grid = np.indices(shape)
    place = zip(grid, centre, spacing, strict=True)
    return sum(((g - c) * s) ** 2 for g, c, s in place) <= radius**2


def _faces(mask):
    """Return how many pairs of neighbours a border runs through."""
    return sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in range(mask.ndim))


@settings(max_examples=40)
@given(CASES)
def test_blur_is_that_of_scipy(case):
    image, spacing, sigma = case
    sigmas = [sigma / s for s in spacing]
    expected = ndimage.gaussian_filter((image == 1).astype(np.float64), sigmas, mode="nearest")
    np.testing.assert_allclose(blurred(image == 1, sigmas), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        pytest.param("00000 00000 11111", {}, "00000 00000 11111", id="straight"),
        pytest.param("00000 00100 11011 11111", {}, "00000 00000 11111 11111", id="step"),
        pytest.param("11122 11122", {"sigma": 2}, "11122 11122", id="interface"),
        pytest.param(
            "11111 11111 22222 00000",
            {"values": [1]},
            "11111 11111 22222 00000",
            id="beside-others",
        ),
        pytest.param("000 020 000", {"values": [1]}, "000 020 000", id="not-asked-for"),
        pytest.param("010 000", {"sigma": 0}, "010 000", id="nothing"),
        pytest.param("000 000", {}, "000 000", id="empty"),
        pytest.param("111 111", {}, "111 111", id="full"),
    ],
)
def test_literal(before, told, after):
    image = picture(before)
    copy = image.copy()
    told = {"sigma": 1.0, "spacing": (1, 1), **told}
    np.testing.assert_array_equal(smooth(image, **told), picture(after))
    np.testing.assert_array_equal(image, copy)


@settings(max_examples=60)
@given(CASES)
def test_one_label_keeps_its_volume_and_the_rest_stays(case):
    image, spacing, sigma = case
    result = smooth(image, sigma=sigma, spacing=spacing, values=[2])
    assert np.count_nonzero(result == 2) == np.count_nonzero(image == 2)
    np.testing.assert_array_equal(np.isin(result, [1, 3]), np.isin(image, [1, 3]))


@settings(max_examples=60)
@given(CASES)
def test_many_labels_keep_their_volumes_where_there_is_background(case):
    image, spacing, sigma = case
    result = smooth(image, sigma=sigma, spacing=spacing)
    assert result.all() or not image.all()
    # With background enough to trade with, all of them do.
    roomy = np.pad(image, 6)
    result = smooth(roomy, sigma=sigma, spacing=spacing)
    np.testing.assert_array_equal(
        np.bincount(result.ravel(), minlength=4), np.bincount(roomy.ravel(), minlength=4)
    )


def test_a_rough_ball_becomes_round_and_touching_labels_go_on_touching():
    spacing, shape = (2.0, 1.0, 1.0), (24, 48, 48)
    rng = np.random.default_rng(5)
    ball = _ball(shape, (12, 24, 24), 17, spacing)
    clean = np.where(ball, np.where(np.arange(48) < 24, 1, 2), 0).astype(np.uint8)
    rough = clean.copy()
    border = sum(ndimage.distance_transform_edt(m, sampling=spacing) for m in (ball, ~ball)) < 2.5
    border |= (np.abs(np.arange(48) - 23.5) < 2) & ball
    flip = border & (rng.random(shape) < 0.3)
    rough[flip] = rng.integers(0, 3, np.count_nonzero(flip))
    result = smooth(rough, sigma=2.0, spacing=spacing)
    for value in (1, 2):
        clear, before, after = (_faces(x == value) for x in (clean, rough, result))
        assert clear * 0.9 < after < clear * 1.05 < before / 2
        assert np.count_nonzero(result == value) == np.count_nonzero(rough == value)
        assert ndimage.label(result == value)[1] == 1
    # No gap between the two, away from their common edge.
    assert result[_ball(shape, (12, 24, 24), 13, spacing)].all()


def test_anisotropy():
    # A blur of 2 mm is one voxel across the slices and four within them.
    image = np.zeros((9, 33, 33), np.uint8)
    image[4, 16, 16] = 1
    blur = blurred(image == 1, [2 / 2, 2 / 0.5, 2 / 0.5])
    assert blur[5, 16, 16] == pytest.approx(blur[4, 20, 16], rel=1e-4)
    assert margin(2, (2, 0.5, 0.5)) == (4, 16, 16)


@settings(max_examples=30)
@given(FLAT)
def test_infinite_spacing_keeps_slices_apart(case):
    image, spacing, sigma = case
    stack = np.stack([image, image])
    deep = smooth(stack, sigma=sigma, spacing=(math.inf, *spacing), values=[1])
    counts = [np.count_nonzero(s == 1) for s in deep]
    assert sum(counts) == 2 * np.count_nonzero(image == 1)
    other = smooth(np.stack([image, 0 * image]), sigma=sigma, spacing=(math.inf, *spacing))
    assert not other[1].any()


def test_a_crop_with_its_margin_is_as_the_whole():
    rng = np.random.default_rng(1)
    image = np.zeros((60, 70), np.uint16)
    image[20:35, 24:40] = 9 * (rng.random((15, 16)) < 0.7)
    wide = margin(1.5, (1, 1))
    box = tuple(slice(a - w, b + w) for (a, b), w in zip([(20, 35), (24, 40)], wide, strict=True))
    whole = smooth(image, sigma=1.5, spacing=(1, 1))
    np.testing.assert_array_equal(smooth(image[box], sigma=1.5, spacing=(1, 1)), whole[box])
    assert np.count_nonzero(whole) == np.count_nonzero(whole[box])


@pytest.mark.parametrize(("sigma", "spacing"), [(-1, (1, 1)), (math.inf, (1, 1)), (1, (0, 1))])
def test_what_is_no_width_is_refused(sigma, spacing):
    with pytest.raises(EditError, match=r"0 or more|above 0"):
        smooth(np.ones((2, 2), np.uint8), sigma=sigma, spacing=spacing)
