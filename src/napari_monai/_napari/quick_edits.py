"""Edits that take no time to speak of: done at once, as one step to undo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from ..errors import EditError
from ..events import Edited
from ..labels.operations import run

if TYPE_CHECKING:
    from ..labels.changes import Edit
    from ..settings import Settings
    from .edit_session import EditSession


def edit_now(
    session: EditSession, name: str, settings: Settings | None = None, *, selected: Iterable[int]
) -> Edit | None:
    """Run an operation on some labels, apply what it wants, and say what the user should know.

    Returns ``None`` where nothing changes. Raises EditError as `run` does, and while a tool runs.
    """
    check_free(session)
    scene = session.scene(selected=tuple(selected))
    edit = next(e.edit for e in run(name, scene, settings) if isinstance(e, Edited))
    for note in edit.notes:
        show_info(note)
    if not edit.changes:
        return None
    session.apply(edit)
    return edit


def check_free(session: EditSession) -> None:
    """Raise EditError while a tool works on the labels: it does not know of other edits."""
    if session.runs.busy:
        raise EditError("Wait until the tool that runs is done, or cancel it.")
