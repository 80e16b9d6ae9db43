"""Settings of a measurement: which of the slower columns are wanted, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..settings import Settings, option


@dataclass(frozen=True)
class MeasureSettings(Settings):
    """What to measure beside sizes, places, axes and mean intensities, which cost little."""

    each: Literal["label", "piece"] = option(
        "label",
        "What has a row in the table: each number, or each piece of a number that hangs together.",
        label="A row for each",
        advanced=False,
    )
    surface: bool = option(
        False,
        "Surface area and sphericity; of pictures perimeter and circularity.",
        advanced=False,
    )
    feret: bool = option(
        False, "Feret diameter: the greatest distance across.", label="Feret", advanced=False
    )
    neighbours: bool = option(False, "How many others each one touches.", advanced=False)
    within: float | None = option(
        None,
        "How many others lie within this distance of each one, in the unit of the grid, from the "
        "middle of the nearest voxel to that of the other's.",
        label="Neighbours within",
        minimum=0,
        advanced=False,
    )
    percentiles: tuple[int, ...] | None = option(
        None,
        "Percentiles of the intensities, such as 5,50,95; 50 is the median.",
        minimum=0,
        maximum=100,
        advanced=False,
    )

    @classmethod
    def everything(cls) -> MeasureSettings:
        """Return the settings with all columns but those that need a number."""
        return cls(surface=True, feret=True, neighbours=True, percentiles=(5, 25, 50, 75, 95))
