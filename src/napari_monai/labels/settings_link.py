"""Settings of what links the labels of slices and of time points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..settings import Settings, option


@dataclass(frozen=True)
class LinkSlices(Settings):
    """How the labels of slices become objects; see `linked_slices.SliceLinker`."""

    axis: Literal["0", "1", "2"] = option(
        "0", "The axis that the slices were labelled along.", advanced=False
    )
    overlap: float = option(
        0.6,
        "How much of the smaller of two labels lies on the other one, in the slice before, if they "
        "are one object.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        advanced=False,
    )
    gap: int = option(
        0,
        "How many slices in a row an object may miss; they are filled with what is common.",
        minimum=0,
        maximum=100,
        advanced=False,
    )
    neck: float = option(
        0.8,
        "An object that shrinks below this part of its size, and grows again, is cut in two; 0 "
        "cuts none.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    reach: float | None = option(
        None,
        "Farthest that the middle of an object moves from one slice to the next, in the image's "
        "unit: auto is any way.",
        minimum=0.0,
        step=1.0,
    )
    min_slices: int = option(
        1, "Objects on fewer slices are deleted.", label="Fewest slices", minimum=1
    )


@dataclass(frozen=True)
class LinkFrames(Settings):
    """How labels keep their numbers over time; see `linking.Linker`."""

    overlap: float = option(
        0.3,
        "How much of the smaller of two labels lies on the other one, at the time point before, if "
        "they are one object.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    gap: int = option(
        0, "How many time points in a row an object may miss.", minimum=0, maximum=100
    )
    reach: float | None = option(
        None,
        "Farthest that the middle of an object moves from one time point to the next, in the unit "
        "of the file: auto is any way.",
        minimum=0.0,
    )
    divisions: bool = option(
        False,
        "An object that goes on as two parts of it ends there, and both get numbers of their own.",
    )
