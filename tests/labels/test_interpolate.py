"""Slices between painted ones: balls, tubes and organs whose whole is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.errors import EditError
from napari_monai.labels.interpolate import gaps, interpolate, signed_distance

SPACING = (3.0, 1.0, 1.5)


def _dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def _points(shape, spacing):
    return np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)),
                                indexing="ij"))  # fmt: skip


def _ball(shape, spacing, centre, radius):
    away = _points(shape, spacing) - np.reshape(centre, (-1, 1, 1, 1))
    return (np.linalg.norm(away, axis=0) <= radius).astype(np.uint8)


def _painted(whole, axis, step):
    """Return every so many slices of it, with the first and the last."""
    stack = np.moveaxis(whole, axis, 0)
    there = np.flatnonzero(stack.any((1, 2)))
    keys = np.union1d(there[::step], there[-1:])
    result = np.zeros_like(stack)
    result[keys] = stack[keys]
    return np.moveaxis(result, 0, axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_comes_back_along_any_axis(axis):
    whole = _ball((22, 66, 44), SPACING, (31, 32, 32), 28)
    step = (3, 9, 6)[axis]  # 9 mm
    filled = interpolate(_painted(whole, axis, step), spacing=SPACING, axis=axis)
    assert _dice(filled > 0, whole > 0) > 0.975


@pytest.mark.parametrize(("organ", "least"), [(5, 0.975), (1, 0.97)], ids=["liver", "spleen"])
def test_an_organ_comes_back_from_every_fifth_slice(shared_data, organ, least):
    import nibabel as nib

    image = nib.load(shared_data / "ct" / "organs.nii.gz")
    spacing = [float(s) for s in image.header.get_zooms()]
    whole = np.asarray(image.dataobj) == organ
    labels = np.where(whole, np.uint8(organ), np.uint8(0))
    filled = interpolate(_painted(labels, 2, 5), spacing=spacing, axis=2)
    assert _dice(filled == organ, whole) > least


def test_two_lobes_that_become_one():
    shape = (31, 40, 60)
    z, y, x = _points(shape, (1, 1, 1))
    apart = 14 * (1 - z / 30)  # the lobes of a heart-shaped organ, which meet
    whole = sum((y - 20) ** 2 + (x - 30 - way * apart) ** 2 <= 100 for way in (-1, 1)) > 0
    painted = np.zeros(shape, np.uint8)
    painted[::10] = whole[::10]
    filled = interpolate(painted, spacing=(1, 1, 1)) > 0
    assert _dice(filled, whole) > 0.97
    counts = [ndimage.label(plane)[1] for plane in filled]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 2
    assert counts[-1] == 1


def test_an_oblique_tube_is_followed_though_its_slices_do_not_overlap():
    z, y, x = _points((21, 30, 60), (1, 1, 1))
    whole = (y - 15) ** 2 + (x - 10 - 2 * z) ** 2 <= 16
    painted = np.zeros(whole.shape, np.uint8)
    painted[[0, 20]] = whole[[0, 20]]
    filled = interpolate(painted, spacing=(1, 1, 1)) > 0
    assert _dice(filled, whole) > 0.95


def test_two_tubes_are_followed_apart():
    z, y, x = _points((13, 40, 60), (1, 1, 1))
    whole = (y - 6) ** 2 + (x - 10 - 2 * z) ** 2 <= 9
    whole |= (y - 34) ** 2 + (x - 45 + 2 * z) ** 2 <= 9
    painted = np.zeros(whole.shape, np.uint8)
    painted[[0, 12]] = whole[[0, 12]]
    filled = interpolate(painted, spacing=(1, 1, 1)) > 0
    assert _dice(filled, whole) > 0.95


def test_a_piece_without_a_counterpart_ends_half_way():
    painted = np.zeros((11, 20, 40), np.uint8)
    painted[:, 5:15, 2:12] = 1
    painted[0, 5:15, 25:35] = 1
    painted[1:10] = 0
    filled = interpolate(painted, spacing=(1, 1, 1))
    there = filled[:, :, 25:35].any((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(there), range(5))
    assert (filled[:, 5:15, 2:12] == 1).mean() > 0.95


def test_each_piece_without_a_counterpart_ends_half_way_whatever_its_size():
    painted = np.zeros((11, 20, 60), np.uint8)
    painted[0, 5:15, 25:35] = 1
    painted[0, 9:12, 50:53] = 1
    painted[[0, 10], 5:15, 2:12] = 1
    filled = interpolate(painted, spacing=(1, 1, 1))
    for part in (filled[:, :, 25:35], filled[:, :, 45:]):
        there = np.flatnonzero(part.any((1, 2)))
        np.testing.assert_array_equal(there, range(len(there)))
        assert 4 <= len(there) <= 5


def test_many_pieces_are_filled_quickly():
    random = np.random.default_rng(0)
    painted = np.zeros((5, 300, 300), np.uint8)
    for z in (0, 4):
        for y, x in random.integers(4, 296, (400, 2)):
            painted[z, y - 2 : y + 2, x - 2 : x + 2] = 1
    start = time.process_time()
    filled = interpolate(painted, spacing=(1, 1, 1))
    assert time.process_time() - start < 10
    assert filled[2].sum() > 0.3 * painted[0].sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (3, 9)], ids=str)
def test_what_is_small_or_thin_does_not_vanish(shape):
    painted = np.zeros((7, 12, 12), np.uint8)
    painted[[0, 6], 2 : 2 + shape[0], 2 : 2 + shape[1]] = 1
    filled = interpolate(painted, spacing=(1, 1, 1))
    np.testing.assert_array_equal(filled, np.broadcast_to(painted[:1], filled.shape))


def test_a_gap_of_twenty_slices_between_equal_shapes_is_a_cylinder():
    whole = np.zeros((22, 24, 24), np.uint16)
    whole[:] = _ball((1, 24, 24), (1, 1, 1), (0, 12, 12), 8).astype(np.uint16) * 300
    painted = np.zeros_like(whole)
    painted[[0, 21]] = whole[[0, 21]]
    filled = interpolate(painted, spacing=(5, 1, 1))
    assert filled.dtype == np.uint16
    assert _dice(filled == 300, whole == 300) > 0.985


def test_neighbours_share_their_border_and_leave_no_gap_between():
    painted = np.zeros((9, 16, 24), np.uint8)
    painted[[0, 8], 3:13, 2:12] = 1
    painted[[0, 8], 3:13, 12:22] = 2
    painted[8, 3:13, 10:12] = 2
    filled = interpolate(painted, spacing=(1, 1, 1))
    assert (filled[:, 4:12, 3:21] > 0).all()
    counts = (filled[1:8, 8] == 1).sum(1)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert 8 <= counts.min() <= counts.max() <= 10


def test_only_gaps_that_are_short_enough_and_only_the_labels_asked_for():
    painted = np.zeros((20, 8, 8), np.uint8)
    painted[[0, 4, 19], 2:6, 2:6] = 1
    painted[[0, 4], 0, :] = 2
    filled = interpolate(painted, spacing=(1, 1, 1), values=[1], largest_gap=5)
    there = (filled == 1).any((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(there), [0, 1, 2, 3, 4, 19])
    np.testing.assert_array_equal(filled == 2, painted == 2)
    assert gaps([0, 1, 4, 19], 14) == [(1, 4), (4, 19)]
    assert gaps([0, 1, 4, 19], 13) == [(1, 4)]


@pytest.mark.parametrize(("over", "kept"), [(False, 5), (True, 1)])
def test_what_lies_between_is_overwritten_only_when_asked(over, kept):
    painted = np.zeros((5, 8, 8), np.uint8)
    painted[[0, 4], 2:6, 2:6] = 1
    painted[2, 3, 3] = 5
    assert interpolate(painted, spacing=(1, 1, 1), values=[1], over=over)[2, 3, 3] == kept


def test_ends_close_within_half_a_gap():
    whole = _ball((41, 41, 41), (1, 1, 1), (20, 20, 20), 18)
    painted = np.zeros_like(whole)
    painted[8::8] = whole[8::8]
    closed = interpolate(painted, spacing=(1, 1, 1), ends=True)
    there = np.flatnonzero(closed.any((1, 2)))
    assert there.tolist() == list(range(5, 36))
    cylinder = np.zeros_like(whole)
    cylinder[[12, 20]] = whole[[20]]
    there = np.flatnonzero(interpolate(cylinder, spacing=(1, 1, 1), ends=True).any((1, 2)))
    assert there.tolist() == list(range(9, 24))
    opened = interpolate(painted, spacing=(1, 1, 1))
    assert _dice(closed > 0, whole > 0) > _dice(opened > 0, whole > 0)


def test_flat_labels_are_refused():
    with pytest.raises(EditError, match="3-D"):
        interpolate(np.zeros((4, 4), np.uint8), spacing=(1, 1))


def test_the_distance_is_in_the_unit_of_the_spacing():
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:5] = True
    found = signed_distance(mask, np.array([2.0, 2.0]))
    np.testing.assert_allclose(found[2], [-3, -1, 1, 3, 1, -1, -3])


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]))
def test_painted_slices_stay_and_doing_it_again_changes_nothing(seed, axis):
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(9, 10, 11)), 1.5)
    labels = np.digitize(smooth, np.quantile(smooth, [0.6, 0.8])).astype(np.uint8)
    stack = np.moveaxis(labels, axis, 0)
    stack[random.random(len(stack)) < 0.6] = 0
    copy = labels.copy()
    once = interpolate(labels, spacing=SPACING, axis=axis)
    np.testing.assert_array_equal(labels, copy)
    np.testing.assert_array_equal(once[labels > 0], labels[labels > 0])
    holds = {v: np.flatnonzero((stack == v).any((1, 2))) for v in (1, 2)}
    for value, painted in holds.items():
        found = np.flatnonzero((np.moveaxis(once, axis, 0) == value).any((1, 2)))
        if len(painted):
            assert painted[0] <= found[0]
            assert found[-1] <= painted[-1]
            kept = np.moveaxis(once, axis, 0)[painted] == value
            np.testing.assert_array_equal(kept, stack[painted] == value)
        else:
            assert not len(found)
