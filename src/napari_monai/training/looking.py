"""What one pass over a pair finds, of which the problems of the data are told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import NapariMonaiError
from ..labels.boxes import Box, Boxes, slabs, whole
from ..models import ModelDescription
from ..preprocess import prepared_space
from ..settings import TrainingSettings
from ..volume import COLOURS, Volume
from .partial import IGNORED
from .shares import Known, Share, load_pair

# Voxels of labels that are looked at at once to tell objects from one mask of all.
_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class Looked:
    """What was found in a pair.

    Attributes
    ----------
    share
        The pair.
    error
        Why it cannot be trained on, in one line; nothing else is known then.
    shape
        Shape that the network sees, without what is cropped away.
    counts
        Voxels of each label that count, the background's too.
    lengths
        Of instances, how long the box of each object is that the network sees, shape (n, ndim).
    one_mask
        Whether there is one label only, in several pieces.
    constant
        Names of the channels that hold one value only, or none that is finite.
    blank
        Whether these are all channels that a model takes.
    missing
        Values that are not finite.
    digest
        Stands for the image's voxels.
    """

    share: Share
    error: str = ""
    shape: tuple[int, ...] = ()
    counts: Mapping[int, int] = field(default_factory=dict)
    lengths: npt.NDArray[np.float64] | None = None
    one_mask: bool = False
    constant: tuple[str, ...] = ()
    blank: bool = False
    missing: int = 0
    digest: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.share.name

    @property
    def foreground(self) -> int:
        """Voxels that are no background."""
        return sum(count for number, count in self.counts.items() if number)


def look(
    share: Share,
    description: ModelDescription,
    settings: TrainingSettings,
    *,
    validation: bool = False,
) -> Looked:
    """Read a pair once, slab by slab, and return what was found; errors too."""
    try:
        volume, truth = load_pair(share)
        grid, how = prepared_space(volume.at_time(0), description)
        counts: Counter[int] = Counter()
        boxes, one_mask = [], False
        for time in range(truth.times):
            known = Known(truth, share, settings, time=time, all_slices=validation)
            boxes.append(_count(known, counts))
            one_mask = one_mask or (len(boxes[-1]) == 1 and _in_pieces(known, boxes[-1]))
        constant, blank, missing, digest = _of_image(volume)
    except NapariMonaiError as error:
        return Looked(share, error=str(error))
    del counts[IGNORED]
    lengths = None
    if description.outputs.kind == "instances":
        finer = np.divide(volume.grid.reoriented(how).spacing, grid.spacing)
        found = [box for each in boxes for n in each.values() if (box := each.get(n))]
        sides = np.array([[s.stop - s.start for s in box] for box in found], np.float64)
        lengths = sides.reshape(-1, grid.ndim)[:, list(how.axes)] * finer
    about = constant, blank, missing, digest
    return Looked(share, "", grid.shape, counts, lengths, one_mask, *about)


def _count(known: Known, counts: Counter[int]) -> Boxes:
    """Add the voxels of each label, and return the box of each."""
    boxes = Boxes(len(known.shape))
    for box, part in known.parts():
        numbers, found = np.unique(part, return_counts=True)
        counts.update(dict(zip(numbers.tolist(), found.tolist(), strict=True)))
        boxes.look(np.maximum(part, 0), box)
    return boxes


def _in_pieces(known: Known, boxes: Boxes) -> bool:
    """Whether the one label that there is has several pieces, in a part that is soon looked at."""
    around = boxes.around(boxes.values())
    assert around is not None
    plane = max(1, int(np.prod([s.stop - s.start for s in around[1:]])))
    first = around[0].start
    part = (slice(first, min(around[0].stop, first + max(1, _AT_ONCE // plane))), *around[1:])
    return bool(ndimage.label(known.read(part) > 0)[1] > 1)


def _of_image(volume: Volume) -> tuple[tuple[str, ...], bool, int, str]:
    """Return the channels of one value, if all are, the values that are not finite, a digest."""
    low = np.full(volume.channels, np.inf)
    high = np.full(volume.channels, -np.inf)
    missing = 0
    digest = hashlib.sha256(repr((volume.data.shape, str(volume.dtype))).encode())
    for time in range(volume.times):
        now = volume.at_time(time)
        for box in _slabs(now):
            block = np.asarray(now.data[(slice(None),) * len(now.leading) + box])
            block = block if now.leading else block[np.newaxis]
            for plane in block.swapaxes(0, 1):  # one by one, however the file is cut
                digest.update(np.ascontiguousarray(plane).tobytes())
            finite: Any = block
            if block.dtype.kind == "f":
                good = np.isfinite(block)
                missing += int(block.size - np.count_nonzero(good))
                finite = np.where(good, block, np.nan)
            axes = tuple(range(1, block.ndim))
            low = np.fmin(low, np.fmin.reduce(finite, axis=axes))
            high = np.fmax(high, np.fmax.reduce(finite, axis=axes))
    names = zip(volume.channel_names, low, high, strict=True)
    used = len(COLOURS) - 1 if volume.rgb else volume.channels  # no model takes alpha
    constant = tuple(name for name, a, b in list(names)[:used] if not a < b)
    return constant, len(constant) == used, missing, digest.hexdigest()


def _slabs(volume: Volume) -> list[Box]:
    """Return the slabs of a time point that its file is read in best."""
    if not volume.leading:
        return list(slabs(volume.data))
    voxels = 2**24 // volume.channels
    rows = max(1, voxels // max(1, int(np.prod(volume.grid.shape[1:]))))
    n = volume.grid.shape[0]
    rest = whole(volume.grid.shape[1:])
    return [(slice(a, min(n, a + rows)), *rest) for a in range(0, n, rows)]
