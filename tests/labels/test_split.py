"""Objects that touch are split: balls, lines, seeds, coarse against fine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from tests.labels.scenes import picture

from napari_monai.labels.split import split_at_seeds, split_by_lines, split_touching

MASKS = arrays.arrays(
    np.bool_,
    st.one_of(arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), st.just((4, 5, 6))),
)


def _balls(shape, spacing, *balls):
    places = np.stack(np.indices(shape)) * np.reshape(spacing, (-1, *[1] * len(shape)))
    away = [np.linalg.norm(places - np.reshape(c, (-1, *[1] * len(shape))), axis=0) - r
            for c, r in balls]  # fmt: skip
    return np.min(away, axis=0) < 0, np.argmin(away, axis=0)


@pytest.mark.parametrize("fine", [10**9, 2000], ids=["fine", "coarse"])
@pytest.mark.parametrize(
    ("shape", "spacing", "balls"),
    [
        pytest.param((40, 70), (1, 1), [((20, 20), 15), ((20, 46), 15)], id="discs"),
        pytest.param((40, 35), (1, 2), [((20, 20), 15), ((20, 46), 15)], id="long-pixels"),
        pytest.param(
            (10, 40, 70), (4, 1, 1), [((18, 20, 20), 15), ((18, 20, 44), 15)], id="anisotropic"
        ),
        pytest.param(
            (30, 50, 50), (1, 1, 1), [((15, 14, 15), 11), ((15, 34, 15), 11), ((15, 24, 33), 11)],
            id="three",
        ),
    ],
)  # fmt: skip
def test_balls_that_touch_are_parted_where_they_meet(shape, spacing, balls, fine):
    mask, nearest = _balls(shape, spacing, *balls)
    parts = split_touching(mask, spacing=spacing, depth=2.0, fine=fine)
    assert parts.max() == len(balls)
    np.testing.assert_array_equal(parts > 0, mask)
    table = [parts[tuple(int(c / s) for c, s in zip(centre, spacing, strict=True))]
             for centre, _ in balls]  # fmt: skip
    assert sorted(table) == list(range(1, len(balls) + 1))
    expected = np.where(mask, np.asarray(table)[nearest], 0)
    assert (parts != expected).sum() < 0.02 * mask.sum()


@pytest.mark.parametrize(("depth", "count"), [(1.0, 2), (5.9, 2), (7.1, 1)])
def test_the_depth_is_how_much_narrower_the_neck_is(depth, count):
    mask = np.zeros((23, 60), bool)
    mask[1:22, 2:23] = True  # deepest 11
    mask[1:22, 33:54] = True
    mask[7:16, 23:33] = True  # deepest 5
    assert split_touching(mask, spacing=(1, 1), depth=depth).max() == count
    assert split_touching(mask, spacing=(2, 2), depth=2 * depth).max() == count


def test_small_parts_stay_with_a_neighbour():
    mask, _ = _balls((40, 80), (1, 1), ((20, 20), 15), ((20, 44), 11), ((20, 58), 5))
    assert split_touching(mask, spacing=(1, 1), depth=0.8).max() == 3
    parts = split_touching(mask, spacing=(1, 1), depth=0.8, min_size=150)
    assert parts.max() == 2
    assert parts[20, 60] == parts[20, 44]
    small, _ = _balls((9, 9), (1, 1), ((4, 4), 2))
    np.testing.assert_array_equal(
        split_touching(small, spacing=(1, 1), depth=1, min_size=99), small
    )


@given(MASKS, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([4, 10**9]))
def test_every_part_hangs_together_and_nothing_is_lost(mask, depth, fine):
    parts = split_touching(mask, spacing=(2.0, 1.0, 1.0)[: mask.ndim], depth=depth, fine=fine)
    np.testing.assert_array_equal(parts > 0, mask)
    touching = np.ones((3,) * mask.ndim)
    values = np.unique(parts[parts > 0])
    np.testing.assert_array_equal(values, np.arange(1, len(values) + 1))
    if fine > 4:
        assert [ndimage.label(parts == v, touching)[1] for v in values] == [1] * len(values)
    pieces, count = ndimage.label(mask, touching)
    assert all(len(np.unique(pieces[parts == v])) == 1 for v in values)
    assert len(values) >= count
    first = [np.flatnonzero(parts == v)[0] for v in values]
    assert first == sorted(first)


def test_coarse_and_fine_agree_on_bodies_with_thin_arms():
    mask, _ = _balls((60, 60, 60), (1, 1, 1), ((30, 18, 20), 14), ((30, 42, 36), 16))
    mask[30, 18, 1:8] = True  # an arm of one voxel
    mask[2, 2, 50:58] = True  # far from all
    fine = split_touching(mask, spacing=(1, 1, 1), depth=3, fine=10**9)
    coarse = split_touching(mask, spacing=(1, 1, 1), depth=3, fine=8000)
    assert fine.max() == coarse.max() == 3
    assert (fine != coarse).sum() < 0.01 * mask.sum()
    np.testing.assert_array_equal(fine[30, 18, 1:8], coarse[30, 18, 1:8])


@pytest.mark.parametrize("fine", [10**9, 300])
def test_seeds_number_the_parts(fine):
    mask, nearest = _balls((40, 70), (1, 1), ((20, 20), 15), ((20, 46), 15))
    parts = split_at_seeds(mask, [(22.4, 50.0), (17, 12)], spacing=(1, 1), fine=fine)
    expected = np.where(mask, np.where(nearest == 1, 1, 2), 0)
    assert (parts != expected).sum() < 0.02 * mask.sum()


def test_two_seeds_in_one_body_share_it():
    mask, _ = _balls((40, 40), (1, 1), ((20, 20), 15))
    parts = split_at_seeds(mask, [(20, 12), (20, 28)], spacing=(1, 1))
    sizes = np.bincount(parts.ravel())[1:]
    assert sizes.min() > 0.35 * mask.sum()
    assert parts[20, 8] == 1
    assert parts[20, 32] == 2


def test_a_seed_beside_the_object_counts_for_the_nearest_voxel():
    mask = picture("0111110") > 0
    parts = split_at_seeds(mask, [(0, 6), (5, 1)], spacing=(1, 1))
    assert parts[0, 5] == 1
    assert parts[0, 1] == 2


@pytest.mark.parametrize(
    ("mask", "line", "expected"),
    [
        pytest.param("11111 11111", [(0, 2), (1, 2)], "11221 11221", id="-"),
        pytest.param("111111 111111", [(-3, 2), (5, 2)], "221111 221111", id="beyond"),
        pytest.param("110111 110111", [(0, 4), (1, 4)], "110212 110212", id="others-stay"),
        pytest.param("1111 1111", [(0, 1), (0, 2)], "1111 1111", id="not-through"),
        pytest.param("1111 1111 1111 1111", [(0, 0), (3, 3)], None, id="diagonal"),
    ],
)
def test_lines(mask, line, expected):
    mask = picture(mask) > 0
    parts = split_by_lines(mask, [line])
    np.testing.assert_array_equal(parts > 0, mask)
    if expected is None or "2" in expected:
        assert parts.max() == 2
        middle = np.asarray(line).mean(0)
        assert ndimage.label(parts == 2)[1] == 1, middle
    else:
        assert parts.max() == 1


def test_a_line_cuts_straight_through_the_volume():
    mask, _ = _balls((20, 30, 30), (1, 1, 1), ((10, 15, 15), 9))
    parts = split_by_lines(mask, [[(10, 0, 12), (10, 29, 12)]], axis=0)
    assert parts.max() == 2
    assert (parts[:, :, 13:][mask[:, :, 13:]] == 1).all()  # the larger side keeps its number
    assert (parts[:, :, :12][mask[:, :, :12]] == 2).all()


def test_two_lines_make_three_parts_by_size():
    mask = np.ones((4, 20), bool)
    parts = split_by_lines(mask, [[(0, 4), (3, 4)], [(0, 11), (3, 11)]])
    sizes = np.bincount(parts.ravel())[1:]
    assert len(sizes) == 3
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
