"""Pairs of an image and its labels, and which part of the labels counts for what.

A share of a pair is all of it, or a slab along one axis, or all but a slab: so one volume serves
for training and for validation without a voxel in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import TrainingError
from ..io import read, stem_of
from ..labels.boxes import Box, whole
from ..preprocess.blocks import chunk_cuts, plan_blocks
from ..settings import TrainingSettings
from ..volume import LabelVolume, Volume
from .partial import IGNORED, corrected_slices, counted_slices, known_labels

Source = Path | str | Volume
Pair = tuple[Source, Source]

# Voxels of labels that are read at a time.
_AT_ONCE = 2**22


@dataclass(frozen=True)
class Share:
    """A pair, and what of its labels counts.

    Attributes
    ----------
    image, labels
        The pair, as files or volumes.
    axis
        The axis of the labels along which a slab is cut; ``None`` where all of them count.
    start, stop
        The slab's first voxel along it, and the one after its last; ``None`` is the end.
    outside
        Whether all but the slab counts.
    corrected
        The only slices that count, by their index in the viewer, as notes have it; ``None``: as
        notes and settings say.
    """

    image: Source
    labels: Source
    axis: int | None = None
    start: int = 0
    stop: int | None = None
    outside: bool = False
    corrected: frozenset[int] | None = None

    @classmethod
    def of(cls, pair: Pair | Share) -> Share:
        """Return a pair as a share, and a share as it is."""
        return pair if isinstance(pair, Share) else cls(*pair)

    @property
    def pair(self) -> Pair:
        """The image and its labels."""
        return self.image, self.labels

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.image.name if isinstance(self.image, Volume) else stem_of(Path(self.image))

    @property
    def partial(self) -> bool:
        """Whether something of the labels does not count."""
        return self.axis is not None or self.corrected is not None

    def counts(self, n: int) -> npt.NDArray[np.bool_]:
        """Return which of the ``n`` voxels along the axis of the slab count."""
        inside = np.zeros(n, np.bool_)
        inside[self.start : self.stop] = True
        return ~inside if self.outside else inside


def read_labels(labels: Source) -> LabelVolume:
    """Return labels of a file, or those given; TrainingError where they are an image."""
    if isinstance(labels, LabelVolume):
        return labels
    if isinstance(labels, Volume):
        raise TrainingError(f"{labels.name}: labels need a LabelVolume, not an image.")
    return read(Path(labels), labels=True)


def load_pair(pair: Pair | Share) -> tuple[Volume, LabelVolume]:
    """Read one pair and check that its labels lie on its image.

    Raises TrainingError when shapes differ, or when both have a physical size and those differ.
    """
    image, labels = pair.pair if isinstance(pair, Share) else pair
    volume = image if isinstance(image, Volume) else read(Path(image))
    truth = read_labels(labels)
    if volume.grid.shape != truth.grid.shape or volume.times != truth.times:
        raise TrainingError(
            f"{volume.name}: the image has shape {volume.grid.shape}, its labels "
            f"{truth.grid.shape}; they need the same grid."
        )
    both_known = "pixel" not in (volume.grid.unit, truth.grid.unit)
    if both_known and not volume.grid.is_close(truth.grid, tolerance=0.1):
        raise TrainingError(f"{volume.name}: image and labels lie at different places in space.")
    return volume, truth


class Known:
    """What is known of the labels of one time point: read box by box, in any order.

    Parameters
    ----------
    truth
        The labels, all time points.
    share
        Which of them count.
    settings
        What is not labelled.
    time
        The time point.
    all_slices
        Whether slices count that were not corrected, where the share does not name any.
    """

    def __init__(
        self,
        truth: LabelVolume,
        share: Share,
        settings: TrainingSettings,
        *,
        time: int = 0,
        all_slices: bool = False,
    ) -> None:
        self.shape = truth.grid.shape
        self._labels = truth.at_time(time).data
        self._settings, self._name = settings, share.name
        #: Along some axes, which of their voxels count.
        self._counted: list[tuple[int, npt.NDArray[np.bool_]]] = []
        slices = share.corrected
        if slices is None and settings.only_corrected and not all_slices:
            slices = corrected_slices(share.labels, truth.grid)
        if slices is not None:
            self._counted.append(counted_slices(slices, truth.grid))
        if share.axis is not None:
            if not 0 <= share.axis < len(self.shape):
                raise TrainingError(f"{share.name} has no axis {share.axis} to cut a slab along.")
            self._counted.append((share.axis, share.counts(self.shape[share.axis])))

    def read(self, box: Box) -> npt.NDArray[np.int32]:
        """Return a box: 0 is background, and what does not count is `IGNORED`."""
        known = known_labels(np.asarray(self._labels[box]), self._settings, name=self._name)
        for axis, counts in self._counted:
            known[(slice(None),) * axis + (~counts[box[axis]],)] = IGNORED
        return known

    def whole(self) -> npt.NDArray[np.int32]:
        """Return all of it."""
        return self.read(whole(self.shape))

    def parts(self) -> Iterator[tuple[Box, npt.NDArray[np.int32]]]:
        """Yield it once, box by box as its file is read in best, each with where it lies."""
        for box in plan_blocks(self.shape, chunk_cuts(self._labels), _AT_ONCE):
            yield box, self.read(box)
