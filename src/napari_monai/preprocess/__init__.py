"""From an image to what a network takes: reorient, resample, normalise, each with its way back.

A model names its operations in order; `operations` is the table of them. They work on one time
point as float32 of shape (channel, *spatial) and need numpy only. `prepare` does it at once,
`prepare_lazily` box by box, for images that are larger than memory.
"""

from .operations import OPERATIONS, Operation, Step, check_operations
from .prepared import (
    LazilyPrepared,
    Preparation,
    Prepared,
    is_resampled,
    prepare,
    prepare_bytes,
    prepare_lazily,
    prepared_space,
)

__all__ = [
    "OPERATIONS",
    "LazilyPrepared",
    "Operation",
    "Preparation",
    "Prepared",
    "Step",
    "check_operations",
    "is_resampled",
    "prepare",
    "prepare_bytes",
    "prepare_lazily",
    "prepared_space",
]
