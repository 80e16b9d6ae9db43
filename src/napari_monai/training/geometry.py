"""Where in an image the voxels of a patch lie: an affine map and a smooth displacement in one.

Both are one tensor product of cubic B-splines, which is exact for affine maps: their control
points are those of the patch's own lattice, displaced at random, turned, scaled and mirrored. So
a patch is interpolated once, however much is done to it (Rueckert et al. 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from .presets import Augment

FloatArray = npt.NDArray[np.float64]

# Intervals between control points along each axis of a patch that is bent.
_CELLS = 4
# A displacement by less than 0.4 of the distance of control points folds nothing over
# (Choi & Lee 2000).
_WITHOUT_FOLDS = 0.35
# Part of the patches that are bent: what is bent is never quite what it was.
_BENT = 0.5
# Slices so many times thicker than voxels are wide are turned and bent within themselves only,
# as nnU-Net does (Isensee et al. 2021).
_THICK = 3.0


def random_matrix(
    ndim: int,
    rng: np.random.Generator,
    augment: Augment,
    *,
    spacing: Sequence[float],
) -> FloatArray:
    """Return the linear map from offsets in the patch to offsets in the image, in voxels.

    Rotations keep angles in physical space; those out of the plane of the slices are smaller the
    thicker the slices.
    """
    size = np.asarray(spacing[-ndim:], float)
    matrix: FloatArray = np.eye(ndim)
    if augment.rotations and augment.angle > 0:
        limit = np.deg2rad(augment.angle)
        matrix = _rotation(ndim, ndim - 2, ndim - 1, rng.uniform(-limit, limit))
    if augment.rotations and augment.tilt > 0 and ndim == 3:
        thickness = float(size[0] / size[1:].min())
        limit = np.deg2rad(augment.tilt) / max(1.0, thickness)
        if thickness < _THICK:
            for axis in (1, 2):
                matrix = _rotation(3, 0, axis, rng.uniform(-limit, limit)) @ matrix
    matrix = matrix * size / size[:, np.newaxis]
    if augment.scale > 1:
        limit = np.log(augment.scale)
        stretch = rng.normal(0, limit / 8, ndim)  # a little of it differs between the axes
        matrix = matrix * np.exp(rng.uniform(-limit, limit) + stretch)
    if augment.flips:
        matrix = matrix * rng.choice((-1.0, 1.0), ndim)
    return matrix


def _rotation(ndim: int, one: int, other: int, angle: float) -> FloatArray:
    matrix = np.eye(ndim)
    c, s = np.cos(angle), np.sin(angle)
    matrix[[one, one, other, other], [one, other, one, other]] = c, -s, s, c
    return matrix


def random_bend(
    patch: npt.NDArray[np.int_],
    rng: np.random.Generator,
    augment: Augment,
    *,
    spacing: Sequence[float],
) -> FloatArray | None:
    """Return the displacement of control points in voxels, (ndim, *points), or None for none."""
    if augment.elastic <= 0 or rng.random() >= _BENT:
        return None
    ndim = len(patch)
    size = np.asarray(spacing[-ndim:], float)
    part = rng.normal(0, augment.elastic, (ndim, *(_CELLS + 3,) * ndim))
    part = np.clip(part, -_WITHOUT_FOLDS, _WITHOUT_FOLDS)
    part[size / size.min() >= _THICK] = 0
    bend: FloatArray = part * (patch / _CELLS).reshape(-1, *(1,) * ndim)
    return bend


def reach(
    patch: npt.NDArray[np.int_], matrix: FloatArray, bend: FloatArray | None = None
) -> FloatArray:
    """Return how far from its centre, in voxels of the image along each axis, a patch looks."""
    half = patch / 2
    if bend is not None:
        # A spline lies within the hull of its control points.
        half = half + np.abs(bend).reshape(len(patch), -1).max(1)
    far: FloatArray = np.abs(matrix) @ half
    return far


def on_voxels(patch: npt.NDArray[np.int_], matrix: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the centre moved by half a voxel at most, onto voxels where the map keeps them.

    A patch that is neither turned nor scaled is then not blurred by interpolation either.
    """
    if not np.array_equal(np.abs(matrix), np.eye(len(patch))):
        return centre
    first = (patch - 1) / 2
    moved: FloatArray = np.floor(centre - first + 0.5) + first
    return moved


def sampling_grid(
    patch: npt.NDArray[np.int_],
    matrix: FloatArray,
    centre: FloatArray,
    shape: npt.NDArray[np.int_],
    bend: FloatArray | None = None,
    *,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Return the grid for ``grid_sample`` (``align_corners=False``) of one patch.

    The voxel at an offset ``o`` from the patch's centre is found at ``centre + matrix @ (o +
    d(o))``, in voxels of a box of ``shape``; ``d`` is the spline of ``bend``. The grid has shape
    (1, *patch, ndim), its last axis in reverse axis order, as grid_sample wants it.
    """
    ndim = len(patch)
    cells = 1 if bend is None else _CELLS
    steps = np.arange(-1, cells + 2) / cells - 0.5  # where control points lie, of a patch
    points = np.stack(np.meshgrid(*(steps * n for n in patch), indexing="ij"))
    if bend is not None:
        points = points + bend
    placed = np.tensordot(matrix, points, 1)
    column = (-1, *(1,) * ndim)
    # From voxel centres to grid_sample's -1 and 1 at the outer edges of the box.
    placed = (placed + (centre + 0.5).reshape(column)) / (shape / 2).reshape(column) - 1
    lattice = np.moveaxis(placed[::-1], 0, -1).astype(np.float32)
    return spline(lattice, patch.tolist(), device=device)[None]


def spline(
    lattice: npt.NDArray[np.float32],
    shape: Sequence[int],
    *,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Return the cubic B-spline of control points (*points, values) on voxels, (*shape, values).

    The points are evenly spaced, one interval of them beyond the outer edges at each side.
    """
    values = torch.from_numpy(np.ascontiguousarray(lattice)).to(device)
    # The last axis first, so that the axis contracted last is the outermost of the result.
    for axis in reversed(range(len(shape))):
        weights = _weights(shape[axis], values.shape[axis] - 3, str(device or "cpu"))
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        flat = values.reshape(*before, values.shape[axis], -1)
        values = (weights @ flat).reshape(*before, shape[axis], *after)
    return values


@lru_cache(maxsize=64)
def _weights(n: int, cells: int, device: str) -> torch.Tensor:
    """Return the weights (n, cells + 3) of control points at the centres of n voxels."""
    at = (np.arange(n) + 0.5) / n * cells
    first = np.minimum(np.floor(at).astype(int), cells - 1)
    t = at - first
    four = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
    weights = np.zeros((n, cells + 3))
    for k in range(4):
        weights[np.arange(n), first + k] = four[k] / 6
    return torch.from_numpy(weights.astype(np.float32)).to(device)
