"""From what a network predicts to separate objects, in 2-D and 3-D.

The network gives every voxel a probability to be foreground and a normalised centre distance:
how deep inside its object it lies, 1 at the deepest voxel of each object, 0 outside. Objects are
the basins of that distance map under the foreground: a seeded watershed (Meyer 1994) whose seeds
are the h-maxima (Soille 2003, section 6.3.4), the peaks that rise by ``h`` above the highest pass
to a higher peak. A network may say as well where objects touch: there the distance counts less, so
that a pass between two of them is deeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

FloatMap = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int32]

# What a network may tell of instances, as `decode` takes it; the last is not told by all.
CHANNELS = ("foreground", "distance", "touching")

_PARTS = 2**16

TRUNCATE = 4.0  # standard deviations after which the Gaussian is cut off


def centre_distance(
    labels: npt.NDArray[np.integer[Any]], *, spacing: Sequence[float] | None = None
) -> npt.NDArray[np.float32]:
    """Return the normalised distance of each voxel to the edge of its own object.

    Parameters
    ----------
    labels
        Instance labels, 2-D or 3-D; 0 is background.
    spacing
        Distance between voxels along each axis, in any one unit; default 1.

    Returns
    -------
    float32 array of the shape of ``labels``: 0 outside, 1 at the deepest voxels of each object.
    Beyond the edge of the array an object is taken to go on, so that one that is cut off keeps
    the distances of its visible edge.
    """
    result = np.zeros(labels.shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = labels[box] == number
        rim = [(int(s.start > 0), int(s.stop < n)) for s, n in zip(box, labels.shape, strict=True)]
        depth = object_depth(inside, rim, spacing)[inside]
        if depth.max() > 0 and np.isfinite(depth.max()):
            result[box][inside] = depth / depth.max()
        else:  # the object fills the whole array
            result[box][inside] = 1.0
    return result


def object_depth(
    inside: npt.NDArray[np.bool_],
    rim: Sequence[tuple[int, int]],
    spacing: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the distance of each voxel of an object to its edge, 0 outside.

    ``rim`` says for both ends of each axis whether the object ends there (1) or goes on beyond
    the array (0). Infinite where it has no edge at all.
    """
    padded = np.pad(inside, rim)
    if padded.all():
        return np.full(inside.shape, np.inf)
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)
    core = tuple(slice(low, low + n) for (low, _), n in zip(rim, inside.shape, strict=True))
    found: npt.NDArray[np.float64] = distance[core]
    return found


def decode(
    foreground: FloatMap,
    distance: FloatMap,
    touching: FloatMap | None = None,
    *,
    spacing: Sequence[float] | None = None,
    threshold: float = 0.5,
    seed_threshold: float = 0.08,
    smoothing: float = 1.0,
    parting: float = 1.0,
    min_certainty: float = 0.0,
    min_size: float = 0.0,
    min_voxels: float = 0.0,
) -> Labels:
    """Return instance labels from the maps of a network.

    Parameters
    ----------
    foreground
        Probability of each voxel to be foreground, 2-D or 3-D.
    distance
        Normalised centre distance, same shape.
    touching
        Probability of each voxel to lie where objects touch, same shape; ``None`` where the network
        does not tell.
    spacing
        Distance between voxels along each axis; default 1. Smoothing reaches equally far in
        space along every axis, and ``min_size`` counts in this unit.
    threshold
        Foreground is where the probability is this or more.
    seed_threshold
        Height by which a peak of the distance must rise to be an object of its own.
    smoothing
        Standard deviation of the Gaussian over the distance map before seeds are sought, in
        voxels of the finest axis.
    parting
        How much of the distance is taken away where objects surely touch, from 0 to 1.
    min_certainty
        Objects are dropped of which the mean probability to be foreground is less.
    min_size
        Smaller objects are dropped: area (2-D) or volume (3-D) in the unit of ``spacing``.
    min_voxels
        The same in voxels: what is too small for the network to be trusted with.

    Returns
    -------
    int32 labels, 1 to n without gaps in the order of their first voxel in the array, 0 for
    background. Each object is connected, and every connected piece of the foreground holds at
    least one, so long as it is large and certain enough.
    """
    steps = np.ones(foreground.ndim) if spacing is None else np.asarray(spacing, dtype=float)
    mask = foreground >= threshold
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    depth = smoothed(parted(distance, touching, parting), smoothing * steps.min() / steps)
    depth = np.where(mask, np.clip(depth, 0, None), 0)
    beside = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    tops = peaks(lowered(depth, seed_threshold), beside)
    seeds, _ = ndimage.label(tops, beside)
    labels = flood(depth, with_flat_pieces(seeds, mask, beside), mask, beside)
    sizes = np.bincount(labels.ravel())
    kept = sizes >= smallest_count(steps, min_size, min_voxels)
    if min_certainty > 0:
        kept &= are_certain(certainties(foreground, labels, len(sizes)), sizes, min_certainty)
    kept[0] = False
    return numbers_in_order(first_voxels(labels, len(kept) - 1), kept)[labels]


