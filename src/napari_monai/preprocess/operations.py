"""The operations that a model's description names, and the table of them.

An operation adds links to the chain that an image is pulled through: what it does to voxels
stands in the links and in the maps. Reorienting and resampling keep the directions and the
centre of the grid, so that the way back is known axis by axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GridError, ModelError, OutOfMemoryError, did_you_mean
from ..grid import DISPLAY, millimetres, unit_name
from .maps import Limits, Repeat, Scaling
from .sources import Held, Link, Map, Mapped, Resampled, Turned
from .statistics import CELL, moments, percentiles

FloatArray = npt.NDArray[np.float32]

# A spacing that is off by less needs no resampling.
_SAME_SPACING = 0.01
# Nobody means an image of more voxels: its pixel size or unit is wrong.
_MOST_VOXELS = 2**33


@dataclass(frozen=True)
class Operation:
    """A step of a model's description: a name in the table, and parameters as plain JSON."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Chain:
    """What the operations hand on.

    ``hold`` allows to keep in memory what would be computed several times otherwise.
    """

    link: Link
    spatial_dims: int
    hold: bool
    notes: tuple[str, ...] = ()

    def noted(self, line: str) -> Chain:
        """Return it with another line for the user."""
        return replace(self, notes=(*self.notes, line))

    def mapped(self, change: Map) -> Chain:
        """Return it with every voxel changed by itself."""
        return replace(self, link=Mapped(self.link, change))

    def measurable(self) -> Chain:
        """Return it ready to be read several times."""
        if self.hold and self.link.place.resampled and not isinstance(self.link, Held):
            return replace(self, link=Held(self.link))
        return self


@dataclass(frozen=True)
class Orientation:
    """Turn and flip the axes until they run closest to three anatomical letters."""

    codes: str = DISPLAY

    def __post_init__(self) -> None:
        if sorted("RLAPSI".find(c) // 2 for c in self.codes) != [0, 1, 2]:
            raise ValueError(f"codes is {self.codes!r}, which names not each axis once")

    def apply(self, chain: Chain) -> Chain:
        """Reorient; exact, and no voxel changes."""
        how = chain.link.grid.reorientation_to(self.codes)
        return replace(chain, link=Turned(chain.link, how))


@dataclass(frozen=True)
class Spacing:
    """Resample linearly to a spacing, one number an axis; ``None`` leaves an axis as it is.

    Two numbers on a volume are of the slices' own axes. An image whose pixel size is not known
    stays as it is.
    """

    spacing: tuple[float | None, ...]
    unit: str = "mm"

    def __post_init__(self) -> None:
        object.__setattr__(self, "spacing", tuple(self.spacing))
        for step in self.spacing:
            if step is not None and not (type(step) in (int, float) and 0 < step < np.inf):
                raise ValueError(f"spacing needs positive numbers or null, got {step!r}")
        try:
            millimetres(unit_name(self.unit))
        except GridError as error:
            raise ValueError(str(error)) from None

    def apply(self, chain: Chain) -> Chain:
        """Resample; the field of view and its centre stay."""
        grid = chain.link.grid
        if grid.unit == "pixel":
            return chain.noted(
                "The pixel size is not known: the image is not resampled to the model's "
                f"{self.unit}."
            )
        factor = millimetres(unit_name(self.unit)) / millimetres(grid.unit)
        wanted = (None,) * (grid.ndim - len(self.spacing)) + self.spacing
        spacing = [
            here if step is None or abs(step * factor / here - 1) < _SAME_SPACING else step * factor
            for here, step in zip(grid.spacing, wanted, strict=True)
        ]
        if tuple(spacing) == grid.spacing:
            return chain
        voxels = np.prod(
            [n * s / t for n, s, t in zip(grid.shape, grid.spacing, spacing, strict=True)]
        )
        if voxels * chain.link.channels > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Resampling from {_lengths(grid.spacing)} to {_lengths(spacing)} {grid.unit} "
                f"makes {voxels:.0e} voxels: check the image's pixel size and unit."
            )
        return replace(chain, link=Resampled(chain.link, grid.with_spacing(spacing)))


