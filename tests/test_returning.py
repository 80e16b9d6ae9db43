"""Maps come home part by part as they would in one piece."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_monai.grid import Grid
from napari_monai.resample import WayBack, positions
from napari_monai.returning import Returning
from napari_monai.tiling import plan


@st.composite
def ways(draw):
    ndim = draw(st.integers(2, 3))
    shape = [draw(st.integers(1, 12)) for _ in range(ndim)]
    spacing = [draw(st.sampled_from((0.4, 1.0, 1.5, 3.1))) for _ in range(ndim)]
    native = Grid.from_spacing(shape, spacing)
    wanted = [draw(st.sampled_from((s, 1.0, 0.7, 2.0))) for s in spacing]
    codes = native.orientation if ndim == 2 else draw(st.sampled_from(("IPL", "RAS", "SLA", "LPS")))
    how = native.reorientation_to(codes) if ndim == 3 else native.reorientation_to("IPL")
    prepared = native.reoriented(how).with_spacing([wanted[a] for a in how.axes])
    return WayBack(native, how, prepared)


@settings(deadline=None, max_examples=60)
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
    lines = positions(back.prepared, back.oriented)
    at = np.meshgrid(*(np.floor(x + 0.5) if near else x for x in lines), indexing="ij")
    whole = [ndimage.map_coordinates(m.astype(float), at, order=1, mode="nearest") for m in maps]
    expected = back.how.inverse().apply(np.stack(whole))
    np.testing.assert_allclose(found, expected, atol=2e-6)


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
