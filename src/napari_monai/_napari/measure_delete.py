"""Measured objects taken out of their layer, with the edit that Edit labels has for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from ..events import Edited, Event, Started
from ..labels.boxes import Boxes
from ..labels.changes import Edit
from ..labels.operations import run
from ..labels.scene import Scene
from ..labels.table import Ints
from .edit_arrays import labels_at
from .edit_session import EditSession
from .jobs import Steps
from .measure_rows import Rows

if TYPE_CHECKING:
    import napari


@dataclass(frozen=True, eq=False)
class Deletion(Event):
    """What is to be changed at time points for objects to be gone; nothing is changed yet."""

    edits: tuple[tuple[int | None, Edit], ...]


def delete_steps(session: EditSession, rows: Rows, at: Ints) -> Steps:
    """Work out how the objects of rows are deleted; yields `Deletion` at last."""
    yield Started(0, "")
    edits: list[tuple[int | None, Edit]] = []
    times: list[Any] = [None] if rows.time is None else np.unique(rows.time[at]).tolist()
    for time in times:
        here = at if rows.time is None else at[rows.time[at] == time]
        boxes = Boxes(session.ndim)
        for row in here.tolist():
            boxes.include(rows.box(np.array([row])), (int(rows.label[row]),))
        scene = Scene(
            labels_at(session.layer, time),
            session.spacing,
            unit=session.unit,
            selected=tuple(rows.label[here].tolist()),
            locked=session.locked,
            boxes=boxes,
        )
        for event in run("delete", scene):
            if isinstance(event, Edited):
                edits.append((time, event.edit))
            else:
                yield event
    yield Deletion(tuple(edits))


def delete(viewer: napari.viewer.Viewer, layer: Labels, deletion: Deletion) -> str:
    """Delete, one undo step a time point; return a line on what was done.

    Raises VolumeError where the layer cannot be edited.
    """
    session = EditSession(viewer, layer)
    try:
        for time, edit in deletion.edits:
            session.apply(edit, time=time)
    finally:
        session.close()
    voxels = sum(edit.voxels for _, edit in deletion.edits)
    notes = dict.fromkeys(note for _, edit in deletion.edits for note in edit.notes)
    done = f"{voxels:,} voxel{'s' * (voxels != 1)} deleted; Ctrl-Z takes it back."
    return " ".join((done if voxels else "Nothing was deleted.", *notes))
