"""Percentiles, mean and standard deviation of images that are read block by block.

The results do not depend, to the last bit, on how an image is cut into blocks. Order statistics
are found exactly by counting; sums are taken over cells of a fixed raster.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Blocks = Callable[[], Iterable[FloatArray]]
Box = tuple[slice, ...]

# Side of a cell: blocks for `moments` begin at multiples of it.
CELL = 16

# Values that are worked on at a time, so that they stay in the processor's cache.
_PIECE = 2**18
_HALVES = 2**16
# The upper halves of finite numbers by rising value: the negative ones count down.
_RISING = np.concatenate([np.arange(0xFF7F, 0x7FFF, -1), np.arange(0x7F80)])
_UPPER, _LOWER = (1, 0) if sys.byteorder == "little" else (0, 1)


def percentiles(
    blocks: Blocks, channels: int, wanted: Sequence[float], *, together: bool = False
) -> Doubles:
    """Return percentiles of each channel's finite values, NaN where there are none.

    As numpy's, linear between neighbours. The image is read twice: the upper halves of the
    numbers are counted first, then the lower halves of those among which the answers are.

    Parameters
    ----------
    blocks
        Returns the blocks of the image one after the other, shape (channel, *spatial), in any
        order; called once a pass.
    channels
        Number of channels.
    wanted
        Percentiles from 0 to 100.
    together
        Whether the channels' values count as those of one.

    Returns
    -------
    Shape (channels, len(wanted)).
    """
    groups = 1 if together else channels
    upper = np.zeros((groups, _HALVES), np.int64)
    for group, piece in _pieces(blocks(), together):
        upper[group] += _counted(_half(piece, _UPPER))
    upper = upper[:, _RISING]
    ranks = [_ranks(int(counts.sum()), wanted) for counts in upper]
    places = [_placed(counts, r) for counts, r in zip(upper, ranks, strict=True)]
    lower = [{bin_: np.zeros(_HALVES, np.int64) for bin_, _ in p} for p in places]
    for group, piece in _pieces(blocks(), together) if any(places) else ():
        halves = _half(piece, _UPPER)
        for bin_, counts in lower[group].items():
            inside = halves == _RISING[bin_]
            if inside.any():
                counts += _counted(_half(piece, _LOWER)[inside])
    result = np.full((groups, len(wanted)), np.nan)
    for group, place in enumerate(places):
        n = int(upper[group].sum())
        found = [_number(lower[group][bin_], bin_, rank) for bin_, rank in place]
        pairs = zip(wanted, found[::2], found[1::2], strict=False)  # none where nothing is finite
        for i, (percentile, low, high) in enumerate(pairs):
            result[group, i] = _between(low, high, _virtual(n, percentile))
    return np.repeat(result, channels // groups, axis=0)


def _pieces(blocks: Iterable[FloatArray], together: bool) -> Iterator[tuple[int, FloatArray]]:
    """Yield each block's values in one dimension, in any order, with the group they are of."""
    for block in blocks:
        for channel, part in enumerate(block):
            flat = part.ravel(order="K")
            for start in range(0, flat.size, _PIECE):
                yield 0 if together else channel, flat[start : start + _PIECE]


def _half(values: FloatArray, which: int) -> npt.NDArray[np.uint16]:
    return values.view(np.uint16)[which::2]


def _counted(halves: npt.NDArray[np.uint16]) -> Counts:
    return np.bincount(halves, minlength=_HALVES)


def _virtual(n: int, percentile: float) -> float:
    """Return where a percentile lies among ``n`` sorted values."""
    return (n - 1) * (percentile / 100)


def _ranks(n: int, wanted: Sequence[float]) -> list[int]:
    """Return the ranks of the two neighbours of each percentile."""
    if n == 0:
        return []
    low = [int(_virtual(n, q)) for q in wanted]
    return [rank for at in low for rank in (at, min(at + 1, n - 1))]


