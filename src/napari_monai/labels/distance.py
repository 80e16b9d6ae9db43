"""Distances in physical units: what lies within a distance of a mask, by balls of voxels.

Distances are Euclidean, between the centres of voxels. Beyond the border of an array nothing is
known, and nothing comes from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError

Mask = npt.NDArray[np.bool_]
Packed = npt.NDArray[np.uint8]

# By which share a squared distance may be beyond the limit: 3 x 0.1 is not quite 0.3 in binary,
# and a distance that is just reached counts.
SLACK = 1e-6


def reach(distance: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Return how many voxels along each axis lie within a distance: the margin that it needs.

    Raises
    ------
    EditError
        If the distance is negative or a spacing not above 0.
    """
    if not distance >= 0 or math.isinf(distance):
        raise EditError(f"A distance is 0 or more, not {distance}.")
    if not all(s > 0 for s in spacing):
        raise EditError(f"The size of a voxel is above 0 along each axis, not {tuple(spacing)}.")
    limit = distance * math.sqrt(1 + SLACK)
    return tuple(0 if math.isinf(s) else int(limit / s) for s in spacing)


def dilated(mask: Mask, *, distance: float, spacing: Sequence[float]) -> Mask:
    """Return the voxels within a distance of a mask.

    Parameters
    ----------
    mask
        2-D or 3-D.
    distance
        In the unit of ``spacing``; what is just as far belongs to it.
    spacing
        Size of a voxel along each axis; infinity keeps the slices across that axis apart.
    """
    reach(distance, spacing)
    missing = 3 - mask.ndim
    shape = (1,) * missing + mask.shape
    result = _dilated(mask.reshape(shape), distance, (math.inf,) * missing + tuple(spacing))
    return result.reshape(mask.shape)


def eroded(mask: Mask, *, distance: float, spacing: Sequence[float]) -> Mask:
    """Return the voxels of a mask that have no other voxel within a distance; see `dilated`."""
    return ~dilated(~mask, distance=distance, spacing=spacing)


def closed(mask: Mask, *, distance: float, spacing: Sequence[float]) -> Mask:
    """Return a mask with what no ball of a radius reaches without touching the mask.

    What touches the border is taken to go on beyond it as it is there (edge voxels repeated): a
    slot that ends at the border is filled up to it, and the gap between the mask and the border
    is not. Closing twice does what closing once does. See `dilated` for the arguments.
    """
    wide = reach(distance, spacing)
    known = np.pad(mask, [(k, k) for k in wide], mode="edge")
    # Where a ball, its centre beyond the border too, misses the mask, all that it covers stays.
    centres = ~dilated(known, distance=distance, spacing=spacing)
    free = dilated(centres, distance=distance, spacing=spacing)
    for axis, k in enumerate(wide):
        if not k:
            continue
        free = np.moveaxis(free, axis, 0)
        # What is covered beyond the border stands for the border itself: without this, what is
        # closed once could be closed further.
        free[k] |= free[:k].any(axis=0)
        free[-k - 1] |= free[-k:].any(axis=0)
        free = np.moveaxis(free[k:-k], 0, axis)
    return ~free


def opened(mask: Mask, *, distance: float, spacing: Sequence[float]) -> Mask:
    """Return the voxels of a mask that a ball of a radius reaches without leaving the mask.

    As `closed` of what is not the mask: where the border of the array cuts the mask, it is not
    rounded off.
    """
    return ~closed(~mask, distance=distance, spacing=spacing)


def _dilated(mask: Mask, distance: float, spacing: tuple[float, ...]) -> Mask:
    """Put the rows of a ball, eight voxels a byte, over a mask of shape (z, y, x).

    A ball of radius k voxels has about pi k^2 rows, and laying one over the mask is one OR of a
    bit a voxel: quicker than a distance transform up to a radius of some 80 voxels.
    """
    k_z, k_y, k_x = (
        min(k, n - 1) for k, n in zip(reach(distance, spacing), mask.shape, strict=True)
    )
    rows = _widened(mask, k_x)
    result = np.zeros_like(rows[0])
    for z in range(k_z + 1):
        disc = np.zeros_like(rows[0])
        for y in range(-k_y, k_y + 1):
            left = distance**2 * (1 + SLACK) - _squared(z, spacing[0]) - _squared(y, spacing[1])
            if left < 0:
                continue
            width = 0 if math.isinf(spacing[2]) else int(math.sqrt(left) / spacing[2])
            _or_moved(disc, rows[min(width, k_x)], y, axis=1)
        for way in {z, -z}:
            _or_moved(result, disc, way, axis=0)
    return np.unpackbits(result, axis=-1, count=mask.shape[-1]).view(np.bool_)


def _widened(mask: Mask, most: int) -> list[Packed]:
    """Return the mask, each row of it widened by 0, 1, ... voxels, packed."""
    wide = mask.copy()
    packed = [np.packbits(wide, axis=-1)]
    for k in range(1, most + 1):
        wide[..., k:] |= mask[..., :-k]
        wide[..., :-k] |= mask[..., k:]
        packed.append(np.packbits(wide, axis=-1))
    return packed


def _or_moved(result: npt.NDArray[Any], part: npt.NDArray[Any], by: int, *, axis: int) -> None:
    """Add a part, moved along an axis, to a result of the same shape."""
    to: list[slice] = [slice(None)] * result.ndim
    source = to.copy()
    n = result.shape[axis]
    to[axis] = slice(max(by, 0), n + min(by, 0))
    source[axis] = slice(max(-by, 0), n + min(-by, 0))
    target = result[tuple(to)]
    np.bitwise_or(target, part[tuple(source)], out=target)


def _squared(voxels: int, spacing: float) -> float:
    return (voxels * spacing) ** 2 if voxels else 0.0