@dataclass(frozen=True)
class Zoom:
    """Enlarge the image linearly by a factor along the network's axes, whatever its voxel size.

    For objects of few voxels: the network draws their borders on a finer grid.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.factor <= 10:
            raise ValueError(f"factor goes from 0.1 to 10, not {self.factor}")

    def apply(self, chain: Chain) -> Chain:
        """Resample; the field of view and its centre stay."""
        grid, dims = chain.link.grid, chain.spatial_dims
        factors = (1.0,) * (grid.ndim - dims) + (self.factor,) * dims
        if np.prod(grid.shape) * np.prod(factors) * chain.link.channels > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Enlarged {self.factor:g} times, the image has too many voxels: crop it."
            )
        finer = grid.with_spacing([s / f for s, f in zip(grid.spacing, factors, strict=True)])
        return replace(chain, link=Resampled(chain.link, finer))


@dataclass(frozen=True)
class Colour:
    """Make one channel three equal ones; colour stays as it is."""

    def apply(self, chain: Chain) -> Chain:
        """Repeat a single channel."""
        return chain.mapped(Repeat(3)) if chain.link.channels == 1 else chain


@dataclass(frozen=True)
class ScalePercentiles:
    """Map two percentiles of the image's values to 0 and 1."""

    lower: float = 1.0
    upper: float = 99.0
    per_channel: bool = True
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"lower {self.lower} and upper {self.upper} need 0 <= lower < upper")

    def apply(self, chain: Chain) -> Chain:
        """Scale; a constant image becomes 0."""
        chain = chain.measurable()
        low, high = percentiles(
            lambda: (values for _, values in chain.link.blocks()),
            chain.link.channels,
            (self.lower, self.upper),
            together=not self.per_channel,
        ).T
        limits = (0.0, 1.0) if self.clip else (None, None)
        return chain.mapped(Scaling(_offset(low), _divisor(high - low), 0, *limits))


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

    With ``nonzero``, of the values that are not 0; those that are stay 0.
    """

    nonzero: bool = False
    per_channel: bool = True

    def apply(self, chain: Chain) -> Chain:
        """Normalise; a constant image becomes 0."""
        chain = chain.measurable()
        link = chain.link
        mean, deviation = moments(
            link.blocks(multiple=CELL),
            link.channels,
            link.place.stored_shape,
            origin=self._middle(link),
            together=not self.per_channel,
            nonzero=self.nonzero,
        )
        return chain.mapped(Scaling(_offset(mean), _divisor(deviation), keep_zero=self.nonzero))

    def _middle(self, link: Link) -> npt.NDArray[np.float64]:
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
    """Limit the values; ``None`` leaves an end open."""

    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None:
            raise ValueError("minimum, maximum or both are needed")

    def apply(self, chain: Chain) -> Chain:
        """Clip."""
        return chain.mapped(Limits(self.minimum, self.maximum))


Step = Orientation | Spacing | Zoom | Colour | ScalePercentiles | ScaleRange | ZScore | Clip

OPERATIONS: Mapping[str, type[Step]] = {
    "orientation": Orientation,
    "spacing": Spacing,
    "zoom": Zoom,
    "colour": Colour,
    "scale_percentiles": ScalePercentiles,
    "scale_range": ScaleRange,
    "zscore": ZScore,
    "clip": Clip,
}


def check_operations(operations: Sequence[Operation], spatial_dims: int) -> tuple[Step, ...]:
    """Return the operations ready to run; raise ModelError for one that cannot be."""
    return tuple(_step(operation, spatial_dims) for operation in operations)


def _step(operation: Operation, spatial_dims: int) -> Step:
    name = operation.name
    if name not in OPERATIONS:
        raise ModelError(f"No preprocess operation {name!r}. {did_you_mean(name, OPERATIONS)}")
    kind = OPERATIONS[name]
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in operation.parameters.items():
        if key not in fields:
            cure = did_you_mean(key, fields) if fields else "It has none."
            raise ModelError(f"preprocess {name} has no parameter {key!r}. {cure}")
        if not _fits(value, str(fields[key].type)):
            raise ModelError(f"preprocess {name}: {key} is no {fields[key].type}: {value!r}.")
    try:
        step = kind(**operation.parameters)
    except (TypeError, ValueError) as error:
        raise ModelError(f"preprocess {name}: {error}.") from None
    if isinstance(step, Spacing) and len(step.spacing) != spatial_dims:
        raise ModelError(
            f"preprocess spacing has {len(step.spacing)} numbers for {spatial_dims} dimensions."
        )
    return step


def _fits(value: object, hint: str) -> bool:
    """Whether a JSON value fits a parameter's annotation."""
    if hint.startswith("tuple"):
        return isinstance(value, (list, tuple))
    if value is None:
        return hint.endswith("None")
    if hint.startswith("float"):
        return type(value) in (int, float)
    return type(value).__name__ == hint


def _offset(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return what to subtract: 0 for a channel without a finite value."""
    return np.nan_to_num(values).astype(np.float32)


def _divisor(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return what to divide by: 1 for a channel without a finite value, or of one value only."""
    found = values.astype(np.float32)
    return np.where(found > 0, found, np.float32(1))


def _lengths(spacing: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
