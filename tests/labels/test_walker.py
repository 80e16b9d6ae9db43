"""Random walks from scribbles, against a dense solution and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import random_walker as theirs

from napari_monai.labels.walker import Progress, random_walker, walking, without_noise


def _noisy(shape, seed=0, noise=0.5):
    """Return a bright ball in noise, and where it is."""
    random = np.random.default_rng(seed)
    away = np.stack(np.indices(shape)) - np.reshape(
        [n // 2 for n in shape], (-1, *[1] * len(shape))
    )
    inside = np.linalg.norm(away, axis=0) < min(shape) / 3
    return inside + random.normal(0, noise, shape), inside


def _scribbles(shape, dtype=np.uint8):
    result = np.zeros(shape, dtype)
    result[tuple(n // 2 for n in shape)] = 1
    result[(0,) * len(shape)] = 2
    result[(-1,) * len(shape)] = 2
    return result


@pytest.mark.parametrize("shape", [(30, 36), (14, 15, 16), (30, 31, 32)], ids=str)
def test_as_scikit_image_decides(shape):
    image, inside = _noisy(shape, noise=0.1)
    scribbles = _scribbles(shape)
    ours = random_walker(image, scribbles, spacing=(1,) * len(shape), contrast=10.0)
    # Theirs divides by ten times the standard deviation, ours by its square.
    judged = theirs(image, scribbles, beta=10.0 * 10 * image.std() / image.std() ** 2, mode="cg_j",
                    tol=1e-6)  # fmt: skip
    assert (ours == judged).mean() > 0.998
    assert ((ours == 1) == inside).mean() > 0.99


def _dense(image, scribbles, spacing, contrast):
    """Solve the system as it is written down, for each label."""
    n = image.size
    laplacian = np.zeros((n, n))
    numbers = np.arange(n).reshape(image.shape)
    for axis, step in enumerate(spacing):
        a = numbers.take(range(image.shape[axis] - 1), axis).ravel()
        b = numbers.take(range(1, image.shape[axis]), axis).ravel()
        jump = (image.ravel()[a] - image.ravel()[b]) ** 2 / image.var()
        weight = (np.exp(-contrast * jump) + 1e-4) * (min(spacing) / step) ** 2
        for i, j in ((a, b), (b, a)):
            laplacian[i, j] -= weight
            laplacian[i, i] += weight
    seeds = scribbles.ravel() != 0
    values = np.unique(scribbles[scribbles != 0])
    known = scribbles.ravel()[seeds][:, None] == values
    found = np.linalg.solve(laplacian[~seeds][:, ~seeds], -laplacian[~seeds][:, seeds] @ known)
    result = scribbles.ravel().copy()
    result[~seeds] = values[found.argmax(1)]
    near = np.sort(found, 1)
    sure = np.ones(n, bool)
    sure[~seeds] = near[:, -1] - near[:, -2] > 0.02
    return result.reshape(image.shape), sure.reshape(image.shape)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(7, 8), (4, 5, 6)]))
def test_as_the_system_is_solved_at_once(seed, shape):
    random = np.random.default_rng(seed)
    image = random.normal(size=shape)
    scribbles = np.zeros(shape, np.uint16)
    places = random.choice(image.size, 6, replace=False)
    scribbles.ravel()[places] = [700, 700, 3, 3, 9, 9]
    spacing = (3.0, 1.0, 1.5)[: len(shape)]
    expected, sure = _dense(image, scribbles, spacing, 2.0)
    ours = random_walker(image, scribbles, spacing=spacing, contrast=2.0)
    assert ours.dtype == scribbles.dtype
    np.testing.assert_array_equal(ours[sure], expected[sure])
    np.testing.assert_array_equal(ours[scribbles > 0], scribbles[scribbles > 0])


def test_without_edges_the_border_runs_half_way_in_space():
    scribbles = np.zeros((9, 21), np.uint8)
    scribbles[:, 0], scribbles[:, 20] = 1, 2
    labels = random_walker(np.zeros((9, 21)), scribbles, spacing=(2.0, 1.0))
    assert (labels[:, 1:10] == 1).all()
    assert (labels[:, 11:] == 2).all()


def test_walls_are_not_crossed_and_what_no_walk_reaches_stays():
    scribbles = np.zeros((5, 11), np.uint8)
    scribbles[2, 0], scribbles[2, 4] = 1, 2
    allowed = np.ones((5, 11), bool)
    allowed[:, 6] = False
    labels = random_walker(np.zeros((5, 11)), scribbles, spacing=(1, 1), allowed=allowed)
    assert not labels[:, 6:].any()
    assert (labels[:, :6] > 0).all()


def test_it_says_how_far_it_is():
    image, _ = _noisy((24, 24))
    *progress, last = walking(image, _scribbles(image.shape), spacing=(1, 1))
    assert len(progress) > 3
    assert all(isinstance(item, Progress) and 0 <= item.done <= 1 for item in progress)
    assert last.shape == image.shape


def test_several_scribbles_share_a_checkerboard():
    image = np.kron([[0.0, 1.0], [1.0, 0.0]], np.ones((8, 8)))
    scribbles = np.zeros((16, 16), np.uint8)
    scribbles[3, 3], scribbles[3, 12], scribbles[12, 3], scribbles[12, 12] = 1, 2, 3, 4
    expected = np.kron([[1, 2], [3, 4]], np.ones((8, 8), int))
    np.testing.assert_array_equal(random_walker(image, scribbles, spacing=(1, 1)), expected)


def test_what_is_no_number_stops_nothing():
    image, inside = _noisy((30, 36), noise=0.1)
    image[2, 30], image[29, 3] = np.nan, np.inf
    smooth = without_noise(image, (1, 1), 0.5)
    assert np.isfinite(smooth).all()
    found = random_walker(smooth, _scribbles(image.shape), spacing=(1, 1)) == 1
    assert (found == inside).mean() > 0.97
