"""Grids of every orientation, and resampling through world coordinates as an oracle."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import map_coordinates

from napari_monai.grid import Grid

# All 48 ways in which three array axes can run along the world's.
ORIENTATIONS = [
    "".join(letters[axis][sign] for axis, sign in zip(order, signs, strict=True))
    for letters in [("RL", "AP", "SI")]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((0, 1), repeat=3)
]


def grid(
    shape: tuple[int, ...],
    codes: str = "RAS",
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    *,
    unit: str = "mm",
    tilt: float = 0.0,
) -> Grid:
    """Return an anatomical grid whose axes run along ``codes``, turned by ``tilt`` radians."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(codes):
        world = next(w for w, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-31.5, 12.25, 7.0)
    return Grid(shape, affine, unit)


def sample(array: np.ndarray, source: Grid, target: Grid, order: int = 1) -> np.ndarray:
    """Return an array on ``source`` at the voxels of ``target``, by way of the world."""
    index = np.stack(np.indices(target.shape), axis=-1)
    at = source.world_to_index(target.index_to_world(index))
    if order == 0:
        near = np.floor(np.round(at, 6) + 0.5).astype(int)
        near = np.clip(near, 0, np.asarray(source.shape) - 1)
        return array[tuple(np.moveaxis(near, -1, 0))]
    return map_coordinates(array, np.moveaxis(at, -1, 0), order=1, mode="nearest")
