"""Labels on to the grid of the image that they belong to, voxel for voxel, without resampling.

Programs that convert an image turn and flip its axes, and some crop it: such labels go back on to
the image's own grid, and with that into formats that refer to its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GridError
from ..grid import Grid, Reorientation
from ..volume import LabelVolume, Volume

# How far, in voxels, a voxel may be from the image's: more than a format rounds, less than a shift.
TOLERANCE = 0.1


def labels_on(labels: LabelVolume, images: Sequence[Volume]) -> LabelVolume:
    """Return labels on the grid of the first of the images that they fit voxel for voxel.

    Where they cover a part of the image, the rest is background.

    Raises
    ------
    GridError
        If they fit none: another spacing, a turn, a shift by a part of a voxel, or labels outside.
    """
    for image in images:
        found = _placed(labels, image.grid)
        if found is not None:
            return replace(
                labels,
                data=found,
                grid=image.grid,
                source=image.source,
                meta=image.meta,
                time_step=labels.time_step or image.time_step,
            )
    grids = "; ".join(f"{i.name}: {_words(i.grid)}" for i in images[:3])
    more = f"; and {len(images) - 3} more" if len(images) > 3 else ""
    raise GridError(
        f"{labels.name} ({_words(labels.grid)}) does not lie on the voxels of the reference "
        f"({grids}{more}): name the image that the labels were made of."
    )


def _words(grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    return f"{shape} voxels of {spacing} {grid.unit}, {grid.orientation}"


def _placed(labels: LabelVolume, grid: Grid) -> npt.NDArray[Any] | None:
    """Return the voxels of labels on another grid; ``None`` if its voxels are not theirs."""
    n = grid.ndim
    if labels.grid.ndim != n or labels.grid.unit != grid.unit:
        return None
    # From the index of a label to that in the image: a permutation, flips, and whole steps.
    steps = np.linalg.solve(grid.affine, labels.grid.affine)[:n, :n]
    turn = np.rint(steps).astype(np.int64)
    if not np.array_equal(np.abs(turn).sum(axis=0), np.ones(n)) or not np.array_equal(
        np.abs(turn).sum(axis=1), np.ones(n)
    ):
        return None
    axes = tuple(int(a) for a in np.abs(turn).argmax(axis=1))
    flips = tuple(bool(turn[k, a] < 0) for k, a in enumerate(axes))
    how = Reorientation(axes, flips)
    turned = labels.grid.reoriented(how)
    start = np.rint(grid.world_to_index(turned.origin)).astype(int)
    if not grid.crop(start.tolist(), turned.shape).is_close(turned, tolerance=TOLERANCE):
        return None
    array = how.apply(labels.numpy())
    if turned.shape == grid.shape and not start.any():
        return array
    ends = np.minimum(start + turned.shape, grid.shape)
    first = np.maximum(start, 0)
    if (first >= ends).any():
        return None
    here: tuple[Any, ...] = tuple(map(slice, first, ends))
    there: tuple[Any, ...] = tuple(map(slice, first - start, ends - start))
    found = np.zeros((*array.shape[: array.ndim - n], *grid.shape), array.dtype)
    found[(..., *here)] = array[(..., *there)]
    # No label may be lost.
    return found if np.count_nonzero(found) == np.count_nonzero(array) else None
