"""Blocks tile an image, keep to their size, and end where chunks end."""

from __future__ import annotations

import math

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_monai.grid import Reorientation
from napari_monai.preprocess.blocks import chunk_cuts, plan_blocks, source_box


@st.composite
def plans(draw: st.DrawFn):
    """Draw a shape, the cuts of its axes, a size of blocks and what their starts are to be."""
    shape = draw(st.lists(st.integers(1, 70), min_size=1, max_size=3))
    inner = [draw(st.lists(st.integers(0, n), max_size=6)) for n in shape]
    cuts = [np.unique([0, n, *some]) for n, some in zip(shape, inner, strict=True)]
    return shape, cuts, draw(st.integers(1, 20_000)), draw(st.sampled_from([1, 4, 16]))


@given(plans())
def test_blocks_tile_the_image_and_keep_to_their_size(plan):
    shape, cuts, most, multiple = plan
    seen = np.zeros(shape, int)
    for box in plan_blocks(shape, cuts, most, multiple=multiple):
        assert all(side.start % multiple == 0 for side in box)
        assert seen[box].size <= max(most, multiple ** len(shape))
        seen[box] += 1
    assert (seen == 1).all()


FLAT = [np.array([0, 512]), np.array([0, 512]), np.arange(301)]


@pytest.mark.parametrize(
    ("cuts", "most", "sides"),
    [
        pytest.param(FLAT, 2**21, (512, 512, 8), id="planes"),
        pytest.param(FLAT, 2**17, (256, 512, 1), id="parts-of-planes"),
        pytest.param(
            [np.arange(0, 513, 64), np.arange(0, 513, 64), np.append(np.arange(0, 300, 64), 300)],
            2**22,
            (64, 192, 300),
            id="chunks",
        ),
        pytest.param(
            [np.array([0, 100, 300, 512]), np.array([0, 512]), np.array([0, 300])],
            512 * 300 * 250,
            (100, 512, 300),
            id="uneven-chunks",
        ),
    ],
)
def test_blocks_are_made_of_whole_chunks(cuts, most, sides):
    first = next(plan_blocks((512, 512, 300), cuts, most))
    assert tuple(side.stop for side in first) == sides


@pytest.mark.parametrize(
    ("array", "cuts"),
    [
        pytest.param(np.zeros((3, 6)), ([0, 1, 2, 3], [0, 6]), id="C"),
        pytest.param(np.zeros((6, 3), order="F"), ([0, 6], [0, 1, 2, 3]), id="F"),
        pytest.param(
            dask.array.zeros((4, 6), chunks=(3, (1, 5))), ([0, 3, 4], [0, 1, 6]), id="dask"
        ),
        pytest.param(
            zarr.zeros(shape=(4, 6), chunks=(3, 2), store={}), ([0, 3, 4], [0, 2, 4, 6]), id="zarr"
        ),
    ],
)
def test_cuts_between_chunks(array, cuts):
    assert tuple(cut.tolist() for cut in chunk_cuts(array)) == cuts


@given(
    st.permutations(range(3)),
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)] * 3),
)
def test_a_box_is_found_before_a_reorientation(axes, flips, bounds):
    array = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    how = Reorientation(tuple(axes), flips)
    box = tuple(slice(*each) for each in bounds)
    before = array[source_box(box, how, array.shape)]
    np.testing.assert_array_equal(how.apply(before), how.apply(array)[box])
    assert before.size == math.prod(stop - start for start, stop in bounds)
