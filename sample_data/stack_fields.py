"""Smooth random fields over a stack, which bend shapes, vary stain and light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

# Mean over a cell of the sum of the squares of a cubic B-spline's four weights.
_VARIANCE = 151 / 315


def smooth_field(
    rng: np.random.Generator,
    shape: Sequence[int],
    spacing: Sequence[float] | npt.NDArray[np.float64],
    length: float,
) -> Field:
    """Return a random field of mean 0 and variance 1.

    A cubic B-spline with normally distributed control points: it changes over ``length``, in the
    unit of ``spacing``, and has no seams.
    """
    cells = [int(np.ceil(n * step / length)) + 1 for n, step in zip(shape, spacing, strict=True)]
    values = rng.standard_normal([n + 3 for n in cells], dtype=np.float32)
    for axis, (n, step, count) in enumerate(zip(shape, spacing, cells, strict=True)):
        at = np.arange(n) * step / length + rng.random()
        values = np.moveaxis(np.tensordot(_weights(at, count), values, (1, axis)), 0, axis)
    field: Field = values / np.float32(_VARIANCE ** (len(cells) / 2))
    return field


def _weights(at: npt.NDArray[np.floating], cells: int) -> Field:
    """Return the weights (n, cells + 3) of control points for positions in cells."""
    first = np.minimum(np.floor(at).astype(int), cells - 1)
    t = at - first
    four = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(at), cells + 3), np.float32)
    for k, share in enumerate(four):
        weights[np.arange(len(at)), first + k] = share / 6
    return weights
