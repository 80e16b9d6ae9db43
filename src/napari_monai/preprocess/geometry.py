"""Operations that turn an image and resample it; the way back is known axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import GridError, ModelError, OutOfMemoryError
from ..grid import DISPLAY, Grid, Reorientation, millimetres, unit_name
from ..resample import positions
from .chain import Chain
from .links import Separable, limits_of
from .sources import Resampled, Turned
from .splines import Averages, Line, Nearest, Spline

FloatArray = npt.NDArray[np.float64]

# A spacing that is off by less needs no resampling.
_SAME_SPACING = 0.01
_EQUAL_SPACING = 1e-6
# Nobody means an image of more voxels: its pixel size or unit is wrong.
_MOST_VOXELS = 2**33
# nnU-Net resamples the coarse axis by itself where spacings differ more than so many times.
_ANISOTROPIC = 3


@dataclass(frozen=True)
class Orientation:
    """Turn and flip the axes until they run closest to three anatomical letters."""

    codes: str = DISPLAY

    def __post_init__(self) -> None:
        if sorted("RLAPSI".find(c) // 2 for c in self.codes) != [0, 1, 2]:
            raise ValueError(f"codes is {self.codes!r}, which names not each axis once")

    def apply(self, chain: Chain) -> Chain:
        """Reorient; exact, and no voxel changes."""
        how = chain.link.grid.reorientation_to(self.codes)
        return replace(chain, link=Turned(chain.link, how))


@dataclass(frozen=True)
class Transpose:
    """Permute the axes of the image's array, without flips.

    Parameters
    ----------
    axes
        Which axis comes where. Those of a volume fit a picture too, which is its one slice.
    stored
        Whether to begin with the axis that is slowest in the file, as SimpleITK has them; else
        with the first axis of the array.
    """

    axes: tuple[int, ...]
    stored: bool = False

    def __post_init__(self) -> None:
        if sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"axes names not each from 0 once: {list(self.axes)}")

    def apply(self, chain: Chain) -> Chain:
        """Transpose; no voxel changes."""
        ndim = chain.link.grid.ndim
        axes = self.axes
        if len(axes) == ndim + 1:
            axes = tuple(a - 1 for a in axes if a)
        if len(axes) != ndim:
            raise ModelError(
                f"The model transposes {len(axes)} axes, but the image has {ndim}: "
                "choose another model."
            )
        order = tuple(range(ndim))
        if self.stored:
            here = chain.link.place.how.axes
            order = tuple(here.index(axis) for axis in chain.link.native.stored_order)
        how = Reorientation(tuple(order[a] for a in axes), (False,) * ndim)
        return replace(chain, link=Turned(chain.link, how))


@dataclass(frozen=True)
class Spacing:
    """Resample to a spacing, one number an axis; ``None`` leaves an axis as it is.

    Two numbers on a volume are of the slices' own axes. An image whose pixel size is not known
    stays as it is.

    Parameters
    ----------
    spacing, unit
        The spacing.
    order
        0 takes the nearest voxel, 1 interpolates linearly, 2 and 3 by B-splines.
    align
        ``"centre"`` keeps the centre; ``"extent"`` the field of view, by a spacing that differs
        a little, as nnU-Net does; ``"corner"`` the first voxel, as MONAI's Spacing does.
    separate_z
        Whether the axis of the coarsest spacing is resampled by itself, with ``order_z``;
        ``"auto"`` where spacings differ more than three times, as nnU-Net does.
    """

    spacing: tuple[float | None, ...]
    unit: str = "mm"
    order: int = 1
    align: Literal["centre", "extent", "corner"] = "centre"
    separate_z: bool | Literal["auto"] = False
    order_z: int = 0

    def __post_init__(self) -> None:
        for step in self.spacing:
            if step is not None and not (type(step) in (int, float) and 0 < step < np.inf):
                raise ValueError(f"spacing needs positive numbers or null, got {step!r}")
        if not (0 <= self.order <= 3 and 0 <= self.order_z <= 3):
            raise ValueError(f"order goes from 0 to 3, not {self.order} and {self.order_z}")
        try:
            millimetres(unit_name(self.unit))
        except GridError as error:
            raise ValueError(str(error)) from None

    def apply(self, chain: Chain) -> Chain:
        """Resample."""
        grid = chain.link.grid
        if grid.unit == "pixel":
            return chain.noted(
                "The pixel size is not known: the image is not resampled to the model's "
                f"{self.unit}."
            )
        spacing = self._wanted(grid)
        if tuple(spacing) == grid.spacing:
            return chain
        voxels = np.prod(
            [n * s / t for n, s, t in zip(grid.shape, grid.spacing, spacing, strict=True)]
        )
        if voxels * chain.link.channels > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Resampling from {_lengths(grid.spacing)} to {_lengths(spacing)} {grid.unit} "
                f"makes {voxels:.0e} voxels: check the image's pixel size and unit."
            )
        target = _aligned(grid, spacing, self.align)
        if self.align == "extent" and target.shape == grid.shape:
            return chain
        coarse = self._coarse(grid.spacing, spacing)
        home = self._coarse(spacing, grid.spacing)
        if self.order == 1 and coarse is None and home is None:
            return replace(chain, link=Resampled(chain.link, target))
        chain = chain.measurable()
        orders = [self.order_z if axis == coarse else self.order for axis in range(grid.ndim)]
        at = zip(orders, positions(grid, target), grid.shape, strict=True)
        lines = [_line(order, where, n) for order, where, n in at]
        limits = None
        if self.align == "extent" and max(orders) > 1 and chain.reads:
            limits = limits_of(chain.link, coarse)
        link = Separable(chain.link, target, lines, limits=limits, coarse=coarse, home=home)
        return replace(chain, link=link)

    def _wanted(self, grid: Grid) -> list[float]:
        """Return the spacing in the unit of a grid."""
        factor = millimetres(unit_name(self.unit)) / millimetres(grid.unit)
        wanted = (None,) * (grid.ndim - len(self.spacing)) + tuple(self.spacing)
        tolerance = _SAME_SPACING if self.align == "centre" else _EQUAL_SPACING
        return [
            here if step is None or abs(step * factor / here - 1) < tolerance else step * factor
            for here, step in zip(grid.spacing, wanted, strict=True)
        ]

    def _coarse(self, before: Sequence[float], after: Sequence[float]) -> int | None:
        """Return the axis to resample by itself: the one that is coarser than all others.

        Whether there is one is asked of the spacing before, and only then of that after.
        """
        if self.separate_z is False or len(before) < 3:
            return None
        uneven = [max(s) / min(s) > _ANISOTROPIC for s in (before, after)]
        if self.separate_z == "auto" and not any(uneven):
            return None
        told = after if self.separate_z == "auto" and not uneven[0] else before
        # As nnU-Net compares them: exactly.
        axes = [axis for axis, step in enumerate(told) if max(told) / step == 1]
        return axes[0] if len(axes) == 1 else None


@dataclass(frozen=True)
class Resize:
    """Resample to a number of voxels, one an axis; ``None`` leaves an axis as it is.

    Two numbers on a volume are of the slices' own axes. The field of view stays.

    Parameters
    ----------
    size
        The numbers of voxels.
    mode
        ``"area"`` averages the voxels that a new one covers, as MONAI's Resize does by default;
        ``"linear"``, ``"nearest"`` and ``"cubic"`` interpolate.
    """

    size: tuple[int | None, ...]
    mode: Literal["area", "linear", "nearest", "cubic"] = "area"

    def __post_init__(self) -> None:
        for n in self.size:
            if n is not None and not (type(n) is int and n > 0):
                raise ValueError(f"size needs positive whole numbers or null, got {n!r}")

    def apply(self, chain: Chain) -> Chain:
        """Resample."""
        grid = chain.link.grid
        wanted = (None,) * (grid.ndim - len(self.size)) + tuple(self.size)
        shape = [n if m is None else m for n, m in zip(grid.shape, wanted, strict=True)]
        if tuple(shape) == grid.shape:
            return chain
        if np.prod(shape, dtype=float) * chain.link.channels > _MOST_VOXELS:
            raise OutOfMemoryError(f"Resizing to {shape} makes too many voxels: crop the image.")
        target = grid.with_shape(shape)
        if self.mode == "linear":
            return replace(chain, link=Resampled(chain.link, target))
        if self.mode == "area":
            lines: list[Line] = [Averages(n, m) for n, m in zip(grid.shape, shape, strict=True)]
            return replace(chain, link=Separable(chain.link, target, lines))
        chain = chain.measurable()
        at = zip(positions(grid, target), grid.shape, strict=True)
        lines = [_line(3 if self.mode == "cubic" else 0, where, n) for where, n in at]
        limits = limits_of(chain.link) if self.mode == "cubic" and chain.reads else None
        return replace(chain, link=Separable(chain.link, target, lines, limits=limits))


def _aligned(grid: Grid, spacing: Sequence[float], align: str) -> Grid:
    """Return the grid of a spacing, or nearly of it, laid over another."""
    if align == "centre":
        return grid.with_spacing(spacing)
    ratios = [s / t for s, t in zip(grid.spacing, spacing, strict=True)]
    pairs = list(zip(grid.shape, ratios, strict=True))
    if align == "extent":
        return grid.with_shape([max(1, round(ratio * n)) for n, ratio in pairs])
    shape = tuple(round(float(np.round((n - 1) * ratio + 1, 9))) for n, ratio in pairs)
    affine = grid.affine.copy()
    affine[:3, : grid.ndim] /= ratios
    return Grid(shape, affine, grid.unit, grid.anatomical)


def _line(order: int, at: FloatArray, n: int) -> Line:
    return Nearest(at, n) if order == 0 else Spline(at, n, order)


@dataclass(frozen=True)
class Zoom:
    """Enlarge the image linearly by a factor along the network's axes, whatever its voxel size.

    For objects of few voxels: the network draws their borders on a finer grid.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.factor <= 10:
            raise ValueError(f"factor goes from 0.1 to 10, not {self.factor}")

    def apply(self, chain: Chain) -> Chain:
        """Resample; the field of view and its centre stay."""
        grid, dims = chain.link.grid, chain.spatial_dims
        factors = (1.0,) * (grid.ndim - dims) + (self.factor,) * dims
        if np.prod(grid.shape) * np.prod(factors) * chain.link.channels > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Enlarged {self.factor:g} times, the image has too many voxels: crop it."
            )
        finer = grid.with_spacing([s / f for s, f in zip(grid.spacing, factors, strict=True)])
        return replace(chain, link=Resampled(chain.link, finer))


def _lengths(spacing: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
