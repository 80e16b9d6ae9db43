"""What is done to the labels of classes after a run, as a model's description names it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from .errors import ModelError, did_you_mean
from .grid import Grid
from .labels import components, slabs

Labels = npt.NDArray[Any]

# Bytes a voxel that cleaning takes: labels, masks and components.
CLEANING = 32


class Named(Protocol):
    """An operation of a description."""

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Its parameters, as plain JSON."""
        ...


class Cleaning(Protocol):
    """An operation with its parameters, ready to run."""

    def apply(self, labels: Labels, grid: Grid, /) -> Labels:
        """Return new labels of one time point."""
        ...

    def apply_in_slabs(self, labels: slabs.Stored, grid: Grid, rows: int, /) -> None:
        """Change labels on disk, so many planes at a time, to what `apply` makes of them."""
        ...


@dataclass(frozen=True)
class Threshold:
    """The probability from which a voxel is foreground; a setting of the run goes before it."""

    value: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"value goes from 0 to 1, not {self.value}")

    def apply(self, labels: Labels, grid: Grid) -> Labels:
        """Return the labels: they were decided by it."""
        return labels

    def apply_in_slabs(self, labels: slabs.Stored, grid: Grid, rows: int) -> None:
        """Do nothing: they were decided by it."""


@dataclass(frozen=True)
class KeepLargest:
    """See `napari_monai.labels.components.keep_largest`; ``labels`` are the class numbers."""

    labels: tuple[int, ...] | None = None
    connectivity: int | None = None
    together: bool = False

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)

    def apply(self, labels: Labels, grid: Grid) -> Labels:
        """Clean."""
        return components.keep_largest(labels, **self._told(grid))

    def apply_in_slabs(self, labels: slabs.Stored, grid: Grid, rows: int) -> None:
        """Clean in place."""
        slabs.keep_largest(labels, rows=rows, **self._told(grid))

    def _told(self, grid: Grid) -> dict[str, Any]:
        connectivity = _at_most(self.connectivity, grid)
        return {"values": self.labels, "connectivity": connectivity, "together": self.together}


@dataclass(frozen=True)
class RemoveSmall:
    """Remove components smaller than ``min_size``: mm³, mm² of a picture, or voxels."""

    min_size: float
    unit: Literal["mm", "voxels"] = "mm"
    labels: tuple[int, ...] | None = None
    connectivity: int | None = None

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)
        if not self.min_size >= 0:
            raise ValueError(f"min_size is 0 or more, not {self.min_size}")

    def apply(self, labels: Labels, grid: Grid) -> Labels:
        """Clean; without a pixel size, voxels count."""
        return components.remove_small(labels, self.min_size, **self._told(grid))

    def apply_in_slabs(self, labels: slabs.Stored, grid: Grid, rows: int) -> None:
        """Clean in place."""
        slabs.remove_small(labels, self.min_size, rows=rows, **self._told(grid))

    def _told(self, grid: Grid) -> dict[str, Any]:
        size = 1.0
        if self.unit == "mm" and grid.unit != "pixel":
            size = float(np.prod(grid.spacing_in("mm"))) * _shear(grid)
        connectivity = _at_most(self.connectivity, grid)
        return {"voxel_size": size, "values": self.labels, "connectivity": connectivity}


@dataclass(frozen=True)
class FillHoles:
    """See `napari_monai.labels.components.fill_holes`; ``labels`` are the class numbers."""

    labels: tuple[int, ...] | None = None
    connectivity: int | None = None
    over: bool = False

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)

    def apply(self, labels: Labels, grid: Grid) -> Labels:
        """Clean."""
        return components.fill_holes(labels, **self._told(grid))

    def apply_in_slabs(self, labels: slabs.Stored, grid: Grid, rows: int) -> None:
        """Clean in place."""
        slabs.fill_holes(labels, rows=rows, **self._told(grid))

    def _told(self, grid: Grid) -> dict[str, Any]:
        connectivity = _at_most(self.connectivity, grid)
        return {"values": self.labels, "connectivity": connectivity, "over": self.over}


CLEANINGS: Mapping[str, type[Any]] = {
    "threshold": Threshold,
    "keep_largest": KeepLargest,
    "remove_small": RemoveSmall,
    "fill_holes": FillHoles,
}


def check_cleanings(operations: Sequence[Named]) -> tuple[Cleaning, ...]:
    """Return the operations ready to run; raise ModelError for one that cannot be."""
    return tuple(_cleaning(operation) for operation in operations)


def threshold_of(cleanings: Sequence[Cleaning]) -> float | None:
    """Return the threshold that the operations name, the last one if there are several."""
    values = [c.value for c in cleanings if isinstance(c, Threshold)]
    return values[-1] if values else None


def changes(cleanings: Sequence[Cleaning]) -> list[Cleaning]:
    """Return the operations that change labels once they are decided."""
    return [c for c in cleanings if not isinstance(c, Threshold)]


def _cleaning(operation: Named) -> Cleaning:
    name = operation.name
    if name not in CLEANINGS:
        raise ModelError(
            f"postprocess of classes has no operation {name!r}. {did_you_mean(name, CLEANINGS)}"
        )
    kind = CLEANINGS[name]
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for key, value in operation.parameters.items():
        if key not in fields:
            raise ModelError(
                f"postprocess {name} has no parameter {key!r}. {did_you_mean(key, fields)}"
            )
        if not _fits(value, hints[key]):
            raise ModelError(f"postprocess {name}: {key} is no {fields[key].type}: {value!r}.")
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        cleaning: Cleaning = kind(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"postprocess {name}: {error}.") from None
    return cleaning


def _fits(value: object, hint: Any) -> bool:
    """Whether a JSON value fits a parameter's type."""
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if hint is float:
        return type(value) in (int, float)
    if isinstance(hint, type):
        return type(value) is hint
    if isinstance(value, (list, tuple)):
        return tuple in [get_origin(one) for one in get_args(hint)] and all(
            type(v) is int for v in value
        )
    return type(value) in get_args(hint)


def _check(labels: tuple[int, ...] | None, connectivity: int | None) -> None:
    if labels is not None and (not labels or min(labels) < 1):
        raise ValueError(f"labels are numbers from 1, not {list(labels)}")
    if connectivity is not None and not 1 <= connectivity <= 3:
        raise ValueError(f"connectivity goes from 1 to 3, not {connectivity}")


def _at_most(connectivity: int | None, grid: Grid) -> int | None:
    """Return the connectivity; a picture has no more than 2."""
    return None if connectivity is None else min(connectivity, grid.ndim)


def _shear(grid: Grid) -> float:
    """Return by how much a shear makes voxels smaller than the product of their sides."""
    return grid.voxel_volume / float(np.prod(grid.spacing))