def _placed(counts: Counts, ranks: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each rank its bin and its rank among the values of that bin."""
    ends = np.cumsum(counts)
    bins = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    return [(b, rank - int(ends[b] - counts[b])) for b, rank in zip(bins, ranks, strict=True)]


def _number(counts: Counts, bin_: int, rank: int) -> float:
    """Return the number of that rank in a bin, from the counts of its lower halves."""
    upper = int(_RISING[bin_])
    falling = upper >= _HALVES // 2
    at = int(np.searchsorted(np.cumsum(counts[::-1] if falling else counts), rank, side="right"))
    lower = _HALVES - 1 - at if falling else at
    return float(np.uint32(upper << 16 | lower).view(np.float32))


def _between(low: float, high: float, virtual: float) -> float:
    """Return the value between two neighbours, rounded as numpy does: from the nearer one."""
    part = virtual - int(virtual)
    if part < 0.5:
        return low + (high - low) * part
    return high - (high - low) * (1 - part)


def moments(
    blocks: Iterable[tuple[Box, FloatArray]],
    channels: int,
    shape: Sequence[int],
    *,
    origin: Doubles,
    together: bool = False,
    nonzero: bool = False,
) -> tuple[Doubles, Doubles]:
    """Return mean and standard deviation of each channel's finite values, NaN where none are.

    Parameters
    ----------
    blocks
        Where a block begins and ends in the image, and its values, shape (channel, *spatial).
        Blocks begin at multiples of `CELL` and end there or where the image ends. Any order.
    channels, shape
        The channels and the spatial axes, at most three, of the whole image.
    origin
        A number per channel near its mean (one number for all of them when ``together``), from
        which values are counted so that their squares cancel less.
    together
        Whether the channels' values count as those of one.
    nonzero
        Whether only values other than 0 count.
    """
    cells = tuple(-(-n // CELL) for n in shape) + (1,) * (3 - len(shape))
    sums = np.zeros((3, channels, *cells))
    for box, block in blocks:
        corner = tuple(s.start // CELL for s in box) + (0,) * (3 - len(shape))
        for channel, part in enumerate(block):
            whole = part.reshape(*part.shape, *(1,) * (3 - part.ndim))
            _add_cells(sums[:, channel], corner, whole, float(origin[channel]), nonzero)
    totals = sums.reshape(3, 1 if together else channels, -1).sum(axis=-1)
    totals = np.repeat(totals, channels // totals.shape[1], axis=1)
    count, first, second = totals
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing counts
        mean = first / count
        variance = second / count - mean**2
    return mean + origin, np.sqrt(np.maximum(variance, 0))


def _add_cells(
    sums: Doubles, corner: tuple[int, ...], block: FloatArray, origin: float, nonzero: bool
) -> None:
    """Put count, sum and sum of squares of the cells of a block where they belong."""
    rows = CELL * max(1, _PIECE // 8 // (CELL * block.shape[2]))
    for k, j in itertools.product(range(0, block.shape[0], CELL), range(0, block.shape[1], rows)):
        planes = block[k : k + CELL, j : j + rows]
        columns = _columns(planes, origin, masked=nonzero)
        if not np.isfinite(columns[1].sum()):
            columns = _columns(planes, origin, masked=True, nonzero=nonzero)
        folded = _folded(_folded(columns, 1), 2)
        at = (corner[0] + k // CELL, corner[1] + j // CELL, corner[2])
        sums[:, at[0], at[1] : at[1] + folded.shape[1], at[2] : at[2] + folded.shape[2]] = folded


def _columns(planes: FloatArray, origin: float, *, masked: bool, nonzero: bool = True) -> Doubles:
    """Return count, sum and sum of squares along the first axis, one plane after the other."""
    columns = np.zeros((3, *planes.shape[1:]))
    for plane in planes:
        away = np.subtract(plane, origin, dtype=np.float64)
        if masked:
            counts = np.isfinite(plane)
            if nonzero:
                counts &= plane != 0
            away[~counts] = 0
            columns[0] += counts
        columns[1] += away
        columns[2] += np.multiply(away, away, out=away)
    if not masked:
        columns[0] = len(planes)
    return columns


def _folded(array: Doubles, axis: int) -> Doubles:
    """Return the sums of `CELL` neighbours along an axis, one added to the other in order."""
    n = array.shape[axis]
    shape = list(array.shape)
    shape[axis] = -(-n // CELL)
    result = np.zeros(shape)
    moved, source = np.moveaxis(result, axis, 0), np.moveaxis(array, axis, 0)
    for k in range(min(CELL, n)):
        part = source[k::CELL]
        moved[: len(part)] += part
    return result
