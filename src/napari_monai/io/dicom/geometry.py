"""Where the planes of a series lie: DICOM PS3.3 C.7.6.2.1.1, and what makes planes a volume.

Positions are in mm, in the patient's LPS frame, as DICOM gives them, until `affine` turns
them into RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

# No voxel of a volume may be this far (mm) from where its own plane says that it is.
TOLERANCE = 0.05
# Nearer than this (mm), and than this part of a voxel, two planes are at the same position.
SAME = 0.01
_SAME_PART = 0.1
# A step that goes along the normal by less than this part of it leads to the side.
_BESIDE = 0.2
_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Place:
    """A plane in the patient: centre of its first voxel, steps down a column and along a row."""

    position: Vector
    down: Vector
    right: Vector

    @classmethod
    def of(
        cls, position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float]
    ) -> Place | None:
        """Return the place that ImagePositionPatient, ImageOrientationPatient, PixelSpacing say.

        ``None`` if they make no plane: not finite, not of unit length, or not at right angles.
        """
        origin, cosines = np.array(position, np.float64), np.array(orientation, np.float64)
        sizes = np.array(spacing, np.float64)
        if origin.shape != (3,) or cosines.shape != (6,) or sizes.shape != (2,):
            return None
        if not all(np.isfinite(v).all() for v in (origin, cosines, sizes)) or sizes.min() <= 0:
            return None
        row, column = cosines[:3], cosines[3:]
        lengths = np.linalg.norm([row, column], axis=1)
        if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
            return None
        return cls(origin, column * sizes[0], row * sizes[1])

    @property
    def normal(self) -> Vector:
        """Unit vector across the plane."""
        across = np.cross(self.right, self.down)
        return np.asarray(across / np.linalg.norm(across))

    def moved(self, by: Vector) -> Place:
        """Return the place of a plane that is parallel to this one."""
        return Place(self.position + by, self.down, self.right)

    def corner(self, rows: float, columns: float) -> Vector:
        """Return the position of the voxel in a row and a column."""
        return self.position + rows * self.down + columns * self.right

    def is_parallel(self, other: Place, shape: tuple[int, int]) -> bool:
        """Whether the voxels of both lie alike, to a fifth of the tolerance, wherever they lie."""
        return self.turned(other, shape) < TOLERANCE / 5

    def turned(self, other: Place, shape: tuple[int, int]) -> float:
        """Return how far (mm) voxels are at most from those of the other, at one position."""
        away = np.linalg.norm(self.down - other.down) * shape[0]
        away += np.linalg.norm(self.right - other.right) * shape[1]
        return float(away)


def affine(places: Sequence[Place], thickness: float | None) -> npt.NDArray[np.float64]:
    """Return the matrix from (slice, row, column) to RAS in mm.

    Parameters
    ----------
    places
        The planes, in order; evenly spaced to `TOLERANCE`. A shear (gantry tilt) is kept.
    thickness
        Step between slices where there is but one plane; 1 mm if not known.
    """
    first = places[0]
    start, step = first.position, first.normal * (thickness or 1.0)
    if len(places) > 1:
        points = np.array([p.position for p in places])
        start, step = _line(points)
    return matrix(start, step, first)


def matrix(start: Vector, step: Vector, plane: Place) -> npt.NDArray[np.float64]:
    """Return the matrix to RAS of slices that lie as ``plane`` does, by ``step`` from ``start``."""
    found = np.eye(4)
    for column, vector in enumerate((step, plane.down, plane.right, start)):
        found[:3, column] = vector * _RAS + 0.0
    return found


def deviation(points: Vector) -> float:
    """Return how far, in mm, points are at most from lying evenly on a line; shape (n, 3)."""
    start, step = _line(points)
    return _away(points, start, step)


def _line(points: Vector) -> tuple[Vector, Vector]:
    """Return start and step of the even line that points lie on: through the ends, or fitted."""
    n = len(points)
    start, step = points[0], (points[-1] - points[0]) / (n - 1)
    if n == 2 or _away(points, start, step) < TOLERANCE / 20:
        return start, step
    # Positions that were rounded.
    slope, offset = np.polyfit(np.arange(n), points, 1)
    return offset, slope


def _away(points: Vector, start: Vector, step: Vector) -> float:
    even = start + np.arange(len(points))[:, np.newaxis] * step
    return float(np.linalg.norm(points - even, axis=1).max())


def clusters(places: Sequence[Place]) -> list[list[int]]:
    """Return which planes are at the same position, sorted along the normal of the first."""
    normal = places[0].normal
    depth = np.array([p.position @ normal for p in places])
    voxel = min(np.linalg.norm(places[0].down), np.linalg.norm(places[0].right))
    same = min(SAME, _SAME_PART * float(voxel))
    found: list[list[int]] = []
    for index in np.argsort(depth, kind="stable"):
        for cluster in reversed(found):
            if depth[index] - depth[cluster[0]] > same:
                found.append([int(index)])
                break
            if np.linalg.norm(places[index].position - places[cluster[0]].position) <= same:
                cluster.append(int(index))
                break
        else:
            found.append([int(index)])
    return found


def tracks(places: Sequence[Place]) -> list[list[int]]:
    """Return the planes in groups, one for each field of view, if these lie side by side.

    ``places`` are sorted along the normal. All are in one group if no plane lies beside another,
    or if groups of a single plane would come out of it.
    """
    points = np.array([p.position for p in places])
    every = [list(range(len(points)))]
    normal = places[0].normal
    steps = np.diff(points, axis=0)
    if not ((steps @ normal) < _BESIDE * np.linalg.norm(steps, axis=1)).any():
        return every
    found: list[list[int]] = []
    across = points - np.outer(points @ normal, normal)
    for index, point in enumerate(across):
        for track in found:
            if np.linalg.norm(point - across[track[0]]) <= TOLERANCE:
                track.append(index)
                break
        else:
            found.append([index])
    return found if min(map(len, found)) > 1 else every


def runs(places: Sequence[Place], shape: tuple[int, int] = (0, 0)) -> list[range]:
    """Return the stretches of planes that are evenly spaced, in order.

    ``places`` are sorted along the normal, each at another position, of planes with this many
    rows and columns. Every plane is in one run; a run may be one plane.
    """
    points = np.array([p.position for p in places])
    normal = places[0].normal
    # What planes are turned against each other adds to what they are away from a line.
    most = TOLERANCE - 2 * max(p.turned(places[0], shape) for p in places)
    if len(points) == 1 or _is_even(points, normal, most):
        return [range(len(points))]
    # Longest first; of equal ones, the narrower spacing: a gap is wider than what it interrupts.
    stretches = sorted(
        _stretches(points, normal, most),
        key=lambda s: (-len(s), float(np.linalg.norm(points[s[1]] - points[s[0]]))),
    )
    taken = np.zeros(len(points), bool)
    found = []
    for stretch in stretches:
        free = [i for i in stretch if not taken[i]]
        # Only its ends can be taken, by a neighbour.
        if len(free) > 1:
            taken[free] = True
            found.append(range(free[0], free[-1] + 1))
    found += [range(i, i + 1) for i in np.flatnonzero(~taken).tolist()]
    return sorted(found, key=lambda r: r.start)


def _stretches(points: Vector, normal: Vector, most: float) -> list[range]:
    """Return even stretches of two planes or more; neighbours share a plane."""
    found = []
    start = 0
    while start < len(points) - 1:
        end = start + 2
        if _is_even(points[start:end], normal, most):
            while end < len(points) and _is_even(points[start : end + 1], normal, most):
                end += 1
            found.append(range(start, end))
        start = end - 1
    return found


def _is_even(points: Vector, normal: Vector, most: float = TOLERANCE) -> bool:
    steps = np.diff(points, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    if (steps @ normal < _BESIDE * lengths).any():
        return False  # side by side, not one above the other
    return len(points) == 2 or deviation(points) <= min(most, 0.2 * float(lengths.min()))


def levels(
    points: Vector, normal: Vector, gap: float | None
) -> tuple[list[int], Vector, Vector] | None:
    """Return which slice of an even grid each position is, where the grid starts, and its step.

    Parameters
    ----------
    points
        Positions, shape (n, 3), sorted along ``normal``, each another one; some may be missing.
    gap
        Distance between slices in mm where the file says it.

    Returns
    -------
    ``None`` if no grid of slices comes within `TOLERANCE` of all of them.
    """
    steps = np.diff(points @ normal)
    if len(steps) == 0:
        return [0], points[0], normal * (gap or 1.0)
    # The file's word first, then the narrowest step, which may be two or three slices wide.
    tried = [gap] if gap else []
    for width in (*tried, *(float(steps.min()) / n for n in (1, 2, 3))):
        counts = np.rint(steps / width)
        if counts.min() < 1 or np.abs(steps - counts * width).max() > 0.2 * width:
            continue
        at = np.concatenate(([0], np.cumsum(counts)))
        slope, start = np.polyfit(at, points, 1)
        away = np.linalg.norm(points - (start + at[:, np.newaxis] * slope), axis=1)
        if away.max() <= min(TOLERANCE, 0.05 * width):
            return [int(k) for k in at], start, slope
    return None
