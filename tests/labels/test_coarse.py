"""Blocks of voxels: means, and the ways back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai.labels.coarse import interpolated, pooled, spread


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param((1, 1), [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], id="as-it-is"),
        pytest.param((1, 2), [[0.5, 2.5, 4], [5.5, 7.5, 9]], id="the-last-is-narrow"),
        pytest.param((2, 3), [[3.5, 6.0]], id="both-axes"),
    ],
)
def test_means_of_blocks(step, expected):
    np.testing.assert_allclose(pooled(np.arange(10).reshape(2, 5), step), expected)


def test_blocks_are_spread_and_cut_off():
    values = np.array([[1, 2], [3, 4]])
    expected = [[1, 1, 1, 2], [1, 1, 1, 2], [3, 3, 3, 4]]
    np.testing.assert_array_equal(spread(values, (2, 3), (3, 4)), expected)


def test_between_the_middles_of_blocks_it_is_linear():
    values = np.array([0.0, 4.0, 8.0], np.float32)
    expected = [0, 0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8, 8]
    np.testing.assert_allclose(interpolated(values, (4,), (slice(0, 12),)), expected)
    np.testing.assert_allclose(interpolated(values, (4,), (slice(3, 6),)), [1.5, 2.5, 3.5])
    np.testing.assert_allclose(interpolated(values, (1,), (slice(1, 3),)), [4, 8])
