"""Labels and sizes of voxels that hypothesis makes up."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


def labels(*, highest=2, max_side=8, ndim=None):
    """Return a strategy for small labels, 2-D or 3-D, with more background than labels."""
    flat = arrays.array_shapes(min_dims=2, max_dims=2, max_side=max_side)
    shapes = {2: flat, 3: st.just((3, 4, 5)), None: st.one_of(flat, st.just((3, 4, 5)))}
    elements = st.sampled_from([0, 0, 0, *range(1, highest + 1)])
    return arrays.arrays(np.uint8, shapes[ndim], elements=elements)


def spacings(ndim):
    return st.tuples(*[st.sampled_from([0.3, 0.5, 1.0, 1.5, 3.0])] * ndim)
