"""Labels cleaned slab by slab are those cleaned as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_monai.labels import components, slabs

IMAGES = arrays.arrays(
    np.uint16,
    st.one_of(arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), st.just((7, 4, 5))),
    elements=st.sampled_from([0, 0, 1, 1, 2, 300]),
)
VALUES = st.sampled_from([None, (1,), (2, 300), (9,)])


@given(
    IMAGES,
    st.sampled_from(
        [
            ("keep_largest", {}),
            ("keep_largest", {"together": True}),
            ("remove_small", {"min_size": 3}),
            ("remove_small", {"min_size": 1.0, "voxel_size": 0.25}),
            ("fill_holes", {}),
            ("fill_holes", {"over": True}),
        ]
    ),
    VALUES,
    st.sampled_from([None, 1, 2]),
    st.integers(1, 9),
)
def test_the_same_as_the_whole(labels, how, values, connectivity, rows):
    name, told = how
    told = {**told, "values": values, "connectivity": connectivity}
    expected = getattr(components, name)(labels, **told)
    found = labels.copy()
    getattr(slabs, name)(found, rows=rows, **told)
    np.testing.assert_array_equal(found, expected)


class _Counted:
    """Labels that know the most planes that were held."""

    def __init__(self, labels):
        self.labels, self.shape, self.most = labels, labels.shape, 0

    def __getitem__(self, planes):
        self.most = max(self.most, planes.stop - planes.start)
        return self.labels[planes]

    def __setitem__(self, planes, values):
        self.labels[planes] = values


@pytest.mark.parametrize("name", ["keep_largest", "fill_holes"])
def test_no_more_planes_are_held_than_asked_for(name):
    labels = _Counted(np.random.default_rng(0).integers(0, 3, (40, 6, 6)).astype(np.uint8))
    getattr(slabs, name)(labels, rows=4)
    assert labels.most == 4
