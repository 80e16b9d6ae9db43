"""The lasso: polygons that were drawn in a plane, against points tested one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import points_in_poly

from napari_monai.errors import EditError
from napari_monai.labels.lasso import canvas, inside_polygon

from .scenes import picture

# Thousandths: the oracle divides by differences, which next to nothing is lost in.
_PLACES = st.integers(-9000, 9000).map(lambda n: n / 1000)


def test_literal():
    # A triangle in the plane of pixels, its edges between their centres.
    polygon = [(-0.5, 0.4), (3.4, 0.4), (3.4, 4.5)]
    mask = inside_polygon((4, 5), polygon, spacing=(1, 1))
    np.testing.assert_array_equal(mask, picture("00000 01000 01110 01111") == 1)


def test_even_odd():
    # A square around a square, drawn in one line.
    polygon = [(-1, -1), (-1, 9), (9, 9), (9, -1), (-1, -1), (2.5, 2.5), (2.5, 5.5), (5.5, 5.5),
               (5.5, 2.5), (2.5, 2.5)]  # fmt: skip
    mask = inside_polygon((8, 8), polygon, spacing=(2, 0.5))
    expected = np.ones((8, 8), bool)
    expected[3:6, 3:6] = False
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_along_an_axis_every_slice_is_cut_alike(axis):
    shape, others = (5, 6, 7), [a for a in range(3) if a != axis]
    flat = np.array([(0.6, 0.7), (3.3, 1.2), (4.4, 4.6), (1.1, 4.8)])
    polygon = np.full((4, 3), 2.0)
    polygon[:, others] = flat
    mask = inside_polygon(shape, polygon, spacing=(3, 1, 0.7))
    expected = inside_polygon([shape[a] for a in others], flat, spacing=(1, 1))
    assert expected.sum() > 5
    np.testing.assert_array_equal(mask, np.broadcast_to(np.expand_dims(expected, axis), shape))
    away = np.eye(3)[axis]
    told = inside_polygon(shape, polygon, spacing=(3, 1, 0.7), direction=away)
    np.testing.assert_array_equal(told, mask)


@settings(max_examples=60)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    arrays.arrays(np.float64, st.tuples(st.integers(3, 8), st.just(2)), elements=_PLACES),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.5])] * 3),
)
def test_any_direction_by_testing_each_point(direction, flat, spacing):
    towards = np.array(direction)
    assume(np.linalg.norm(towards) > 0.1)
    shape = (5, 6, 7)
    scale = np.array(spacing)
    # The polygon, drawn on a canvas across the direction, and taken to voxels.
    frame = np.linalg.svd(towards[None])[2]
    centre = (np.array(shape) - 1) / 2
    polygon = centre + flat @ frame[1:] / scale
    assume(np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)[-1] > 0.1)
    mask = inside_polygon(shape, polygon, spacing=spacing, direction=towards)
    voxels = (np.indices(shape).reshape(3, -1).T - centre) * scale @ frame[1:].T
    sure = np.ones(len(voxels), bool)
    for start, end in zip(flat, np.roll(flat, -1, axis=0), strict=True):
        sure &= _distance(voxels, start, end) > 1e-6
    expected = points_in_poly(voxels, flat)
    np.testing.assert_array_equal(mask.ravel()[sure], expected[sure])
    # Drawn in a plane, the direction need not be said.
    seen = inside_polygon(shape, polygon, spacing=spacing)
    np.testing.assert_array_equal(seen.ravel()[sure], expected[sure])


def _distance(points, start, end):
    edge = end - start
    along = np.clip((points - start) @ edge / max(edge @ edge, 1e-30), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * edge, axis=1)


def test_a_crop_is_as_the_whole():
    polygon = np.array([(1.2, 0, 3.1), (1.2, 9, 3.1), (7.8, 9, 8.3), (7.8, 0, 8.3)])
    whole = inside_polygon((10, 10, 10), polygon, spacing=(2, 1, 1), direction=(1, 0.2, -0.4))
    part = inside_polygon(
        (4, 5, 6), polygon, spacing=(2, 1, 1), direction=(1, 0.2, -0.4), start=(3, 2, 0)
    )
    assert 0 < part.sum() < part.size
    np.testing.assert_array_equal(part, whole[3:7, 2:7, 0:6])


def test_vertices_on_centres_leave_no_streak():
    # Edges along rows and vertices on them: what is entered is left again.
    polygon = [(2, 2), (2, 6), (4, 6), (4, 8), (6, 8), (6, 2)]
    mask = inside_polygon((9, 12), polygon, spacing=(1, 1))
    assert mask[:, 9:].sum() == mask[:, :2].sum() == mask[:2].sum() == mask[7:].sum() == 0
    assert mask[3:6, 3:6].all()


@pytest.mark.parametrize(
    ("polygon", "told", "says"),
    [
        pytest.param([(0, 0, 0), (1, 1, 1)], {}, "3 or more vertices", id="two"),
        pytest.param([(0, 0), (1, 1), (1, 0)], {}, "3 or more vertices of 3", id="flat"),
        pytest.param([(0, 0, 0), (1, 1, 1), (2, 2, 2)], {}, "is a line", id="line"),
        pytest.param([(0, 0, 0), (0, 1, 0), (0, 0, 2)], {"direction": (0, 1, 0)}, "is a line",
                     id="seen-from-the-side"),
        pytest.param([(0, 0, 0), (0, 1, 0), (0, 0, 2)], {"direction": (0, 0, 0)}, "has a length",
                     id="no-direction"),
    ],
)  # fmt: skip
def test_what_is_no_outline_is_refused(polygon, told, says):
    with pytest.raises(EditError, match=says):
        inside_polygon((3, 3, 3), polygon, spacing=(1, 1, 1), **told)


def test_canvas_keeps_lengths():
    matrix = canvas(np.array([(0, 0, 0), (0, 4, 0), (0, 0, 4.0)]), spacing=(3, 2, 0.5))
    steps = matrix @ np.diag([1, 1, 1])
    np.testing.assert_allclose(np.linalg.norm(steps, axis=0), [0, 2, 0.5], atol=1e-9)
