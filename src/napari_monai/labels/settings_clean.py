"""Settings of the operations that clean labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..settings import Settings, option

Neighbours = Literal["corners", "edges", "faces"]


def neighbours(help: str) -> Any:
    """Return the setting of which voxels touch; see `CONNECTIVITY`."""
    return option("corners", help, label="Voxels touch by")


# By how many axes voxels that touch may differ.
CONNECTIVITY = {"faces": 1, "edges": 2, "corners": 3}


@dataclass(frozen=True)
class FillHoles(Settings):
    """What holes are, and which of them are filled."""

    in_slices: bool = option(
        False,
        "Fill what is enclosed within a slice: the slices that the view shows, else those along "
        "the first axis.",
        label="Slice by slice",
        advanced=False,
    )
    over: bool = option(
        False, "Fill other labels that lie in a hole, too.", label="Other labels too"
    )
    largest: float = option(
        0.0,
        "Volume (area in slices and pictures) of the largest hole that is filled, in the layer's "
        "unit; 0 fills all.",
        label="Largest hole",
        minimum=0.0,
    )
    neighbours: Neighbours = neighbours(
        "How the outside finds its way in: by corners leaves the fewest holes."
    )


@dataclass(frozen=True)
class RemoveSmall(Settings):
    """Which parts of labels are removed."""

    min_size: float = option(
        100.0,
        "Smallest part that stays: its volume in the layer's unit cubed (a picture: its area).",
        label="Smallest part",
        minimum=0.0,
        step=10.0,
        advanced=False,
    )
    measure: Literal["volume", "voxels"] = option(
        "volume", "Whether the size is a volume (area) or a number of voxels.", advanced=False
    )
    neighbours: Neighbours = neighbours("Which voxels of a label are of one part.")


@dataclass(frozen=True)
class KeepLargest(Settings):
    """What the largest part is of."""

    together: bool = option(
        False,
        "Take the labels as one: what does not hang together with the largest part goes.",
        label="Labels together",
        advanced=False,
    )
    neighbours: Neighbours = neighbours("Which voxels of a label are of one part.")
