"""The table of the operations that a model's description names, and the check of their parameters.

An operation adds links to the chain that an image is pulled through: what it does to voxels
stands in the links and in the maps.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from ..errors import ModelError, did_you_mean
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
    kind = OPERATIONS[name]
    fields = {f.name: f for f in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for key, value in operation.parameters.items():
        if key not in fields:
            cure = did_you_mean(key, fields) if fields else "It has none."
            raise ModelError(f"preprocess {name} has no parameter {key!r}. {cure}")
        if not _fits(value, hints[key]):
            raise ModelError(f"preprocess {name}: {key} is no {fields[key].type}: {value!r}.")
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        step: Step = kind(**values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"preprocess {name}: {error}.") from None
    if isinstance(step, Spacing) and len(step.spacing) != spatial_dims:
        raise ModelError(
            f"preprocess spacing has {len(step.spacing)} numbers for {spatial_dims} dimensions."
        )
    if isinstance(step, (Resize, Pad)) and len(step.size) != spatial_dims:
        raise ModelError(
            f"preprocess {name} has {len(step.size)} numbers for {spatial_dims} dimensions."
        )
    return step


def _fits(value: object, hint: Any) -> bool:
    """Whether a JSON value fits a parameter's type; what stands in a list is not looked at."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin is tuple:
        return isinstance(value, (list, tuple))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint
