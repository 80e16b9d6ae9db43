"""A row of the table of operations on labels; see `operations`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..settings import Settings

if TYPE_CHECKING:
    from ..events import Event
    from .scene import Scene

Group = Literal["Clean", "Shape", "Grow", "Split", "Numbers", "Slices", "Combine"]
Need = Literal["selected", "image", "other", "points", "lines", "plane", "region"]
Function = Callable[["Scene", Any], "Iterator[Event]"]

# What to say where something is missing that an operation works from.
CURES: dict[Need, str] = {
    "selected": "Select the labels to work on.",
    "image": "Choose the image that the labels belong to, of one channel.",
    "other": "Choose a second layer of labels.",
    "points": "Place points for it.",
    "lines": "Draw a line or an outline for it.",
    "plane": "Show a slice: turn the view of the volume to 2-D.",
    "region": "Choose a region.",
}


@dataclass(frozen=True)
class NoSettings(Settings):
    """Settings of an operation that has none."""


@dataclass(frozen=True)
class Operation:
    """An operation on labels: names, and where its code is, imported when it runs.

    Parameters
    ----------
    name
        On the command line and in scripts: ``"fill-holes"``.
    title
        On a button: ``"Fill holes"``.
    group
        Where it stands among the others.
    function
        ``"module:name"`` of what takes a `Scene` and settings and yields events, the last one
        `Edited`.
    help
        One sentence for a tooltip and for ``--help``.
    settings
        ``"module:name"`` of the class of its settings; none when left out.
    needs
        What of a scene has to be there.
    takes
        What of a scene it looks at where that is there.
    key
        Key in the viewer; none when left out.
    """

    name: str
    title: str
    group: Group
    function: str
    help: str
    settings: str = ""
    needs: tuple[Need, ...] = ()
    takes: tuple[Need, ...] = ()
    key: str = ""

    @property
    def uses(self) -> tuple[Need, ...]:
        """What of a scene it looks at, needed or not."""
        return (*self.needs, *self.takes)

    def load(self) -> Function:
        """Return the function, imported now."""
        function: Function = _imported(self.function)
        return function

    def settings_type(self) -> type[Settings]:
        """Return the class of the settings, without importing what the function needs."""
        if not self.settings:
            return NoSettings
        kind: type[Settings] = _imported(self.settings)
        return kind

    def missing(self, scene: Scene) -> tuple[str, ...]:
        """Return a line for each thing that is needed and not there: what to do about it."""
        there = {
            "selected": bool(scene.selected),
            "image": scene.image is not None,
            "other": scene.other is not None,
            "points": len(scene.points) > 0,
            "lines": len(scene.lines) > 0,
            "plane": scene.plane is not None,
            "region": scene.region is not None,
        }
        return tuple(CURES[need] for need in self.needs if not there[need])


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
