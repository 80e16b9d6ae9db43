"""Operations that cut a box out of an image or pad it; what is cut off is background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .chain import Chain
from .links import Beyond, Framed
from .sources import Link

Bounds = tuple[list[int], list[int]]


@dataclass(frozen=True)
class CropForeground:
    """Crop to the box of what is above ``threshold``, as MONAI's CropForeground does.

    Parameters
    ----------
    threshold
        What is larger is foreground.
    margin
        Voxels around the box, one number or one an axis.
    k_divisible
        What the sides of the box become multiples of.
    channels
        The channels that are looked at; ``None`` is all.
    allow_smaller
        Whether the margin ends at the image's border; 0 stands beyond it otherwise.
    """

    threshold: float = 0.0
    margin: int | tuple[int, ...] = 0
    k_divisible: int | tuple[int, ...] = 1
    channels: tuple[int, ...] | None = None
    allow_smaller: bool = False

    def __post_init__(self) -> None:
        _check_counts("margin", self.margin, 0)
        _check_counts("k_divisible", self.k_divisible, 1)
        if self.channels is not None:
            _check_counts("channels", self.channels, 0)

    def apply(self, chain: Chain) -> Chain:
        """Crop; an image without foreground stays whole."""
        if not chain.reads:
            return chain
        chain = chain.measurable()
        chosen = list(range(chain.link.channels) if self.channels is None else self.channels)
        if max(chosen, default=0) >= chain.link.channels:
            raise ModelError(
                f"The model crops to channel {max(chosen)}, but the image has "
                f"{chain.link.channels}."
            )
        found = bounds(chain.link, self.threshold, chosen)
        if found is None:
            return chain.noted(f"Nothing is above {self.threshold:g}: the image is not cropped.")
        shape = chain.link.grid.shape
        margin = _an_axis("margin", self.margin, len(shape))
        multiple = _an_axis("k_divisible", self.k_divisible, len(shape))
        start, size = [], []
        for low, high, n, m, k in zip(*found, shape, margin, multiple, strict=True):
            low, high = low - m, high + m
            if self.allow_smaller:
                low, high = max(0, low), min(n, high)
            side = -(-(high - low) // k) * k
            start.append(low - (side - (high - low)) // 2)
            size.append(side)
        return _framed(chain, start, size)


@dataclass(frozen=True)
class CropNonzero:
    """Crop to the box of what is not 0 in any channel, as nnU-Net does."""

    def apply(self, chain: Chain) -> Chain:
        """Crop; an image of zeros stays whole."""
        if not chain.reads:
            return chain
        chain = chain.measurable()
        found = bounds(chain.link, None, list(range(chain.link.channels)))
        if found is None:
            return chain
        low, high = found
        return _framed(chain, low, [b - a for a, b in zip(low, high, strict=True)])


@dataclass(frozen=True)
class Pad:
    """Pad to a number of voxels, one an axis; ``None`` and smaller ones leave an axis as it is.

    Parameters
    ----------
    size
        The numbers of voxels. Two numbers on a volume are of the slices' own axes.
    method
        Whether both ends are padded, or only the last.
    mode, value
        With what: ``value``, the voxel at the border, or the image mirrored there.
    """

    size: tuple[int | None, ...]
    method: Literal["symmetric", "end"] = "symmetric"
    mode: Beyond = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        for n in self.size:
            if n is not None and not (type(n) is int and n > 0):
                raise ValueError(f"size needs positive whole numbers or null, got {n!r}")

    def apply(self, chain: Chain) -> Chain:
        """Pad."""
        shape = chain.link.grid.shape
        size = (None,) * (len(shape) - len(self.size)) + tuple(self.size)
        wanted = [max(n, m or 0) for n, m in zip(shape, size, strict=True)]
        return _padded(chain, wanted, self)


@dataclass(frozen=True)
class PadDivisible:
    """Pad to a multiple of ``k``, one number or one an axis; see `Pad`."""

    k: int | tuple[int, ...]
    method: Literal["symmetric", "end"] = "symmetric"
    mode: Beyond = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        _check_counts("k", self.k, 1)

    def apply(self, chain: Chain) -> Chain:
        """Pad."""
        shape, dims = chain.link.grid.shape, chain.spatial_dims
        multiple = [1] * (len(shape) - dims) + list(_an_axis("k", self.k, dims))
        wanted = [-(-n // k) * k for n, k in zip(shape, multiple, strict=True)]
        return _padded(chain, wanted, self)


def bounds(link: Link, threshold: float | None, channels: Sequence[int]) -> Bounds | None:
    """Return the first voxel of the foreground along each axis, and the one after the last.

    Parameters
    ----------
    link
        The image; read once, box by box.
    threshold
        What is larger is foreground; ``None``: what is not 0.
    channels
        The channels that are looked at.
    """
    hit = [np.zeros(n, np.bool_) for n in link.grid.shape]
    for _, box, values in link.sweep():
        chosen = np.nan_to_num(values[list(channels)], nan=0.0, posinf=0.0, neginf=0.0)
        above: npt.NDArray[np.bool_] = chosen != 0 if threshold is None else chosen > threshold
        inside: npt.NDArray[np.bool_] = np.asarray(above.any(axis=0))
        for axis, side in enumerate(box):
            others = tuple(a for a in range(inside.ndim) if a != axis)
            hit[axis][side] |= inside.any(axis=others)
    if not hit[0].any():
        return None
    found = [np.flatnonzero(h) for h in hit]
    return [int(f[0]) for f in found], [int(f[-1]) + 1 for f in found]


def _padded(chain: Chain, wanted: Sequence[int], how: Pad | PadDivisible) -> Chain:
    shape = chain.link.grid.shape
    start = [
        -((m - n) // 2) if how.method == "symmetric" else 0
        for n, m in zip(shape, wanted, strict=True)
    ]
    return _framed(chain, start, wanted, beyond=how.mode, value=how.value)


def _framed(
    chain: Chain,
    start: Sequence[int],
    shape: Sequence[int],
    *,
    beyond: Beyond = "constant",
    value: float = 0.0,
) -> Chain:
    if tuple(shape) == chain.link.grid.shape and not any(start):
        return chain
    return replace(chain, link=Framed(chain.link, start, shape, beyond=beyond, value=value))


def _check_counts(name: str, value: int | tuple[int, ...], least: int) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    if not numbers or any(type(n) is not int or n < least for n in numbers):
        raise ValueError(f"{name} needs whole numbers from {least}, not {value!r}")


def _an_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise ModelError(f"The model has {len(value)} numbers of {name} for {axes} axes.")
    return value
