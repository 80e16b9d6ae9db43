"""Instances in one part of a map, and which of its voxels hang on what lies beyond the part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import reconstruction

from .blocks import Box
from .instances import (
    TRUNCATE,
    Labels,
    flood,
    lowered,
    parted,
    peaks,
    smallest_count,
    smoothed,
    with_flat_pieces,
)

Mask = npt.NDArray[np.bool_]

# What decoding holds at its height for each voxel, measured on parts full of objects: 110 to 135
# in arrays and the queue of the flood, the rest in what the allocator does not give back.
BYTES_PER_VOXEL = 240


@dataclass(frozen=True, eq=False)
class Decoding:
    """The settings of :func:`.decode`, in voxels.

    ``relative`` is the spacing along each axis over the finest; ``smallest`` the number of voxels
    from which on an object is kept, and ``min_certainty`` the mean probability.
    """

    relative: tuple[float, ...]
    threshold: float
    seed_threshold: float
    sigma: npt.NDArray[np.float64]
    parting: float
    min_certainty: float
    smallest: float

    @classmethod
    def of(
        cls,
        ndim: int,
        spacing: Sequence[float] | None,
        *,
        threshold: float = 0.5,
        seed_threshold: float = 0.08,
        smoothing: float = 1.0,
        parting: float = 1.0,
        min_certainty: float = 0.0,
        min_size: float = 0.0,
        min_voxels: float = 0.0,
    ) -> Decoding:
        """Return the settings for maps of ``ndim`` axes; parameters as for :func:`.decode`."""
        steps = np.ones(ndim) if spacing is None else np.asarray(spacing, dtype=float)
        return cls(
            relative=tuple(float(s) for s in steps / steps.min()),
            threshold=threshold,
            seed_threshold=seed_threshold,
            sigma=smoothing * steps.min() / steps,
            parting=parting,
            min_certainty=min_certainty,
            smallest=smallest_count(steps, min_size, min_voxels),
        )


@dataclass(frozen=True, eq=False)
class Part:
    """Labels of a part of the map.

    ``box`` is where ``labels`` lie, ``outer`` the part that was looked at; around ``box`` there
    is nothing of interest. ``unknown`` is the label of what hangs on voxels beyond ``outer``.
    ``doubtful`` says of each label whether its object may have its true seed beyond ``outer``.
    """

    outer: Box
    box: Box
    labels: Labels
    doubtful: Mask
    unknown: int = 0

    def labels_in(self, box: Box) -> Labels:
        """Return the labels in a box of the array; 0 where nothing is."""
        result = np.zeros([s.stop - s.start for s in box], np.int32)
        there, here = [], []
        for s, own in zip(box, self.box, strict=True):
            low = max(s.start, own.start)
            high = max(low, min(s.stop, own.stop))
            there.append(slice(low - s.start, high - s.start))
            here.append(slice(low - own.start, high - own.start))
        result[tuple(there)] = self.labels[tuple(here)]
        return result

    def unknown_in(self, box: Box) -> bool:
        """Whether anything in a box of the array is unknown."""
        return bool(self.unknown and (self.labels_in(box) == self.unknown).any())


def decode_part(
    foreground: Any,
    distance: Any,
    core: Box,
    outer: Box,
    settings: Decoding,
    *,
    near: Any = None,
    beyond: bool = True,
) -> Part:
    """Decode the pieces of the foreground that come into ``core``, as seen in ``outer``.

    ``near`` is the map of where objects touch, if there is one. Labels that are not ``unknown`` are
    those of the whole map, up to their numbers. With ``beyond=False`` there is taken to be nothing
    beyond ``outer``, and nothing is unknown.

    Notes
    -----
    For the labels to hold whatever lies beyond ``outer``, all that might be reached first from
    there goes into one basin that floods before all others:

    - the foreground in the cut faces;
    - where the highest way in from a face, cut to its lowest pass, lies above the map with its
      peaks cut down: there a peak beyond the face may have its top;
    - seeds whose plateau such a way reaches: a higher peak beyond may drown them.

    Every other seed is one of the whole map, voxel for voxel. In the whole map, what floods from
    beyond then never takes a voxel before this basin does, and so takes none that it leaves.
    """
    mask = np.asarray(foreground[outer]) >= settings.threshold
    touching = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    shape = tuple(foreground.shape)
    box = _limit(mask, core, outer, touching)
    if box is None:
        empty = tuple(slice(s.start, s.start) for s in outer)
        return Part(outer, empty, np.zeros([0] * mask.ndim, np.int32), np.zeros(1, bool))
    mask = mask[
        tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))
    ]
    depth = _depth(distance, near, box, shape, mask, settings)
    cut = lowered(depth, settings.seed_threshold)
    seeds, count = ndimage.label(peaks(cut, touching), touching)
    faces = np.zeros_like(mask)
    for axis, (b, o, n) in enumerate(zip(box, outer, shape, strict=True)):
        if b.start == o.start > 0:
            faces[(slice(None),) * axis + (0,)] = True
        if b.stop == o.stop < n:
            faces[(slice(None),) * axis + (-1,)] = True
    faces &= mask
    way_in = np.zeros_like(depth)
    if faces.any():
        way_in = reconstruction(np.where(faces, depth, 0), depth)  # type: ignore[no-untyped-call]
    doubtful = np.zeros(count + 1, bool)
    doubtful[seeds[way_in >= cut]] = True
    doubtful[0] = False
    first, unknown = None, 0
    if beyond and faces.any():
        first = faces | (way_in > np.maximum(cut, 0)) | doubtful[seeds]
        unknown = count + 1
        seeds = np.where(first, unknown, seeds)
    del cut, way_in, faces
    labels = flood(depth, with_flat_pieces(seeds, mask, touching), mask, touching, first=first)
    flat = np.ones(int(labels.max()) + 1, bool)  # a seed for a piece that has none here
    flat[: count + 1] = doubtful[: len(flat)]
    return Part(outer, box, labels, flat, unknown)


def _limit(mask: Mask, core: Box, outer: Box, touching: Mask) -> Box | None:
    """Leave in the mask only the pieces that come into ``core``; return the box around them."""
    pieces, count = ndimage.label(mask, touching)
    inner = tuple(
        slice(c.start - o.start, c.stop - o.start) for c, o in zip(core, outer, strict=True)
    )
    wanted = np.zeros(count + 1, bool)
    wanted[pieces[inner]] = True
    wanted[0] = False
    if not wanted.any():
        return None
    np.take(wanted, pieces, out=mask)
    box = []
    for axis, o in enumerate(outer):
        there = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        box.append(slice(o.start + int(there[0]), o.start + int(there[-1]) + 1))
    return tuple(box)


def _depth(
    distance: Any,
    near: Any,
    box: Box,
    shape: Sequence[int],
    mask: Mask,
    settings: Decoding,
) -> npt.NDArray[np.float32]:
    """Return the smoothed distance under the mask: that of the whole map, to the last bit."""
    radius = [int(TRUNCATE * s + 0.5) for s in settings.sigma]  # that of the Gaussian's kernel
    wide = [
        slice(max(0, s.start - r), min(n, s.stop + r))
        for s, r, n in zip(box, radius, shape, strict=True)
    ]
    values = np.asarray(distance[tuple(wide)])
    if near is not None:
        values = parted(values, np.asarray(near[tuple(wide)]), settings.parting)
    values = smoothed(values, settings.sigma)
    values = values[
        tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))
    ]
    return np.where(mask, np.clip(values, 0, None), np.float32(0))
