"""What an operation on labels may look at, and where it may change something."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EditError
from ..volume import ArrayLike
from .boxes import Box, Boxes, overlap, shape_of, whole, within

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Region:
    """Where edits happen: the voxels of a box at which ``mask`` is true, and no other one."""

    box: Box
    mask: Mask

    def __post_init__(self) -> None:
        if self.mask.dtype != np.bool_ or self.mask.shape != shape_of(self.box):
            raise EditError(
                f"A region of shape {self.mask.shape}, {self.mask.dtype}, does not fit its box "
                f"of shape {shape_of(self.box)}: give one truth value a voxel of the box."
            )

    def inside(self, box: Box) -> Mask:
        """Return which voxels of another box lie in the region."""
        mask = np.zeros(shape_of(box), np.bool_)
        shared = overlap(box, self.box)
        if shared is not None:
            mask[within(shared, box)] = self.mask[within(shared, self.box)]
        return mask


@dataclass(frozen=True, eq=False)
class Scene:
    """What an operation may look at; nothing in it is changed.

    Parameters
    ----------
    labels
        Whole numbers, 0 for background, of shape (y, x) or (z, y, x): one time point.
    spacing
        Size of a voxel along each axis, in ``unit``.
    selected
        The labels to work on; none is all.
    locked
        No voxel of these labels changes, and no voxel becomes theirs.
    region
        Where edits happen; ``None`` is everywhere.
    image, other
        The image, and a second array of labels, of the same shape.
    points
        Points in voxels, shape (n, axes).
    lines
        Lines or polygons that were drawn, each of shape (vertices, axes), in voxels.
    plane
        Axis and index of the slice that is seen; ``None`` in 3-D.
    boxes
        Where each label lies, kept up to date by the caller; worked out where it is needed.
    names
        What labels stand for, for titles.

    Raises
    ------
    EditError
        If these do not fit each other.
    """

    labels: ArrayLike
    spacing: tuple[float, ...]
    unit: str = "pixel"
    selected: tuple[int, ...] = ()
    locked: frozenset[int] = frozenset()
    region: Region | None = None
    image: ArrayLike | None = None
    other: ArrayLike | None = None
    points: Points = field(default_factory=lambda: np.empty((0, 0)))
    lines: tuple[Points, ...] = ()
    plane: tuple[int, int] | None = None
    boxes: Boxes | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if np.dtype(self.labels.dtype).kind not in "iu":
            raise EditError(f"Labels are whole numbers, not {self.labels.dtype}.")
        if self.ndim not in (2, 3):
            raise EditError(f"Labels have 2 or 3 axes in space, not the shape {self.shape}.")
        if len(self.spacing) != self.ndim or not all(s > 0 for s in self.spacing):
            raise EditError(
                f"Labels of shape {self.shape} need {self.ndim} sizes of a voxel above 0, "
                f"not {self.spacing}."
            )
        for what, array in (("image", self.image), ("other labels", self.other)):
            if array is not None and tuple(array.shape) != self.shape:
                raise EditError(
                    f"The {what} of shape {tuple(array.shape)} and the labels of shape "
                    f"{self.shape} differ: take those of one grid."
                )
        if self.region is not None and len(self.region.box) != self.ndim:
            raise EditError(f"The region has {len(self.region.box)} axes, the labels {self.ndim}.")
        points = np.asarray(self.points, np.float64)
        points = points if points.size else points.reshape(0, self.ndim)
        for shape in (points.shape, *(line.shape for line in self.lines)):
            if len(shape) != 2 or shape[1] != self.ndim:
                raise EditError(f"Points have {self.ndim} numbers each; these are {shape}.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "selected", tuple(sorted({int(v) for v in self.selected} - {0})))
        object.__setattr__(self, "locked", frozenset(int(v) for v in self.locked))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return tuple(int(n) for n in self.labels.shape)

    @property
    def ndim(self) -> int:
        """Number of axes, 2 or 3."""
        return len(self.labels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return np.dtype(self.labels.dtype)

    @property
    def voxel_size(self) -> float:
        """Volume, or area, of a voxel in the unit cubed or squared."""
        return float(np.prod(self.spacing))

    @property
    def box(self) -> Box:
        """Where anything may change: the region's box, or all."""
        everywhere = whole(self.shape)
        if self.region is None:
            return everywhere
        # An empty one where the region lies outside.
        return overlap(self.region.box, everywhere) or tuple(slice(0, 0) for _ in self.shape)

    @cached_property
    def located(self) -> Boxes:
        """Where each label lies, worked out where the caller has not said it."""
        return Boxes.of(self.labels) if self.boxes is None else self.boxes

    @cached_property
    def taken(self) -> frozenset[int]:
        """Numbers that labels have, that are locked, or that stand for a class."""
        return frozenset((*self.located.values(), *self.locked, *self.names))

    def new_numbers(self) -> Iterator[int]:
        """Yield numbers for new labels: those above all that are taken, then the gaps below.

        Raises EditError, with the first that there is none for.
        """
        most, top = int(np.iinfo(self.dtype).max), max((0, *self.taken))
        yield from range(top + 1, most + 1)
        yield from (n for n in range(1, min(top, most + 1)) if n not in self.taken)
        raise EditError(
            f"Labels of type {self.dtype} go up to {most}, and all numbers are taken: convert them "
            "to a larger type first."
        )

    def first_free(self) -> int:
        """Return the lowest number above 0 that is not taken."""
        return next(n for n in itertools.count(1) if n not in self.taken)

    def targets(self) -> tuple[int, ...]:
        """Return the labels to work on that are there and not locked, by rising number."""
        values = self.selected or self.located.values()
        return tuple(v for v in values if v not in self.locked and v in self.located)

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know: which of the labels to work on are locked or gone."""
        said = []
        values = self.selected or (self.located.values() if self.locked else ())
        locked = sum(v in self.locked for v in values)
        if locked:
            said.append(_counted(locked, "label is locked and stays", "labels are locked and stay"))
        gone = [v for v in self.selected if v not in self.located]
        if gone:
            said.append(_counted(len(gone), "label is not there", "labels are not there"))
        return tuple(said)

    def named(self, values: Iterable[int] | None = None) -> str:
        """Return what to call labels in a title, those to work on when left out.

        "liver", "label 3", "4 labels", "all labels".
        """
        given = self.selected if values is None else tuple(values)
        if not given:
            return "all labels" if values is None else "no label"
        if len(given) > 1:
            return f"{len(given)} labels"
        return self.names.get(given[0]) or f"label {given[0]}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}."
