"""Notes on many objects at once: flagged, done, and where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from ..labels.notes import Note, Notes, followed
from ..labels.table import Table

#: The flag that a person sets with a button or a key.
FLAG = "flag"


def flagged(notes: Notes, objects: Collection[int], table: Table | None) -> Notes:
    """Return notes in which objects are flagged; if all of them are, they are so no longer."""
    on = not all(FLAG in notes.of("object", number).flags for number in objects)
    kept = dict(notes.objects)
    for number, note in _placed(notes, objects, table):
        others = tuple(flag for flag in note.flags if flag != FLAG)
        kept[number] = Note(note.done, (*others, FLAG) if on else others, note.centroid)
    return _with(notes, kept)


def settled(notes: Notes, objects: Collection[int], table: Table | None) -> Notes:
    """Return notes in which objects are done; if all of them are, they are so no longer."""
    on = not all(notes.of("object", number).done for number in objects)
    kept = dict(notes.objects)
    for number, note in _placed(notes, objects, table):
        kept[number] = Note(on, note.flags, note.centroid)
    return _with(notes, kept)


def moved(notes: Notes, table: Table) -> Notes:
    """Return notes that have gone with their objects, see `followed`."""
    if not notes.objects:
        return notes
    rows = table.find(list(notes.objects))
    noted = [note.centroid for note in notes.objects.values()]
    if (rows >= 0).all() and all(place is not None for place in noted):
        places = np.array(noted, float)
        if places.shape == (len(rows), table.ndim) and (places == table.centroid[rows]).all():
            return notes  # as a rule: nothing has moved, and many notes take no time
    return followed(notes, table)


def _placed(
    notes: Notes, objects: Collection[int], table: Table | None
) -> Iterator[tuple[int, Note]]:
    """Yield the notes on objects, with where these are."""
    if table is None:
        return
    numbers = np.array(list(objects), np.int64)
    rows = table.find(numbers)
    there = rows >= 0
    places = map(tuple, table.centroid[rows[there]].tolist())
    for number, place in zip(numbers[there].tolist(), places, strict=True):
        note = notes.of("object", number)
        yield number, Note(note.done, note.flags, place)


def _with(notes: Notes, kept: dict[int, Note]) -> Notes:
    return replace(notes, objects={n: note for n, note in kept.items() if note.done or note.flags})
