"""Edits that take no time to speak of: done at once, as one step to undo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from ..events import Edited
from ..labels.operations import run
from ..labels.scene import Scene
from ..volume import ArrayLike

if TYPE_CHECKING:
    from ..labels.changes import Edit
    from ..settings import Settings
    from .edit_session import EditSession


def labels_now(session: EditSession) -> ArrayLike:
    """Return the labels of the time point that is seen, along the axes of space."""
    data, time = session.layer.data, session.time
    found: ArrayLike = data if time is None else data[time]
    return found


def edit_now(
    session: EditSession, name: str, settings: Settings | None = None, *, selected: Iterable[int]
) -> Edit | None:
    """Run an operation on some labels, apply what it wants, and say what the user should know.

    Returns ``None`` where nothing changes. Raises EditError as `run` does.
    """
    scene = Scene(
        labels_now(session),
        session.spacing,
        session.unit,
        selected=tuple(selected),
        locked=session.locked,
        names={c.number: c.name for c in session.classes},
    )
    edit = next(e.edit for e in run(name, scene, settings) if isinstance(e, Edited))
    for note in edit.notes:
        show_info(note)
    if not edit.changes:
        return None
    session.apply(edit)
    return edit
