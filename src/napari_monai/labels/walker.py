"""Random walker: every voxel goes to the scribble that a walk from it would reach first.

Grady, "Random walks for image segmentation", PAMI 2006. A walk crosses from voxel to neighbour the
less readily the more their intensities differ, and the further apart they are. The probabilities
solve a linear system, here by conjugate gradients over arrays of the image's shape: nothing
larger is held, and between two steps the work can be stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .boxes import whole
from .coarse import interpolated, pooled

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]

TOLERANCE = 3e-5  # of the residual, as a part of what it starts from
STEPS = 2000
COARSE = 20_000  # voxels from which on a first guess comes from half the resolution
LEAST = 1e-4  # conductance that the strongest edge keeps, so that the system can be solved


@dataclass(frozen=True)
class Progress:
    """One more step of the solver: how far the logarithm of the residual has come, 0 to 1."""

    done: float


def random_walker(
    image: npt.NDArray[Any],
    scribbles: Labels,
    *,
    spacing: Sequence[float],
    contrast: float = 90.0,
    allowed: Mask | None = None,
) -> Labels:
    """Return labels that grow from scribbles up to the edges of an image.

    Parameters
    ----------
    image
        Intensities, 2-D or 3-D.
    scribbles
        Labels of the same shape; 0 is what is to be decided. Two different ones at least.
    spacing
        Distance between voxels along each axis, in one unit.
    contrast
        How much edges count: the exponent for a difference of one standard deviation of the
        image (beta of the paper).
    allowed
        Where walks may go; ``None`` is everywhere. Elsewhere, and where no walk reaches a
        scribble, the labels are 0.

    Returns
    -------
    Labels of the type of ``scribbles``, which keep their own voxels.
    """
    *_, last = walking(image, scribbles, spacing=spacing, contrast=contrast, allowed=allowed)
    assert isinstance(last, np.ndarray)
    return last


def walking(
    image: npt.NDArray[Any],
    scribbles: Labels,
    *,
    spacing: Sequence[float],
    contrast: float = 90.0,
    allowed: Mask | None = None,
) -> Iterator[Progress | Labels]:
    """Yield progress, and at the end the labels of `random_walker`."""
    values = np.unique(scribbles[scribbles != 0])
    seeds = scribbles != 0
    free = _reachable(seeds, allowed)
    best = np.full(image.shape, -1.0, np.float32)
    result = scribbles.copy()
    rest = np.ones(image.shape, np.float32)
    for k, value in enumerate(values):
        field = rest  # of the last one: probabilities add up to 1
        if k + 1 < len(values):
            fixed = (scribbles == value).astype(np.float32)
            for item in probability(image, fixed, seeds, free, spacing, contrast):
                if isinstance(item, Progress):
                    yield Progress((k + item.done) / (len(values) - 1))
                else:
                    field = item
            rest = rest - field
        wins = free & (field > best)
        best[wins] = field[wins]
        result[wins] = value
    yield result


def probability(
    image: npt.NDArray[Any],
    fixed: Field,
    seeds: Mask,
    free: Mask,
    spacing: Sequence[float],
    contrast: float,
) -> Iterator[Progress | Field]:
    """Yield progress, and at the end where ``free`` how likely a walk ends where ``fixed`` is 1.

    ``fixed`` counts at ``seeds`` alone. A large image is solved at half the resolution first.
    """
    start = np.full(image.shape, 0.5, np.float32)
    # The finest axes first, so that voxels become about as long as they are wide.
    factors = [
        2 if step < 2 * min(spacing) and n > 3 else 1
        for step, n in zip(spacing, image.shape, strict=True)
    ]
    if image.size > COARSE and max(factors) > 1:
        hit = pooled(seeds, factors)
        known = hit > 0
        sum_ = pooled(np.where(seeds, fixed, 0), factors)
        mean = np.asarray(sum_ / np.maximum(hit, 1e-6), np.float32)
        grid = [step * f for step, f in zip(spacing, factors, strict=True)]
        may = ~known & (pooled(free, factors) > 0)
        for item in probability(pooled(image, factors), mean, known, may, grid, contrast):
            if isinstance(item, Progress):
                yield Progress(0.0)
            else:
                start = interpolated(item, factors, whole(image.shape))
    conductances = _conductances(image, free | seeds, spacing, contrast)
    yield from _solve(conductances, free, np.where(seeds, fixed, 0).astype(np.float32), start)


def without_noise(
    image: npt.NDArray[Any], spacing: Sequence[float], smoothing: float
) -> npt.NDArray[np.float32]:
    """Return the image after a Gaussian of so many voxels of the finest axis, equal in space.

    Noise sets a walk barriers wherever it goes. What is no number gets the lowest one, or 0.
    """
    values = np.asarray(image, np.float32)
    known = np.isfinite(values)
    if not known.all():
        values = np.where(known, values, values[known].min(initial=0.0))
    if smoothing <= 0:
        return values
    sigma = smoothing * min(spacing) / np.asarray(spacing, float)
    smooth: Field = ndimage.gaussian_filter(values, sigma, mode="nearest")
    return smooth


def _reachable(seeds: Mask, allowed: Mask | None) -> Mask:
    """Return the voxels to decide: those from which a walk finds a scribble."""
    free = ~seeds if allowed is None else ~seeds & allowed
    found, count = ndimage.label(free | seeds)
    seeded = np.zeros(count + 1, np.bool_)
    seeded[found[seeds]] = True
    return np.asarray(free & seeded[found])


def _conductances(
    image: npt.NDArray[Any], inside: Mask, spacing: Sequence[float], contrast: float
) -> list[Field]:
    """Return for each axis how readily a walk goes from each voxel to the next one."""
    values = np.asarray(image, np.float32)
    inner = values[inside]
    spread = float(inner.std()) if inner.size else 0.0
    finest = min(spacing)
    result = []
    for axis, step in enumerate(spacing):
        jump = np.diff(values, axis=axis)
        jump *= jump
        jump *= -contrast / max(spread**2, 1e-30)
        weight = np.exp(jump, out=jump)
        weight += LEAST
        weight *= (finest / step) ** 2
        n = image.shape[axis]
        weight *= inside.take(range(n - 1), axis) & inside.take(range(1, n), axis)
        result.append(weight)
    return result


def _solve(
    conductances: Sequence[Field], free: Mask, fixed: Field, start: Field
) -> Iterator[Progress | Field]:
    """Yield progress, and at the end the field that is harmonic where free and fixed elsewhere.

    Conjugate gradients with the diagonal as preconditioner.
    """
    diagonal = np.zeros(free.shape, np.float32)
    for axis, weight in enumerate(conductances):
        low, high = _ends(free.ndim, axis)
        diagonal[low] += weight
        diagonal[high] += weight
    inverse = np.where(free & (diagonal > 0), 1 / np.maximum(diagonal, 1e-30), 0)
    inverse = inverse.astype(np.float32)
    x = np.where(free, start, fixed).astype(np.float32)
    residual = _flow(conductances, diagonal, x, free)
    residual *= -1
    z = inverse * residual
    direction = z.copy()
    energy = _dot(residual, z)
    # What a field of zeros would be off by.
    off = _flow(conductances, diagonal, np.where(free, np.float32(0), fixed), free)
    first = energy
    goal = TOLERANCE**2 * max(_dot(off, inverse * off), first)
    for _ in range(STEPS):
        if energy <= goal or energy == 0:
            break
        moved = _flow(conductances, diagonal, direction, free)
        length = np.float32(energy / max(_dot(direction, moved), 1e-300))
        x += length * direction
        residual -= length * moved
        np.multiply(inverse, residual, out=z)
        before, energy = energy, _dot(residual, z)
        direction *= np.float32(energy / before)
        direction += z
        yield Progress(_part(first, energy, goal))
    yield x


def _part(first: float, now: float, goal: float) -> float:
    """Return how far the residual has come, in orders of magnitude."""
    if goal <= 0 or first <= goal or now <= 0:
        return 1.0
    return float(np.clip(np.log(first / now) / np.log(first / goal), 0, 1))


def _flow(conductances: Sequence[Field], diagonal: Field, x: Field, free: Mask) -> Field:
    """Return the Laplacian of x where it is free, 0 elsewhere."""
    result = diagonal * x
    for axis, weight in enumerate(conductances):
        low, high = _ends(x.ndim, axis)
        result[low] -= weight * x[high]
        result[high] -= weight * x[low]
    result *= free
    return result


def _ends(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of all voxels but the last, and all but the first, along an axis."""
    low, high = [slice(None)] * ndim, [slice(None)] * ndim
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)


def _dot(a: Field, b: Field) -> float:
    return float(np.vdot(a, b))
