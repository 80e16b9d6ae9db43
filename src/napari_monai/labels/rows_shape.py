"""Operations that change the shape of labels, combine layers, or copy slices."""

from __future__ import annotations

from .rows import Operation

ROWS_SHAPE: tuple[Operation, ...] = ()
