"""How many others lie within a distance of each label.

Rows of an array are laid beside other rows up to the distance away. Which runs of the one come
near which of the other follows from where they begin and end: no voxel is looked at but to find
the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..volume import ArrayLike
from .connected import drained, read_steps
from .runs import Mask
from .table import Ints

# Pairs of runs that are looked at together.
_PAIRS = 1 << 22


def neighbours_within(
    labels: ArrayLike, numbers: Ints, distance: float, spacing: Sequence[float]
) -> Ints:
    """Return how many other labels each label has within a distance.

    The distance of two labels is that of the middles of the two voxels, one of each, that are
    nearest to each other. Of an array that is larger than memory the runs have to fit.

    Parameters
    ----------
    labels
        Two or three axes.
    numbers
        The labels that count, in rising order.
    distance
        At least 0, in the unit of ``spacing``.
    spacing
        Of the voxels, one number an axis.
    """
    width = len(numbers)
    found = np.zeros(0, np.int64)
    if width:
        for one, other in _Rows(labels, numbers, distance, spacing).pairs():
            pairs = np.unique(np.minimum(one, other) * width + np.maximum(one, other))
            found = np.union1d(found, pairs)
    low, high = np.divmod(found, max(width, 1))
    return np.bincount(np.concatenate([low, high]), minlength=width).astype(np.int64)


class _Rows:
    """The runs of labels by where their first and last voxels lie, in one line of all rows.

    Rows are so far apart in it that nothing within the distance of one is in another.
    """

    def __init__(
        self, labels: ArrayLike, numbers: Ints, distance: float, spacing: Sequence[float]
    ) -> None:
        runs = drained(read_steps(labels))
        at = np.searchsorted(numbers, runs.value).clip(max=len(numbers) - 1)
        known = numbers[at] == runs.value
        runs, self.label = runs.take(known), at[known]
        # Rounding must not leave out what lies just at the distance.
        self.distance = distance * (1 + 1e-9)
        self.spacing = (spacing[0], self.distance + 1, spacing[1]) if len(spacing) == 2 else spacing
        _, rows, columns = runs.shape
        most = [int(self.distance / step) for step in self.spacing]
        self.planes, self.rows, self.gap = np.minimum(most, runs.shape).tolist()
        self.row = columns + self.gap + 1
        self.plane = self.row * (rows + self.rows + 1)
        plane, row, first = runs.places()
        self.first = plane * self.plane + row * self.row + first
        self.last = self.first + runs.length - 1

    def pairs(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield the labels, as places, of runs that come within the distance of each other."""
        # The voxel that is nearest to another label has none of its own beside it on that side.
        bare = {
            (z, y): self._bare(z * self.plane + y * self.row)
            for z, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
        }
        for z in range(self.planes + 1):
            for y in range(-self.rows if z else 0, self.rows + 1):
                square = self.distance**2 - (z * self.spacing[0]) ** 2 - (y * self.spacing[1]) ** 2
                if square >= 0:
                    up, side = int(z > 0), int(np.sign(y))
                    one = np.flatnonzero(bare[up, 0] & bare[0, side])
                    other = np.flatnonzero(bare[-up, 0] & bare[0, -side])
                    gap = min(self.gap, int(square**0.5 / self.spacing[2]))
                    yield from self._beside(one, other, z * self.plane + y * self.row, gap)

    def _bare(self, shift: int) -> Mask:
        """Return which runs have a voxel without its own label in the row so far away."""
        if not shift:
            return np.ones(len(self.label), np.bool_)
        before = np.searchsorted(self.first, self.first + shift, "right") - 1
        covered = (before >= 0) & (self.label[before] == self.label)
        return np.asarray(~(covered & (self.last[before] >= self.last + shift)))

    def _beside(self, one: Ints, other: Ints, shift: int, gap: int) -> Iterator[tuple[Ints, Ints]]:
        """Yield the labels of runs and of those within a gap of them in the rows so far away."""
        low = np.searchsorted(self.last[other], self.first[one] + (shift - gap))
        high = np.searchsorted(self.first[other], self.last[one] + (shift + gap), "right")
        ends = np.cumsum(high - low)
        start = 0
        while start < len(one):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS)))
            count = (high - low)[start:stop]
            # One after another from the lowest that is near.
            place = np.arange(int(count.sum())) + np.repeat(
                low[start:stop] - (ends[start:stop] - count - before), count
            )
            first, second = np.repeat(self.label[one[start:stop]], count), self.label[other[place]]
            differ = first != second
            yield first[differ], second[differ]
            start = stop
