"""How far two surfaces are from each other: Hausdorff distance, mean distance, surface Dice.

The definitions are those of Nikolov et al., "Deep learning to achieve clinically applicable
segmentation of head and neck anatomy for radiotherapy" (2018), and of the authors' package
surface-distance. The surface of a mask is made of elements, one at each corner of voxels that are
partly inside: its place is the corner, its area that of the classic marching cubes there, so that
anisotropic voxels and uneven sampling of the surface do not distort a mean or a percentile. In 2D
the elements are pieces of contour with a length.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from ..errors import EvaluationError
from ..labels.boxes import tight

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PERCENTILE = 95.0


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances of the elements of two surfaces to the other surface, and their areas.

    Parameters
    ----------
    predicted, true
        Distance of each element of the predicted (the true) surface to the nearest element of
        the other, ascending; infinite where there is no other.
    predicted_areas, true_areas
        The areas of these elements, in the unit of the spacing squared; lengths in 2D.
    """

    predicted: Floats
    predicted_areas: Floats
    true: Floats
    true_areas: Floats

    def hausdorff(self, percentile: float = PERCENTILE) -> float:
        """Return the distance within which this part of the area lies, the larger of both ways.

        Infinite where only one surface is there, NaN where none is.
        """
        if not len(self.predicted) and not len(self.true):
            return math.nan
        ways = (self.predicted, self.predicted_areas), (self.true, self.true_areas)
        return max(_percentile(*way, percentile) for way in ways)

    @property
    def average(self) -> float:
        """Mean distance over the area of both surfaces together (ASSD).

        Infinite where only one surface is there, NaN where none is.
        """
        area = self.predicted_areas.sum() + self.true_areas.sum()
        if not area:
            return math.nan
        total = (self.predicted * self.predicted_areas).sum() + (self.true * self.true_areas).sum()
        return float(total / area)

    def dice(self, tolerance: float) -> float:
        """Return the part of the area of both surfaces that is as near as the tolerance.

        0 where only one surface is there, NaN where none is.
        """
        area = self.predicted_areas.sum() + self.true_areas.sum()
        if not area:
            return math.nan
        near = self.predicted_areas[self.predicted <= tolerance].sum()
        near += self.true_areas[self.true <= tolerance].sum()
        return float(near / area)


def surface_distances(
    prediction: npt.NDArray[Any], truth: npt.NDArray[Any], *, spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks.

    Where a mask ends at the border of the array it is closed there.

    Parameters
    ----------
    prediction, truth
        Masks of one shape, of 1 to 3 axes; what is not 0 is inside.
    spacing
        Size of a voxel along each axis; 1 when left out.

    Raises
    ------
    EvaluationError
        If the shapes or the spacing do not fit.
    """
    p, t = np.asarray(prediction) != 0, np.asarray(truth) != 0
    if p.shape != t.shape or not 1 <= p.ndim <= 3:
        raise EvaluationError(
            f"Surfaces need two masks of one shape and 1 to 3 axes, not {p.shape} and {t.shape}."
        )
    steps = np.ones(p.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if steps.shape != (p.ndim,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise EvaluationError(f"The spacing needs {p.ndim} positive numbers, not {spacing}.")
    box = tight(p | t)
    if box is None:
        return SurfaceDistances(*(np.empty(0),) * 4)
    p, t = p[box], t[box]
    table = _areas(tuple(steps.tolist()))
    codes = _codes(p), _codes(t)
    edges = [(code != 0) & (code != len(table) - 1) for code in codes]
    # Elements in the same place are 0 apart; of good predictions these are most.
    common = edges[0] & edges[1]
    ways = []
    for code, edge, other in zip(codes, edges, reversed(edges), strict=True):
        areas = table[code[edge]]
        distances = np.zeros(len(areas))
        apart = ~common[edge]
        distances[apart] = _to_nearest(edge & ~common, other, steps)
        order = np.lexsort((areas, distances))
        ways += [distances[order], areas[order]]
    return SurfaceDistances(*ways)


def _to_nearest(places: Mask, others: Mask, spacing: Floats) -> Floats:
    """Return how far each place, in order, is from the nearest of the others."""
    ours = np.argwhere(places)
    if not len(ours):
        return np.empty(0)
    theirs = np.argwhere(others)
    if not len(theirs):
        return np.full(len(ours), np.inf)
    # A tree over the few voxels of a surface; a distance map would be over all of the box.
    tree = KDTree(theirs * spacing, leafsize=32, compact_nodes=False, balanced_tree=False)
    nearest = tree.query(ours * spacing)[1]
    # From the whole steps, so that no rounding of places far from the origin comes in.
    steps: Floats = (ours - theirs[nearest]) * spacing
    away: Floats = np.sqrt((steps * steps).sum(axis=1))
    return away


def _percentile(distances: Floats, areas: Floats, percentile: float) -> float:
    """Return the distance below which this part of the area lies; infinite where there is none."""
    if not len(distances):
        return math.inf
    part = np.cumsum(areas) / np.sum(areas)
    index = int(np.searchsorted(part, percentile / 100))
    return float(distances[min(index, len(distances) - 1)])


# -- the elements of a surface --------------------------------------------------------------------


def _codes(mask: Mask) -> npt.NDArray[np.uint8]:
    """Return at each corner of voxels which of the voxels around it are inside, a bit each.

    One longer than the mask along each axis; beyond the border all is outside.
    """
    codes: npt.NDArray[Any] = np.pad(mask, 1).view(np.uint8)
    bits = 1
    for axis in reversed(range(mask.ndim)):
        before = codes[(slice(None),) * axis + (slice(None, -1),)]
        after = codes[(slice(None),) * axis + (slice(1, None),)]
        codes = (before << bits) | after
        bits *= 2
    return codes


@functools.lru_cache(maxsize=16)
def _areas(spacing: tuple[float, ...]) -> Floats:
    """Return the area (3D), length (2D) or number (1D) of the element of each code."""
    if len(spacing) == 1:
        return np.asarray([0.0, 1.0, 1.0, 0.0])
    if len(spacing) == 2:
        first, second = spacing
        slant = math.hypot(first, second) / 2
        lengths = np.full(16, slant)
        lengths[[0b0000, 0b1111]] = 0
        lengths[[0b0011, 0b1100]] = second
        lengths[[0b0101, 0b1010]] = first
        lengths[[0b0110, 0b1001]] = 2 * slant  # two corners cut off
        return lengths
    z, y, x = spacing
    scale = np.asarray([y * x, z * x, z * y])
    normals = _normals()
    areas: Floats = np.linalg.norm(normals * scale, axis=2).sum(axis=1)
    return areas


@functools.cache
def _normals() -> Floats:
    """Return the triangles of each code as normals as long as their areas, shape (256, n, 3).

    Of more than four voxels inside it is the surface of those outside, as surface-distance has
    it: else the same surface would have another area seen from the other side.
    """
    from skimage.measure import marching_cubes

    normals = np.zeros((256, 4, 3))
    for code in range(1, 255):
        inside = code if code.bit_count() <= 4 else 255 - code
        corners = np.unpackbits(np.uint8(inside)).reshape(2, 2, 2).astype(np.float32)
        places, faces, *_ = marching_cubes(corners, 0.5, method="lorensen")  # type: ignore[no-untyped-call]
        a, b, c = places.astype(np.float64)[faces].transpose(1, 0, 2)
        normals[code, : len(faces)] = np.cross(b - a, c - a) / 2
    return normals
