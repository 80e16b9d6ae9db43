"""Deep supervision: a loss at the coarser levels of a network, too (Lee et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
from torch import nn

from ..errors import TrainingError
from ..networks.sizes import crop_to


class Supervised(Protocol):
    """A network that has heads at coarser levels."""

    coarse_heads: int

    def all_heads(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of all levels of the padded image, finest first."""


def supervised(network: nn.Module, name: str) -> Supervised:
    """Return the network as one with heads at coarser levels.

    Raises TrainingError when it has none.
    """
    if not getattr(network, "coarse_heads", 0):
        raise TrainingError(
            f"{name}: this network has no heads at coarser levels: turn deep supervision off, or "
            "train dynunet, segresnet_ds, plain_conv_unet or residual_encoder_unet from scratch."
        )
    return cast(Supervised, network)


def supervision(
    heads: Sequence[torch.Tensor],
    targets: torch.Tensor,
    fine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    coarse: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the weighted loss over heads; each counts half as much as the next finer one.

    Weights add up to 1, as nnU-Net's do (Isensee et al. 2021).

    Parameters
    ----------
    heads
        Logits of the padded image, finest first, shape (batch, channel, *spatial of the level).
    targets
        Of the image without its padding, shape (batch, channel, *spatial).
    fine, coarse
        The loss of the finest level and that of the others.
    """
    weights = [0.5**level for level in range(len(heads))]
    total = fine(crop_to(heads[0], targets.shape[2:]), targets)
    for head, weight in zip(heads[1:], weights[1:], strict=True):
        logits, wanted = on_level(head, targets, padded=heads[0].shape[2:])
        total = total + weight * coarse(logits, wanted)
    return total / sum(weights)


def on_level(
    head: torch.Tensor, targets: torch.Tensor, *, padded: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a coarse head without its padding, and targets at the centre of its voxels."""
    strides = [size // n for size, n in zip(padded, head.shape[2:], strict=True)]
    sizes = targets.shape[2:]
    counts = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    for axis, (count, stride, size) in enumerate(zip(counts, strides, sizes, strict=True)):
        centres = torch.arange(count, device=targets.device) * stride + stride // 2
        targets = targets.index_select(axis + 2, centres.clamp_max(size - 1))
    return crop_to(head, counts), targets
