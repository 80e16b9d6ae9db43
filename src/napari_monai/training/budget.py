"""How large a step of training may be: by memory on a GPU, by time on a CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from ..devices import free_memory, pick_device
from ..networks.cost import feature_values, flops
from ..settings import TrainingSettings

# Operations on the way forward of a step, for two cores: about 0.4, 1 and 2 seconds.
_WORK = {"quick": 15e9, "balanced": 40e9, "thorough": 80e9}
# GiB of GPU memory, and values of the convolutions of a batch that take 8 of them, as nnU-Net has
# them: 85 million for each of 12 pictures, 560 million for each of 2 volumes.
_MEMORY = {"quick": 6.0, "balanced": 8.0, "thorough": 24.0}
_VALUES = {2: 12 * 85e6 / 8, 3: 2 * 560e6 / 8}
# Part of the free memory that is planned with.
_PART = 0.75
# Patches a step that a patch is cut down for, largest first; with fewer where it got too small.
_PATCHES = {2: (12, 6, 2), 3: (2,)}
# Networks that normalise each patch by itself, so that batches may be small.
INSTANCE_NORMALISED = ("dynunet", "plain_conv_unet", "residual_encoder_unet")


@dataclass(frozen=True)
class Budget:
    """What one step may take.

    Attributes
    ----------
    amount
        Operations on the way forward, or values of convolutions, of a batch.
    measure
        Which of both.
    patches
        How many patches are to fit, in the order of trial.
    """

    amount: float
    measure: Literal["work", "memory"]
    patches: tuple[int, ...]

    def cost(self, network: str, arguments: Mapping[str, Any], patch: Sequence[int]) -> float:
        """Return what a voxel of a patch takes."""
        count = flops if self.measure == "work" else feature_values
        return count(network, arguments, patch) / prod(patch)


def budget_of(settings: TrainingSettings, ndim: int) -> Budget:
    """Return what a step may take on the device and for the goal of a training."""
    device = pick_device(settings.device)
    if device.type == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        amount = _WORK[settings.goal] * max(1.0, (cores or 2) / 2)
        return Budget(amount, "work", _PATCHES[ndim])
    free = free_memory(device) / 2**30 * _PART
    amount = _VALUES[ndim] * min(_MEMORY[settings.goal], free)
    small = ndim == 3 or settings.network in INSTANCE_NORMALISED
    return Budget(amount, "memory", (2,) if small else _PATCHES[2])


def network_size(settings: TrainingSettings, ndim: int) -> Literal["small", "base", "large"]:
    """Return the size of a new network: as given, or what the goal and the device are for."""
    if settings.network_size != "auto":
        return settings.network_size
    slow = pick_device(settings.device).type == "cpu"
    small = settings.goal == "quick" or (slow and ndim == 3 and settings.goal == "balanced")
    return "small" if small else "base"
