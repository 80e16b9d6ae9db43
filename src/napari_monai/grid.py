"""Where the voxels of an array lie in space; the only place that knows of RAS and LPS.

World coordinates are (x, y, z) towards the patient's Right, Anterior, Superior (RAS+, the
convention of NIfTI and nibabel), in the grid's own unit. An index counts voxel centres: index 0
is the centre of the first voxel.

A picture or a microscopy stack has no patient. Its array axes are (z, y, x) and it is laid into
the world as a radiologist would see it on the screen: z runs Inferior, y (down) Posterior,
x (right) Left. So one display frame, "IPL", serves both kinds, and is the identity for pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import GridError

FloatArray = npt.NDArray[np.float64]

# Millimetres in one unit; "pixel" has no physical size.
_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "µm": 1e-3, "nm": 1e-6}
_UNIT_NAMES = {
    "um": "µm", "μm": "µm", "micron": "µm", "microns": "µm", "micrometer": "µm",
    "micrometre": "µm", "millimeter": "mm", "millimetre": "mm", "centimeter": "cm",
    "centimetre": "cm", "meter": "m", "metre": "m", "nanometer": "nm", "nanometre": "nm",
    "px": "pixel", "pixels": "pixel", "": "pixel",
}  # fmt: skip
UNITS = (*_MM, "pixel")

# RAS world axis and sign of each anatomical direction.
_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
DISPLAY = "IPL"


def unit_name(name: str) -> str:
    """Return the canonical name of a unit of length: ``"micron"`` and ``"um"`` are ``"µm"``."""
    plain = name.strip()
    unit = _UNIT_NAMES.get(plain, _UNIT_NAMES.get(plain.lower(), plain))
    if unit not in UNITS:
        raise GridError(f"No unit of length named {name!r}. Known: {', '.join(UNITS)}.")
    return unit


def millimetres(unit: str) -> float:
    """Return how many millimetres one ``unit`` is; raises GridError for ``"pixel"``."""
    try:
        return _MM[unit]
    except KeyError:
        raise GridError(
            f"A length in {unit} has no size in mm: set the pixel size first."
        ) from None


@dataclass(frozen=True)
class Reorientation:
    """A permutation and flips of array axes: the lossless part of a change of frame.

    Axis ``k`` of the result is axis ``axes[k]`` of the input, reversed where ``flips[k]``.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]

    def __post_init__(self) -> None:
        if sorted(self.axes) != list(range(len(self.axes))) or len(self.flips) != len(self.axes):
            raise GridError(f"Not a reorientation: axes {self.axes}, flips {self.flips}.")

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of ``array`` whose last axes, the spatial ones, are reoriented."""
        lead = array.ndim - len(self.axes)
        if lead < 0:
            raise GridError(f"A {array.ndim}-D array has no {len(self.axes)} spatial axes.")
        moved = array.transpose(*range(lead), *(lead + a for a in self.axes))
        steps: tuple[Any, ...] = tuple(slice(None, None, -1 if f else 1) for f in self.flips)
        return moved[(..., *steps)]

    def box(self, box: Sequence[slice], shape: Sequence[int]) -> tuple[slice, ...]:
        """Return where a box of an array with these axes lies in the reoriented array."""
        sides = ((box[axis], shape[axis]) for axis in self.axes)
        return tuple(
            slice(n - side.stop, n - side.start) if flip else side
            for (side, n), flip in zip(sides, self.flips, strict=True)
        )

    def inverse(self) -> Reorientation:
        """Return the way back."""
        axes = tuple(int(a) for a in np.argsort(self.axes))
        return Reorientation(axes, tuple(self.flips[a] for a in axes))


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and physical space of the spatial axes of an array.

    Parameters
    ----------
    shape
        Voxels along each spatial axis, in the array's own axis order; 1 to 3 axes.
    affine
        4x4 matrix from the index, padded with zeros to three, to RAS world coordinates in
        ``unit``. A 2-D grid is one slice: column 2 holds the slice normal times its thickness.
    unit
        ``"mm"``, ``"µm"``, ``"nm"``, ``"cm"``, ``"m"`` or ``"pixel"`` (size not known).
    anatomical
        Whether the world axes are a patient's; ``False`` for pictures and microscopy.

    Raises
    ------
    GridError
        If the affine is not finite, singular, or the shape is empty.
    """

    shape: tuple[int, ...]
    affine: FloatArray
    unit: str = "mm"
    anatomical: bool = True

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if not 1 <= len(shape) <= 3 or min(shape) < 1:
            raise GridError(f"A grid has 1 to 3 axes of 1 voxel or more, not shape {shape}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GridError("A grid needs a finite 4x4 affine.")
        if not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise GridError(f"The last row of an affine is 0 0 0 1, not {affine[3]}.")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(lengths).all():
            raise GridError(
                f"The affine has voxels of {np.abs(affine[:3, :3]).max():g}: too large."
            )
        if lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise GridError("The affine is singular: two voxel axes point the same way.")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "unit", unit_name(self.unit))

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing: Sequence[float] | None = None,
        *,
        unit: str = "pixel",
        origin: Sequence[float] | None = None,
        anatomical: bool = False,
    ) -> Grid:
        """Return the grid of a picture or a stack whose axes are (z, y, x) or (y, x).

        ``spacing`` (one positive number an axis, default 1) and ``origin`` (position of the
        first voxel along each array axis, default 0) are in ``unit``, in array axis order.
        """
        n = len(shape)
        steps = np.ones(n) if spacing is None else np.asarray(spacing, dtype=np.float64)
        start = np.zeros(n) if origin is None else np.asarray(origin, dtype=np.float64)
        if steps.shape != (n,) or not (np.isfinite(steps).all() and (steps > 0).all()):
            raise GridError(f"Spacing needs {n} positive numbers, got {spacing}.")
        if start.shape != (n,):
            raise GridError(f"Origin needs {n} numbers, got {origin}.")
        affine = np.eye(4)
        affine[:3, :3] = 0
        letters = DISPLAY[3 - n :] + DISPLAY[: 3 - n]  # the missing axes are the slice normal
        for axis, letter in enumerate(letters):
            world, sign = _LETTERS[letter]
            affine[world, axis] = sign * (steps[axis] if axis < n else 1.0)
            affine[world, 3] = sign * (start[axis] if axis < n else 0.0)
        return cls(tuple(shape), affine, unit, anatomical)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring voxel centres along each array axis, in ``unit``."""
        return tuple(float(x) for x in np.linalg.norm(self.affine[:3, : self.ndim], axis=0))

    @property
    def direction(self) -> FloatArray:
        """Unit vectors of the array axes in RAS, one a column, shape (3, ndim)."""
        return self.affine[:3, : self.ndim] / np.asarray(self.spacing, dtype=np.float64)

    @property
    def origin(self) -> FloatArray:
        """World position of the first voxel's centre, shape (3,)."""
        return self.affine[:3, 3]

    @property
    def orientation(self) -> str:
        """Anatomical letter that each array axis runs towards most, such as ``"RAS"``."""
        letters = []
        for axis, world in enumerate(self._closest_world_axes()):
            sign = 1 if self.affine[world, axis] > 0 else -1
            letters.append(next(k for k, v in _LETTERS.items() if v == (world, sign)))
        return "".join(letters)

    @property
    def is_orthogonal(self) -> bool:
        """Whether the array axes stand at right angles (no shear, as a gantry tilt leaves)."""
        d = self.direction
        return bool(np.allclose(d.T @ d, np.eye(self.ndim), atol=1e-4))

    @property
    def is_oblique(self) -> bool:
        """Whether an array axis leans away from every world axis."""
        return bool((np.abs(self.direction).max(axis=0) < 1 - 1e-6).any())

    @property
    def voxel_volume(self) -> float:
        """Volume (3-D) or area (2-D) of one voxel, in ``unit`` to that power, shear included."""
        d = self.affine[:3, : self.ndim]
        return float(np.sqrt(np.linalg.det(d.T @ d)))

    @property
    def centre(self) -> FloatArray:
        """World position of the middle of the grid, shape (3,)."""
        return self.index_to_world((np.asarray(self.shape) - 1) / 2)

    def spacing_in(self, unit: str) -> tuple[float, ...]:
        """Return the spacing in another unit of length."""
        factor = millimetres(self.unit) / millimetres(unit_name(unit))
        return tuple(s * factor for s in self.spacing)

    def index_to_world(self, index: npt.ArrayLike) -> FloatArray:
        """Map indices, shape (..., ndim), to RAS positions, shape (..., 3)."""
        points = np.asarray(index, dtype=np.float64)
        return points @ self.affine[:3, : self.ndim].T + self.origin

    def world_to_index(self, world: npt.ArrayLike) -> FloatArray:
        """Map RAS positions, shape (..., 3), to indices, shape (..., ndim), not rounded.

        On a 2-D grid the distance from the slice is dropped.
        """
        points = np.asarray(world, dtype=np.float64) - self.origin
        return (points @ np.linalg.inv(self.affine[:3, :3]).T)[..., : self.ndim]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        same_kind = (self.shape, self.unit, self.anatomical) == (
            other.shape,
            other.unit,
            other.anatomical,
        )
        return same_kind and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.unit, self.anatomical, tuple(self.affine.flat)))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that the affine of a copy is read-only too.
        return Grid, (self.shape, self.affine, self.unit, self.anatomical)

    def is_close(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """Whether both put every voxel at the same place, to ``tolerance`` of a voxel."""
        if self.shape != other.shape or self.unit != other.unit:
            return False
        ends = np.asarray(list(itertools.product(*((0, n - 1) for n in self.shape))))
        away = np.abs(self.index_to_world(ends) - other.index_to_world(ends)).max()
        return bool(away <= tolerance * min(self.spacing))

    # -- grids made from it -------------------------------------------------------------------

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """Return the grid of the box that starts at index ``start``.

        The box may reach beyond the grid, so a negative ``start`` pads.
        """
        if len(start) != self.ndim or len(shape) != self.ndim:
            raise GridError(f"A box in {self.ndim} axes needs as many numbers: {start}, {shape}.")
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_world(start)
        return Grid(tuple(shape), affine, self.unit, self.anatomical)

    def reoriented(self, how: Reorientation) -> Grid:
        """Return the grid of ``how.apply(array)``."""
        if len(how.axes) != self.ndim:
            raise GridError(f"A reorientation of {len(how.axes)} axes does not fit {self.ndim}.")
        affine = self.affine.copy()
        last = np.zeros(3)
        for axis, (source, flip) in enumerate(zip(how.axes, how.flips, strict=True)):
            affine[:3, axis] = self.affine[:3, source] * (-1 if flip else 1)
            last[source] = (self.shape[source] - 1) * flip
        affine[:3, 3] = self.affine[:3, :3] @ last + self.origin
        return Grid(tuple(self.shape[a] for a in how.axes), affine, self.unit, self.anatomical)

    def reorientation_to(self, codes: str = DISPLAY) -> Reorientation:
        """Return the permutation and flips that bring the axes closest to ``codes``.

        ``codes`` names a direction an axis, each of R/L, A/P, S/I once: ``"RAS"``, ``"IPL"``.
        On a grid of fewer than three axes the codes of the axes it lacks are passed over.
        """
        wanted = [_LETTERS.get(letter) for letter in codes]
        if None in wanted or sorted(w[0] for w in wanted if w) != [0, 1, 2]:
            raise GridError(f"Not an orientation: {codes!r}. Name R/L, A/P and S/I once each.")
        here = self._closest_world_axes()
        axes, flips = [], []
        for world, sign in (w for w in wanted if w):
            if world in here:
                axis = here.index(world)
                axes.append(axis)
                flips.append(bool(np.sign(self.affine[world, axis]) == -sign))
        return Reorientation(tuple(axes), tuple(flips))

    def oriented(self, codes: str = DISPLAY) -> Grid:
        """Return this grid with its axes closest to ``codes``; see `reorientation_to`."""
        return self.reoriented(self.reorientation_to(codes))

    def with_spacing(self, spacing: Sequence[float]) -> Grid:
        """Return a grid of just this spacing over the same field of view, centred on it.

        The number of voxels is rounded, so the field of view differs by less than half a voxel.
        """
        steps = np.asarray(spacing, dtype=np.float64)
        if steps.shape != (self.ndim,) or not (np.isfinite(steps).all() and (steps > 0).all()):
            raise GridError(f"Spacing needs {self.ndim} positive numbers, got {spacing}.")
        extent = np.asarray(self.shape) * np.asarray(self.spacing)
        shape = tuple(max(1, int(n)) for n in np.floor(extent / steps + 0.5))
        return self._scaled(shape, steps / np.asarray(self.spacing))

    def with_shape(self, shape: Sequence[int]) -> Grid:
        """Return a grid of just this shape over exactly the same field of view."""
        if len(shape) != self.ndim:
            raise GridError(f"Shape needs {self.ndim} numbers, got {tuple(shape)}.")
        return self._scaled(tuple(shape), np.asarray(self.shape) / np.asarray(shape))

    def _scaled(self, shape: tuple[int, ...], ratio: FloatArray) -> Grid:
        """Return a grid about the same centre whose steps are ``ratio`` times as long."""
        affine = self.affine.copy()
        affine[:3, : self.ndim] = self.affine[:3, : self.ndim] * ratio
        half = (np.asarray(shape) - 1) / 2
        affine[:3, 3] = self.centre - affine[:3, : self.ndim] @ half
        return Grid(shape, affine, self.unit, self.anatomical)

    def _closest_world_axes(self) -> tuple[int, ...]:
        """Return the world axis of each array axis: the assignment with the largest cosines."""
        weight = np.abs(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))
        best = max(
            itertools.permutations(range(3)),
            key=lambda p: round(sum(weight[w, a] for a, w in enumerate(p)), 9),
        )
        return best[: self.ndim]
