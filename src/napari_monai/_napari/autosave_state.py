"""What is known of a labels layer that is kept: how often it has changed, and up to where."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .autosave_layer import Kept

if TYPE_CHECKING:
    from napari.layers import Labels


@dataclass(eq=False)
class State:
    """What is known of a labels layer: how often it has changed, and what of it was kept.

    ``changes`` counts; ``saved`` and ``kept`` say up to which count it was saved by the user, and
    kept by us. ``path`` is where, and ``kept_at`` when, by a clock of its own. ``again`` says that
    it is to be kept once more when what is under way is done.
    """

    layer: Labels
    changes: int = 0
    saved: int = 0
    kept: int = 0
    path: Path | None = None
    kept_at: float = -math.inf
    busy: bool = False
    again: bool = False
    said: set[str] = field(default_factory=set)
    _history: tuple[int, ...] = field(init=False)
    _names: list[list[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._history = _history(self.layer)
        self._names = _names(self.layer)

    def hear(self, event: Any) -> None:
        """Take what the layer says of a change: a table is one if names or numbers are others."""
        if event.type == "features":
            names = _names(self.layer)
            if names == self._names:
                return
            self._names = names
        self.changes += 1

    @property
    def past(self) -> dict[str, Any]:
        """All that is known without the layer, which it does not keep alive."""
        names = ("changes", "saved", "kept", "path")
        return {name: getattr(self, name) for name in names}

    def look(self) -> int:
        """Return how often it has changed; steps back and forth in its history count too."""
        history = _history(self.layer)
        if history != self._history:
            self._history = history
            self.changes += 1
        return self.changes

    @property
    def is_due(self) -> bool:
        """Whether there is something to keep."""
        return self.look() not in (self.saved, self.kept)


def _history(layer: Labels) -> tuple[int, ...]:
    steps = (getattr(layer, "_undo_history", ()), getattr(layer, "_redo_history", ()))
    return tuple(n for each in steps for n in (len(each), id(each[-1]) if each else 0))


@dataclass(eq=False)
class Task:
    """Labels on their way to a file."""

    state: State
    changes: int
    kept: Kept
    tries: int = 0
    where: Path | None = None
    error: str = ""


def _names(layer: Labels) -> list[list[Any]]:
    """Return the numbers and names of the classes that a layer names."""
    table = layer.features
    return [table[column].tolist() for column in ("index", "name", "locked") if column in table]
