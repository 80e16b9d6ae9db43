"""The modelled patient: space, signed distances, and how a tissue is painted into them.

``l`` runs to the patient's left, ``p`` to the back, ``s`` to the head, in mm; (0, 0, 0) is the
middle of the body at the lowest slice. A smooth random warp of space takes the geometry out of it.
A body is an array of signed distances in mm, negative inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]

SHAPE = (128, 104, 80)
SPACING = (3.0, 3.0, 4.0)

# The names of TotalSegmentator's classes, where it has one.
ORGANS = (
    "spleen",
    "kidney_right",
    "kidney_left",
    "gallbladder",
    "liver",
    "stomach",
    "pancreas",
    "aorta",
    "inferior_vena_cava",
    "lung_right",
    "lung_left",
    "heart",
    "vertebrae",
    "ribs",
    "hips",
    "colon",
    "small_bowel",
    "duodenum",
)


def meet(first: Array, second: Array, rounding: float) -> Array:
    """Return the intersection of two bodies, with a rounded edge (mm)."""
    return np.asarray(rounding * np.logaddexp(first / rounding, second / rounding))


class Patient:
    """The volume while it is painted: Hounsfield units, truth, and the place of each voxel."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.hu: Array = np.full(SHAPE, -1000.0)
        self.truth = np.zeros(SHAPE, np.uint8)
        places = [
            (np.arange(n) - (n - 1) / 2 if axis < 2 else np.arange(n)) * step
            for axis, (n, step) in enumerate(zip(SHAPE, SPACING, strict=True))
        ]
        self.straight = np.meshgrid(*places, indexing="ij")
        self.l, self.p, self.s = (x + 3.5 * self.noise(26.0) for x in self.straight)

    def noise(self, length: float) -> Array:
        """Return noise of mean 0 and variance 1 that changes over ``length`` mm."""
        field = self.rng.standard_normal(SHAPE)
        field = ndimage.gaussian_filter(field, [length / x for x in SPACING], mode="wrap")
        return np.asarray((field - field.mean()) / field.std())

    def paint(self, body: Array, hu: Array | float, organ: str | None = "") -> None:
        """Fill a body with tissue, which is one of ORGANS, nameless (""), or part of what it is in.

        (None: vessels of the liver are liver.)
        """
        share = np.clip(0.5 - body / 3.2, 0, 1)
        self.hu += share * (hu - self.hu)
        if organ is not None:
            self.truth[body < 0] = ORGANS.index(organ) + 1 if organ else 0

    def ellipsoid(self, centre: Point, radii: Point, lean: Point = (0, 0, 0)) -> Array:
        """Return an ellipsoid whose axis to the head leans: mm of (l, p) for each mm of s.

        The third number of ``lean`` turns it in the axial plane, in radians.
        """
        up = self.s - centre[2]
        left, back = self.l - centre[0] - lean[0] * up, self.p - centre[1] - lean[1] * up
        cos, sin = np.cos(lean[2]), np.sin(lean[2])
        left, back = cos * left + sin * back, cos * back - sin * left
        scaled = np.sqrt((left / radii[0]) ** 2 + (back / radii[1]) ** 2 + (up / radii[2]) ** 2)
        return np.asarray((scaled - 1) * min(radii))

    def tube(self, points: Sequence[Point], radii: npt.ArrayLike, folds: float = 0.0) -> Array:
        """Return a tube along a smooth line through points; ``folds``: depth of its folds."""
        knots = np.asarray(points, float)
        at = np.linspace(0, len(knots) - 1, 6 * len(knots))
        radius = np.broadcast_to(np.asarray(radii, float), len(knots))
        line = np.stack(
            [ndimage.map_coordinates(x, [at], order=3, mode="nearest") for x in knots.T]
        )
        radius = np.interp(at, np.arange(len(knots)), radius)
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line), axis=0))])
        body = np.full(SHAPE, 60.0)
        for i in range(len(at) - 1):
            start, end = line[:, i], line[:, i + 1]
            reach = radius[i : i + 2].max() + 24.0
            box = self.box(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
            offset = [x[box] - c for x, c in zip((self.l, self.p, self.s), start, strict=True)]
            way = end - start
            t = sum(o * w for o, w in zip(offset, way, strict=True)) / max(way @ way, 1e-9)
            t = np.clip(t, 0, 1)
            gap = sum((o - t * w) ** 2 for o, w in zip(offset, way, strict=True))
            here = radius[i] + t * (radius[i + 1] - radius[i])
            if folds:
                along = length[i] + t * (length[i + 1] - length[i])
                here = here * (1 + folds * np.sin(2 * np.pi * along / 26.0))
            body[box] = np.minimum(body[box], np.sqrt(gap) - here)
        return body

    def box(self, low: Array, high: Array) -> tuple[slice, ...]:
        """Return the voxels between two places; the warp may move them a little."""
        first = [x.min() for x in self.straight]
        return tuple(
            slice(max(int((a - f) / step), 0), max(int((b - f) / step) + 2, 0))
            for a, b, f, step in zip(low, high, first, SPACING, strict=True)
        )


class Frame:
    """The bodies that others are described by: the skin, the cavity, the diaphragm, the spine."""

    def __init__(self, patient: Patient) -> None:
        left, back, up = patient.l, patient.p, patient.s
        width = 152 + 14 * np.clip((70 - up) / 70, 0, 1) ** 2 + 6 * np.clip((up - 130) / 150, 0, 1)
        depth = np.where(back < 0, 112 + 8 * np.clip((110 - up) / 110, 0, 1), 117.0)
        groove = 9 * np.exp(-((left / 26) ** 2)) * (back > 0)
        scaled = ((np.abs(left) / width) ** 2.4 + (np.abs(back + groove) / depth) ** 2.4) ** (
            1 / 2.4
        )
        scaled = np.maximum(scaled, 1e-3)
        self.skin = np.hypot(left, back) * (1 - 1 / scaled)
        self.angle = np.arctan2(np.abs(left), back)  # 0 at the back, pi at the front
        side = np.sin(self.angle) ** 2
        low = np.clip((140 - up) / 140, 0, 1)
        self.fat = 13 + 5 * side + low * (9 + 3 * np.cos(2 * self.angle))
        self.wall = np.where(up > 190, 11.0, 9 + 6 * side)
        self.cavity = self.skin + self.fat + self.wall
        right = 272 - 40 * ((left + 74) / 62) ** 2 - 44 * ((back + 12) / 72) ** 2
        leftward = 262 - 40 * ((left - 76) / 60) ** 2 - 44 * ((back + 8) / 72) ** 2
        middle = 248 - 36 * ((left - 14) / 52) ** 2 - 44 * ((back + 34) / 66) ** 2
        self.diaphragm = meet(meet(right, leftward, 5.0), middle, 5.0)  # the higher one
        self.spine = 38 + 8 * np.sin(np.pi * (up - 70) / 260)  # p of the middle of the vertebrae
