"""Voxels that patches may be centred on, chosen at random while labels are read part by part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .partial import IGNORED
from .targets import numbers_in

# Voxels remembered per example and kind: foreground, and labelled ones.
_MOST = 4096


class Sample:
    """As many of the voxels that are added as are kept, each as likely as any other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rng = np.random.default_rng(0)
        self._kept: npt.NDArray[np.int32] | None = None
        self._drawn = np.empty(0)

    def add(self, mask: npt.NDArray[np.bool_], start: Sequence[int]) -> None:
        """Add the voxels of a part of an array, which begins at ``start``."""
        flat = np.flatnonzero(mask)
        drawn = self._rng.random(len(flat))
        if len(flat) > self._most:
            least = np.sort(np.argpartition(drawn, self._most)[: self._most])
            flat, drawn = flat[least], drawn[least]
        here = np.stack(np.unravel_index(flat, mask.shape), axis=1) + np.asarray(start)
        kept = here.astype(np.int32)
        if self._kept is not None:
            kept, drawn = np.concatenate([self._kept, kept]), np.append(self._drawn, drawn)
        # Each voxel draws a number, and those of the least numbers stay.
        least = np.sort(np.argsort(drawn, kind="stable")[: self._most])
        self._kept, self._drawn = kept[least], drawn[least]

    def indices(self, most: int | None = None) -> npt.NDArray[np.int32]:
        """Return the indices of the voxels that are kept, shape (n, ndim); at most so many."""
        assert self._kept is not None, "nothing was added"
        if most is None:
            return self._kept
        return self._kept[np.sort(np.argsort(self._drawn, kind="stable")[:most])]


class Centres:
    """The voxels of labels that patches may be centred on.

    Parameters
    ----------
    each
        Whether labels are classes: as many of a rare one as of others are kept then, so that
        patches show all of them, as nnU-Net's do.
    partial
        Whether to keep labelled voxels, the background's too.
    """

    def __init__(self, *, each: bool, partial: bool) -> None:
        self._each = each
        self._foreground = {1: Sample(_MOST)}
        self._labelled = Sample(_MOST) if partial else None

    def add(self, labels: npt.NDArray[np.integer], start: Sequence[int] | None = None) -> None:
        """Add a part of the labels, which begins at ``start``."""
        start = start or (0,) * labels.ndim
        self._foreground[1].add(labels == 1 if self._each else labels > 0, start)
        for number in numbers_in(labels) if self._each else ():
            if number > 1:
                sample = self._foreground.setdefault(number, Sample(_MOST))
                sample.add(labels == number, start)
        if self._labelled is not None:
            self._labelled.add(labels != IGNORED, start)

    @property
    def foreground(self) -> npt.NDArray[np.int32]:
        """Indices of voxels of the foreground, shape (n, ndim)."""
        samples = [self._foreground[number] for number in sorted(self._foreground)]
        there = sum(len(sample.indices()) > 0 for sample in samples)
        return np.concatenate([sample.indices(_MOST // max(1, there)) for sample in samples])

    @property
    def labelled(self) -> npt.NDArray[np.int32] | None:
        """Indices of labelled voxels, shape (n, ndim); ``None`` where all are."""
        return None if self._labelled is None else self._labelled.indices()
