"""Percentiles and moments against numpy; neither depends on how an image is cut into blocks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_monai.preprocess.statistics import CELL, moments, percentiles

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
FEW = st.sampled_from(np.float32([-3e38, -1.5, -1e-40, -0.0, 0.0, 1e-40, 1, 1.0000001, 2, 3e38]))


def _blocks(array: np.ndarray, sides: tuple[int, ...]):
    """Yield the blocks of an array, shape (channel, *spatial), with their places."""
    starts = [range(0, n, side) for n, side in zip(array.shape[1:], sides, strict=True)]
    for corner in itertools.product(*starts):
        ends = (min(c + s, n) for c, s, n in zip(corner, sides, array.shape[1:], strict=True))
        box = tuple(slice(*each) for each in zip(corner, ends, strict=True))
        yield box, array[(slice(None), *box)]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=8), elements=FLOATS)
    | hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=8), elements=FEW),
    st.lists(st.floats(0, 100) | st.sampled_from([0.0, 50.0, 99.8, 100.0]), min_size=1, max_size=3),
    st.booleans(),
    st.integers(1, 4),
)
def test_percentiles_equal_numpys(array, wanted, together, side):
    blocks = [values for _, values in _blocks(array, (side,) * (array.ndim - 1))]
    found = percentiles(lambda: blocks[::-1], len(array), wanted, together=together)
    for channel, values in enumerate(array):
        finite = (array if together else values).astype(np.float64)
        finite = finite[np.isfinite(finite)]
        expected = np.percentile(finite, wanted) if finite.size else [np.nan] * len(wanted)
        np.testing.assert_array_equal(found[channel], expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_any_memory_order_counts_the_same(order):
    array = np.random.default_rng(0).normal(size=(2, 30, 20, 10)).astype(np.float32)
    turned = np.asarray(array, order=order)[:, ::-1].transpose(0, 2, 1, 3)
    expected = np.percentile(array.reshape(2, -1).astype(np.float64), (1, 99.5), axis=1).T
    np.testing.assert_array_equal(percentiles(lambda: [turned], 2, (1, 99.5)), expected)


@st.composite
def cut_up(draw: st.DrawFn):
    """Draw an image with holes and zeros, a number near its mean, two ways to cut it."""
    spatial = draw(st.sampled_from([(40, 7), (7, 40), (33, 20), (18, 5, 35), (5, 33, 17)]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    array = (rng.normal(size=(2, *spatial)) * draw(st.sampled_from([1e-3, 1, 300]))).astype("f4")
    middle = draw(st.sampled_from([0.0, 1000.0]))
    array += np.float32(middle)
    array[rng.random(array.shape) < draw(st.sampled_from([0, 0.1]))] = np.nan
    array[rng.random(array.shape) < draw(st.sampled_from([0, 0.3]))] = 0
    side = st.tuples(*[st.integers(1, 3).map(lambda n: n * CELL)] * len(spatial))
    return array, np.full(2, middle), draw(side), draw(side)


@given(cut_up(), st.booleans(), st.booleans())
def test_moments_do_not_depend_on_the_blocks(drawn, together, nonzero):
    array, origin, first, second = drawn
    spatial = array.shape[1:]
    told = {"together": together, "nonzero": nonzero}
    mean, deviation = moments(_blocks(array, first), 2, spatial, origin=origin, **told)
    turned = np.asfortranarray(array)
    others = reversed(list(_blocks(turned, second)))
    again = moments(others, 2, spatial, origin=origin, **told)
    assert (mean.tobytes(), deviation.tobytes()) == tuple(a.tobytes() for a in again)
    for channel in range(2):
        values = (array if together else array[channel]).astype(np.float64)
        values = values[np.isfinite(values) & ((values != 0) | (not nonzero))]
        assert mean[channel] == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
        assert deviation[channel] == pytest.approx(values.std(), rel=1e-7)


def test_small_deviations_from_a_large_mean_are_kept():
    values = np.float32(4_000_000) + np.random.default_rng(0).integers(0, 3, (1, 40, 50))
    values = values.astype(np.float32)
    _, deviation = moments(_blocks(values, (16, 32)), 1, (40, 50), origin=np.array([4e6]))
    assert deviation[0] == pytest.approx(values.std(dtype=np.float64), rel=1e-12)


def test_nothing_finite_has_no_statistics():
    array = np.full((2, 4, 4), np.nan, np.float32)
    array[1] = 5
    assert np.isnan(percentiles(lambda: [array], 2, (1, 99))).tolist() == [[True] * 2, [False] * 2]
    mean, deviation = moments(_blocks(array, (16, 16)), 2, (4, 4), origin=np.zeros(2))
    np.testing.assert_array_equal(mean, [np.nan, 5])
    np.testing.assert_array_equal(deviation, [np.nan, 0])
