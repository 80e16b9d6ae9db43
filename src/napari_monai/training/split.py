"""What of the pairs is held out for validation, where nobody gave pairs for it.

Of several images whole ones are: two halves of one image look more alike than two images. Of a
single one it is a slab, with a gap beside it that counts for neither side: neighbouring slices
are nearly the same, and an object must not lie on both sides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import TrainingError
from ..labels.boxes import Boxes
from ..settings import TrainingSettings
from ..volume import LabelVolume
from .partial import IGNORED, corrected_slices
from .shares import Known, Pair, Share, read_labels
from .targets import numbers_in

Counts = npt.NDArray[np.int64]

# More numbers than these are objects, whatever the file says.
_MOST_CLASSES = 64
# Sets of images that are all looked at; where there are more, they are chosen one by one.
_MOST_SETS = 4096
# Places along an axis at which a slab is tried to begin.
_STARTS = 64
# A gap takes at most this part of the axis, and less where nothing would be left otherwise.
_GAP = 1 / 8
_SHRUNK = (1.0, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Split:
    """What is trained on, what is validated on, and one line on how that was chosen."""

    training: tuple[Share, ...]
    validation: tuple[Share, ...]
    how: str


def split_pairs(
    pairs: Sequence[Pair | Share],
    settings: TrainingSettings,
    *,
    validation: Sequence[Pair | Share] = (),
) -> Split:
    """Divide pairs into training and validation, the same for the same seed.

    Parameters
    ----------
    pairs
        All pairs that are not for validation.
    settings
        ``validation_part`` and ``seed``; what is not labelled counts on neither side, so both get
        something that is.
    validation
        Pairs for validation; where there are any, nothing else is held out.

    Raises
    ------
    TrainingError
        If a slab is to be cut from a share that is a slab already.
    """
    shares = [_with_corrected(Share.of(pair), settings) for pair in pairs]
    given = tuple(Share.of(pair) for pair in validation)
    if given:
        return Split(tuple(shares), given, f"{len(given)} validation pairs given")
    if settings.validation_part == 0:
        return Split(tuple(shares), (), "no validation: the last state is kept")
    if len(shares) == 1:
        return _by_slab(shares, 0, settings)
    present = _classes_present(shares, settings)
    labelled = [i for i, classes in enumerate(present) if classes]
    if len(labelled) == 1:
        return _by_slab(shares, labelled[0], settings)
    return _by_image(shares, present, settings)


def _with_corrected(share: Share, settings: TrainingSettings) -> Share:
    """Return a share that names its corrected slices, so that they count on both sides alone."""
    if not settings.only_corrected or share.corrected is not None:
        return share
    grid = read_labels(share.labels).grid
    return replace(share, corrected=corrected_slices(share.labels, grid))


# -- by image -------------------------------------------------------------------------------------


def _by_image(
    shares: Sequence[Share], present: Sequence[frozenset[int]], settings: TrainingSettings
) -> Split:
    """Hold out whole images, so that each class is on both sides if it can be."""
    usable = [i for i, classes in enumerate(present) if classes]
    if len(usable) < 2:
        return Split(tuple(shares), (), "no validation: nothing is labelled")
    count = min(len(usable) - 1, max(1, round(settings.validation_part * len(usable))))
    rng = np.random.default_rng(settings.seed)
    order = [usable[i] for i in rng.permutation(len(usable))]
    numbers = sorted(frozenset().union(*present))
    table = np.array([[number in present[i] for number in numbers] for i in order], np.bool_)
    chosen = {order[i] for i in held_out(table, count)}
    training = tuple(share for i, share in enumerate(shares) if i not in chosen)
    validation = tuple(share for i, share in enumerate(shares) if i in chosen)
    names = ", ".join(share.name for share in validation[:3])
    more = f" and {count - 3} more" if count > 3 else ""
    return Split(
        training, validation, f"by image: {count} of {len(shares)} for validation, {names}{more}"
    )


def held_out(table: npt.NDArray[np.bool_], count: int) -> tuple[int, ...]:
    """Return the rows of images to hold out, so that as many classes as can be are on both sides.

    Where few sets of ``count`` images are possible, the best one; else images one by one, each
    the one that adds most of the rarest classes (after Sechidis et al. 2011). Of equals the
    first counts.

    Parameters
    ----------
    table
        Whether an image (row) has a class (column).
    count
        How many to hold out, fewer than there are.
    """
    n = len(table)
    if math.comb(n, count) <= _MOST_SETS:
        sets = np.array(list(itertools.combinations(range(n), count)))
        held = np.array([table[rows].sum(axis=0) for rows in sets])
        both = ((held > 0) & (held < table.sum(axis=0))).sum(axis=1)
        uneven = np.abs(held / count - table.mean(axis=0)).sum(axis=1)
        # What is not trained on at all is worse off than what is not validated.
        lost = ((held > 0) & (held == table.sum(axis=0))).sum(axis=1)
        return tuple(int(i) for i in sets[np.lexsort((uneven.round(9), lost, -both))[0]])
    total = table.sum(axis=0)
    wanted = np.maximum(1, np.rint(total * count / n))
    chosen: list[int] = []
    while len(chosen) < count:
        held = table[chosen].sum(axis=0)
        # What a class gains by one more image, the rarer the more; the last one stays.
        gain = np.where(held < wanted, 1 / total.clip(1), 0)
        worth = (table * gain).sum(axis=1) - (table & (held >= total - 1)).sum(axis=1)
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return tuple(sorted(chosen))


def _classes_present(shares: Sequence[Share], settings: TrainingSettings) -> list[frozenset[int]]:
    """Return the labels in each share, the background too, that count; of objects only if any."""
    found = []
    for share in shares:
        truth = read_labels(share.labels)
        if truth.kind == "instances" and not (settings.partial or share.partial):
            found.append(frozenset({1}))  # spares the reading of many files
            continue
        numbers: set[int] = set()
        for known in _time_points(truth, share, settings):
            for _, part in known.parts():
                numbers.update(numbers_in(part))
        found.append(frozenset(numbers - {IGNORED}))
        if truth.kind == "instances":
            found[-1] = frozenset(min(number, 1) for number in found[-1])
    if len(frozenset().union(*found)) > _MOST_CLASSES:
        return [frozenset(min(number, 1) for number in numbers) for numbers in found]
    return found


def _time_points(truth: LabelVolume, share: Share, settings: TrainingSettings) -> Iterator[Known]:
    for time in range(truth.times):
        yield Known(truth, share, settings, time=time)


# -- by slab --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slab:
    """A slab for validation along an axis, with a gap on both sides."""

    axis: int
    start: int
    stop: int
    gap: int

    def cut(self, share: Share) -> tuple[Share, Share]:
        """Return what is left for training, and the slab."""
        low, high = max(0, self.start - self.gap), self.stop + self.gap
        rest = replace(share, axis=self.axis, start=low, stop=high, outside=True)
        slab = replace(share, axis=self.axis, start=self.start, stop=self.stop)
        return rest, slab


def _by_slab(shares: Sequence[Share], index: int, settings: TrainingSettings) -> Split:
    """Cut a slab for validation from one share; the others, of which nothing counts, stay."""
    share = shares[index]
    if share.axis is not None:
        raise TrainingError(
            f"{share.name} is a part of an image: give pairs for validation, or hold out none."
        )
    truth = read_labels(share.labels)
    planes = _planes(truth, share, settings)
    sizes = _sizes(truth, share, settings)
    # As stacks are made, shown, and corrected.
    how = truth.grid.reorientation_to()
    across = how.axes[0] if truth.grid.ndim == 3 else None
    best: _Slab | None = None
    for shrunk in _SHRUNK:
        gaps = [int(_gap(axis, sizes, truth, settings) * shrunk) for axis in range(len(planes))]
        best = _best(planes, gaps, settings, across=across)
        if best is not None:
            break
    if best is None:
        why = f"{share.name} is labelled in too few places to hold some out"
        return Split(tuple(shares), (), f"no validation: {why}")
    rest, slab = best.cut(share)
    training = (*shares[:index], rest, *shares[index + 1 :])
    first, last = best.start, best.stop - 1
    if best.axis == across and how.flips[0]:  # as the viewer counts them
        n = truth.grid.shape[best.axis]
        first, last = n - 1 - last, n - 1 - first
    what = "slices" if best.axis == across else f"along axis {best.axis}, voxels"
    beside = f"{best.gap} beside them for neither" if best.gap else "without a gap"
    return Split(
        training,
        (slab,),
        f"by slab: {what} {first} to {last} of {share.name} for validation, {beside}",
    )


def _planes(truth: LabelVolume, share: Share, settings: TrainingSettings) -> list[Counts]:
    """Return how many voxels of each class each plane holds, an array (plane, class) an axis.

    The background comes first. Objects, and what has too many numbers for classes, count as one.
    """
    shape = truth.grid.shape
    counts: dict[int, list[Counts]] = {}

    def of(number: int) -> list[Counts]:
        return counts.setdefault(number, [np.zeros(n, np.int64) for n in shape])

    binary = truth.kind == "instances"
    for known in _time_points(truth, share, settings):
        for box, part in known.parts():
            binary = binary or len(numbers_in(part)) > _MOST_CLASSES
            if binary:
                np.minimum(part, 1, out=part)
            for number in numbers_in(part):
                if number == IGNORED:
                    continue
                mask = part == number
                for axis, total in enumerate(of(number)):
                    others = tuple(a for a in range(len(shape)) if a != axis)
                    total[box[axis]] += np.count_nonzero(mask, axis=others)
    of(0)
    if binary or len(counts) > _MOST_CLASSES:
        every = [sum(parts) for parts in zip(*(c for n, c in counts.items() if n), strict=True)]
        counts = {0: counts[0], **({1: every} if every else {})}
    numbers_in_order = sorted(counts)
    return [np.stack([counts[n][a] for n in numbers_in_order], axis=1) for a in range(len(shape))]


def _sizes(
    truth: LabelVolume, share: Share, settings: TrainingSettings
) -> tuple[float, ...] | None:
    """Return how long most objects are at the most along each axis; ``None`` of classes."""
    if truth.kind != "instances":
        return None
    boxes = Boxes(truth.grid.ndim)
    for box, part in Known(truth, share, settings).parts():
        boxes.look(np.maximum(part, 0), box)
    found = [boxes.get(number) for number in boxes.values()]
    lengths = [[side.stop - side.start for side in box] for box in found if box is not None]
    return tuple(np.percentile(lengths, 90, axis=0).tolist()) if lengths else None


def _gap(
    axis: int, sizes: tuple[float, ...] | None, truth: LabelVolume, settings: TrainingSettings
) -> int:
    """Return how many planes beside a slab count for neither side.

    As many as an object is long, or as a patch reaches from its centre, if that is less.
    """
    ndim = truth.grid.ndim
    most = [truth.grid.shape[axis] * _GAP]
    if sizes is not None:
        most.append(math.ceil(sizes[axis]))
    if settings.patch is not None and len(settings.patch) == ndim:
        most.append(math.ceil(settings.patch[axis] / 2))
    return max(1, int(min(most)))


def _best(
    planes: Sequence[Counts],
    gaps: Sequence[int],
    settings: TrainingSettings,
    *,
    across: int | None,
) -> _Slab | None:
    """Return the slab with the most classes on both sides and about the part that is wanted.

    Of slabs with as many classes those along the axis ``across`` come first. ``None`` where none
    has something labelled on both sides, and foreground if there is any.
    """
    rng = np.random.default_rng(settings.seed)
    ranked = []
    for axis, (counts, gap) in enumerate(zip(planes, gaps, strict=True)):
        upto = np.concatenate([np.zeros_like(counts[:1]), np.cumsum(counts, axis=0)])
        total = upto[-1]
        for start, stop in _candidates(upto.sum(axis=1), settings.validation_part):
            held = upto[stop] - upto[start]
            left = upto[max(0, start - gap)] + total - upto[min(len(counts), stop + gap)]
            both = (held > 0) & (left > 0)
            if not (both[1:].any() if total[1:].any() else both[0]):
                continue
            there = total > 0
            uneven = np.abs(held[there] / total[there] - settings.validation_part).mean()
            kept = left.sum() / total.sum()
            # Rounded, so that among slabs that are about as good the seed decides.
            rank = int(both.sum()), axis == across, round(float(kept - uneven), 2), rng.random()
            ranked.append((rank, _Slab(axis, start, stop, gap)))
    return max(ranked, key=lambda entry: entry[0])[1] if ranked else None


def _candidates(upto: Counts, part: float) -> Iterator[tuple[int, int]]:
    """Yield slabs that hold a part of what is labelled, or a little more.

    ``upto`` says how many voxels are labelled before each plane, and before the end.
    """
    n, wanted = len(upto) - 1, part * upto[-1]
    last = int(np.searchsorted(upto, upto[-1] - wanted, side="right")) - 1
    for start in sorted({int(s) for s in np.linspace(0, max(0, last), _STARTS)}):
        stop = int(np.searchsorted(upto, upto[start] + wanted - 1e-6 * wanted))
        yield start, min(n, max(start + 1, stop))
