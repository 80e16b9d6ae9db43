"""Resampling between grids that lean against each other, against what the world says of a voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_monai import regrid as module
from napari_monai.grid import Grid
from napari_monai.io.lazy import LazyArray
from napari_monai.regrid import Regridded, regrid, straight_box

ANGLES = st.tuples(*[st.floats(-1.5, 1.5)] * 3)


def leaning(
    shape: tuple[int, int, int],
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float] = (1.0, 0.8, 2.5),
    shear: float = 0.0,
) -> Grid:
    """Return a grid whose axes are turned about x, y and z, by radians, and then sheared."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, (i, j) = np.eye(3), [a for a in range(3) if a != axis]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array(((1, 0, shear), (0, 1, 0), (0, 0, 1))) @ np.diag(spacing)
    affine[:3, 3] = (12.5, -7.0, 40.0)
    return Grid(shape, affine)


def places(grid: Grid) -> np.ndarray:
    """Return the world position of every voxel, shape (*grid.shape, 3)."""
    return grid.index_to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def inside(source: Grid, world: np.ndarray, margin: float) -> np.ndarray:
    index = source.world_to_index(world)
    last = np.array(source.shape) - 1
    return ((index >= margin) & (index <= last - margin)).all(axis=-1)


@settings(max_examples=30)
@given(ANGLES, st.sampled_from((0.0, 0.3)))
def test_a_linear_field_is_kept_exactly(angles: tuple[float, float, float], shear: float) -> None:
    source = leaning((9, 11, 7), angles, shear=shear)
    target = straight_box(source)
    field = np.array((0.3, -2.0, 1.1))
    found = regrid(places(source) @ field, source, target, nearest=False, fill=-999)
    world = places(target)
    within, near = inside(source, world, 1e-6), inside(source, world, -0.5 + 1e-6)
    assert within.any()
    np.testing.assert_allclose(found[within], (world @ field)[within], atol=1e-9)
    beyond = ~inside(source, world, -0.5 - 1e-6)
    assert (found[beyond] == -999).all()
    assert (found[near] != -999).all()


@settings(max_examples=30)
@given(ANGLES, st.sampled_from((0.0, 0.3)))
def test_a_label_is_the_nearest_voxels(angles: tuple[float, float, float], shear: float) -> None:
    source = leaning((6, 5, 7), angles, shear=shear)
    target = straight_box(source)
    labels = np.random.default_rng(3).integers(1, 60_000, source.shape).astype(np.uint16)
    found = regrid(labels, source, target, nearest=True)
    index = source.world_to_index(places(target))
    # Between two voxels either is the nearest.
    clear = (np.abs(index - np.floor(index) - 0.5) > 1e-6).all(axis=-1)
    within = inside(source, places(target), -0.5) & clear
    at = np.rint(index[within]).astype(int)
    np.testing.assert_array_equal(found[within], labels[tuple(at.T)])
    assert (found[~inside(source, places(target), -0.5) & clear] == 0).all()


@settings(max_examples=30)
@given(ANGLES, st.sampled_from((0.0, 0.3)))
def test_the_box_covers_every_voxel(angles: tuple[float, float, float], shear: float) -> None:
    grid = leaning((6, 5, 7), angles, shear=shear)
    box = straight_box(grid)
    assert (np.abs(box.direction).max(axis=0) == 1).all()
    assert box.orientation == grid.orientation
    assert box.spacing == pytest.approx(grid.spacing)
    np.testing.assert_allclose(box.centre, grid.centre)
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * np.array(grid.shape) - 0.5
    index = box.world_to_index(grid.index_to_world(corners))
    assert (index > -0.5 - 1e-5).all()
    assert (index < np.array(box.shape) - 0.5 + 1e-5).all()
    # No larger than it has to be.
    slack = np.array(box.shape) - 1 - (index.max(axis=0) - index.min(axis=0))
    assert (slack <= 1e-5).all()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param((2,), id="plane"),
        pytest.param((slice(None), 3), id="plane across"),
        pytest.param((slice(None), slice(None), -1), id="last"),
        pytest.param((slice(1, 9, 3), slice(8, 2, -2)), id="steps"),
        pytest.param((slice(0, 0),), id="nothing"),
    ],
)
def test_a_part_is_that_part_of_the_whole(key: tuple[Any, ...], monkeypatch: Any) -> None:
    source = leaning((9, 8, 10), (0.3, -0.2, 0.5))
    target = straight_box(source)
    data = np.random.default_rng(0).normal(size=(2, *source.shape)).astype(np.float32)
    whole = regrid(data, source, target, nearest=False)
    monkeypatch.setattr(module, "_BLOCK", 4)
    view = LazyArray(Regridded(data, source, target, nearest=False))
    np.testing.assert_allclose(view[(1, *key)], whole[(1, *key)], atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u4", "i8", "f2", ">f4", "f8", "?"])
def test_every_type_stays(dtype: str) -> None:
    source = leaning((5, 6, 7), (0.2, 0.3, 0.0))
    data = (np.random.default_rng(1).random(source.shape) * 2).round().astype(dtype)
    for nearest in (True, False):
        found = regrid(data, source, straight_box(source), nearest=nearest)
        exact = regrid(data.astype("f8"), source, straight_box(source), nearest=nearest)
        assert found.dtype == np.dtype(dtype).newbyteorder("=")
        away = 2e-3 if dtype == "f2" else 1e-6 if "f" in dtype else 0.5 + 1e-9
        assert np.abs(found.astype("f8") - np.minimum(exact, data.max())).max() <= away


def test_a_plane_of_a_file_reads_what_it_needs(monkeypatch: Any) -> None:
    class Counted:
        shape, dtype, most = (400, 300, 500), np.dtype(np.int16), 0

        def __getitem__(self, key: Any) -> np.ndarray:
            part = np.zeros(tuple(s.stop - s.start for s in key), np.int16)
            self.most = max(self.most, part.size)
            return part

    monkeypatch.setattr(module, "_MOST", 2**20)
    data = Counted()
    source = leaning((400, 300, 500), (0.3, -0.2, 0.5), (1, 1, 1))
    view = Regridded(data, source, straight_box(source), nearest=False)
    middle = view.shape[1] // 2
    view[:, middle : middle + 1, :]
    assert 0 < data.most <= 2**20
