"""Nuclei in space: where they lie, how they are shaped, and what light they send out.

Centres are strewn as the arrangement has them and then pushed apart until they overlap no more
than they may, so that crowds touch without lying in each other. A nucleus is an ellipsoid that is
bent, and warped by a smooth displacement field; where two overlap, each voxel belongs to the one
in which it lies deeper, which gives neighbours the flat faces that crowded nuclei have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree
from stack_fields import Field, smooth_field

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint16]
Arrangement = Literal["sparse", "tissue", "spheroid", "sheet"]

# Volume of a ball of radius 1.
_BALL = 4.19
# Rounds in which centres that are too close are pushed apart.
_ROUNDS = 80
# Light of a mitotic nucleus beside that of others: the same DNA in a third of the volume.
_CONDENSED = 2.4


@dataclass(frozen=True)
class Tissue:
    """What the sample is. Lengths are in µm, shares from 0 to 1.

    Attributes
    ----------
    arrangement
        ``"sparse"``: cells on glass, flat and in one layer; ``"tissue"``: everywhere, with holes;
        ``"spheroid"``: dense balls; ``"sheet"``: a folded layer, nuclei long across it.
    radius, radius_spread
        Median of the mean half axes, and the standard deviation of its logarithm.
    filled
        Volume of the nuclei, of the part of space that the arrangement gives them.
    closest
        Least distance of two centres, as a share of the sum of their radii.
    elongation
        Standard deviation of the logarithm of each half axis.
    flatness
        Half axis along z, or across the sheet, as a share of what it would be.
    warp
        How far surfaces are displaced, as a share of the radius.
    texture, spots, nucleoli
        Contrast of the chromatin, and mean number of bright and dark spots in a nucleus.
    brightness_spread
        Standard deviation of the logarithm of the nuclei's brightness.
    mitotic
        Share of nuclei that divide: bright plates, alone or in pairs.
    debris
        Specks that are no nuclei, as a share of the number of nuclei.
    """

    arrangement: Arrangement
    radius: float
    radius_spread: float
    filled: float
    closest: float
    elongation: float
    flatness: float
    warp: float
    texture: float
    spots: float
    nucleoli: float
    brightness_spread: float
    mitotic: float
    debris: float


@dataclass(frozen=True)
class Nucleus:
    """A bent ellipsoid: ``axes`` maps an offset in µm to one where the surface is at 1."""

    centre: Points
    axes: Points
    reach: float
    bend: Points
    brightness: float
    mitotic: bool = False


def strew(
    tissue: Tissue, size: Points, rng: np.random.Generator
) -> tuple[Points, npt.NDArray[np.float64], Points]:
    """Return centres (n, 3), mean radii, and for each the direction across the layer.

    They reach beyond ``size`` by a nucleus, so that some are cut off by the edges.
    """
    margin = 1.5 * tissue.radius
    low, high = np.full(3, -margin), size + margin
    tries = int(np.ceil(8 * np.prod(high - low) / (_BALL * tissue.radius**3)))
    points = rng.uniform(low, high, (max(tries, 1000), 3))
    across = np.tile((1.0, 0.0, 0.0), (len(points), 1))
    if tissue.arrangement == "sparse":
        ground = size[0] * rng.uniform(0.3, 0.6)
        thickness = min(tissue.radius * rng.uniform(0.3, 1.0), size[0] / 4)
        lie = np.abs(points[:, 0] - ground) < thickness
    elif tissue.arrangement == "tissue":
        field = _at(
            smooth_field(rng, (24, 24, 24), (high - low) / 24, 8 * tissue.radius), points, low, high
        )
        lie = field < rng.uniform(0.5, 3.0)
        across = _directions(rng, len(points))
    elif tissue.arrangement == "spheroid":
        lie = np.zeros(len(points), bool)
        for _ in range(int(rng.integers(1, 5))):
            middle = rng.uniform(0.1, 0.9, 3) * size
            half = rng.uniform(0.15, 0.55) * size.max() * np.exp(0.2 * rng.standard_normal(3))
            lie |= (((points - middle) / half) ** 2).sum(1) < 1
        across = _directions(rng, len(points))
    else:
        lie, across = _folded(points, tissue, size, rng)
    space = lie.mean() * np.prod(high - low)
    mean_volume = _BALL * tissue.radius**3 * tissue.flatness * np.exp(4.5 * tissue.radius_spread**2)
    count = round(tissue.filled * space / mean_volume)
    chosen = np.flatnonzero(lie)[: max(count, 3)]
    radii = tissue.radius * np.exp(tissue.radius_spread * rng.standard_normal(len(chosen)))
    squash = np.array([tissue.flatness, 1.0, 1.0]) if tissue.arrangement == "sparse" else None
    centres = push_apart(points[chosen], tissue.closest * radii, squash)
    return centres, radii, across[chosen]


def _folded(
    points: Points, tissue: Tissue, size: Points, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], Points]:
    """Return which points lie in a curved layer, a shell, and the direction across it."""
    curvature = size.max() * rng.uniform(0.4, 1.5)
    direction = _directions(rng, 1)[0]
    middle = size / 2 + direction * curvature
    offset = points - middle
    distance = np.linalg.norm(offset, axis=1)
    thick = tissue.radius * rng.uniform(1.0, 4.5)
    lie = np.abs(distance - curvature) < thick
    if rng.random() < 0.4:  # a second layer, as of the other side of a tube
        gap = thick * rng.uniform(2.5, 5.0)
        lie |= np.abs(distance - curvature - gap) < thick
    return lie, offset / np.maximum(distance, 1e-6)[:, np.newaxis]


def push_apart(
    centres: Points, radii: npt.NDArray[np.float64], squash: Points | None = None
) -> Points:
    """Return the centres moved until no two are closer than the sum of their radii, mostly.

    ``squash`` shrinks space along each axis for that, as of flat nuclei.
    """
    scale = np.ones(3) if squash is None else squash
    moved = centres / scale
    for _ in range(_ROUNDS):
        pairs = cKDTree(moved).query_pairs(2 * float(radii.max()), output_type="ndarray")
        if not len(pairs):
            break
        one, other = pairs.T
        offset = moved[one] - moved[other]
        distance = np.maximum(np.linalg.norm(offset, axis=1), 1e-6)
        lacking = radii[one] + radii[other] - distance
        close = lacking > 0
        if not close.any():
            break
        push = (0.35 * lacking / distance)[:, np.newaxis] * offset
        np.add.at(moved, one[close], push[close])
        np.add.at(moved, other[close], -push[close])
    result: Points = moved * scale
    return result


def shape_all(tissue: Tissue, size: Points, rng: np.random.Generator) -> list[Nucleus]:
    """Draw all nuclei of a stack."""
    nuclei: list[Nucleus] = []
    for centre, radius, across in zip(*strew(tissue, size, rng), strict=True):
        light = float(np.clip(np.exp(tissue.brightness_spread * rng.standard_normal()), 0.3, 3.5))
        if rng.random() < tissue.mitotic:
            nuclei += _dividing(centre, radius, rng)
            continue
        half = radius * np.exp(tissue.elongation * rng.standard_normal(3))
        half[0] *= tissue.flatness
        turn = _frame(across, rng)
        if tissue.arrangement == "sparse":  # flat on the glass
            turn = _frame(across + 0.15 * rng.standard_normal(3), rng)
        nuclei.append(
            Nucleus(
                centre, np.diag(1 / half) @ turn, float(half.max()),
                rng.normal(0, 0.12, 2), light,
            )
        )  # fmt: skip
    return nuclei


def _dividing(centre: Points, radius: float, rng: np.random.Generator) -> list[Nucleus]:
    """Return a metaphase plate, or the two of an anaphase."""
    turn = _frame(_directions(rng, 1)[0], rng)
    half = radius * np.array([0.38, 0.85, 0.75]) * np.exp(0.08 * rng.standard_normal(3))
    light = float(_CONDENSED * np.exp(0.15 * rng.standard_normal()))
    axes, reach = np.diag(1 / half) @ turn, float(half.max())
    bend = rng.normal(0, 0.1, 2)
    if rng.random() < 0.6:
        return [Nucleus(centre, axes, reach, bend, light, True)]
    apart = turn[0] * radius * rng.uniform(0.5, 0.9)
    return [Nucleus(centre + side * apart, axes, reach, bend, light, True) for side in (-1, 1)]


def _directions(rng: np.random.Generator, count: int) -> Points:
    found = rng.standard_normal((count, 3))
    directions: Points = found / np.linalg.norm(found, axis=1, keepdims=True)
    return directions


def _frame(first: Points, rng: np.random.Generator) -> Points:
    """Return a right-angled frame, its first row along a direction, turned at random about it."""
    basis, _ = np.linalg.qr(np.column_stack([first, rng.standard_normal((3, 2))]))
    frame: Points = basis.T
    return frame


def _at(field: Field, points: Points, low: Points, high: Points) -> Points:
    """Return the values of a field that spans a box, at points in it."""
    index = (points - low) / (high - low) * (np.array(field.shape) - 1)
    found: Points = ndimage.map_coordinates(field.astype(np.float64), index.T, order=1)
    return found


def draw(
    tissue: Tissue, shape: Sequence[int], spacing: Sequence[float], rng: np.random.Generator
) -> tuple[Field, Labels]:
    """Return the light that a sample sends out, 1 in a typical nucleus, and whose each voxel is.

    Both are on the grid of ``shape`` and ``spacing`` (µm). Specks of debris have no label.
    """
    steps = np.asarray(spacing, float)
    size = np.array(shape) * steps
    nuclei = shape_all(tissue, size, rng)
    warp = [
        tissue.warp * tissue.radius * smooth_field(rng, shape, steps, 0.9 * tissue.radius)
        for _ in range(3)
    ]
    depth = np.ones(shape, np.float32)  # 0 at the centre of the owner, 1 at its surface
    labels = np.zeros(shape, np.uint16)
    for number, nucleus in enumerate(nuclei, start=1):
        box = _box(nucleus.centre, 1.35 * nucleus.reach + 0.3 * tissue.radius, steps, shape)
        if box is None:
            continue
        here = _normalised(nucleus, box, steps, warp)
        owned = here < depth[box]
        depth[box][owned] = here[owned]
        labels[box][owned] = number
    light = _glow(tissue, nuclei, depth, labels, steps, rng)
    _add_debris(light, tissue, len(nuclei), size, steps, rng)
    return light, labels


def _box(
    centre: Points, reach: float, steps: Points, shape: Sequence[int]
) -> tuple[slice, ...] | None:
    first = np.maximum(np.floor((centre - reach) / steps), 0).astype(int)
    last = np.minimum(np.ceil((centre + reach) / steps) + 1, shape).astype(int)
    if (last <= first).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))


def _normalised(
    nucleus: Nucleus, box: tuple[slice, ...], steps: Points, warp: Sequence[Field]
) -> Field:
    """Return how far from the centre of a nucleus voxels lie, the surface at 1."""
    grids = np.ogrid[box]
    offset = [
        (grid * step - c).astype(np.float32) + w[box]
        for grid, step, c, w in zip(grids, steps, nucleus.centre, warp, strict=True)
    ]
    z, y, x = (
        sum(np.float32(a) * o for a, o in zip(row, offset, strict=True)) for row in nucleus.axes
    )
    z = (
        z
        + np.float32(nucleus.bend[0]) * (y * y - 0.3)
        + np.float32(nucleus.bend[1]) * (x * x - 0.3)
    )
    distance: Field = np.sqrt(z * z + y * y + x * x)
    return distance


def _glow(
    tissue: Tissue, nuclei: Sequence[Nucleus], depth: Field, labels: Labels, steps: Points,
    rng: np.random.Generator,
) -> Field:  # fmt: skip
    """Return the light of each voxel: the brightness of its nucleus times its chromatin."""
    shape = labels.shape
    coarse = smooth_field(rng, shape, steps, 0.35 * tissue.radius)
    fine = smooth_field(rng, shape, steps, max(0.14 * tissue.radius, 1.2 * float(steps.min())))
    texture = 1 + tissue.texture * (0.6 * coarse + 0.55 * fine)
    # Dark nucleoli and bright chromocentres: where independent fields are high.
    if tissue.nucleoli > 0:
        holes = smooth_field(rng, shape, steps, 0.42 * tissue.radius)
        texture -= tissue.nucleoli * _step(holes, 1.3) * (depth < 0.8)
    if tissue.spots > 0:
        dots = smooth_field(rng, shape, steps, 0.24 * tissue.radius)
        texture += tissue.spots * _step(dots, 1.9)
    brightness = np.array([0.0, *(n.brightness for n in nuclei)], np.float32)
    calm = np.array([False, *(n.mitotic for n in nuclei)])[labels]
    texture = np.where(calm, 1 + 0.4 * (texture - 1), texture)
    rim = 1 + np.float32(rng.uniform(-0.15, 0.2)) * depth**4
    glow: Field = brightness[labels] * np.maximum(texture, 0.15) * rim
    return glow


def _step(field: Field, height: float) -> Field:
    """Return 1 where a field is well above a height, 0 below, with a soft edge."""
    soft: Field = 1 / (1 + np.exp(-6 * (field - np.float32(height))))
    return soft


def _add_debris(
    light: Field, tissue: Tissue, count: int, size: Points, steps: Points,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add specks: many small ones, and some fragments of a quarter of a nucleus across."""
    for _ in range(rng.poisson(tissue.debris * count)):
        centre = rng.uniform(0, size)
        large = rng.random() < 0.25
        width = tissue.radius * rng.uniform(0.15, 0.3) if large else rng.uniform(0.12, 0.35)
        sigmas = np.maximum(width * np.exp(0.3 * rng.standard_normal(3)), 0.4 * steps)
        box = _box(centre, 3.5 * float(sigmas.max()), steps, light.shape)
        if box is None:
            continue
        bright = rng.uniform(0.3, 1.5) if large else rng.uniform(0.8, 6.0)
        grids = np.ogrid[box]
        exponent = sum(
            ((g * s - c) / w) ** 2 for g, s, c, w in zip(grids, steps, centre, sigmas, strict=True)
        )
        light[box] += np.asarray(bright * np.exp(-0.5 * exponent), np.float32)


def tidy(labels: Labels, *, least: int = 8) -> Labels:
    """Return labels of which each is one connected piece, its largest, numbered without gaps.

    Pieces of fewer than ``least`` voxels, as where an edge cuts a nucleus off, are left out.
    """
    result = np.zeros_like(labels)
    number = 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces, _ = ndimage.label(labels[box] == label)
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() < least:
            continue
        number += 1
        result[box][pieces == sizes.argmax() + 1] = number
    return result