def parted(distance: FloatMap, touching: FloatMap | None, parting: float) -> FloatMap:
    """Return the distance map, less deep where objects touch; see `decode`."""
    if touching is None or parting == 0:
        return distance
    left = 1 - np.float32(parting) * np.asarray(touching, np.float32)
    return np.asarray(distance, np.float32) * left


def smoothed(distance: FloatMap, sigma: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the distance map after a Gaussian of ``sigma`` voxels along each axis."""
    depth = distance.astype(np.float32)
    if sigma.any():
        depth = ndimage.gaussian_filter(depth, sigma, truncate=TRUNCATE)
    return depth


def lowered(depth: FloatMap, height: float) -> FloatMap:
    """Return the map with its peaks cut down by ``height``.

    A peak that rises less drowns in its surroundings; the others leave a plateau, which equal
    peaks with a high pass between them share.
    """
    result: FloatMap = reconstruction(depth - height, depth)  # type: ignore[no-untyped-call]
    return result


def peaks(cut: FloatMap, touching: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the plateaus above 0 that everything around them lies below."""
    tops: npt.NDArray[np.bool_] = local_maxima(cut, footprint=touching)  # type: ignore[no-untyped-call]
    return np.logical_and(tops, cut > 0)


def with_flat_pieces(
    seeds: Labels, mask: npt.NDArray[np.bool_], touching: npt.NDArray[np.bool_]
) -> Labels:
    """Return the seeds, and one more for each piece of the mask that is too shallow for any."""
    pieces, n_pieces = ndimage.label(mask, touching)
    seeded = np.zeros(n_pieces + 1, bool)
    seeded[pieces[seeds > 0]] = True
    flat = mask & ~seeded[pieces]
    if flat.any():
        seeds = np.where(flat, pieces + seeds.max(), seeds)
    return seeds


def flood(
    depth: FloatMap,
    seeds: Labels,
    mask: npt.NDArray[np.bool_],
    touching: npt.NDArray[np.bool_],
    *,
    first: npt.NDArray[np.bool_] | None = None,
) -> Labels:
    """Return the basins of the seeds: a watershed from the deepest voxels down.

    Of voxels equally deep those that were reached first go first, and seeds before them in the
    order of the array, so that what happens in one piece of the mask hangs on that piece alone.
    Seeds at ``first`` go before all others.
    """
    height = depth.astype(np.float64)
    # the last 29 bits of a float32 in a float64 are free: there the order among equals goes
    order = np.flatnonzero((seeds > 0) & (depth > 0))
    height.view(np.int64).ravel()[order] += np.arange(len(order), 0, -1)
    if first is not None:
        height[first] = np.inf
    labels = watershed(-height, seeds, connectivity=touching, mask=mask)  # type: ignore[no-untyped-call]
    return np.asarray(labels, np.int32)


def smallest_count(
    steps: npt.NDArray[np.float64], min_size: float = 0.0, min_voxels: float = 0.0
) -> float:
    """Return the number of voxels that an object needs to be kept, at least 1."""
    return max(min_size / float(np.prod(steps)), min_voxels, 1.0)


def first_voxels(labels: Labels, count: int) -> npt.NDArray[np.int64]:
    """Return for labels 0 to ``count`` the flat index of the first voxel; the size where none."""
    flat = labels.ravel()
    found = np.flatnonzero(flat)[::-1]  # where one number is assigned to twice, the last stays
    first = np.full(count + 1, flat.size, np.int64)
    first[flat[found]] = found
    return first


def certainties(foreground: FloatMap, labels: Labels, count: int) -> npt.NDArray[np.int64]:
    """Return for labels 0 to ``count - 1`` the sum of their voxels' probabilities, in parts.

    There are `_PARTS` of them to 1: whole numbers add up to the same in whatever order.
    """
    parts = np.rint(np.asarray(foreground, np.float32) * np.float32(_PARTS))
    # Sums of whole numbers are exact in float64, up to a milliard voxels and more.
    return np.bincount(labels.ravel(), parts.ravel(), count).astype(np.int64)


def are_certain(
    sums: npt.NDArray[np.int64], sizes: npt.NDArray[np.integer[Any]], least: float
) -> npt.NDArray[np.bool_]:
    """Return which objects have a mean probability of ``least`` or more; see `certainties`."""
    certain: npt.NDArray[np.bool_] = sums >= least * _PARTS * sizes
    return certain


def numbers_in_order(first: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_]) -> Labels:
    """Return 1 to n for the objects kept in the order of ``first``, and 0 for the others."""
    chosen = np.flatnonzero(kept)
    numbers = np.zeros(len(kept), np.int32)
    numbers[chosen[np.argsort(first[chosen])]] = np.arange(1, len(chosen) + 1)
    return numbers
