"""What a model's description names, and what its operations hand on from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .sources import Held, Link, Map, Mapped


@dataclass(frozen=True)
class Operation:
    """A step of a model's description: a name in the table, and parameters as plain JSON."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Chain:
    """What the operations hand on.

    ``hold`` allows to keep in memory what would be computed several times otherwise. Without
    ``reads`` no voxel is read: only shapes are asked for, and statistics may be any.
    """

    link: Link
    spatial_dims: int
    hold: bool
    reads: bool = True
    notes: tuple[str, ...] = ()

    def noted(self, line: str) -> Chain:
        """Return it with another line for the user."""
        return replace(self, notes=(*self.notes, line))

    def mapped(self, change: Map) -> Chain:
        """Return it with every voxel changed by itself."""
        return replace(self, link=Mapped(self.link, change))

    def measurable(self) -> Chain:
        """Return it ready to be read several times."""
        if self.hold and self.link.place.resampled and not isinstance(self.link, Held):
            return replace(self, link=Held(self.link))
        return self
