"""From an image to what a network takes: reorient, resample, normalise, each with its way back.

A model names its operations in order; here is the table of them. They work on one time point as
float32 of shape (channel, *spatial) and need numpy only. Reorienting and resampling keep the
directions and the centre of the grid, so that the way back is known axis by axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import GridError, ModelError, OutOfMemoryError, did_you_mean
from .grid import DISPLAY, Grid, Reorientation, millimetres, unit_name
from .resample import WayBack, interpolate, positions
from .volume import Volume

if TYPE_CHECKING:
    from .models.description import ModelDescription

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
class Prepared:
    """One time point as a network takes it.

    ``array`` is float32 of shape (channel, *grid.shape) without NaN or infinity; ``back`` leads
    to the grid it came from; ``notes`` are lines for the user.
    """

    array: FloatArray
    grid: Grid
    back: WayBack
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _State:
    """What the operations hand on. Values that are not finite are NaN."""

    array: FloatArray
    grid: Grid
    how: Reorientation
    spatial_dims: int
    notes: tuple[str, ...] = ()

    def noted(self, line: str) -> _State:
        return replace(self, notes=(*self.notes, line))


def prepare(volume: Volume, description: ModelDescription) -> Prepared:
    """Return one time point of an image as the model takes it.

    Without an orientation operation the image is taken as it is shown: axis 0 runs inferior,
    1 posterior, 2 left, which leaves pictures and stacks as they are.

    Raises
    ------
    ModelError
        If the image has other channels or fewer axes than the model takes.
    OutOfMemoryError
        If resampling makes more voxels than anybody can mean.
    """
    dims = description.inputs.spatial_dims
    steps = check_operations(description.preprocess, dims)
    if not any(isinstance(step, Orientation) for step in steps):
        steps = (Orientation(), *steps)
    array, notes = _channels(volume, description, any(isinstance(s, Colour) for s in steps))
    n = volume.grid.ndim
    state = _State(array, volume.grid, Reorientation((*range(n),), (False,) * n), dims, notes)
    for step in steps:
        state = step.apply(state)
    result = np.ascontiguousarray(state.array, dtype=np.float32)
    missing = np.isnan(result)
    if missing.any():
        result[missing] = 0
        state = state.noted(
            f"{volume.name}: {int(missing.sum())} values that are not finite count as 0."
        )
    back = WayBack(volume.grid, state.how, state.grid)
    return Prepared(result, state.grid, back, state.notes)


def _channels(
    volume: Volume, description: ModelDescription, colour: bool
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the channels that the model takes as float32, NaN where not finite."""
    dims, wanted = description.inputs.spatial_dims, description.inputs.channels
    if volume.grid.ndim < dims:
        raise ModelError(
            f"{description.name} takes volumes, but {volume.name} is {volume.grid.ndim}-D: "
            "choose a 2D model, or open the whole stack."
        )
    if volume.dtype.kind not in "biuf":
        raise ModelError(
            f"{volume.name} holds {volume.dtype} values: save its real part or magnitude first."
        )
    array = volume.as_channels_first()
    notes: tuple[str, ...] = ()
    if volume.rgb:
        array = array[:3]
        grey = (array == array[:1]).all() if len(wanted) == 1 else False
        if grey:
            array = array[:1]
            notes = (f"{volume.name} is a grey picture stored as colour: one channel is used.",)
    count = len(array)
    if count != len(wanted) and not (colour and count == 1):
        raise ModelError(
            f"{description.name} takes {len(wanted)} channel{'s' * (len(wanted) != 1)} "
            f"({', '.join(wanted)}), but {volume.name} has {count} "
            f"({', '.join(volume.channel_names[:count])}): "
            "choose the channels that fit, or another model."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and counts as such
        result = array.astype(np.float32)
    if array.dtype.kind == "f" and not _all_finite(result):
        result[~np.isfinite(result)] = np.nan
    return result, notes


# -- the operations ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Orientation:
    """Turn and flip the axes until they run closest to three anatomical letters."""

    codes: str = DISPLAY

    def __post_init__(self) -> None:
        if sorted("RLAPSI".find(c) // 2 for c in self.codes) != [0, 1, 2]:
            raise ValueError(f"codes is {self.codes!r}, which names not each axis once")

    def apply(self, state: _State) -> _State:
        """Reorient; exact, and no voxel changes."""
        how = state.grid.reorientation_to(self.codes)
        axes = tuple(state.how.axes[a] for a in how.axes)
        flips = tuple(
            state.how.flips[a] != flip for a, flip in zip(how.axes, how.flips, strict=True)
        )
        return replace(
            state,
            array=how.apply(state.array),
            grid=state.grid.reoriented(how),
            how=Reorientation(axes, flips),
        )


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

    def apply(self, state: _State) -> _State:
        """Resample; the field of view and its centre stay."""
        grid = state.grid
        if grid.unit == "pixel":
            return state.noted(
                "The pixel size is not known: the image is not resampled to the model's "
                f"{self.unit}."
            )
        factor = millimetres(self.unit) / millimetres(grid.unit)
        wanted = (None,) * (grid.ndim - len(self.spacing)) + self.spacing
        spacing = [
            here if step is None or abs(step * factor / here - 1) < _SAME_SPACING else step * factor
            for here, step in zip(grid.spacing, wanted, strict=True)
        ]
        if tuple(spacing) == grid.spacing:
            return state
        voxels = np.prod(
            [n * s / t for n, s, t in zip(grid.shape, grid.spacing, spacing, strict=True)]
        )
        if voxels * len(state.array) > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Resampling from {_lengths(grid.spacing)} to {_lengths(spacing)} {grid.unit} "
                f"makes {voxels:.0e} voxels: check the image's pixel size and unit."
            )
        finer = grid.with_spacing(spacing)
        return replace(state, array=interpolate(state.array, positions(grid, finer)), grid=finer)


@dataclass(frozen=True)
class Zoom:
    """Enlarge the image linearly by a factor along the network's axes, whatever its voxel size.

    For objects of few voxels: the network draws their borders on a finer grid.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.factor <= 10:
            raise ValueError(f"factor goes from 0.1 to 10, not {self.factor}")

    def apply(self, state: _State) -> _State:
        """Resample; the field of view and its centre stay."""
        grid, dims = state.grid, state.spatial_dims
        factors = (1.0,) * (grid.ndim - dims) + (self.factor,) * dims
        if np.prod(grid.shape) * np.prod(factors) * len(state.array) > _MOST_VOXELS:
            raise OutOfMemoryError(
                f"Enlarged {self.factor:g} times, the image has too many voxels: crop it."
            )
        finer = grid.with_spacing([s / f for s, f in zip(grid.spacing, factors, strict=True)])
        return replace(state, array=interpolate(state.array, positions(grid, finer)), grid=finer)


@dataclass(frozen=True)
class Colour:
    """Make one channel three equal ones; colour stays as it is."""

    def apply(self, state: _State) -> _State:
        """Repeat a single channel."""
        if len(state.array) != 1:
            return state
        return replace(state, array=np.repeat(state.array, 3, axis=0))


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

    def apply(self, state: _State) -> _State:
        """Scale; a constant image becomes 0."""
        for part in _parts(state.array, self.per_channel):
            values = _finite(part)
            if values.size == 0:
                continue
            low, high = np.percentile(values, (self.lower, self.upper))
            part -= np.float32(low)
            part /= np.float32(high - low) if high > low else np.float32(1)
            if self.clip:
                np.clip(part, 0, 1, out=part)
        return state


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

    def apply(self, state: _State) -> _State:
        """Scale, and clip where asked to."""
        array = state.array
        array -= np.float32(self.a_min)
        array *= np.float32((self.b_max - self.b_min) / (self.a_max - self.a_min))
        array += np.float32(self.b_min)
        if self.clip:
            np.clip(array, self.b_min, self.b_max, out=array)
        return state


@dataclass(frozen=True)
class ZScore:
    """Subtract the mean and divide by the standard deviation.

    With ``nonzero``, of the values that are not 0; those that are stay 0.
    """

    nonzero: bool = False
    per_channel: bool = True

    def apply(self, state: _State) -> _State:
        """Normalise; a constant image becomes 0."""
        for part in _parts(state.array, self.per_channel):
            values = _finite(part)
            if self.nonzero:
                values = values[values != 0]
            if values.size == 0:
                continue
            mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            scaled = (part - np.float32(mean)) / np.float32(std or 1)
            part[...] = np.where(part != 0, scaled, 0) if self.nonzero else scaled
        return state


@dataclass(frozen=True)
class Clip:
    """Limit the values; ``None`` leaves an end open."""

    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None:
            raise ValueError("minimum, maximum or both are needed")

    def apply(self, state: _State) -> _State:
        """Clip."""
        np.clip(state.array, self.minimum, self.maximum, out=state.array)
        return state


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


def _parts(array: FloatArray, per_channel: bool) -> list[FloatArray]:
    """Return views: one a channel, or one of all."""
    return list(array) if per_channel else [array]


def _finite(array: FloatArray) -> FloatArray:
    """Return the values that are not NaN, in one dimension."""
    flat = array.reshape(-1)
    return flat if _all_finite(flat) else flat[~np.isnan(flat)]


def _all_finite(array: FloatArray) -> bool:
    """Whether all values are finite, without a mask as large as the image."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(np.sum(array, dtype=np.float64)))


def _lengths(spacing: Sequence[float]) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
