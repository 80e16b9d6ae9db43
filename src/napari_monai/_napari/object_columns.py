"""The columns of the table of objects: what is measured of them, and what is noted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from ..labels.notes import Notes
from ..labels.table import Table
from .columns import Column

_DIMENSIONS = {2: "²", 3: "³"}


class _Places(Sequence[str]):
    """Places in words, made when they are asked for."""

    def __init__(self, places: npt.NDArray[np.float64]) -> None:
        self._places = places

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...

    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return _Places(self._places[row])
        return ", ".join(f"{x:.0f}" for x in self._places[row])

    def __len__(self) -> int:
        return len(self._places)


def unit_of(unit: str, ndim: int) -> str:
    """Return the unit of a volume or area, of that of the spacing."""
    return {2: "pixels", 3: "voxels"}[ndim] if unit == "pixel" else f"{unit}{_DIMENSIONS[ndim]}"


def object_columns(
    table: Table,
    *,
    unit: str,
    names: Mapping[int, str],
    notes: Notes,
    locked: Collection[int] = (),
) -> list[Column]:
    """Return the columns of a table of objects, the label first.

    Parameters
    ----------
    table
        The measurements.
    unit
        Of the spacing; ``"pixel"`` where that is not known.
    names
        Of the classes, by number.
    notes
        Flags, and what is done.
    locked
        The labels that are.
    """
    solid = table.ndim == 3
    units = unit_of(unit, table.ndim)
    size = "Volume" if solid else "Area"
    found = [
        Column("label", "Label", "Its number", table.label),
        Column(
            "class",
            "Class",
            "What it is",
            _texts(table.label, names),
            shown=bool(names),
        ),
        Column("flags", "Flags", "What was noted of it", _flags(table.label, notes, locked)),
        Column("volume", size, f"{size} of its voxels", table.volume, unit=units),
    ]
    measured = table.mean is not None
    means = table.mean if table.mean is not None else np.full(len(table), np.nan)
    found.append(Column("mean", "Mean", "Mean intensity of the image in it", means, shown=measured))
    if solid:
        found.append(Column("slices", "Slices", "On how many slices it lies", table.slices))
    found += [
        Column(
            "border",
            "Border",
            "Whether it reaches the edge of the image, where it may be cut",
            np.where(table.border, "edge", ""),
        ),
        Column(
            "centroid",
            "Centroid",
            "Its middle, in voxels: slice, row, column" if solid else "Its middle: row, column",
            _rank(table),
            texts=_Places(table.centroid),
            shown=False,
        ),
        Column(
            "roundness",
            "Roundness",
            "1 for a ball, less for all else" if solid else "1 for a disk, less for all else",
            table.roundness,
            digits=2,
            shown=False,
        ),
        Column("pieces", "Pieces", "Of how many pieces it is", table.components, shown=False),
    ]
    return found


def no_objects(ndim: int) -> list[Column]:
    """Return the columns as long as nothing is measured."""
    empty, places = np.zeros(0), np.zeros((0, ndim))
    whole, numbers = places.astype(np.int64), empty.astype(np.int64)
    table = Table(
        label=numbers,
        voxels=numbers,
        volume=empty,
        centroid=places,
        world=places,
        start=whole,
        stop=whole,
        slices=numbers,
        border=empty.astype(np.bool_),
        components=numbers,
        axes=places,
        roundness=empty,
        mean=None,
        minimum=None,
        maximum=None,
        spacing=(1.0,) * ndim,
        affine=np.eye(ndim + 1),
        shape=(0,) * ndim,
    )
    return object_columns(table, unit="pixel", names={}, notes=Notes())


def _texts(labels: npt.NDArray[np.int64], texts: Mapping[int, str]) -> npt.NDArray[np.str_]:
    """Return a text a label, nothing where there is none."""
    numbers = np.array(sorted(texts), np.int64)
    words = np.array(["", *(texts[n] for n in numbers.tolist())])
    at = np.searchsorted(numbers, labels)
    known = at < len(numbers)
    known[known] = numbers[at[known]] == labels[known]
    return words[np.where(known, at + 1, 0)]


def _flags(
    labels: npt.NDArray[np.int64], notes: Notes, locked: Collection[int]
) -> npt.NDArray[np.str_]:
    words: dict[int, list[str]] = {}
    for number, note in notes.objects.items():
        words[number] = [*note.flags, *(["done"] if note.done else [])]
    for number in locked:
        words.setdefault(number, []).append("locked")
    return _texts(labels, {number: ", ".join(said) for number, said in words.items()})


def _rank(table: Table) -> npt.NDArray[np.float64]:
    """Return a number for each object that rises slice by slice, and there from the top down."""
    rank = np.zeros(len(table))
    for axis, length in enumerate(table.shape):
        rank = rank * length + np.round(table.centroid[:, axis])
    return rank
