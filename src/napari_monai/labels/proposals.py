"""A proposal for labels, as of a model, against the labels there are: region by region."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from ..errors import EditError, VolumeError
from ..events import BlockDone, Edited, Event, Started
from ..volume import ArrayLike
from .boxes import Box, shape_of, slabs
from .connected import numbers as numbers_of
from .connected import part_of
from .edits import Draft, Edit
from .pairs import both, paired
from .runs import PART, Runs
from .scene import Scene
from .sums import reduced
from .table import Floats, Ints

Order = Literal["size", "uncertainty", "place"]
Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Become = Callable[[Labels], Labels]

# More regions than this are accepted slab by slab.
_MANY = 1000


@dataclass(frozen=True)
class Proposal:
    """A connected region in which one label is to become another one.

    Parameters
    ----------
    number
        Which one it is, from 1, in the order of first voxels; it stays when others are dropped.
    box
        Where it lies.
    voxels, volume
        How large it is; ``volume`` in the unit of the spacing, an area in 2-D.
    old, new
        The label there is, and the one that is proposed; 0 is the background.
    at
        The voxel of it that is nearest to its centre.
    uncertainty
        Its mean in the map that was given; ``None`` where none was.
    """

    number: int
    box: Box
    voxels: int
    volume: float
    old: int
    new: int
    at: tuple[int, ...]
    uncertainty: float | None = None


@dataclass(frozen=True, eq=False)
class Proposals:
    """The regions that are not decided on yet; frozen, deciding makes new ones."""

    regions: tuple[Proposal, ...]
    _runs: Runs = field(repr=False)
    _ends: Ints = field(repr=False)  # where the runs of each region, from number 1 on, begin
    _shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def voxels(self) -> int:
        """How many voxels differ."""
        return sum(one.voxels for one in self.regions)

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {one.number: row for row, one in enumerate(self.regions)}

    def only(self, numbers: Collection[int] | None) -> tuple[Proposal, ...]:
        """Return some of them, ``None`` for all, or raise EditError if one is not open."""
        if numbers is None:
            return self.regions
        lacking = [n for n in numbers if n not in self._rows]
        if lacking:
            raise EditError(
                f"Proposal {lacking[0]} is not open: choose one of the {len(self)} left."
            )
        return tuple(self.regions[row] for row in sorted({self._rows[n] for n in numbers}))

    def ordered(self, by: Order = "size") -> tuple[Proposal, ...]:
        """Return them with the largest or the least certain one first, or by their first voxel."""
        if by == "size":
            return tuple(sorted(self.regions, key=lambda one: -one.voxels))
        if by == "uncertainty":
            return tuple(sorted(self.regions, key=lambda one: -(one.uncertainty or 0.0)))
        return self.regions

    def without(self, numbers: Collection[int]) -> Self:
        """Return those that are left when some are decided on, rejected ones too."""
        decided = frozenset(numbers)
        return replace(self, regions=tuple(r for r in self.regions if r.number not in decided))

    def mask(self, number: int) -> Mask:
        """Return which voxels of its box a region has."""
        box = self.only([number])[0].box
        runs = self._runs.take(np.arange(*self._ends[number - 1 : number + 1]))
        shape = shape_of(box) if len(box) == 3 else (shape_of(box)[0], 1, shape_of(box)[1])
        first = [s.start for s in box] if len(box) == 3 else [box[0].start, 0, box[1].start]
        plane, row, column = (p - f for p, f in zip(runs.places(), first, strict=True))
        start = (plane * shape[1] + row) * shape[2] + column
        steps = np.zeros(int(np.prod(shape)) + 1, np.int8)
        steps[start] += 1
        # Where one run ends another one may begin.
        np.subtract.at(steps, start + runs.length, 1)
        return np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_).reshape(shape_of(box))


def differences(
    labels: ArrayLike,
    proposed: ArrayLike,
    *,
    spacing: Sequence[float],
    min_volume: float = 0.0,
    values: Iterable[int] | None = None,
    uncertainty: ArrayLike | None = None,
    connectivity: int | None = None,
) -> Proposals:
    """Return the regions in which a proposal differs from the labels.

    Objects that have other numbers in the proposal are to be given the same ones first, by
    `napari_monai.labels.pairs.numbered_like`.

    Parameters
    ----------
    labels, proposed
        Whole numbers, 0 for background, of one shape on two or three axes; read slab by slab.
    spacing
        Of the voxels, one number an axis.
    min_volume
        The smallest region that counts, in the unit of ``spacing``.
    values
        The labels that may come or go; ``None`` is all.
    uncertainty
        A map of the same shape, by which regions can be ordered.
    connectivity
        How many axes neighbours may differ in, see `napari_monai.labels.components.keep_largest`.

    Raises
    ------
    VolumeError
        If the shapes differ or the spacing does not fit.
    """
    ndim = len(labels.shape)
    if len(spacing) != ndim:
        raise VolumeError(f"Spacing {tuple(spacing)} does not fit labels of {ndim} axes.")
    if uncertainty is not None and tuple(uncertainty.shape) != tuple(labels.shape):
        raise VolumeError(f"Uncertainty of {uncertainty.shape} is not of labels {labels.shape}.")
    wanted = None if values is None else np.unique(np.fromiter(values, np.int64))
    runs, old, new, doubt = _gathered(labels, proposed, wanted, uncertainty)
    region = numbers_of(runs, connectivity=connectivity or ndim).astype(np.int64)
    count = int(region.max(initial=-1)) + 1
    order = np.argsort(region, kind="stable")
    ends = np.searchsorted(region[order], np.arange(count + 1))
    voxels = np.bincount(region, runs.length, minlength=count).astype(np.int64)
    volume = voxels * float(np.prod(spacing))
    # A voxel's share is not exact in binary: a size that is just reached counts.
    large = np.flatnonzero(volume >= min_volume * (1 - 1e-9))
    axes = [0, 2] if ndim == 2 else [0, 1, 2]
    places = _places(runs, region, voxels)
    start, stop, near = (place[large][:, axes].tolist() for place in places)
    first = order[ends[large]]
    unsure = np.bincount(region, doubt, minlength=count)[large] / voxels[large]
    columns = (
        (large + 1).tolist(),
        [tuple(map(slice, a, b)) for a, b in zip(start, stop, strict=True)],
        voxels[large].tolist(),
        volume[large].tolist(),
        old[first].tolist(),
        new[first].tolist(),
        map(tuple, near),
        [None] * len(large) if uncertainty is None else unsure.tolist(),
    )
    regions = tuple(Proposal(*row) for row in zip(*columns, strict=True))
    return Proposals(regions, runs.take(order), ends, tuple(labels.shape))


def _gathered(
    labels: ArrayLike, proposed: ArrayLike, wanted: Ints | None, uncertainty: ArrayLike | None
) -> tuple[Runs, Ints, Ints, Floats]:
    """Return the runs of voxels that differ, their labels before and after, sums of the map.

    The value of a run is the number of its pair of labels, from 1.
    """
    found: list[tuple[npt.NDArray[Any], ...]] = []
    planes, columns = labels.shape[0], labels.shape[-1]
    shape = (planes, labels.shape[1] if len(labels.shape) == 3 else 1, columns)
    for first, a, b in both(labels, proposed):
        differs = a.value != b.value
        if wanted is not None:
            differs &= np.isin(a.value, wanted) | np.isin(b.value, wanted)
        a, b = a.take(differs), b.take(differs)
        away = first * shape[1] * columns
        sums = np.zeros(len(a))
        if uncertainty is not None:
            flat = np.asarray(uncertainty[first : first + a.shape[0]]).reshape(-1)
            sums = a.reduced(np.add, flat, dtype=np.float64)
        values = (a.value.astype(np.int64), b.value.astype(np.int64))
        found.append((a.start + away, a.stop + away, *values, sums))
    if not found:
        found = [tuple(np.zeros(0, np.int64) for _ in range(5))]
    start, stop, old, new, doubt = (np.concatenate(c) for c in zip(*found, strict=True))
    _, pair = paired(old, new)
    return Runs(start, stop, pair + 1, shape), old, new, doubt


def _places(runs: Runs, region: Ints, voxels: Ints) -> tuple[Ints, Ints, Ints]:
    """Return first and last places of regions, and the voxel of each nearest to its centre."""
    count, length = len(voxels), runs.length
    plane, row, column = runs.places()
    start, stop, near = (np.empty((count, 3), np.int64) for _ in range(3))
    away = np.zeros(len(runs))
    places = [plane, row, column]
    for axis, place in enumerate((plane, row, column)):
        start[:, axis] = reduced(np.minimum, place, region, count)
        stop[:, axis] = reduced(np.maximum, place + (length if axis == 2 else 1), region, count)
        middle = place + (length - 1) / 2 if axis == 2 else place
        centre = (np.bincount(region, middle * length, minlength=count) / voxels)[region]
        if axis == 2:
            places[2] = np.clip(np.rint(centre).astype(np.int64), column, column + length - 1)
        away += (places[axis] - centre) ** 2
    nearest = np.flatnonzero(away == reduced(np.minimum, away, region, count)[region])
    for axis in range(3):
        near[region[nearest], axis] = places[axis][nearest]
    return start, stop, near


def accept(
    proposals: Proposals, scene: Scene, *, numbers: Collection[int] | None = None
) -> Iterator[Event]:
    """Do in the labels of a scene what is proposed, as one edit; the last event is `Edited`.

    Locks and region are enforced, and what is no longer as it was when the regions were found
    stays as it is.

    Parameters
    ----------
    proposals
        Regions of these labels.
    scene
        The labels.
    numbers
        The regions that are accepted; ``None`` is all.

    Raises
    ------
    EditError
        If the labels are of another shape, or a region is not open.
    """
    if scene.shape != proposals._shape:
        raise EditError(f"The proposals are for labels of {proposals._shape}, not {scene.shape}.")
    chosen = proposals.only(numbers)
    draft, voxels = Draft(scene), 0
    way = _one_by_one if len(chosen) <= _MANY else _slab_by_slab
    pieces = list(way(proposals, chosen, scene))
    yield Started(len(pieces), "regions" if way is _one_by_one else "slabs")
    for done, (box, become) in enumerate(pieces, start=1):
        voxels += draft.write(become(draft.read(box)), box)
        yield BlockDone(done, len(pieces))
    kept = sum(one.voxels for one in chosen) - voxels
    notes = [f"{kept} voxels are locked, outside of the region or changed, and stay."] * (kept > 0)
    yield Edited(draft.edit(_title(chosen), notes))


def _one_by_one(
    proposals: Proposals, chosen: Sequence[Proposal], scene: Scene
) -> Iterator[tuple[Box, Become]]:
    """Yield the box of each region, and what makes the labels there those that are accepted."""
    for one in chosen:
        yield one.box, partial(_one, proposals, one)


def _one(proposals: Proposals, one: Proposal, crop: Labels) -> Labels:
    new = crop.astype(_type(crop, one.new))
    new[proposals.mask(one.number) & (crop == one.old)] = one.new
    return new


def _slab_by_slab(
    proposals: Proposals, chosen: Sequence[Proposal], scene: Scene
) -> Iterator[tuple[Box, Become]]:
    """Do the same for many regions at once: yield slabs."""
    counts = np.diff(proposals._ends)
    pairs = np.full((len(counts), 2), -1)
    pairs[[one.number - 1 for one in chosen]] = [(one.old, one.new) for one in chosen]
    wanted = np.repeat(pairs, counts, axis=0)  # of each run
    order = np.argsort(proposals._runs.start)
    order = order[wanted[order, 1] >= 0]
    runs, wanted = proposals._runs.take(order), wanted[order]
    for slab in slabs(scene.labels, voxels=PART):
        part, first = part_of(runs, slab[0].start, slab[0].stop)
        if len(part):
            yield slab, partial(_filled, part, wanted[first : first + len(part)])


def _filled(runs: Runs, wanted: Ints, crop: Labels) -> Labels:
    """Return labels in which runs have their new number where the labels are as they were."""
    length = runs.length
    lead = runs.start - (np.cumsum(length) - length)
    places = np.repeat(lead, length) + np.arange(length.sum())
    old, new = np.repeat(wanted, length, axis=0).T
    changed = crop.astype(_type(crop, int(new.max())))
    flat = changed.reshape(-1)
    same = flat[places] == old
    flat[places[same]] = new[same]
    return changed


def _type(crop: Labels, value: int) -> np.dtype[Any]:
    """Return a type that holds a value too, be it one that the labels cannot hold."""
    return np.promote_types(crop.dtype, np.min_scalar_type(value))


def accepted(proposals: Proposals, scene: Scene, *, numbers: Collection[int] | None = None) -> Edit:
    """Return the edit that `accept` ends with."""
    for event in accept(proposals, scene, numbers=numbers):
        if isinstance(event, Edited):
            return event.edit
    raise AssertionError("an operation ends with its edit")


def _title(chosen: Sequence[Proposal]) -> str:
    return "Accept proposal" if len(chosen) == 1 else f"Accept {len(chosen)} proposals"
