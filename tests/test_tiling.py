"""Windows: where they lie, that they blend to one, and that what is finished stays finished."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal.windows import gaussian

from napari_monai.errors import SettingsError
from napari_monai.tiling import Tiling, plan


@st.composite
def tilings(draw: st.DrawFn) -> tuple[Tiling, dict]:
    dims = draw(st.integers(1, 3))
    sizes = st.lists(st.integers(1, 24), min_size=dims, max_size=dims)
    told = {
        "window": draw(st.lists(st.integers(1, 12), min_size=dims, max_size=dims)),
        "overlap": draw(st.sampled_from([0.0, 0.25, 0.5, 0.9])),
        "blend": draw(st.sampled_from(["gaussian", "constant"])),
        "multiple": draw(st.sampled_from([1, 2, 4])),
    }
    shape = draw(sizes)
    return plan(shape, **told), told


def _weight(tiling: Tiling, index: int) -> np.ndarray:
    """Return the weight in space of a window."""
    weight = np.ones(tiling.window)
    for axis, i in enumerate(tiling.place(index)):
        shape = [-1 if a == axis else 1 for a in range(len(tiling.window))]
        weight = weight * tiling.weights[axis][i].reshape(shape)
    return weight


@given(tilings())
def test_windows_have_one_shape_and_lie_in_the_padded_image(drawn):
    tiling, told = drawn
    for n, side, wanted in zip(tiling.shape, tiling.window, told["window"], strict=True):
        assert side % told["multiple"] == 0
        grown = -(-wanted // told["multiple"]) * told["multiple"]
        assert side == min(grown, max(-(-n // told["multiple"]), 2) * told["multiple"])
    for index in range(tiling.total):
        for side, w, n in zip(tiling.box(index), tiling.window, tiling.padded_shape, strict=True):
            assert 0 <= side.start < side.stop <= n
            assert side.stop - side.start == w


@given(tilings())
def test_weights_are_positive_and_sum_to_one_everywhere(drawn):
    tiling, _ = drawn
    total = np.zeros(tiling.padded_shape)
    for index in range(tiling.total):
        weight = _weight(tiling, index)
        assert weight.min() > 0
        total[tiling.box(index)] += weight
    np.testing.assert_allclose(total, 1, atol=1e-5)


@given(tilings())
def test_each_window_finishes_its_own_part_of_the_image(drawn):
    tiling, _ = drawn
    last = np.full(tiling.padded_shape, -1)  # the last window over each voxel
    cell = np.full(tiling.padded_shape, -1)
    image = np.zeros(tiling.shape, int)
    for index in range(tiling.total):
        last[tiling.box(index)] = index
        assert (cell[tiling.cell(index)] == -1).all()
        cell[tiling.cell(index)] = index
        image[tiling.unpadded(tiling.cell(index))] += 1
    np.testing.assert_array_equal(cell, last)
    assert (image == 1).all()


@given(tilings())
def test_windows_are_evenly_spaced_and_overlap_as_asked_with_no_more_than_needed(drawn):
    tiling, told = drawn
    for starts, side, n in zip(tiling.starts, tiling.window, tiling.padded_shape, strict=True):
        gaps = np.diff(starts)
        step = max(1, int(side * (1 - told["overlap"])))
        assert starts[0] == 0
        assert starts[-1] == n - side
        assert (gaps >= 1).all()
        assert (gaps <= step).all()
        assert np.ptp(gaps) <= 1 if len(gaps) else True
        assert (len(gaps) - 1) * step < n - side or len(gaps) == 0


@pytest.mark.parametrize(
    ("n", "window", "overlap", "starts"),
    [
        pytest.param(10, 4, 0.5, (0, 2, 4, 6), id="fits"),
        pytest.param(9, 4, 0.5, (0, 2, 3, 5), id="evenly-rounded"),
        pytest.param(10, 4, 0.0, (0, 3, 6), id="no-overlap-asked"),
        pytest.param(4, 4, 0.5, (0,), id="one-window"),
        pytest.param(3, 4, 0.5, (0,), id="smaller"),
    ],
)
def test_starts(n, window, overlap, starts):
    assert plan((n,), (window,), overlap=overlap).starts == (starts,)


@pytest.mark.parametrize(
    ("n", "window", "multiple", "side", "padding"),
    [
        pytest.param(50, 96, 1, 50, (0, 0), id="shrinks"),
        pytest.param(50, 96, 16, 64, (7, 7), id="shrinks-to-a-multiple"),
        pytest.param(51, 96, 16, 64, (6, 7), id="odd-padding"),
        pytest.param(200, 100, 16, 112, (0, 0), id="grows-to-a-multiple"),
        pytest.param(5, 96, 16, 32, (13, 14), id="never-below-two-multiples"),
        pytest.param(5, 16, 16, 16, (5, 6), id="but-not-above-the-window"),
    ],
)
def test_window_fits_image_and_network(n, window, multiple, side, padding):
    tiling = plan((n,), (window,), multiple=multiple)
    assert (tiling.window, tiling.padding) == ((side,), (padding,))


def test_multiple_of_each_axis():
    tiling = plan((3, 30), (1, 20), multiple=(1, 8))
    assert tiling.window == (1, 24)
    assert tiling.total == 3 * 2


def test_padding_mirrors_and_repeats():
    tiling = plan((1, 3), (4, 6), multiple=(4, 6))
    padded = tiling.pad(np.array([[[1, 2, 3]]]))
    np.testing.assert_array_equal(padded[0, 0], [2, 1, 2, 3, 2, 1])
    assert padded.shape == (1, 4, 6)
    assert (padded == padded[:, :1]).all()


def test_padding_reaches_further_than_the_image():
    padded = plan((2,), (9,), multiple=9).pad(np.array([7, 8]))
    np.testing.assert_array_equal(padded, [8, 7, 8, 7, 8, 7, 8, 7, 8])


def test_an_image_that_fits_is_not_copied():
    array = np.zeros((1, 8))
    assert plan((8,), (4,)).pad(array) is array


@pytest.mark.parametrize("window", [(9,), (8, 5), (6, 5, 4)])
def test_gaussian_is_that_of_scipy(window):
    tiling = plan(tuple(3 * w for w in window), window, overlap=0.5)
    theirs = reduce(np.multiply.outer, [gaussian(side, side / 8) for side in window])
    total = np.zeros(tiling.padded_shape)
    for index in range(tiling.total):
        total[tiling.box(index)] += theirs
    for index in range(tiling.total):
        expected = theirs / total[tiling.box(index)]
        np.testing.assert_allclose(_weight(tiling, index), expected, atol=1e-6)


def test_window_of_wrong_length_is_refused():
    with pytest.raises(SettingsError, match=r"Window \(8, 8\) needs 3 numbers"):
        plan((10, 10, 10), (8, 8))
