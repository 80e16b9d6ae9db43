"""Borders that go to the edges of an image: noisy balls whose labels are displaced."""

from __future__ import annotations

import numpy as np
import pytest

from napari_monai.labels.snap import snap_to_edges


def _ball(shape, spacing, centre, radius):
    places = np.stack(np.indices(shape)) * np.reshape(spacing, (-1, *[1] * len(shape)))
    return np.linalg.norm(places - np.reshape(centre, (-1, *[1] * len(shape))), axis=0) <= radius


def _dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize(
    ("shape", "spacing", "noise"),
    [
        pytest.param((40, 40, 40), (1, 1, 1), 40, id="3-D"),
        pytest.param((16, 40, 40), (2.5, 1, 1), 40, id="anisotropic"),
        pytest.param((60, 60), (1, 1), 25, id="2-D"),
        pytest.param((60, 60), (0.5, 0.5), 25, id="half-a-unit"),
    ],
)
def test_a_displaced_label_goes_to_the_edge(shape, spacing, noise):
    extent = np.multiply(shape, spacing)
    centre, radius = extent / 2, extent.min() * 0.3
    truth = _ball(shape, spacing, centre, radius)
    image = 100.0 * truth + np.random.default_rng(3).normal(0, noise, shape)
    away = np.zeros(len(shape))
    away[-1], away[-2] = 0.15 * radius, 0.15 * radius
    label = _ball(shape, spacing, centre + away, radius * 1.05)
    assert _dice(label, truth) < 0.91
    found = snap_to_edges(label, image, spacing=spacing, band=0.45 * radius)
    assert _dice(found, truth) > 0.97


@pytest.mark.parametrize("shape", [(40, 40), (24, 24, 24)], ids=str)
def test_without_edges_the_border_stays(shape):
    mask = _ball(shape, (1,) * len(shape), np.divide(shape, 2), 8)
    found = snap_to_edges(mask, np.zeros(shape), spacing=(1,) * len(shape), band=4)
    np.testing.assert_array_equal(found, mask)


def test_it_goes_no_further_than_the_band():
    mask = _ball((50, 50), (2, 2), (50, 50), 20)
    image = _ball((50, 50), (2, 2), (50, 50), 34) * 100.0
    found = snap_to_edges(mask, image, spacing=(2, 2), band=6)
    assert not (found & ~_ball((50, 50), (2, 2), (50, 50), 27)).any()
    assert (found | ~_ball((50, 50), (2, 2), (50, 50), 13)).all()


def test_small_pieces_do_not_vanish():
    mask = np.zeros((20, 40), bool)
    mask[4:14, 4:14] = True
    mask[10, 30:32] = True
    found = snap_to_edges(mask, np.zeros(mask.shape), spacing=(1, 1), band=5)
    np.testing.assert_array_equal(found, mask)


def test_other_labels_are_walls():
    mask = np.zeros((20, 40), bool)
    mask[5:15, 5:15] = True
    image = np.zeros(mask.shape)
    image[5:15, 5:19] = 100
    allowed = np.ones(mask.shape, bool)
    allowed[:, 16:] = False
    free = snap_to_edges(mask, image, spacing=(1, 1), band=6, smoothing=0)
    held = snap_to_edges(mask, image, spacing=(1, 1), band=6, smoothing=0, allowed=allowed)
    assert free[8:12, 5:19].all()
    assert not free[:, 19:].any()
    assert held[8:12, 5:16].all()
    assert not held[:, 16:].any()


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_stay(value):
    mask = np.full((5, 6), value)
    image = np.arange(30.0).reshape(5, 6)
    found = snap_to_edges(mask, image, spacing=(1, 1), band=2)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize(
    ("organ", "moved", "before", "after"),
    [
        pytest.param(1, "shifted", 0.87, 0.94, id="spleen-shifted"),
        pytest.param(2, "shifted", 0.86, 0.93, id="kidney-shifted"),
        pytest.param(2, "eroded", 0.85, 0.95, id="kidney-eroded"),
    ],
)
def test_organs_come_back_to_their_borders(shared_data, organ, moved, before, after):
    import nibabel as nib
    from scipy import ndimage

    truth = np.asarray(nib.load(shared_data / "ct" / "organs.nii.gz").dataobj) == organ
    (box,) = ndimage.find_objects(truth.astype(np.uint8))
    box = tuple(slice(max(0, s.start - 8), s.stop + 8) for s in box)
    image = np.asarray(nib.load(shared_data / "ct" / "ct.nii.gz").dataobj)[box]
    truth = truth[box]
    label = np.roll(truth, (1, 1), (0, 1)) if moved == "shifted" else ndimage.binary_erosion(truth)
    assert _dice(label, truth) < before
    found = snap_to_edges(label, image, spacing=(3.0, 3.0, 3.0), band=9.0)
    assert _dice(found, truth) > after
