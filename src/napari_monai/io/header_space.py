"""The grid that a text header describes, or what is left of it when its numbers are broken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GridError, VolumeWarning
from ..grid import Grid


@np.errstate(all="ignore")
def grid_of(
    path: Path,
    shape: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    unit: str,
    *,
    anatomical: bool,
    spacing: npt.NDArray[Any] | None = None,
) -> Grid:
    """Return the grid of an affine, which is finished in place.

    Parameters
    ----------
    affine
        Of shape (4, 4). A slice, of two axes, gets a thickness of 1 along its normal.
    spacing
        Voxel sizes to go on with where the affine is not finite or singular; those of the affine
        when left out. A VolumeWarning says so.
    """
    n = len(shape)
    if n == 2:
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0) + 0.0
    sizes = np.linalg.norm(affine[:3, :n], axis=0)
    if np.isfinite(sizes).all():  # long vectors overflow
        try:
            return Grid(shape, affine, unit, anatomical)
        except GridError:
            pass
    sizes = np.abs(sizes if spacing is None else spacing)
    sizes = np.where(np.isfinite(sizes) & (sizes > 0) & (sizes < 1e100), sizes, 1.0)
    warnings.warn(
        VolumeWarning(
            f"{path}: its spacing, directions or origin are not finite or singular; only the "
            f"voxel size {tuple(sizes.tolist())} {unit} was used, not position and orientation."
        ),
        stacklevel=2,
    )
    return Grid.from_spacing(shape, sizes.tolist(), unit=unit)
