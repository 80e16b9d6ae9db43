"""Surface areas, and perimeters, of labels by Crofton's formula.

Lines in a few directions are laid through all voxels, and what counts is how often they leave a
label: G. Lehmann, D. Legland, Efficient N-dimensional surface estimation using Crofton formula and
run-length encoding, Insight Journal, 2012. A direction stands for the part of the sphere that is
nearest to it, in physical space, so that anisotropic voxels are no different from others.

Surfaces are measured in 13 directions, perimeters in 4 (scikit-image's ``perimeter_crofton``).
Taken over all orientations there is no bias: balls of 5 voxels' radius or more lie within 2 % on
cubic voxels, those of 3 within 5 %. A plane is off by -7.3 to +2.3 % on cubic voxels, by -16 to
+10 % where slices are three times as thick as pixels are wide, and by -23 to +10 % at five times:
most where it lies along the voxels, as the faces of a box do. Edges are cut short by about half a
voxel. A straight line in 2-D is off by -5.2 to +2.6 % on square pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..volume import ArrayLike
from .contacts import directions, leaving
from .table import Floats, Ints


def surface_areas(labels: ArrayLike, numbers: Ints, spacing: Sequence[float]) -> Floats:
    """Return the surface area of each label; of labels with two axes the perimeter.

    Parameters
    ----------
    labels
        Two or three axes. The edge of the array is surface too.
    numbers
        The labels that count, in rising order.
    spacing
        Of the voxels, one number an axis.
    """
    ndim = len(labels.shape)
    steps = directions(ndim)
    sides = steps * np.asarray(spacing)
    lengths = np.linalg.norm(sides, axis=1)
    # Lines in a direction lie this far apart: an area each in 3-D, a length in 2-D.
    apart = math.prod(spacing) / lengths
    # What is entered is left: each voxel from which a line leaves stands for two crossings.
    factor = math.pi if ndim == 2 else 4.0
    share = _shares(sides / lengths[:, None])
    return np.asarray(leaving(labels, numbers) @ (factor * share * apart))


def _shares(units: Floats) -> Floats:
    """Return which part of all directions, opposite ones being one, is nearest to each of some."""
    if units.shape[1] == 2:
        angle = np.arctan2(units[:, 1], units[:, 0]) % math.pi
        order = np.argsort(angle)
        gaps = np.diff(angle[order], append=angle[order[0]] + math.pi)
        shares = np.empty(len(units))
        shares[order] = (gaps + np.roll(gaps, 1)) / (2 * math.pi)
        return shares
    from scipy.spatial import SphericalVoronoi  # slow to import

    areas = SphericalVoronoi(np.concatenate([units, -units])).calculate_areas()
    return np.asarray(areas[: len(units)] / (2 * math.pi))
