"""Objects of successive slices or frames linked by their overlap: what goes on keeps its number.

Each slice is looked at once, in order, and only the last few are kept, so that a series may be
longer than memory. An object of one slice goes on as at most one of the next, so that no two
objects of a slice get one number: of all ways to pair those that overlap enough, the one with the
largest sum of IoU is taken (the assignment problem; Kuhn, Naval Res. Logist. Q. 1955). What
misses a slice or a few may go on after them. Nothing hangs on how the objects of a slice are
numbered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from ..errors import SettingsError, VolumeError
from .runs import numbered

Labels = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# A daughter lies on its mother with this part of itself or more, is at most this part of her size,
# and no smaller than this part of its sister.
_ON_MOTHER, _OF_MOTHER, _OF_SISTER = 0.5, 0.75, 0.4


@dataclass(frozen=True, eq=False)
class Pieces:
    """The objects of one slice or frame, in the order of their first voxels.

    Parameters
    ----------
    places
        int32 array: 0, or i + 1 where the i-th object is.
    values
        The numbers that they came with.
    sizes
        How many voxels they have.
    centres
        Their centroids, shape (n, axes), in the unit of the spacing.
    """

    places: npt.NDArray[np.int32]
    values: Ints
    sizes: Ints
    centres: Floats

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, labels: Labels, spacing: Sequence[float] | None = None) -> Pieces:
        """Look at labels of any number of axes; 0 is background."""
        flat = np.ascontiguousarray(labels).reshape(-1)
        flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
        found = np.flatnonzero(flat)
        values, at = numbered(flat[found])
        first = np.zeros(len(values), np.int64)
        first[at[::-1]] = found[::-1]  # where one is assigned to twice, the last stays
        order = np.argsort(first)
        rank = np.empty(len(values), np.int32)
        rank[order] = np.arange(len(values))
        at = rank[at].astype(np.int64)
        places = np.zeros(flat.size, np.int32)
        places[found] = at + 1
        sizes = np.bincount(at, minlength=len(values))
        steps = np.ones(labels.ndim) if spacing is None else np.asarray(spacing, np.float64)
        index = np.unravel_index(found, labels.shape)
        sums = [np.bincount(at, i, minlength=len(values)) for i in index]
        centres = np.stack(sums, axis=-1) / np.maximum(sizes, 1)[:, None] * steps
        return cls(places.reshape(labels.shape), values[order], sizes, centres)

    def numbered(self, numbers: Ints) -> npt.NDArray[np.int32]:
        """Return the labels with other numbers, one an object."""
        result: npt.NDArray[np.int32] = np.concatenate([[0], numbers]).astype(np.int32)[self.places]
        return result


class Shared(NamedTuple):
    """Pairs of objects of two slices that share voxels: which ones, and how many voxels."""

    one: Ints
    other: Ints
    voxels: Ints


def shared(one: Pieces, other: Pieces) -> Shared:
    """Return which objects of two slices lie over each other."""
    if one.places.shape != other.places.shape:
        raise VolumeError(
            f"Slices of shape {one.places.shape} and {other.places.shape} cannot be linked: "
            "give those of one image."
        )
    both = (one.places > 0) & (other.places > 0)
    width = max(1, len(other))
    code = (one.places[both].astype(np.int64) - 1) * width + (other.places[both] - 1)
    pairs, at = numbered(code)
    return Shared(pairs // width, pairs % width, np.bincount(at, minlength=len(pairs)))


def assigned(one: Ints, other: Ints, score: Floats) -> Ints:
    """Return which of some pairs are taken, so that nothing is in two and their score is highest.

    ``score`` is above 0. Groups of pairs that have nothing in common are decided one by one.
    """
    if not len(one):
        return np.zeros(0, np.int64)
    n, m = int(one.max()) + 1, int(other.max()) + 1
    graph = sparse.coo_array((np.ones(len(one), bool), (one, other + n)), shape=(n + m, n + m))
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    which = group[one]
    order = np.argsort(which, kind="stable")
    ends = np.flatnonzero(np.diff(which[order])) + 1
    taken = []
    for pairs in np.split(order, ends):
        if len(pairs) == 1:
            taken.append(pairs)
            continue
        rows, row = np.unique(one[pairs], return_inverse=True)
        columns, column = np.unique(other[pairs], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row, column] = score[pairs]
        best = linear_sum_assignment(gain, maximize=True)
        place = np.full(gain.shape, -1)
        place[row, column] = pairs
        chosen = place[best]
        taken.append(chosen[chosen >= 0])
    return np.sort(np.concatenate(taken))


@dataclass(frozen=True)
class Track:
    """An object through the frames: its number, first and last frame, and whom it came from.

    ``parent`` is the number of the object that divided into it, 0 where there is none: the table
    of the Cell Tracking Challenge (``res_track.txt``: label, begin, end, parent).
    """

    number: int
    first: int
    last: int
    parent: int = 0


class Linker:
    """Gives the objects of one slice or frame after the other numbers that last.

    Parameters
    ----------
    least
        The least part of the smaller of two objects that lies on the other one, if they are one.
    gap
        How many slices in a row an object may miss and go on with its number.
    reach
        Farthest that the centroid of an object moves from one slice to the next, in the unit of
        ``spacing``; across a gap of n slices n + 1 times as far. No limit when left out.
    spacing
        Size of a voxel along each axis of a slice; 1 when left out.
    divisions
        Whether an object that goes on as two parts of it ends there, and both are new ones that
        come from it. A part lies on it with half of itself or more, has at most 3/4 of its size,
        and at least 2/5 of the size of the other part. Without divisions one of them goes on as it.

    Raises
    ------
    SettingsError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        *,
        least: float = 0.25,
        gap: int = 0,
        reach: float | None = None,
        spacing: Sequence[float] | None = None,
        divisions: bool = False,
    ) -> None:
        if not 0 <= least <= 1:
            raise SettingsError(f"The least overlap is {least}; it goes from 0 to 1.")
        if gap < 0:
            raise SettingsError(f"An object may miss {gap} slices; it goes from 0 up.")
        self.least = least
        self.gap = gap
        self.reach = reach
        self.spacing = spacing
        self.divisions = divisions
        self.count = 0  # slices so far
        self.highest = 0  # number given so far
        self.tracks: dict[int, Track] = {}
        self._recent: deque[tuple[int, Pieces, Ints]] = deque(maxlen=gap + 1)

    @property
    def lineage(self) -> tuple[Track, ...]:
        """The objects so far, by number."""
        return tuple(self.tracks[number] for number in sorted(self.tracks))

    def add(self, labels: Labels) -> npt.NDArray[np.int32]:
        """Take in the next slice; return it with numbers that last."""
        pieces, numbers = self.take(labels)
        return pieces.numbered(numbers)

    def take(self, labels: Labels) -> tuple[Pieces, Ints]:
        """Take in the next slice; return its objects, and the number of each."""
        pieces = Pieces.of(labels, self.spacing)
        numbers = np.zeros(len(pieces), np.int64)
        parents = np.zeros(len(pieces), np.int64)
        for age, (index, before, known) in enumerate(reversed(self._recent), start=1):
            waiting = np.array([self.tracks[n].last == index for n in known.tolist()], bool)
            if age == 1 and self.divisions:
                self._divide(before, known, pieces, parents)
            self._match(before, known, waiting, pieces, numbers, parents > 0, age)
        new = np.flatnonzero(numbers == 0)
        numbers[new] = np.arange(self.highest + 1, self.highest + 1 + len(new))
        self._keep(pieces, numbers, parents)
        return pieces, numbers

    def seen(self, labels: Labels) -> None:
        """Take in the next slice, whose numbers last already."""
        pieces = Pieces.of(labels, self.spacing)
        self._keep(pieces, pieces.values, np.zeros(len(pieces), np.int64))

    def _keep(self, pieces: Pieces, numbers: Ints, parents: Ints) -> None:
        for number, parent in zip(numbers.tolist(), parents.tolist(), strict=True):
            known = self.tracks.get(number, Track(number, self.count, self.count, parent))
            self.tracks[number] = replace(known, last=self.count)
        self.highest = max(self.highest, int(numbers.max(initial=0)))
        self._recent.append((self.count, pieces, numbers))
        self.count += 1

    def _match(
        self,
        before: Pieces,
        known: Ints,
        waiting: npt.NDArray[np.bool_],
        pieces: Pieces,
        numbers: Ints,
        daughters: npt.NDArray[np.bool_],
        age: int,
    ) -> None:
        """Give objects without a number that of the one before that they go on from."""
        one, other, voxels = shared(before, pieces)
        sizes = before.sizes[one], pieces.sizes[other]
        open_ = (voxels >= self.least * np.minimum(*sizes)) & waiting[one]
        open_ &= (numbers[other] == 0) & ~daughters[other]
        if self.reach is not None:
            away = np.linalg.norm(before.centres[one] - pieces.centres[other], axis=1)
            open_ &= away <= self.reach * age
        one, other = one[open_], other[open_]
        taken = assigned(one, other, (voxels / (sizes[0] + sizes[1] - voxels))[open_])
        numbers[other[taken]] = known[one[taken]]

    def _divide(self, before: Pieces, known: Ints, pieces: Pieces, parents: Ints) -> None:
        """Say which objects are the two parts of one before."""
        one, other, voxels = shared(before, pieces)
        sizes, mothers = pieces.sizes[other], before.sizes[one]
        parts = (voxels >= _ON_MOTHER * sizes) & (sizes <= _OF_MOTHER * mothers)
        one, other, sizes = one[parts], other[parts], sizes[parts]
        for mother in np.flatnonzero(np.bincount(one) >= 2):
            own = np.flatnonzero(one == mother)
            own = own[np.argsort(-sizes[own], kind="stable")][:2]
            if sizes[own[1]] >= _OF_SISTER * sizes[own[0]]:
                parents[other[own]] = known[mother]


def link_frames(frames: Iterable[Labels], **linking: Any) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the frames of a time series with numbers that last, each as soon as it is read.

    ``linking`` are the parameters of `Linker`, whose ``lineage`` is the table of tracks.
    """
    linker = Linker(**linking)
    for frame in frames:
        yield linker.add(frame)
