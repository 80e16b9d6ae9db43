"""Intensities in labels: numpy and scikit-image as judges."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import regionprops

from napari_monai.errors import VolumeError
from napari_monai.labels import runs
from napari_monai.labels.intensities import intensities

PERCENTILES = (0, 5, 50, 73, 100)


def _check(labels, image, found):
    for row, one in enumerate(regionprops(labels, intensity_image=image)):
        values = image[labels == one.label].astype(float)
        assert found.mean[row] == pytest.approx(one.intensity_mean)
        assert found.deviation[row] == pytest.approx(values.std(), abs=1e-9)
        assert (found.minimum[row], found.maximum[row]) == (values.min(), values.max())
        assert found.percentiles[row] == pytest.approx(np.percentile(values, PERCENTILES))


@pytest.mark.parametrize("thin", [False, True], ids=["at-once", "slab-by-slab"])
@settings(max_examples=40)
@given(
    labels=arrays.arrays(
        np.uint8,
        st.one_of(
            arrays.array_shapes(min_dims=2, max_dims=2, max_side=8),
            arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
        ),
        elements=st.sampled_from([0, 1, 2, 200]),
    ),
    dtype=st.sampled_from([np.int16, np.uint8, np.float32]),
)
def test_any_labels(thin, labels, dtype):
    rng = np.random.default_rng(labels.size)
    image = rng.integers(0, 200, labels.shape).astype(dtype)
    numbers, voxels = np.unique(labels[labels > 0], return_counts=True)
    usual, runs.PART = runs.PART, 1 if thin else runs.PART
    try:
        found = intensities(labels, image, numbers, voxels, percentiles=PERCENTILES)
    finally:
        runs.PART = usual
    _check(labels, image, found)


def test_deviation_far_from_zero(monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)
    image = 1e9 + np.array([[1.0, 2.0], [3.0, 4.0]])
    found = intensities(np.ones((2, 2), np.uint8), image, np.array([1]), np.array([4]))
    assert found.deviation[0] == pytest.approx(np.sqrt(1.25), rel=1e-6)
    assert found.percentiles.shape == (1, 0)


def test_an_image_in_a_store_and_one_of_yes_and_no(tmp_path):
    labels = np.repeat(np.arange(4, dtype=np.uint16), 6).reshape(4, 6)
    image = np.random.default_rng(0).random(labels.shape) > 0.5
    kept = zarr.create_array(tmp_path / "image.zarr", data=image, chunks=(2, 3))
    numbers, voxels = np.arange(1, 4), np.full(3, 6)
    found = intensities(labels, kept, numbers, voxels, percentiles=PERCENTILES)
    _check(labels, image.astype(np.uint8), found)


@pytest.mark.parametrize(
    ("image", "message"),
    [(np.zeros((2, 3)), "does not fit"), (np.zeros((2, 2), complex), "real numbers")],
    ids=["shape", "complex"],
)
def test_what_does_not_fit_is_said(image, message):
    with pytest.raises(VolumeError, match=message):
        intensities(np.ones((2, 2), int), image, np.array([1]), np.array([4]))


def test_unknown_and_infinite_intensities():
    labels = np.array([[1, 1, 1, 2, 2, 3]], np.uint8)
    image = np.array([[1.0, np.nan, 3.0, 2.0, np.inf, 5.0]], np.float32)
    numbers, voxels = np.array([1, 2, 3]), np.array([3, 2, 1])
    found = intensities(labels, image, numbers, voxels, percentiles=(0, 50))
    np.testing.assert_array_equal(found.mean, [np.nan, np.inf, 5])
    np.testing.assert_array_equal(found.deviation[[0, 2]], [np.nan, 0])
    np.testing.assert_array_equal(found.percentiles, [[np.nan, np.nan], [2, np.inf], [5, 5]])
