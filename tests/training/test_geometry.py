"""Where patches lie: against scipy's interpolation and splines, and by what never may happen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import map_coordinates
from torch.nn import functional

from napari_monai.training.geometry import (
    on_voxels,
    random_bend,
    random_matrix,
    reach,
    sampling_grid,
    spline,
)
from napari_monai.training.presets import PRESETS, Augment

BENT = Augment(elastic=0.3, intensity=0.0)


def test_the_spline_is_scipys() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(5, 7, 1)).astype(np.float32)  # 2 and 4 intervals
    found = spline(points, (6, 9))[..., 0].numpy()

    def basis(n: int, cells: int) -> np.ndarray:
        at = (np.arange(n) + 0.5) / n * cells
        knots = np.arange(-3, cells + 4)
        return np.stack([BSpline(knots, row, 3)(at) for row in np.eye(cells + 3)], axis=1)

    expected = basis(6, 2) @ points[..., 0] @ basis(9, 4).T
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "patch", "spacing"),
    [((60, 70), (20, 24), (1.0, 2.0)), ((24, 40, 44), (8, 12, 10), (2.0, 1.0, 1.0))],
    ids=["2d", "3d"],
)
def test_a_patch_is_what_scipy_interpolates_there(
    shape: tuple[int, ...], patch: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(size=shape)
    size = np.asarray(patch)
    augment = dataclasses.replace(BENT, tilt=25.0, elastic=0.0)
    matrix = random_matrix(len(shape), rng, augment, spacing=spacing)
    bend = None
    while bend is None:
        bend = random_bend(size, rng, BENT, spacing=spacing)
    centre = np.asarray(shape) / 2 + 0.3
    grid = sampling_grid(size, matrix, centre, np.asarray(shape), bend)
    source = torch.from_numpy(image[None, None].astype(np.float32))
    found = functional.grid_sample(
        source, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )[0, 0]

    # Offsets from the patch's centre, plus their displacement, through the matrix.
    offsets = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in patch), indexing="ij"))
    displacement = spline(np.moveaxis(bend, 0, -1).astype(np.float32), patch).numpy()
    moved = offsets + np.moveaxis(displacement, -1, 0)
    column = (-1, *(1,) * len(shape))
    index = np.tensordot(matrix, moved, 1) + centre.reshape(column)
    expected = map_coordinates(image, index, order=1, mode="reflect")
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), volume=st.booleans())
def test_bending_folds_nothing_over_and_stays_in_reach(seed: int, volume: bool) -> None:
    patch = np.array([16, 24, 20] if volume else [40, 32])
    spacing = (1.0,) * len(patch)
    rng = np.random.default_rng(seed)
    bend = random_bend(patch, rng, dataclasses.replace(BENT, elastic=0.5), spacing=spacing)
    if bend is None:
        return
    matrix = random_matrix(len(patch), rng, PRESETS["em"], spacing=spacing)
    shape = patch * 3
    centre = shape / 2 - 0.5
    grid = sampling_grid(patch, matrix, centre, shape, bend)[0].numpy()[..., ::-1]
    index = (grid + 1) / 2 * shape - 0.5
    assert (
        np.abs(index - centre).reshape(-1, len(patch)).max(0) <= reach(patch, matrix, bend)
    ).all()
    steps = np.stack([np.gradient(index, axis=a) for a in range(len(patch))], axis=-1)
    turned = np.linalg.det(steps) * np.sign(np.linalg.det(matrix))
    assert turned.min() > 0


@pytest.mark.parametrize("thickness", [1.0, 2.0, 5.0])
def test_tilt_and_bend_heed_thick_slices(thickness: float) -> None:
    spacing = (thickness, 1.0, 1.0)
    only_tilt = Augment(flips=False, angle=0.0, tilt=30.0, scale=1.0, intensity=0.0)
    tilts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        matrix = random_matrix(3, rng, only_tilt, spacing=spacing)
        physical = np.diag(spacing) @ matrix @ np.diag(1 / np.asarray(spacing))
        np.testing.assert_allclose(physical @ physical.T, np.eye(3), atol=1e-12)
        tilts.append(np.degrees(np.arccos(min(1.0, physical[0, 0]))))
        bend = random_bend(np.array([12, 24, 24]), rng, BENT, spacing=spacing)
        if bend is not None:
            assert bend[0].any() == (thickness < 3)
            assert bend[1].any()
    expected = 0.0 if thickness >= 3 else 30.0 / thickness
    assert max(tilts) <= expected * 1.42 + 1e-6  # two turns, at right angles
    assert max(tilts) >= expected * 0.9


def test_flat_patches_lie_on_voxels() -> None:
    for size in (4, 5):
        patch = np.array([size, size])
        centre = on_voxels(patch, np.diag([1.0, -1.0]), np.array([7.3, 8.9]))
        first = centre - (patch - 1) / 2
        np.testing.assert_array_equal(first, first.round())
        assert np.abs(centre - [7.3, 8.9]).max() <= 0.5
    turned = np.array([[0.0, 1.1], [-1.1, 0.0]])
    assert on_voxels(patch, turned, np.array([7.3, 8.9])).tolist() == [7.3, 8.9]
