"""What is measured of the objects or classes of a label array: a table of numpy columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .boxes import Box

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Columns with a row an object, in the order in which they are shown.
_COLUMNS = ("label", "voxels", "volume", "centroid", "world", "start", "stop", "slices", "border",
            "components", "axes", "roundness", "mean", "minimum", "maximum")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Table:
    """Measurements of n labels, one row each, in the rising order of their numbers.

    Columns are arrays of n rows; those with a number an axis have shape (n, axes), in the order
    of the axes of the labels. Lengths are in the unit of ``spacing``.

    Parameters
    ----------
    label
        Their numbers, without the background.
    voxels, volume
        How many voxels they have, and the volume, or area, of these.
    centroid
        The mean of the indices of their voxels.
    world
        The same point by the affine that the measurement was given.
    start, stop
        First index along each axis, and the one after the last.
    slices
        On how many planes along the first axis they lie; 1 in 2-D.
    border
        Whether they reach the edge of the array. An axis of one plane has no edge.
    components
        Of how many pieces they are; voxels that share a corner belong together.
    axes
        Lengths of the principal axes of the ellipsoid with the same second moments, the longest
        first, each voxel taken for a point.
    roundness
        1 for a ball, or a disk, less for all else: how much smaller the second moments of a ball
        of this volume are. The measure of Žunić, Hirota and Rosin (Pattern Recognition 43, 2010)
        in 2-D, of Martinez-Ortiz (2010) in 3-D; voxels are taken for boxes.
    mean, minimum, maximum
        Of the image's voxels; ``None`` where no image was measured.
    spacing
        Of the voxels, one number an axis.
    affine
        From indices to the world, shape (axes + 1, axes + 1).
    shape
        Of the array of labels.
    """

    label: Ints
    voxels: Ints
    volume: Floats
    centroid: Floats
    world: Floats
    start: Ints
    stop: Ints
    slices: Ints
    border: npt.NDArray[np.bool_]
    components: Ints
    axes: Floats
    roundness: Floats
    mean: Floats | None
    minimum: Floats | None
    maximum: Floats | None
    spacing: tuple[float, ...]
    affine: Floats
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def ndim(self) -> int:
        """Number of axes of the labels."""
        return len(self.shape)

    def find(self, labels: npt.ArrayLike) -> Ints:
        """Return the rows of these numbers, -1 for each one that the table lacks."""
        wanted = np.asarray(labels, np.int64).reshape(-1)
        at = np.searchsorted(self.label, wanted)
        at[at == len(self)] = 0
        there = self.label[at] == wanted if len(self) else np.zeros(len(wanted), np.bool_)
        return np.where(there, at, -1)

    def row(self, label: int) -> int | None:
        """Return the row of a number, or ``None`` if the table lacks it."""
        found = int(self.find([label])[0])
        return None if found < 0 else found

    def box(self, row: int) -> Box:
        """Return where the object of a row lies, as one slice an axis."""
        ends = zip(self.start[row].tolist(), self.stop[row].tolist(), strict=True)
        return tuple(slice(start, stop) for start, stop in ends)

    def take(self, rows: npt.ArrayLike) -> Self:
        """Return the table of some rows, given by number or as a mask, in rising order."""
        chosen = np.asarray(rows)
        if chosen.dtype != np.bool_:
            chosen = np.unique(chosen.astype(np.int64))
        parts: dict[str, Any] = {}
        for name in _COLUMNS:
            column = getattr(self, name)
            parts[name] = None if column is None else column[chosen]
        return replace(self, **parts)

    def columns(self, *, axes: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
        """Return every column as an array of n numbers, by name.

        Those with a number an axis become ``"centroid z"``, ``"centroid y"`` and so on, by the
        names in ``axes``, which are the last of z, y, x when left out; the principal axes are
        numbered.
        """
        named = tuple(axes) or ("z", "y", "x")[-self.ndim :]
        found: dict[str, npt.NDArray[Any]] = {}
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is None:
                continue
            if column.ndim == 1:
                found[name] = column
                continue
            title = "axis" if name == "axes" else name
            words = [str(n + 1) for n in range(self.ndim)] if name == "axes" else named
            found |= {f"{title} {word}": column[:, a] for a, word in enumerate(words)}
        return found


def joined(one: Table, other: Table) -> Table:
    """Return the rows of two tables of the same labels; where both have a number, the second's."""
    stays = one.take(~np.isin(one.label, other.label))
    order = np.argsort(np.concatenate([stays.label, other.label]), kind="stable")

    def both(name: str) -> Any:
        a, b = getattr(stays, name), getattr(other, name)
        return None if a is None or b is None else np.concatenate([a, b])[order]

    return replace(other, **{name: both(name) for name in _COLUMNS})
