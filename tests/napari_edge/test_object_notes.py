"""Notes on many objects at once."""

from __future__ import annotations

import numpy as np

from napari_monai._napari.object_notes import FLAG, flagged, moved, settled
from napari_monai.labels.measure import measure
from napari_monai.labels.notes import Notes, followed
from napari_monai.labels.table import Table


def table(*numbers: int) -> Table:
    """Return measurements of as many squares in a row, numbered so."""
    labels = np.zeros((4, 8 * len(numbers)), np.uint8)
    for at, number in enumerate(numbers):
        labels[1:3, 8 * at + 1 : 8 * at + 3] = number
    return measure(labels, spacing=(1.0, 1.0))


def test_flags_are_set_for_all_or_taken_from_all() -> None:
    notes = Notes().marked("object", 2, flags=("ask", FLAG))
    both = flagged(notes, (1, 2), table(1, 2))
    assert both.of("object", 1).flags == (FLAG,)
    assert both.of("object", 2).flags == ("ask", FLAG)
    none = flagged(both, (1, 2), table(1, 2))
    assert dict(none.objects) == {2: none.of("object", 2)}
    assert none.of("object", 2).flags == ("ask",)


def test_done_is_set_with_the_place_and_only_of_what_is_there() -> None:
    notes = settled(Notes(), (1, 2, 9), table(1, 2))
    assert notes.done == {"object 1", "object 2"}
    assert notes.of("object", 2).centroid == (1.5, 9.5)
    assert settled(notes, (1, 2), table(1, 2)) == Notes()
    assert settled(Notes(), (1,), None) == Notes()


def test_notes_go_with_objects_that_are_renumbered() -> None:
    notes = settled(Notes(), (2,), table(1, 2))
    assert moved(notes, table(1, 2)) is notes
    again = moved(notes, table(1, 7))
    assert again.done == {"object 7"}
    assert again == followed(notes, table(1, 7))
    assert moved(notes, table(5)).done == frozenset()
