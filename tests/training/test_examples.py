"""What the network is to predict, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai.training.examples import touching


@pytest.mark.parametrize("shape", [(14, 17), (7, 8, 9)], ids=["2d", "3d"])
@pytest.mark.parametrize("seed", range(3))
def test_objects_touch_where_two_are_near(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < 0.05, rng.integers(1, 200, shape), 0)
    expected = np.zeros(shape, bool)
    for index in np.ndindex(shape):
        box = tuple(slice(max(0, i - 2), i + 3) for i in index)
        expected[index] = len(np.setdiff1d(labels[box], [0])) > 1
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(touching(labels), expected)


@pytest.mark.parametrize("labels", [np.zeros((5, 5), int), np.ones((5, 5), int)], ids=["0", "1"])
def test_one_object_or_none_touches_nothing(labels: np.ndarray) -> None:
    assert not touching(labels).any()
