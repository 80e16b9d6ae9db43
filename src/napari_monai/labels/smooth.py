"""Smooth labels, each keeping its volume.

Arrays of labels are taken as they are, 2-D or 3-D; new ones are returned.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from .boxes import Box
from .morphology import places
from .nearest import drained

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]

# Where a Gaussian is cut off, in standard deviations.
_TRUNCATE = 4.0
# The share of background that is more than what rounding leaves of none.
_LEAST = 1e-4


def margin(sigma: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Return how many voxels along each axis a crop must reach beyond the labels for `smooth`.

    Raises
    ------
    EditError
        If sigma is negative or a spacing not above 0.
    """
    if not sigma >= 0 or math.isinf(sigma):
        raise EditError(f"The width of smoothing is 0 or more, not {sigma}.")
    if not all(s > 0 for s in spacing):
        raise EditError(f"The size of a voxel is above 0 along each axis, not {tuple(spacing)}.")
    return tuple(math.ceil(_TRUNCATE * sigma / s) for s in spacing)


def smooth(
    labels: Labels,
    *,
    sigma: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
) -> Labels:
    """Return labels with smooth borders, each of the volume that it had.

    Each label, and the background, is blurred by a Gaussian; a voxel becomes what has the largest
    share in it, weighted such that each label keeps its volume. So what touches goes on touching,
    without gaps and without overlaps. The volume is exact to the voxel, except of a label that has
    no background beside it. Parts much smaller than sigma go, for the good of the larger ones of
    the same label.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background.
    sigma
        Standard deviation of the Gaussian, in the unit of ``spacing``.
    spacing
        Size of a voxel along each axis; infinity keeps the slices across that axis apart.
    values
        The labels that are smoothed together; ``None`` is all. Others stay, and count as neither
        label nor background: a border with them is not rounded off.

    Raises
    ------
    EditError
        If sigma is negative or a spacing not above 0.
    """
    return drained(smoothing(labels, sigma=sigma, spacing=spacing, values=values))


def smoothing(
    labels: Labels,
    *,
    sigma: float,
    spacing: Sequence[float],
    values: Iterable[int] | None = None,
) -> Generator[None, None, Labels]:
    """Do the work of `smooth` in steps of one label, returning what it returns."""
    wide = margin(sigma, spacing)
    result = labels.copy()
    found = list(places(labels, values, margin=wide))
    if not any(wide) or not found:
        return result
    sigmas = tuple(sigma / s for s in spacing)
    chosen = [value for value, _ in found]
    free = (labels == 0) | np.isin(labels, chosen)
    rest = np.ones(labels.shape, np.float32)  # the share of the background
    best = np.full(labels.shape, -np.inf, np.float32)
    for value, box in found:
        mask = labels[box] == value
        share = _share(mask, free[box], sigmas)
        rest[box] -= share
        limit = _threshold(share, free[box], int(np.count_nonzero(mask)))
        # Beside background alone it wins from the limit on; without background it never loses.
        score: Field = np.multiply(share, (1 - limit) / limit, dtype=np.float32)
        wins = score > best[box]
        best[box][wins] = score[wins]
        result[box][wins & free[box]] = value
        yield
    result[free & (best <= rest)] = 0
    for value, box in found:
        _settle(result, labels, value, box, free, rest, sigmas)
        yield
    return result


def _share(mask: Mask, free: Mask, sigmas: tuple[float, ...]) -> Field:
    """Return the share of a mask in the free voxels around each voxel."""
    share = blurred(mask, sigmas)
    if not free.all():
        share /= np.maximum(blurred(free, sigmas), np.float32(1e-6))
    return share


def _threshold(share: Field, free: Mask, count: int) -> float:
    """Return the share that as many free voxels as ``count`` reach."""
    shares = share[free]
    at = len(shares) - count
    if not at:
        return 0.5
    part = np.partition(shares, (at - 1, at))
    # Half-way to the next one, so that rounding decides nothing.
    return min(max(float(part[at] + part[at - 1]) / 2, 1e-4), 1 - 1e-4)


def _settle(
    result: Labels,
    labels: Labels,
    value: int,
    box: Box,
    free: Mask,
    rest: Field,
    sigmas: tuple[float, ...],
) -> None:
    """Give a label the volume that it had, by voxels that it trades with the background."""
    mask = labels[box] == value
    now = result[box]
    more = int(np.count_nonzero(mask)) - int(np.count_nonzero(now == value))
    if not more:
        return
    lead = _share(mask, free[box], sigmas) - rest[box]
    # Not from within other labels, where there is none beside it.
    beside = (rest[box] > _LEAST) & ((now == 0) & free[box] if more > 0 else now == value)
    voxels = np.flatnonzero(beside)
    count = min(abs(more), len(voxels))
    if not count:
        return
    # What is as good: first what the label had, or has not had, and then in the array's order.
    order = lead.reshape(-1)[voxels] * (-1 if more > 0 else 1)
    first = order <= np.partition(order, count - 1)[count - 1]
    voxels, order = voxels[first], order[first]
    own = mask.reshape(-1)[voxels]
    ranked = np.lexsort((~own if more > 0 else own, order))[:count]
    now[np.unravel_index(voxels[ranked], now.shape)] = value if more > 0 else 0


def blurred(mask: Mask, sigmas: Sequence[float]) -> Field:
    """Return a mask blurred by a Gaussian, with standard deviations in voxels.

    Edge voxels are repeated beyond the border. Along an axis the blur is a product with a matrix,
    which is several times as fast as a convolution for masks of the size of organs.
    """
    result = mask.astype(np.float32)
    for axis, sigma in enumerate(sigmas):
        if not sigma:
            continue
        n = result.shape[axis]
        matrix = _gaussian(n, sigma)
        before = math.prod(result.shape[:axis])
        stack = result.reshape(before, n, -1)
        product = stack[..., 0] @ matrix.T if stack.shape[-1] == 1 else np.matmul(matrix, stack)
        result = product.reshape(mask.shape)
    return result


def _gaussian(n: int, sigma: float) -> Field:
    """Return the matrix, of shape (n, n), that blurs a row of n voxels."""
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    rows = np.repeat(np.arange(n), len(offsets))
    columns = np.clip((np.arange(n)[:, None] + offsets).ravel(), 0, n - 1)
    matrix = np.zeros((n, n))
    np.add.at(matrix, (rows, columns), np.tile(weights, n))
    return matrix.astype(np.float32)
