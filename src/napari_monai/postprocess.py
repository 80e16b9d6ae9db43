"""What is done to the labels of classes after a run, as a model's description names it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from .errors import ModelError, did_you_mean
from .grid import Grid
from .parameters import with_parameters

if TYPE_CHECKING:
    from .labels.slabs import Stored

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

    def apply_in_slabs(self, labels: Stored, grid: Grid, rows: int, /) -> None:
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

    def apply_in_slabs(self, labels: Stored, grid: Grid, rows: int) -> None:
        """Do nothing: they were decided by it."""


class _Components(ABC):
    """An operation that is a function of `napari_monai.labels.components`, and of its slabs."""

    function: ClassVar[str]

    def apply(self, labels: Labels, grid: Grid) -> Labels:
        """Return new labels of one time point."""
        from .labels import components  # slow to import, and models are listed without it

        cleaned: Labels = getattr(components, self.function)(labels, **self._told(grid))
        return cleaned

    def apply_in_slabs(self, labels: Stored, grid: Grid, rows: int) -> None:
        """Change labels on disk, so many planes at a time."""
        from .labels import slabs

        getattr(slabs, self.function)(labels, rows=rows, **self._told(grid))

    @abstractmethod
    def _told(self, grid: Grid) -> dict[str, Any]:
        """Return the parameters of the function."""


@dataclass(frozen=True)
class KeepLargest(_Components):
    """See `napari_monai.labels.components.keep_largest`; ``labels`` are the class numbers."""

    function: ClassVar[str] = "keep_largest"
    labels: tuple[int, ...] | None = None
    connectivity: int | None = None
    together: bool = False

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)

    def _told(self, grid: Grid) -> dict[str, Any]:
        connectivity = _at_most(self.connectivity, grid)
        return {"values": self.labels, "connectivity": connectivity, "together": self.together}


@dataclass(frozen=True)
class RemoveSmall(_Components):
    """Remove components smaller than ``min_size``: of a picture an area, or a number of voxels."""

    function: ClassVar[str] = "remove_small"
    min_size: float
    unit: Literal["mm", "µm", "voxels"] = "mm"
    labels: tuple[int, ...] | None = None
    connectivity: int | None = None

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)
        if not self.min_size >= 0:
            raise ValueError(f"min_size is 0 or more, not {self.min_size}")

    def _told(self, grid: Grid) -> dict[str, Any]:
        size = 1.0
        if self.unit != "voxels" and grid.unit != "pixel":
            size = float(np.prod(grid.spacing_in(self.unit))) * _shear(grid)
        connectivity = _at_most(self.connectivity, grid)
        return {
            "min_size": self.min_size,
            "voxel_size": size,
            "values": self.labels,
            "connectivity": connectivity,
        }


@dataclass(frozen=True)
class FillHoles(_Components):
    """See `napari_monai.labels.components.fill_holes`; ``labels`` are the class numbers."""

    function: ClassVar[str] = "fill_holes"
    labels: tuple[int, ...] | None = None
    connectivity: int | None = None
    over: bool = False

    def __post_init__(self) -> None:
        _check(self.labels, self.connectivity)

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
    cleaning: Cleaning = with_parameters(
        CLEANINGS[name], operation.parameters, f"postprocess {name}"
    )
    return cleaning


def _check(labels: tuple[int, ...] | None, connectivity: int | None) -> None:
    if labels is not None and (not labels or any(type(n) is not int or n < 1 for n in labels)):
        raise ValueError(f"labels are numbers from 1, not {list(labels)}")
    if connectivity is not None and not 1 <= connectivity <= 3:
        raise ValueError(f"connectivity goes from 1 to 3, not {connectivity}")


def _at_most(connectivity: int | None, grid: Grid) -> int | None:
    """Return the connectivity; a picture has no more than 2."""
    return None if connectivity is None else min(connectivity, grid.ndim)


def _shear(grid: Grid) -> float:
    """Return by how much a shear makes voxels smaller than the product of their sides."""
    return grid.voxel_volume / float(np.prod(grid.spacing))
