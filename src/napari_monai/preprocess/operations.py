"""The table of the operations that a model's description names, and the check of their parameters.

An operation adds links to the chain that an image is pulled through: what it does to voxels
stands in the links and in the maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..errors import ModelError, did_you_mean
from ..parameters import with_parameters
from .chain import Chain, Operation
from .framing import CropForeground, CropNonzero, Pad, PadDivisible
from .geometry import Orientation, Resize, Spacing, Transpose, Zoom
from .intensity import (
    Cast,
    Clip,
    Colour,
    ScaleLinear,
    ScaleMinMax,
    ScalePercentiles,
    ScaleRange,
    ZScore,
)

__all__ = ["MEASURES", "OPERATIONS", "Chain", "Operation", "Step", "check_operations"]


class Step(Protocol):
    """An operation with its parameters, ready to run."""

    def apply(self, chain: Chain, /) -> Chain:
        """Return the chain with the operation added."""
        ...


OPERATIONS: Mapping[str, type[Any]] = {
    "orientation": Orientation,
    "transpose": Transpose,
    "spacing": Spacing,
    "resize": Resize,
    "zoom": Zoom,
    "crop_foreground": CropForeground,
    "crop_nonzero": CropNonzero,
    "pad": Pad,
    "pad_divisible": PadDivisible,
    "colour": Colour,
    "scale_percentiles": ScalePercentiles,
    "scale_range": ScaleRange,
    "scale_minmax": ScaleMinMax,
    "scale_linear": ScaleLinear,
    "zscore": ZScore,
    "clip": Clip,
    "cast": Cast,
}
# Those that read the whole image when they are put into the chain, and change no shape.
MEASURES = (ScalePercentiles, ScaleMinMax, ZScore)


def check_operations(operations: Sequence[Operation], spatial_dims: int) -> tuple[Step, ...]:
    """Return the operations ready to run; raise ModelError for one that cannot be."""
    return tuple(_step(operation, spatial_dims) for operation in operations)


def _step(operation: Operation, spatial_dims: int) -> Step:
    name = operation.name
    if name not in OPERATIONS:
        raise ModelError(f"No preprocess operation {name!r}. {did_you_mean(name, OPERATIONS)}")
    step: Step = with_parameters(OPERATIONS[name], operation.parameters, f"preprocess {name}")
    if isinstance(step, Spacing) and len(step.spacing) != spatial_dims:
        raise ModelError(
            f"preprocess spacing has {len(step.spacing)} numbers for {spatial_dims} dimensions."
        )
    if isinstance(step, (Resize, Pad)) and len(step.size) != spatial_dims:
        raise ModelError(
            f"preprocess {name} has {len(step.size)} numbers for {spatial_dims} dimensions."
        )
    return step
