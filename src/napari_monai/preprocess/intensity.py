"""Operations that change the values of voxels and leave them where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .blocks import Box
from .chain import Chain
from .links import Masked
from .maps import Limits, Linear, Repeat, Rounding, Scaling
from .sources import Link
from .statistics import CELL, moments, percentiles

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Colour:
    """Make one channel three equal ones; colour stays as it is."""

    def apply(self, chain: Chain) -> Chain:
        """Repeat a single channel."""
        return chain.mapped(Repeat(3)) if chain.link.channels == 1 else chain


@dataclass(frozen=True)
class ScalePercentiles:
    """Map two percentiles of the image's values to ``b_min`` and ``b_max``.

    ``eps`` is added to what is divided by.
    """

    lower: float = 1.0
    upper: float = 99.0
    per_channel: bool = True
    clip: bool = False
    b_min: float = 0.0
    b_max: float = 1.0
    eps: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"lower {self.lower} and upper {self.upper} need 0 <= lower < upper")
        if not self.b_min < self.b_max:
            raise ValueError("b_min must be below b_max")

    def apply(self, chain: Chain) -> Chain:
        """Scale; a constant image becomes ``b_min``."""
        chain = chain.measurable()
        low, high = percentiles(
            lambda: (values for _, values in chain.link.blocks()),
            chain.link.channels,
            (self.lower, self.upper),
            together=not self.per_channel,
        ).T
        span = (high - low + self.eps) / (self.b_max - self.b_min)
        limits = (self.b_min, self.b_max) if self.clip else (None, None)
        return chain.mapped(Scaling(_offset(low), _divisor(span), self.b_min, *limits))


@dataclass(frozen=True)
class ScaleMinMax:
    """Map the smallest and the largest value to ``b_min`` and ``b_max``."""

    b_min: float = 0.0
    b_max: float = 1.0
    per_channel: bool = False

    def __post_init__(self) -> None:
        if not self.b_min < self.b_max:
            raise ValueError("b_min must be below b_max")

    def apply(self, chain: Chain) -> Chain:
        """Scale; a constant image becomes ``b_min``."""
        chain = chain.measurable()
        low = np.full(chain.link.channels, np.inf)
        high = -low
        for _, values in chain.link.blocks():
            flat = values.reshape(len(values), -1)
            finite = np.isfinite(flat)
            low = np.minimum(low, flat.min(axis=1, initial=np.inf, where=finite))
            high = np.maximum(high, flat.max(axis=1, initial=-np.inf, where=finite))
        if not self.per_channel:
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        with np.errstate(invalid="ignore"):
            span = (high - low) / (self.b_max - self.b_min)
        found = np.isfinite(low)
        minus = np.where(found, low, 0).astype(np.float32)
        return chain.mapped(Scaling(minus, _divisor(np.where(found, span, 1)), self.b_min))


@dataclass(frozen=True)
class ScaleLinear:
    """Multiply by ``gain``, then add ``offset``; each one number, or one a channel."""

    gain: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        _check_numbers("gain", self.gain)
        _check_numbers("offset", self.offset)

    def apply(self, chain: Chain) -> Chain:
        """Scale."""
        gain = _a_channel("gain", self.gain, chain)
        return chain.mapped(Linear(gain, _a_channel("offset", self.offset, chain)))


@dataclass(frozen=True)
class ScaleRange:
    """Map the values ``a_min`` and ``a_max`` to ``b_min`` and ``b_max``."""

    a_min: float
    a_max: float
    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        if not (self.a_min < self.a_max and self.b_min < self.b_max):
            raise ValueError("a_min must be below a_max, and b_min below b_max")

    def apply(self, chain: Chain) -> Chain:
        """Scale, and clip where asked to."""
        minus = np.full(chain.link.channels, self.a_min, np.float32)
        span = (self.a_max - self.a_min) / (self.b_max - self.b_min)
        limits = (self.b_min, self.b_max) if self.clip else (None, None)
        return chain.mapped(Scaling(minus, np.full_like(minus, span), self.b_min, *limits))


@dataclass(frozen=True)
class ZScore:
    """Subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    nonzero
        Of the values that are not 0; those that are stay 0.
    per_channel
        Each channel by its own mean and deviation.
    mean, std
        Numbers in place of those of the image, one for all channels or one each.
    eps
        Added to what is divided by.
    mask
        Of the voxels that are not 0 in all channels, or are enclosed by such in a volume, as
        nnU-Net has it; others stay as they are.
    channels
        The channels to normalise; ``None`` is all.
    """

    nonzero: bool = False
    per_channel: bool = True
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    eps: float = 0.0
    mask: bool = False
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given both or not at all")
        if self.mask and self.nonzero:
            raise ValueError("nonzero and mask exclude each other")
        if self.mean is not None and self.std is not None:
            _check_numbers("mean", self.mean)
            _check_numbers("std", self.std)
        if any(type(c) is not int or c < 0 for c in self.channels or ()):
            raise ValueError(f"channels are numbers from 0, not {list(self.channels or ())}")

    def apply(self, chain: Chain) -> Chain:
        """Normalise; a constant image becomes 0."""
        if self.mean is None or self.mask:
            chain = chain.measurable()
        mask = enclosed(chain.link) if self.mask else None
        if self.mean is not None and self.std is not None:
            mean = _a_channel("mean", self.mean, chain).astype(np.float64)
            deviation = _a_channel("std", self.std, chain).astype(np.float64)
        else:
            mean, deviation = self._measured(chain.link, mask)
        if self.channels is not None:
            others = np.setdiff1d(np.arange(chain.link.channels), self.channels)
            mean[others], deviation[others] = 0, 1 - self.eps
        scaling = Scaling(_offset(mean), _divisor(deviation + self.eps), keep_zero=self.nonzero)
        if mask is None:
            return chain.mapped(scaling)
        return replace(chain, link=Masked(chain.link, scaling, mask))

    def _measured(self, link: Link, mask: Mask | None) -> tuple[Doubles, Doubles]:
        """Return the mean and deviation of each channel."""
        return moments(
            link.blocks(multiple=CELL) if mask is None else _only(link, mask),
            link.channels,
            link.place.stored_shape,
            origin=self._middle(link),
            together=not self.per_channel,
            nonzero=self.nonzero,
        )

    def _middle(self, link: Link) -> Doubles:
        """Return a value of each channel, or of all, that is not far from the mean."""
        corner = [(n - min(n, CELL)) // 2 for n in link.grid.shape]
        box = tuple(
            slice(c, c + min(n, CELL)) for c, n in zip(corner, link.grid.shape, strict=True)
        )
        values = link.read(box).reshape(link.channels, -1)
        parts = list(values) if self.per_channel else [values.ravel()] * link.channels
        found = (np.sort(p[np.isfinite(p) & (p != 0)]) for p in parts)
        return np.array([p[len(p) // 2] if len(p) else 0 for p in found], np.float64)


@dataclass(frozen=True)
class Clip:
    """Limit the values; ``None`` leaves an end open, a list has one number a channel."""

    minimum: float | tuple[float, ...] | None = None
    maximum: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None:
            raise ValueError("minimum, maximum or both are needed")
        for name in ("minimum", "maximum"):
            if getattr(self, name) is not None:
                _check_numbers(name, getattr(self, name))

    def apply(self, chain: Chain) -> Chain:
        """Clip."""
        low, high = (
            _a_channel(name, value, chain) if isinstance(value, tuple) else value
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum))
        )
        return chain.mapped(Limits(low, high))


@dataclass(frozen=True)
class Cast:
    """Make the values those that a type can hold: whole numbers towards zero, in its range."""

    dtype: Literal[
        "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"
    ]

    def apply(self, chain: Chain) -> Chain:
        """Round."""
        kind = np.dtype(self.dtype)
        return chain.mapped(Rounding(kind)) if kind.itemsize < 4 or kind.kind != "f" else chain


def enclosed(link: Link) -> Mask:
    """Return where any channel is not 0, and what such voxels of a volume enclose.

    Holes are filled along all three axes at once, so that a picture has none.
    """
    mask = np.zeros(link.grid.shape, np.bool_)
    for _, box, values in link.sweep():
        mask[box] = ((values != 0) & np.isfinite(values)).any(axis=0)
    if mask.ndim < 3:
        return mask
    from scipy import ndimage  # slow to import, and models are listed without it

    filled: Mask = ndimage.binary_fill_holes(mask)
    return filled


def _only(link: Link, mask: Mask) -> Iterator[tuple[Box, FloatArray]]:
    """Yield the blocks of an image with NaN outside a mask."""
    back = link.place.how.inverse()
    for stored, box, values in link.sweep(multiple=CELL):
        values[:, ~mask[box]] = np.nan
        yield stored, back.apply(values)


def _check_numbers(name: str, value: float | tuple[float, ...]) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    if not numbers or any(type(n) not in (int, float) for n in numbers):
        raise ValueError(f"{name} is a number or one a channel, not {value!r}")


def _a_channel(name: str, value: float | tuple[float, ...], chain: Chain) -> FloatArray:
    """Return a number for each channel."""
    count = chain.link.channels
    if not isinstance(value, tuple):
        return np.full(count, value, np.float32)
    if len(value) != count:
        raise ModelError(f"The model has {len(value)} numbers of {name} for {count} channels.")
    return np.array(value, np.float32)


def _offset(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return what to subtract: 0 for a channel without a finite value."""
    return np.nan_to_num(values).astype(np.float32)


def _divisor(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return what to divide by: 1 for a channel without a finite value, or of one value only."""
    found = values.astype(np.float32)
    return np.where(found > 0, found, np.float32(1))
