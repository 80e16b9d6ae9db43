"""Operations that grow labels, interpolate between slices, and split what touches."""

from __future__ import annotations

from .rows import Operation

ROWS_GROW: tuple[Operation, ...] = ()
