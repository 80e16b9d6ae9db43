"""Move the border of a label to the edges of the image, within a band about where it is now.

Which side of the band a voxel belongs to, a random walk says (`walker`): it crosses strong edges
least of all, and so the border comes to lie on them. Where the image has none it stays. Edges are
those between what looks like the middle of the object and what does not: what lies around it has
stronger ones, as between ribs and lung, that are none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .components import structure_of
from .walker import Progress, probability, without_noise

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]

STRANGEST = 8.0  # spreads from which on differences count no more
SPREAD = 1.4826  # from the median deviation to the standard deviation of a normal distribution


def snap_to_edges(
    mask: Mask,
    image: npt.NDArray[Any],
    *,
    spacing: Sequence[float],
    band: float,
    contrast: float = 5.0,
    smoothing: float = 0.5,
    allowed: Mask | None = None,
) -> Mask:
    """Return the mask with its border on the edges of the image.

    Parameters
    ----------
    mask
        The object, 2-D or 3-D.
    image
        Intensities, same shape.
    spacing
        Distance between voxels along each axis, in one unit.
    band
        How far the border may move to either side, in that unit; inwards at most half-way to the
        middle of the object.
    contrast
        How much edges count against staying, see `walker.random_walker`.
    smoothing
        Standard deviation of the Gaussian over the image, in voxels of the finest axis.
    allowed
        Where the object may be, beside where it is.
    """
    *_, last = snapping(
        mask,
        image,
        spacing=spacing,
        band=band,
        contrast=contrast,
        smoothing=smoothing,
        allowed=allowed,
    )
    assert isinstance(last, np.ndarray)
    return last


def snapping(
    mask: Mask,
    image: npt.NDArray[Any],
    *,
    spacing: Sequence[float],
    band: float,
    contrast: float = 5.0,
    smoothing: float = 0.5,
    allowed: Mask | None = None,
) -> Iterator[Progress | Mask]:
    """Yield progress, and at the end the mask of `snap_to_edges`."""
    if not mask.any() or mask.all():
        yield mask.copy()
        return
    depth, reach = _depth(mask, spacing, band)
    free = np.abs(depth) < reach
    if not free.any():
        yield mask.copy()
        return
    near = ndimage.binary_dilation(free, structure_of(mask.ndim, 1)) & ~free
    fixed = (near & mask).astype(np.float32)
    strange = _strangeness(without_noise(image, spacing, smoothing), mask & ~free, free)
    parts: list[Field] = []
    for k, strength in enumerate((contrast, 0.0)):
        for item in probability(strange, fixed, near, free, spacing, strength):
            if isinstance(item, Progress):
                yield Progress((k + item.done) / 2)
            else:
                parts.append(item)
    # Without edges a walk from the border of a ball goes outwards more often than inwards: what
    # it does in an image without any is made up for, so that the border stays there.
    inside = parts[0] - parts[1] + 0.5 * (depth / reach) > 0
    if allowed is not None:
        # The border is where the image says; what lies beyond a wall is cut off.
        inside &= allowed | mask
    yield np.where(free, inside, mask)


def _strangeness(image: Field, middle: Mask, band: Mask) -> Field:
    """Return how far intensities are from those in the middle of the object, in their spread."""
    inner = image[middle]
    usual = float(np.median(inner))
    spread = SPREAD * float(np.median(np.abs(inner - usual)))
    # Without noise any difference counts that shows in the band.
    spread = max(spread, 0.02 * float(np.ptp(image[band])))
    if spread == 0:
        return np.zeros_like(image)
    strange = np.abs(image - usual) / spread
    return np.asarray(np.minimum(strange, STRANGEST), np.float32)


def _depth(mask: Mask, spacing: Sequence[float], band: float) -> tuple[Field, Field]:
    """Return how deep inside each voxel lies, negative outside, and how far the border may go."""
    half = min(spacing) / 2
    inwards = ndimage.distance_transform_edt(mask, sampling=spacing)
    outwards = ndimage.distance_transform_edt(~mask, sampling=spacing)
    pieces, count = ndimage.label(mask, structure_of(mask.ndim, None))
    deepest = ndimage.maximum(inwards, pieces, np.arange(count + 1))
    # The middle of a small piece stays what it is: without a voxel to come from nothing is left.
    limit = np.minimum(band, np.asarray(deepest) / 2)
    limit[0] = band
    depth = np.where(mask, inwards - half, half - outwards)
    return depth.astype(np.float32), limit[pieces].astype(np.float32)
