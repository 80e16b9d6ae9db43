"""The measures of an evaluation: names, units, what is better, and what they mean in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..grid import Grid, millimetres
from ..labels.overlap import THRESHOLDS
from ..volume import LabelKind

Unit = Literal["", "%", "length", "volume", "count"]
LengthUnit = Literal["mm", "µm", "pixel"]

# What a volume, an area, a length is called, by the unit of length.
_VOLUMES: dict[LengthUnit, tuple[str, str, str]] = {
    "mm": ("mm", "mm²", "mL"),
    "µm": ("µm", "µm²", "µm³"),
    "pixel": ("pixels", "pixels", "voxels"),
}


@dataclass(frozen=True)
class Measure:
    """A measure: its name, the unit it is in, which value is best, and what it is."""

    name: str
    best: Literal["high", "low", "zero"]
    help: str
    unit: Unit = ""


CLASS_MEASURES = (
    Measure("Dice", "high", "2 TP / (2 TP + FP + FN) of the voxels of a class"),
    Measure("IoU", "high", "TP / (TP + FP + FN)"),
    Measure("Sensitivity", "high", "TP / (TP + FN), the part of the truth that is found"),
    Measure("Precision", "high", "TP / (TP + FP), the part of the prediction that is true"),
    Measure("Specificity", "high", "TN / (TN + FP); near 1 for whatever is small in its image"),
    Measure("Volume difference", "zero", "predicted minus true volume", "volume"),
    Measure("Relative volume difference", "zero", "the same, of the true volume", "%"),
    Measure(
        "HD95",
        "low",
        "95th percentile of the Hausdorff distance: 95 % of the area of either surface lies "
        "within it from the other",
        "length",
    ),
    Measure("ASSD", "low", "average symmetric surface distance, over the area of both", "length"),
    Measure("Surface Dice", "high", "part of the area of both surfaces within the tolerance"),
)
OBJECT_MEASURES = (
    Measure("AP", "high", "mean of AP50 to AP90"),
    *(
        Measure(f"AP{round(100 * t)}", "high", f"TP / (TP + FP + FN) of objects at IoU above {t}")
        for t in THRESHOLDS
    ),
    Measure("F1", "high", "2 TP / (2 TP + FP + FN) of objects, found or not"),
    Measure("PQ", "high", "panoptic quality: F1 times the mean IoU of the objects found"),
    Measure("SQ", "high", "mean IoU of the objects found"),
    Measure("AJI", "high", "aggregated Jaccard index (Kumar et al. 2017)"),
    Measure("Splits", "low", "true objects that two or more predicted ones share", "count"),
    Measure("Merges", "low", "predicted objects that hold two or more true ones", "count"),
)
MEASURES = {m.name: m for m in (*CLASS_MEASURES, *OBJECT_MEASURES)}
# The one that cases are ordered by.
HEADLINE: dict[LabelKind, str] = {"classes": "Dice", "instances": "AP"}


@dataclass(frozen=True)
class Space:
    """How large a voxel is, in the unit that lengths are given in.

    Physical images are measured in mm, microscopy in µm, and others in pixels. ``upright`` is the
    volume of a voxel over the product of its sides: less than 1 on a sheared grid. Distances
    between surfaces take the axes for perpendicular.
    """

    spacing: tuple[float, ...]
    unit: LengthUnit = "pixel"
    upright: float = 1.0

    @classmethod
    def of(cls, grid: Grid) -> Space:
        """Return the space of a grid."""
        upright = grid.voxel_volume / math.prod(grid.spacing)
        if grid.unit == "pixel":
            return cls(grid.spacing, upright=upright)
        unit: LengthUnit = "µm" if grid.unit in ("µm", "nm") else "mm"
        factor = millimetres(grid.unit) / millimetres(unit)
        spacing = grid.spacing if factor == 1 else tuple(s * factor for s in grid.spacing)
        return cls(spacing, unit, upright)

    @classmethod
    def of_array(cls, shape: Sequence[int]) -> Space:
        """Return the space of an array of which nothing is known."""
        return cls((1.0,) * len(shape))

    @property
    def voxel(self) -> float:
        """Volume of a voxel in `volume_unit`."""
        size = math.prod(self.spacing) * self.upright
        return size / 1000 if self.volume_unit == "mL" else size

    @property
    def volume_unit(self) -> str:
        """The unit of volumes: mL, µm³, voxels, and their like in 2D."""
        return _VOLUMES[self.unit][min(len(self.spacing), 3) - 1]

    def unit_of(self, measure: Measure) -> str:
        """Return the unit of a measure, empty for one that has none."""
        if measure.unit == "length":
            return "pixels" if self.unit == "pixel" else self.unit
        if measure.unit == "volume":
            return self.volume_unit
        return measure.unit if measure.unit == "%" else ""

    def titled(self, measure: Measure) -> str:
        """Return the name of a measure with its unit: "HD95 [mm]"."""
        unit = self.unit_of(measure)
        return f"{measure.name} [{unit}]" if unit else measure.name
