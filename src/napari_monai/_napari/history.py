"""What the undo history of a labels layer takes and gives, in one place.

Of the viewer's own history only the way in is used, and what lies in it is read: an entry is a
list of atoms, each either a triple ``(index, values before, values after)`` or a painted mask with
a ``slice_key``. Both are written back by plain indexing, so a box of slices serves as the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..labels.boxes import Box, overlap, within

if TYPE_CHECKING:
    from napari.layers import Labels


class Values:
    """One side of a change, unpacked when it is written back.

    It has no ``shape``, so that zarr too makes an array of it before it looks at it.

    Parameters
    ----------
    change
        What has ``before`` and ``after``.
    side
        Which of them.
    leading
        How many axes of length 1 come before its own: the time point.
    title
        What the change is part of.
    """

    def __init__(self, change: Any, side: str, leading: int, title: str = "") -> None:
        self._change, self._side, self._leading = change, side, leading
        self.title = title

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = np.asarray(getattr(self._change, self._side), dtype)
        return values[(None,) * self._leading]


def record(layer: Labels, changes: Sequence[tuple[Box, Any, Any]]) -> None:
    """Write changes into a layer's array, and into its history as one step.

    Each is a box in the layer's own axes, and its values before and after. Where writing fails,
    what was written is taken back, and the history stays as it was.
    """
    data = layer.data
    for at, (box, _, after) in enumerate(changes):
        try:
            data[box] = np.asarray(after)
        except BaseException:
            for written, before, _ in changes[: at + 1]:
                data[written] = np.asarray(before)
            raise
    with layer.block_history():
        for atom in changes:
            layer._save_history(atom)


def boxes_of(item: Sequence[Any]) -> tuple[Box, ...]:
    """Return the boxes, in the layer's own axes, that an entry of the history changes."""
    return tuple(box for box in map(_box_of, item) if box is not None)


def _title_of(entry: Sequence[Any]) -> str:
    before = None if hasattr(entry[0], "slice_key") else entry[0][1]
    return before.title if isinstance(before, Values) else "painting"


def _box_of(atom: Any) -> Box | None:
    index = getattr(atom, "slice_key", None)
    index = atom[0] if index is None else index
    if all(isinstance(part, slice) for part in index):
        return tuple(index)
    places = [np.asarray(part) for part in index]
    if any(part.size == 0 for part in places):
        return None
    return tuple(slice(int(part.min()), int(part.max()) + 1) for part in places)


class History:
    """Tells which boxes were changed by undo and redo, which the viewer does not say.

    Parameters
    ----------
    layer
        The layer whose history is watched.
    """

    def __init__(self, layer: Labels) -> None:
        self._layer = layer
        self.mark()

    def mark(self) -> None:
        """Take what there is now for known."""
        self._undos, self._redos = len(self.done), len(self.undone)

    @property
    def done(self) -> Sequence[Any]:
        """The entries that can be undone, the oldest first."""
        entries: Sequence[Any] = self._layer._undo_history
        return entries

    @property
    def undone(self) -> Sequence[Any]:
        """The entries that can be done again, the next one last."""
        entries: Sequence[Any] = self._layer._redo_history
        return entries

    def moved(self) -> tuple[tuple[Box, ...], str]:
        """Return the boxes of what was undone or redone since it was last asked, and a line."""
        steps, grown = len(self.undone) - self._redos, len(self.done) - self._undos
        self.mark()
        if steps > 0:
            entries = list(self.undone)[-steps:]
        elif steps < 0 and grown > 0:  # a stroke that has begun empties it too
            entries = list(self.done)[-grown:]
        else:
            return (), ""
        titles = (_title_of(entry) for entry in entries[-1:])
        line = f"{'Undone' if steps > 0 else 'Redone'}: {next(titles)}."
        return tuple(box for entry in entries for box in boxes_of(entry)), line


def past(layer: Labels, entries: Sequence[Sequence[Any]], box: Box) -> npt.NDArray[Any]:
    """Return the labels in a box, in the layer's own axes, as they were before its last entries.

    ``entries`` are the last ones of its history, the oldest first.
    """
    crop = np.array(layer.data[box])
    for entry in reversed(entries):
        for atom in reversed(entry):
            _take_back(crop, box, atom)
    return crop


def _take_back(crop: npt.NDArray[Any], box: Box, atom: Any) -> None:
    """Put the values before an atom into the crop that ``box`` is."""
    where = _box_of(atom)
    shared = None if where is None else overlap(where, box)
    if where is None or shared is None:
        return
    target = crop[within(shared, box)]
    if hasattr(atom, "slice_key"):
        if atom.mask is None:
            target[...] = atom.old_values[within(shared, where)]
            return
        old = np.zeros(atom.mask.shape, crop.dtype)
        old[atom.mask] = atom.old_values
        inner = within(shared, where)
        np.copyto(target, old[inner], where=atom.mask[inner])
    elif isinstance(atom[0][0], slice):
        target[...] = np.asarray(atom[1])[within(shared, where)]
    else:
        places = [np.asarray(part).ravel() for part in atom[0]]
        inside = np.ones(len(places[0]), np.bool_)
        for part, span in zip(places, box, strict=True):
            inside &= (part >= span.start) & (part < span.stop)
        index = tuple(p[inside] - s.start for p, s in zip(places, box, strict=True))
        crop[index] = np.asarray(atom[1]).ravel()[inside]
