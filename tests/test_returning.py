"""Maps come home part by part as they would in one piece."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.grid import Grid
from napari_monai.resample import WayBack
from napari_monai.returning import Returning, bring_labels
from napari_monai.tiling import plan


@st.composite
def ways(draw):
    """Return a way back from another spacing of an image, or of a part of it."""
    ndim = draw(st.integers(2, 3))
    shape = [draw(st.integers(1, 12)) for _ in range(ndim)]
    spacing = [draw(st.sampled_from((0.4, 1.0, 1.5, 3.1))) for _ in range(ndim)]
    native = Grid.from_spacing(shape, spacing, origin=[draw(st.integers(-50, 50))] * ndim)
    wanted = [draw(st.sampled_from((s, 1.0, 0.7, 2.0))) for s in spacing]
    codes = native.orientation if ndim == 2 else draw(st.sampled_from(("IPL", "RAS", "SLA", "LPS")))
    how = native.reorientation_to(codes) if ndim == 3 else native.reorientation_to("IPL")
    source, inside = native.reoriented(how), None
    if draw(st.booleans()):
        starts = [draw(st.integers(0, n - 1)) for n in source.shape]
        stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, source.shape, strict=True)]
        inside = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        source = source.crop(starts, [b - a for a, b in zip(starts, stops, strict=True)])
    prepared = source.with_spacing([wanted[a] for a in how.axes])
    nearest = tuple(draw(st.booleans()) for _ in range(ndim)) if draw(st.booleans()) else ()
    return WayBack(native, how, prepared, inside, nearest)


def _places(back, nearest):
    """Return where the voxels of the oriented grid lie in the prepared one, by their world."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in back.oriented.shape), indexing="ij"), -1)
    where = back.prepared.world_to_index(back.oriented.index_to_world(index))
    where = np.moveaxis(np.round(where, 8), -1, 0)
    for axis, take in enumerate(nearest):
        where[axis] = np.floor(where[axis] + 0.5) if take else where[axis]
    return where


@settings(deadline=None, max_examples=100)
@given(back=ways(), window=st.integers(1, 6), seed=st.integers(0, 99), near=st.booleans())
def test_parts_give_what_the_whole_gives(back, window, seed, near):
    shape = back.prepared.shape
    maps = np.random.default_rng(seed).random((2, *shape)).astype(np.float32)
    tiling = plan(shape, (window,) * len(shape), overlap=0.3)
    returning = Returning(back, nearest=near)
    found = np.full((2, *back.native.shape), np.nan, np.float32)
    for index in range(tiling.total):
        box = tiling.unpadded(tiling.cell(index))
        part = torch.from_numpy(maps[(slice(None), *box)].copy())
        (values,) = returning.bring(box, part, lambda v: (v,))
        place = (slice(None), *returning.native(returning.region(box)))
        assert np.isnan(found[place]).all()  # no voxel twice
        found[place] = back.how.inverse().apply(values.numpy())
    at = _places(back, (True,) * len(shape) if near else back.nearest)
    whole = [ndimage.map_coordinates(m.astype(float), at, order=1, mode="nearest") for m in maps]
    expected = np.stack(whole)
    for box in back.outside:
        assert not np.isnan(expected[(slice(None), *box)]).any()  # no voxel twice
        expected[(slice(None), *box)] = np.nan
    np.testing.assert_allclose(found, back.how.inverse().apply(expected), atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(back=ways(), seed=st.integers(0, 99))
def test_labels_come_home_by_the_nearest_voxel(back, seed):
    labels = np.random.default_rng(seed).integers(1, 99, back.prepared.shape)
    found = np.zeros(back.native.shape, int)
    for box, part in bring_labels(back, labels):
        assert not found[box].any()
        found[box] = part
    at = np.floor(_places(back, ()) + 0.5).astype(int)
    last = np.reshape(back.prepared.shape, (-1, *(1,) * len(back.prepared.shape))) - 1
    expected = labels[tuple(np.clip(at, 0, last))]
    for box in back.outside:
        expected[box] = 0
    np.testing.assert_array_equal(found, back.how.inverse().apply(expected))


def test_labels_of_a_part_and_of_more_than_the_image():
    native = Grid.from_spacing((4, 5))
    how = native.reorientation_to("IPL")
    prepared = native.crop((1, -2), (3, 6))
    labels = np.arange(1, 21).reshape(4, 5)
    expected = np.pad(labels[1:, :4], ((0, 0), (2, 0)))
    np.testing.assert_array_equal(WayBack(native, how, prepared).prepare_labels(labels), expected)


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_slabs_change_nothing(rows, monkeypatch):
    native = Grid.from_spacing((20, 6, 6), (1.0, 1.0, 1.0))
    how = native.reorientation_to("IPL")
    back = WayBack(native, how, native.reoriented(how).with_spacing((2.0, 1.5, 1.0)))
    maps = torch.from_numpy(np.random.default_rng(0).random((3, *back.prepared.shape), np.float32))
    whole = tuple(slice(0, n) for n in back.prepared.shape)
    (expected,) = Returning(back).bring(whole, maps, lambda v: (v.argmax(0),))
    monkeypatch.setattr("napari_monai.returning._SLAB", 3 * 36 * rows)
    (found,) = Returning(back).bring(whole, maps, lambda v: (v.argmax(0),))
    assert torch.equal(found, expected)
    assert found.shape == (20, 6, 6)
