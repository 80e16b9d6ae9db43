"""Cubic resampling against scikit-image, which nnU-Net resamples with, as a whole and by slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.transform import resize
from tests.preprocess.images import STORED, prepared, scan

from napari_monai.models import Operation
from napari_monai.preprocess.splines import Spline
from napari_monai.returning import Returning


def _spacing(spacing, **told):
    return Operation("spacing", {"spacing": list(spacing), "align": "extent", "order": 3, **told})


def _whole(image, shape, order=3):
    return resize(image, shape, order, mode="edge", anti_aliasing=False)


def _by_slices(image, shape, axis, order, order_z):
    """Return an image resized slice by slice, and then along the axis across them."""
    inner = tuple(n for a, n in enumerate(shape) if a != axis)
    slices = [_whole(part, inner, order) for part in np.moveaxis(image, axis, 0)]
    stacked = np.stack(slices, axis)
    n, m = stacked.shape[axis], shape[axis]
    where = np.indices(shape).astype(float)
    where[axis] = n / m * (where[axis] + 0.5) - 0.5
    return map_coordinates(stacked, where, order=order_z, mode="nearest")


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("spacing", [(0.6, 1.0, 1.7), (1.9, 2.0, 3.3), (0.9, 0.5, 2.7)])
def test_as_a_whole(order, spacing):
    volume = scan()
    ours = prepared(volume, STORED, _spacing(spacing, order=order))
    shape = tuple(
        round(n * s / t)
        for n, s, t in zip(volume.grid.shape, volume.grid.spacing, spacing, strict=True)
    )
    for image, found in zip(volume.numpy().astype(float), ours.array, strict=True):
        expected = _whole(image, shape, order)
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order_z", [0, 1, 3])
@pytest.mark.parametrize("order", [1, 3])
def test_by_slices_where_spacings_differ_much(axis, order_z, order):
    spacing = [0.8, 0.9, 1.0]
    spacing[axis] = 4.0
    volume = scan(spacing=tuple(spacing), seed=3)
    target = [0.7, 1.1, 0.8]
    target[axis] = 2.5
    ours = prepared(
        volume, STORED, _spacing(target, separate_z="auto", order=order, order_z=order_z)
    )
    for image, found in zip(volume.numpy().astype(float), ours.array, strict=True):
        expected = _by_slices(image, found.shape, axis, order, order_z)
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "told", "apart"),
    [
        pytest.param((1, 1, 2.9), (1, 1, 1), "auto", False, id="even"),
        pytest.param((1, 1, 3.1), (1, 1, 1.0), "auto", True, id="before"),
        pytest.param((1, 1, 1), (1, 1, 3.5), "auto", True, id="after"),
        pytest.param((1, 4, 4), (1, 2, 2), "auto", False, id="two-coarse"),
        pytest.param((1, 1, 2), (1, 1, 1), True, True, id="forced"),
        pytest.param((1, 1, 5), (1, 1, 1), False, False, id="never"),
    ],
)
def test_when_an_axis_is_resampled_by_itself(before, after, told, apart):
    volume = scan(spacing=before, channels=1)
    ours = prepared(volume, STORED, _spacing(after, separate_z=told))
    image = volume.numpy()[0].astype(float)
    expected = (
        _by_slices(image, ours.grid.shape, 2, 3, 0) if apart else _whole(image, ours.grid.shape)
    )
    np.testing.assert_allclose(ours.array[0], expected, atol=1e-3)


def test_maps_come_home_by_the_nearest_slice():
    volume = scan(spacing=(1.0, 1.0, 4.0), channels=1)
    ours = prepared(volume, STORED, _spacing((0.8, 1.3, 2.5), separate_z="auto"))
    maps = np.random.default_rng(0).random((1, *ours.grid.shape), np.float32)
    box = tuple(slice(0, n) for n in ours.grid.shape)
    found = Returning(ours.back).bring(box, torch.from_numpy(maps), lambda part: [part])[0].numpy()
    expected = _by_slices(maps[0].astype(float), volume.grid.shape, 2, 1, 0)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_the_field_of_view_stays():
    volume = scan()
    ours = prepared(volume, STORED, _spacing((2.0, 2.0, 2.0)))
    extent = np.asarray(ours.grid.spacing) * ours.grid.shape
    np.testing.assert_allclose(extent, np.asarray(volume.grid.spacing) * volume.grid.shape)
    np.testing.assert_allclose(ours.grid.centre, volume.grid.centre)


@pytest.mark.parametrize("degree", [2, 3])
def test_tiles_do_not_show(degree):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 700))
    at = (np.arange(900) + 0.5) * 700 / 900 - 0.5
    line = Spline(at, 700, degree)
    where = np.indices((3, 900)).astype(float)
    where[1] = at
    expected = map_coordinates(values, where, order=degree, mode="nearest")
    found = line.sample(values, 1, slice(0, 900), slice(0, 700))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    for side in (slice(0, 1), slice(120, 140), slice(333, 901 - 1)):
        read = line.source(side)
        part = line.sample(values[:, read], 1, side, read)
        assert part.tobytes() == np.ascontiguousarray(found[:, side]).tobytes()
