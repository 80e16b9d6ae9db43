"""Settings of the operations on the numbers of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..settings import Settings, option


@dataclass(frozen=True)
class Merge(Settings):
    """How labels are merged."""

    into: int | None = option(
        None,
        "The number that they get: auto is the lowest of them.",
        label="Into number",
        minimum=1,
        advanced=False,
    )


@dataclass(frozen=True)
class Relabel(Settings):
    """How a label gets another number."""

    to: int | None = option(
        None,
        "The new number: auto is the first one that is free.",
        label="New number",
        minimum=1,
        advanced=False,
    )
    swap: bool = option(
        False,
        "Where the new number is taken, exchange the two numbers instead of merging the labels.",
        advanced=False,
    )


@dataclass(frozen=True)
class Renumber(Settings):
    """How labels are numbered anew."""

    order: Literal["number", "size", "position"] = option(
        "number",
        "In which order: as they are numbered now, from the largest to the smallest, or by their "
        "first voxel.",
        advanced=False,
    )
    first: int = option(1, "The lowest number.", label="First number", minimum=1, advanced=False)
