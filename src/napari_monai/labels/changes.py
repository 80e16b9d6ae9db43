"""What an operation does to labels: changes of boxes, put together as one step to undo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .boxes import Box, shape_of
from .packing import Packed

Labels = npt.NDArray[Any]


class Writable(Protocol):
    """Labels that are written by boxes: numpy, memmap and zarr arrays are."""

    def __setitem__(self, box: Any, values: Any, /) -> None:
        """Put values."""
        ...


class Change:
    """What becomes of one box of labels; never changed itself.

    Parameters
    ----------
    box
        Where, tight around what differs.
    before, after
        The labels in the box, of one shape and type. Copies are kept, as runs of equal voxels
        where that is smaller.

    Attributes
    ----------
    packed_before, packed_after
        What is kept, for a history: ``numpy.asarray`` unpacks it.
    voxels
        How many differ.
    """

    __slots__ = ("box", "packed_after", "packed_before", "voxels")

    def __init__(self, box: Box, before: Labels, after: Labels) -> None:
        if not before.shape == after.shape == shape_of(box):
            raise ValueError(f"{before.shape} and {after.shape} do not fit the box {box}.")
        self.box = box
        self.packed_before = Packed(before)
        self.packed_after = Packed(after)
        self.voxels = int(np.count_nonzero(before != after))

    @property
    def before(self) -> Labels:
        """The labels as they were."""
        return np.asarray(self.packed_before)

    @property
    def after(self) -> Labels:
        """The labels as they become."""
        return np.asarray(self.packed_after)

    @property
    def values(self) -> tuple[int, ...]:
        """The labels that are there afterwards, without 0: what `Boxes.include` is told."""
        return tuple(v for v in np.unique(self.after).tolist() if v)

    def reverted(self) -> Change:
        """Return the change that takes this one back."""
        back = object.__new__(Change)
        back.box, back.voxels = self.box, self.voxels
        back.packed_before, back.packed_after = self.packed_after, self.packed_before
        return back

    def __repr__(self) -> str:
        where = ", ".join(f"{s.start}:{s.stop}" for s in self.box)
        return f"Change([{where}], {self.voxels} voxels)"


@dataclass(frozen=True, eq=False)
class Edit:
    """What an operation wants to do: one step to undo.

    Parameters
    ----------
    title
        What is done, for a menu: "Fill holes of liver".
    changes
        Boxes that do not overlap.
    notes
        A line each for the user: "2 labels are locked and stay.".
    """

    title: str
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def voxels(self) -> int:
        """How many voxels differ."""
        return sum(change.voxels for change in self.changes)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where something differs."""
        return tuple(change.box for change in self.changes)

    def apply(self, labels: Writable) -> None:
        """Write what becomes of the labels into them, box by box."""
        for change in self.changes:
            labels[change.box] = change.after

    def revert(self, labels: Writable) -> None:
        """Write what the labels were into them, box by box."""
        for change in reversed(self.changes):
            labels[change.box] = change.before

    def reverted(self) -> Edit:
        """Return the edit that takes this one back."""
        return Edit(self.title, tuple(c.reverted() for c in reversed(self.changes)), self.notes)


def with_notes(edit: Edit, notes: Iterable[str]) -> Edit:
    """Return an edit with more notes."""
    return Edit(edit.title, edit.changes, (*edit.notes, *notes))
