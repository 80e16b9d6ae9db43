"""Sums of windows against sums over the whole image, with no more held than is still touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_monai import blending
from napari_monai.blending import Blender, carried_bytes, carried_shapes
from napari_monai.tiling import plan

CPU = torch.device("cpu")


def _whole(tiling, windows):
    """Return the weighted sum over the whole padded image, then without its padding."""
    total = np.zeros((windows.shape[1], *tiling.padded_shape))
    for index, window in enumerate(windows):
        weight = np.ones(1)
        for axis, i in enumerate(tiling.place(index)):
            weight = np.multiply.outer(weight, tiling.weights[axis][i])
        total[(slice(None), *tiling.box(index))] += window * weight[0]
    inside = (slice(a, a + n) for n, (a, _) in zip(tiling.shape, tiling.padding, strict=True))
    return total[(slice(None), *inside)]


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 14), min_size=1, max_size=3),
    window=st.integers(1, 7),
    overlap=st.sampled_from((0.0, 0.25, 0.5, 0.8)),
    blend=st.sampled_from(("gaussian", "constant")),
    seed=st.integers(0, 99),
)
def test_parts_add_up_to_the_whole(shape, window, overlap, blend, seed):
    tiling = plan(shape, (window,) * len(shape), overlap=overlap, blend=blend)
    windows = np.random.default_rng(seed).random((tiling.total, 2, *tiling.window), np.float32)
    found = np.full((2, *shape), np.nan)
    blender = Blender(tiling, 2, CPU)
    for index, values in enumerate(torch.from_numpy(windows.copy())):
        box, part = blender.add(index, values)
        assert np.isnan(found[(slice(None), *box)]).all()  # no voxel twice
        found[(slice(None), *box)] = part.numpy()
    np.testing.assert_allclose(found, _whole(tiling, windows), atol=1e-5)


def test_holds_what_windows_share_and_no_more():
    """Side w, overlap v, n voxels an axis: v n n + w v n + w w v a channel."""
    tiling = plan((40, 48, 56), (16, 16, 16), overlap=0.25)
    shapes = carried_shapes(tiling, 3)
    shared = [s - min(np.diff(a)) for s, a in zip(tiling.window, tiling.starts, strict=True)]
    assert shapes == [
        (3, shared[0], 48, 56),
        (3, 16, shared[1], 56),
        (3, 16, 16, shared[2]),
    ]
    held = sum(c.numel() * c.element_size() for c in Blender(tiling, 3, CPU).carried)
    assert held == carried_bytes(tiling, 3, probabilities=True)
    assert held < 4 * 3 * 40 * 48 * 56 / 3


def test_windows_that_share_nothing_hold_nothing():
    tiling = plan((8, 8), (4, 4), overlap=0.0)
    assert carried_bytes(tiling, 5, probabilities=False) == 0
    assert Blender(tiling, 5, CPU).carried == [None, None]


def test_many_probabilities_are_held_in_half_precision(monkeypatch):
    monkeypatch.setattr(blending, "_LARGE", 2**10)
    tiling = plan((30, 12, 12), (12, 12, 12), overlap=0.5)
    windows = torch.rand(tiling.total, 4, *tiling.window)
    expected = _whole(tiling, windows.numpy())
    half, full = Blender(tiling, 4, CPU, probabilities=True), Blender(tiling, 4, CPU)
    assert half.carried[0].dtype == torch.float16
    assert full.carried[0].dtype == torch.float32
    for index, values in enumerate(windows):
        box, part = half.add(index, values.clone())
        np.testing.assert_allclose(part, expected[(slice(None), *box)], atol=1e-3)
    assert 2 * carried_bytes(tiling, 4, probabilities=True) == carried_bytes(
        tiling, 4, probabilities=False
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_moves_to_another_device(channels):
    tiling = plan((10, 10), (6, 6), overlap=0.5)
    windows = torch.rand(tiling.total, channels, 6, 6)
    expected = _whole(tiling, windows.numpy())
    blender = Blender(tiling, channels, CPU)
    for index, values in enumerate(windows):
        if index == 2:
            blender.to(CPU)
        box, part = blender.add(index, values)
        np.testing.assert_allclose(part, expected[(slice(None), *box)], atol=1e-6)
